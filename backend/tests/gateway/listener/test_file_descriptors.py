"""File descriptors: whether there are enough for the viewers, and that all that may be had are taken."""

import resource
from pathlib import Path

import pytest

from src.demo.nats_server import NatsServer
from src.gateway.listener.file_descriptors import OTHERS, shortage
from tests.end_to_end.gateway_process import GatewayProcess


@pytest.mark.parametrize(
    ("descriptors", "max_viewers", "workers", "short"),
    [
        (1024, 1024 - OTHERS, 1, False),
        (1024, 1025 - OTHERS, 1, True),
        (1024, 2 * (1024 - OTHERS), 2, False),
        (1024, 2 * (1024 - OTHERS) + 1, 2, True),
    ],
)
def test_a_limit_that_is_too_low_for_the_viewers_is_told(
    descriptors: int, max_viewers: int, workers: int, short: bool
) -> None:
    line = shortage(descriptors, max_viewers, workers)
    assert (line is not None) == short
    if line is not None:
        assert f"GATEWAY_MAX_VIEWERS={max_viewers} needs" in line
        assert f"may have {descriptors}: raise ulimit -n" in line


def test_the_gateway_takes_as_many_as_it_may_have_and_says_so(nats_server: NatsServer, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    gateway = GatewayProcess(tmp_path, nats_server.url)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        gateway.launch()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        gateway.until_it_answers()
        assert gateway.process is not None
        assert resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE) == (hard, hard)
        assert f"{hard} file descriptors, one a viewer" in gateway.stderr
    finally:
        gateway.kill()
