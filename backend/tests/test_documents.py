"""The documents are true: their programs are run, their tables are those of the code, their links lead somewhere."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import WebSocketRoute

from src.demo.nats_server import NatsServer
from src.gateway.history.client import HistoryClient
from src.gateway.http.app import make_app
from src.gateway.settings import Settings, variables
from src.gateway.socket_broadcaster import SocketBroadcaster
from tests.documents import BACKEND, CHANGELOG, INTERFACES, README, ROOT, Document, code_words, routes
from tests.end_to_end.gateway_process import GatewayProcess
from tests.links import broken_links, markdown_files
from tests.test_repository import pyproject

PRINTED_ADDRESS = "localhost:8000"
CONTRIBUTING = Document(ROOT / "CONTRIBUTING.md")
OPERATIONS = ROOT / "docs" / "operations.md"
DOCUMENTS = markdown_files()

# The programs and configurations that documents print, with the tests that run them as printed.
PROGRAMS = {
    ("README.md", "html"): ["end_to_end/test_client_script.py"],
    ("client/typescript/README.md", "html"): ["end_to_end/test_client_script.py"],
    ("client/typescript/README.md", "ts"): ["typescript/test_installed.py"] * 2,
    ("client/typescript/README.md", "js"): ["typescript/test_installed.py"],
    ("client/python/README.md", "python"): ["client/test_package.py"] * 2,
    ("docs/operations.md", "conf"): ["end_to_end/test_leaf_node.py"] * 2,
    ("docs/operations.md", "json"): ["end_to_end/test_leaf_node.py"],
}
ILLUSTRATIONS = {  # pieces of wire format or configuration, without a program
    ("backend/src/gateway/INTERFACES.md", "json"),
    ("backend/src/gateway/INTERFACES.md", "yaml"),
}
COMMANDS = ("make", "npm install", "pip install", "backend/.venv/bin/python", "docker compose", "echo")


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 150


# -- programs ----------------------------------------------------------------------------------------------------------


def test_every_printed_program_is_run_by_a_test() -> None:
    printed: dict[tuple[str, str], int] = {}
    for path in DOCUMENTS:
        for language in re.findall(r"^```(\w+)$", path.read_text(), re.MULTILINE):
            kind = (str(path.relative_to(ROOT)), language)
            printed[kind] = printed.get(kind, 0) + 1
    programs = {kind: n for kind, n in printed.items() if kind[1] != "sh" and kind not in ILLUSTRATIONS}
    assert programs == {kind: len(tests) for kind, tests in PROGRAMS.items()}
    assert all((BACKEND / "tests" / test).exists() for tests in PROGRAMS.values() for test in tests)


def test_every_printed_command_is_one_that_a_newcomer_has() -> None:
    for path in DOCUMENTS:
        for block in Document(path).code("sh"):
            for line in filter(None, block.splitlines()):
                command = re.sub(r"^(?:[A-Z_]+=\S+ )+", "", line)
                assert command.startswith(COMMANDS), f"{path}: {line}"


def test_the_make_targets_are_there() -> None:
    targets = set(re.findall(r"^([\w-]+(?: [\w-]+)*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    known = {word for line in targets for word in line.split()}
    for path in DOCUMENTS:
        told = set(re.findall(r"(?:^|`|make |[A-Z_]+=\S+ )make (\w+)", path.read_text(), re.MULTILINE))
        assert told <= known, path


@pytest.mark.parametrize("path", [OPERATIONS, INTERFACES], ids=lambda path: path.name)
def test_the_printed_start_is_what_the_gateway_says(
    path: Path, gateway: GatewayProcess, nats_server: NatsServer
) -> None:
    (start,) = (block for block in Document(path).code() if "GATEWAY SERVICE" in block)
    printed_nats = re.findall(r"nats://\S+", start)[0]
    assert gateway.stdout == start.replace(printed_nats, nats_server.url).replace(":8000/", f":{gateway.port}/")


# -- tables ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_variable_in_a_document_is_a_setting(path: Path) -> None:
    told = set(re.findall(r"\bGATEWAY_[A-Z_]+|\bNATS_URL\b", Document(path).text))
    assert told <= {name for variable in variables() for name in variable.names}


@pytest.mark.parametrize(("path", "heading"), [(README, "Endpoints"), (INTERFACES, "HTTP")])
def test_the_routes_are_those_of_the_app(path: Path, heading: str) -> None:
    words = [word for row in Document(path).table(heading) for cell in row.values() for word in code_words(cell)]
    told = {word.removeprefix("GET ") for word in words if word.startswith("GET /")}
    streams = {word.partition(PRINTED_ADDRESS)[2] for word in words if word.startswith("ws://")}
    served = routes(make_app(SocketBroadcaster(settings=Settings(), history=HistoryClient("/nowhere"))))
    websockets = {path for path, each in served.items() if isinstance(each, WebSocketRoute)}
    assert told == served.keys() - websockets
    assert streams <= websockets


def test_the_places_to_change_are_there() -> None:
    rows = CONTRIBUTING.table("Where to change what")
    assert len(rows) == 11
    for row in rows:
        paths = [word for word in code_words(row["place"]) if "/" in word and not word.startswith("/")]
        assert paths, row
        assert all((ROOT / path).exists() for path in paths), row


def test_the_printed_layers_are_those_that_are_checked() -> None:
    config: dict[str, Any] = tomllib.loads((BACKEND / "pyproject.toml").read_text())
    (layers,) = (
        contract["layers"]
        for contract in config["tool"]["importlinter"]["contracts"]
        if contract.get("containers") == ["src.gateway"]
    )
    assert f"    {' → '.join(layers)} → common\n" in CONTRIBUTING.text


# -- links and versions ------------------------------------------------------------------------------------------------


def test_every_link_leads_somewhere() -> None:
    assert broken_links(DOCUMENTS) == []


def test_a_link_to_no_file_and_to_no_heading_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# One\n[1](a.md#one) [2](#one) [3](b.md) [4](#two) [5](https://example.com/x)\n")
    path = tmp_path / "a.md"
    assert broken_links([path]) == [f"{path}: b.md", f"{path}: #two"]


def test_the_changelog_tells_of_the_version_that_is_built() -> None:
    headings = re.findall(r"^## \[(.+?)\]", CHANGELOG.read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert pyproject()["project"]["version"] in CHANGELOG.read_text()
