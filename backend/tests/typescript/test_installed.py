"""The TypeScript package as somebody else installs it: packed, then built and run in fresh projects."""

import asyncio
import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Final

import pytest

from tests.end_to_end.crafted_gateway import now_ms
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import Publisher
from tests.typescript.package import CLIENT, built_package, run

pytestmark = pytest.mark.timeout(300)  # an installation from the registry

PROJECTS: Final = Path(__file__).parent / "projects"
CURRENT_TSC: Final = CLIENT / "node_modules" / ".bin" / "tsc"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `npm publish` would upload."""
    folder = tmp_path_factory.mktemp("packed")
    built_package()
    return folder / run("npm", "pack", "--silent", "--pack-destination", str(folder)).strip()


def project(name: str, folder: Path, packed: Path, *examples: str) -> Path:
    """A fresh copy of a project, with its packages and ours installed, and examples of our README in `src`."""
    fresh = folder / name
    shutil.copytree(PROJECTS / name, fresh)
    for example in examples:
        shutil.copy(CLIENT / "examples" / example, fresh / "src")
    run("npm", "ci", "--silent", folder=fresh)
    run("npm", "install", "--silent", "--no-save", str(packed), folder=fresh)
    return fresh


def test_the_pack_holds_code_types_sources_and_readme(packed: Path) -> None:
    with tarfile.open(packed) as archive:
        names = {name.removeprefix("package/") for name in archive.getnames()}
    modules = {path.stem for path in (CLIENT / "src").glob("*.ts")}
    for suffix in (".js", ".js.map", ".d.ts", ".d.ts.map"):
        assert {f"dist/{module}{suffix}" for module in modules} <= names
    assert {f"src/{module}.ts" for module in modules} | {"README.md", "package.json"} <= names
    assert not {name for name in names if name.startswith(("test/", "examples/", "node_modules/"))}


def test_a_link_of_its_readme_leads_out_of_no_package(packed: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", (CLIENT / "README.md").read_text())
    assert [link for link in links if not link.startswith(("https://", "#"))] == []


def test_a_vite_project_builds_it_and_react_renders_it_on_a_server(packed: Path, tmp_path: Path) -> None:
    fresh = project("vite", tmp_path, packed, "use-market.ts")
    run("npm", "run", "build", folder=fresh)
    (script,) = (fresh / "dist" / "assets").glob("*.js")
    assert "bearer" in script.read_text(), "the client is in the bundle"
    assert run("node", "dist-server/server.js", folder=fresh) == "<p>connecting ?</p>\n"


def test_an_angular_project_builds_it_and_prerenders_it(packed: Path, tmp_path: Path) -> None:
    fresh = project("angular", tmp_path, packed, "market.service.ts")
    run("npm", "run", "build", folder=fresh)
    page = (fresh / "dist" / "browser" / "index.html").read_text()
    assert re.search(r"<market-app[^>]*><p>connecting </p></market-app>", page), page


async def test_a_node_project_compiles_it_with_old_and_new_and_runs_the_printed_program(
    packed: Path, tmp_path: Path, gateway: GatewayProcess, publisher: Publisher
) -> None:
    fresh = project("node", tmp_path, packed)
    assert run("node_modules/.bin/tsc", "--version", folder=fresh).startswith("Version 5.0.")
    for resolution in ("node16", "bundler"):
        run("npm", "run", "--silent", f"check:{resolution}", folder=fresh)
        module = {"node16": "node16", "bundler": "esnext"}[resolution]
        run(str(CURRENT_TSC), "--noEmit", "--module", module, "--moduleResolution", resolution, folder=fresh)
    program = (CLIENT / "examples" / "terminal.js").read_text()
    (fresh / "terminal.js").write_text(program.replace("localhost:8000", f"localhost:{gateway.port}"))
    process = await asyncio.create_subprocess_exec(
        "node", "terminal.js", cwd=fresh, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    try:
        vwap = {"id": "VWAP", "kind": "VWAP", "price": 687.25, "signal": "REJECT"}
        await publisher.levels(1, levels=[vwap, {"id": "calm"}])
        expected = [b"REPLAY\n", b"spot 687.5, 2 levels: BOUNCE VWAP 687.25\n"]
        assert [await process.stdout.readline() for _ in expected] == expected
        await publisher.levels(2, ts=now_ms(), spy={"spot": 688}, levels=[])
        expected = [b"LIVE\n", b"spot 688, 0 levels: no trade\n"]
        assert [await process.stdout.readline() for _ in expected] == expected
        gateway.kill()
        while (line := await process.stdout.readline()) != b"CONNECTING\n":
            assert line in (b"LATE\n", b"MARKET-CLOSED\n")
    finally:
        process.kill()
        await process.communicate()
