"""The Python client as somebody else installs it: in a fresh environment, with its own dependency only."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.documents import ROOT, Document
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import Publisher

PACKAGE = ROOT / "client" / "python"
PRINTED_ADDRESS = "localhost:8000"
INSTALL_LIMIT_S = 50.0
CLEAN = {name: text for name, text in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
UV = shutil.which("uv") or ROOT / ".tools" / "uv" / "bin" / "uv"  # `make` brings one where there is none
OF_THE_GATEWAY = {"fastapi", "msgspec", "nats-py", "uvicorn", "pydantic"}


WRONG_TYPE = """\
from spymaster_client import State


def age(state: State) -> int:
    return state.connection
"""


def run(*command: str | Path, cwd: Path) -> str:
    ended = subprocess.run(command, cwd=cwd, env=CLEAN, capture_output=True, text=True, timeout=INSTALL_LIMIT_S)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment in which the package was installed from the checkout, as its README says."""
    folder = tmp_path_factory.mktemp("installed")
    run(UV, "venv", "--quiet", "--python", sys.executable, folder / "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    run(UV, "pip", "install", "--quiet", "--python", python, PACKAGE, cwd=folder)
    return python


def printed(number: int, gateway: GatewayProcess) -> str:
    """A script of the README, with the address of this gateway."""
    script = Document(PACKAGE / "README.md").code("python")[number]
    assert script.count(PRINTED_ADDRESS) == 1
    return script.replace(PRINTED_ADDRESS, f"localhost:{gateway.port}")


async def test_the_printed_viewer_runs_as_installed(
    python: Path, gateway: GatewayProcess, publisher: Publisher, tmp_path: Path
) -> None:
    (tmp_path / "viewer.py").write_text(printed(0, gateway))
    process = await asyncio.create_subprocess_exec(
        python, "viewer.py", cwd=tmp_path, env=CLEAN, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"connecting None\n"
        await publisher.levels(1)
        while (line := await process.stdout.readline()).split()[1:] != [b"687.5"]:
            assert line, await process.communicate()
        await publisher.levels(2, spy={"spot": 687.75})
        while (line := await process.stdout.readline()).split()[1:] != [b"687.75"]:
            assert line, await process.communicate()
    finally:
        process.kill()
        await process.communicate()


def test_the_printed_viewer_also_runs_with_what_make_installed(gateway: GatewayProcess, tmp_path: Path) -> None:
    (tmp_path / "viewer.py").write_text(printed(1, gateway).replace('!= "connecting"', '== "connecting"'))
    environment = {**CLEAN, "PYTHONPATH": str(PACKAGE / "src")}
    command = [sys.executable, "viewer.py"]
    said = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=INSTALL_LIMIT_S
    )
    assert (said.returncode, said.stdout) == (0, "connecting None\n")


async def test_the_printed_viewer_with_a_token_runs_as_installed(
    python: Path, gateway: GatewayProcess, publisher: Publisher, tmp_path: Path
) -> None:
    (tmp_path / "viewer.py").write_text(printed(1, gateway))
    await publisher.levels(1)
    said = await asyncio.to_thread(run, python, "viewer.py", cwd=tmp_path)
    assert said.splitlines()[-1].split()[1:] == ["None"]
    assert not said.splitlines()[-1].startswith("connecting")


def test_it_brings_its_types(python: Path, tmp_path: Path) -> None:
    (tmp_path / "viewer.py").write_text(Document(PACKAGE / "README.md").code("python")[0])
    (tmp_path / "wrong.py").write_text(WRONG_TYPE)
    mypy: list[str | Path] = [sys.executable, "-m", "mypy", "--strict", "--python-executable", python]
    assert "no issues found" in run(*mypy, "viewer.py", cwd=tmp_path)
    with pytest.raises(AssertionError, match="Incompatible return value type"):
        run(*mypy, "wrong.py", cwd=tmp_path)


def test_it_needs_nothing_of_the_gateway(python: Path, tmp_path: Path) -> None:
    listed = json.loads(run(UV, "pip", "list", "--python", python, "--format", "json", cwd=tmp_path))
    names = {package["name"] for package in listed}
    assert {"spymaster-client", "websockets"} <= names
    assert not names & OF_THE_GATEWAY


def test_the_wheel_holds_types_and_readme(python: Path, tmp_path: Path) -> None:
    run(UV, "build", "--quiet", "--wheel", "--python", python, "--out-dir", tmp_path, PACKAGE, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert "spymaster_client/py.typed" in archive.namelist()
        (metadata,) = (name for name in archive.namelist() if name.endswith("METADATA"))
        assert "# Spymaster Gateway client for Python" in archive.read(metadata).decode()
