"""The TypeScript client: its own tests, its weight, and its examples, as `make test` runs them."""

import asyncio
import gzip
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from src.demo.nats_server import NatsServer
from tests.documents import Document
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import Publisher
from tests.typescript.package import CLIENT, DIST, built_package, run, websocket_flags
from tests.waiting import until

LARGEST_BYTES = 4096
TESTS = sorted(path.name for path in (CLIENT / "test").glob("*.test.ts"))


EXAMPLES = ["market.service.ts", "use-market.ts", "page.html", "terminal.js"]


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    built_package()
    run("node_modules/.bin/tsc", "--project", "test")


def loaded(module: str) -> dict[str, bytes]:
    """A module of the package, and all that it loads."""
    code = (DIST / module).read_bytes()
    found = {module: code}
    for name in re.findall(rb'from "\./([^"]+)"', code):
        found |= loaded(name.decode())
    return found


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", TESTS)
def test_its_own_tests_pass(name: str) -> None:
    compiled = CLIENT / ".tests" / name.replace(".ts", ".js")
    tests = ["node", "--enable-source-maps", "--test", "--test-reporter=tap", str(compiled)]
    environment = {**os.environ, "PYTHON": sys.executable}
    ended = subprocess.run(tests, cwd=CLIENT, capture_output=True, text=True, check=False, env=environment)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(r"^# pass [1-9]", ended.stdout, re.MULTILINE), "some test ran"


def test_it_weighs_less_than_4_kb_compressed() -> None:
    modules = loaded("index.js")
    assert {"stream.js", "freshness.js", "close-codes.js"} <= modules.keys()
    assert len(gzip.compress(b"".join(modules.values()))) < LARGEST_BYTES


def test_it_needs_nothing_else_at_run_time() -> None:
    assert "dependencies" not in json.loads((CLIENT / "package.json").read_text())
    for code in loaded("index.js").values():
        assert not re.search(rb'(from|import) "[^.]', code)


def test_it_can_be_installed_from_npm(tmp_path: Path) -> None:
    (packed,) = json.loads(run("npm", "pack", "--json", "--pack-destination", str(tmp_path)))
    with tarfile.open(tmp_path / packed["filename"]) as archive:
        for member in archive.getmembers():  # one by one: Python 3.11.2 knows no filter, later ones warn without
            content = archive.extractfile(member)
            assert content is not None, "files only"
            target = tmp_path / member.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.read())
    installed = tmp_path / "node_modules" / "@spymaster" / "client"
    installed.parent.mkdir(parents=True)
    (tmp_path / "package").rename(installed)
    program = (
        'import { connect, OWN_CLOSE_CODES } from "@spymaster/client";'
        'import { LEVEL_SIGNAL } from "@spymaster/client/field-descriptions";'
        "console.log(typeof connect, 1001 in OWN_CLOSE_CODES, LEVEL_SIGNAL.distance.unit);"
    )
    (tmp_path / "program.mjs").write_text(program)
    assert run("node", "program.mjs", folder=tmp_path) == "function true points\n"


# -- its examples ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_of_its_readme_is_the_one_whose_types_are_checked(name: str) -> None:
    printed = Document(CLIENT / "README.md").code(name.rpartition(".")[2])
    assert (CLIENT / "examples" / name).read_text() in printed


def test_the_types_of_its_examples_are_right() -> None:
    run("node_modules/.bin/tsc", "--project", "examples")


AS_IN_A_PAGE = """\
const show = (name) => ({ set value(value) { console.log(name, value); } });
globalThis.document = Object.assign(new EventTarget(), { querySelector: show });
"""


async def test_the_page_without_a_build_shows_spot_and_state(nats_server: NatsServer, tmp_path: Path) -> None:
    page = (CLIENT / "examples" / "page.html").read_text()
    (script,) = re.findall(r'<script type="module">(.*?)</script>', page, re.DOTALL)
    (tmp_path / "client").symlink_to(DIST)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    gateway = GatewayProcess(tmp_path, nats_server.url).start()
    (tmp_path / "page.js").write_text(AS_IN_A_PAGE + script.replace("localhost:8000", f"localhost:{gateway.port}"))
    with (tmp_path / "shown").open("wb") as shown:
        command = ["node", *websocket_flags(), "page.js"]
        showing = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, stdout=shown)
    try:
        async with Publisher(nats_server) as publisher:
            await publisher.levels(1)
            await until(lambda: (tmp_path / "shown").read_text() == "#state late\n#spot 687.5\n", "the first frame")
            await publisher.levels(2, spy={"spot": 688})
            await until(lambda: (tmp_path / "shown").read_text().endswith("#state live\n#spot 688\n"), "the next")
    finally:
        showing.kill()
        await showing.wait()
        gateway.kill()
