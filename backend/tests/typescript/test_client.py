"""The TypeScript client: its own tests, its weight, and its examples, as `make test` runs them."""

import gzip
import json
import os
import re
import subprocess
import sys

import pytest

from tests.documents import Document
from tests.typescript.package import CLIENT, DIST, built_package, run

LARGEST_BYTES = (
    7800  # 6400 before it told events, asked for those that it missed, whoever answers, and could show the past
)
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


def test_it_weighs_less_than_7_8_kb_compressed() -> None:
    modules = loaded("index.js")
    assert {"stream.js", "freshness.js", "line.js", "disconnect.js"} <= modules.keys()
    assert len(gzip.compress(b"".join(modules.values()))) < LARGEST_BYTES


def test_it_needs_nothing_else_at_run_time() -> None:
    assert "dependencies" not in json.loads((CLIENT / "package.json").read_text())
    for code in loaded("index.js").values():
        assert not re.search(rb'(from|import) "[^.]', code)


# -- its examples ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_of_its_readme_is_the_one_whose_types_are_checked(name: str) -> None:
    printed = Document(CLIENT / "README.md").code(name.rpartition(".")[2])
    assert (CLIENT / "examples" / name).read_text() in printed


def test_the_types_of_its_examples_are_right() -> None:
    run("node_modules/.bin/tsc", "--project", "examples")
