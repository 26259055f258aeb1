"""The TypeScript package as it is built by now."""

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests.documents import ROOT

CLIENT: Final = ROOT / "client" / "typescript"
DIST: Final = CLIENT / "dist"


@cache
def built_package() -> Path:
    """Its folder; skips the test where there is no Node."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    assert (CLIENT / "node_modules").exists(), "the packages of client/typescript/ are not installed: `make client`"
    run("npm", "run", "--silent", "build")
    return CLIENT


def run(*command: str, folder: Path = CLIENT) -> str:
    """What it prints; fails with all of its output when it fails."""
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout
