"""nginx and HAProxy as processes, with a configuration that a test gives."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.proxies import NGINX, running


def require(program: str) -> None:
    """Skip where it is missing; in CI, fail."""
    if shutil.which(program) is not None:
        return
    if os.environ.get("CI"):
        pytest.fail(f"{program} is not installed", pytrace=False)
    pytest.skip(f"{program} is not installed; .ci/run installs it")


@contextmanager
def nginx(included: str, port: int, folder: Path) -> Iterator[None]:
    """Runs with this inside of `http {}`, until the end of the block; it listens on `port`."""
    require("nginx")
    file = _made(folder) / "nginx.conf"
    file.write_text(NGINX.format(folder=folder, included=included))
    with running(["nginx", "-c", str(file)], port, folder):
        yield


@contextmanager
def haproxy(files: Sequence[str], port: int, folder: Path) -> Iterator[None]:
    """Runs with these texts as its configuration files, until the end of the block; it listens on `port`."""
    require("haproxy")
    command = ["haproxy", "-db"]
    for number, text in enumerate(files):
        file = _made(folder) / f"{number}.cfg"
        file.write_text(text)
        command += ["-f", str(file)]
    with running(command, port, folder):
        yield


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
