"""The history process lives and ends with its gateway, and the gateway does not need it."""

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL, SIGSTOP, SIGTERM

import pytest

from tests.conftest import LaunchGateway
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import LEVELS, Publisher
from tests.end_to_end.test_events import (
    EVENTS,
    by_id,
    events_of,
    knowing_viewer,
    levels,
    told,
    until_complete,
    until_read,
)
from tests.end_to_end.test_process import PASSES_ON
from tests.end_to_end.test_workers import worker_of, workers_of
from tests.end_to_end.viewer import Viewer
from tests.waiting import until

PROGRAM = b"src.gateway.history"

each_number_of_workers = pytest.mark.parametrize("workers", ["1", "2"])


@pytest.fixture
def temporary() -> Iterator[Path]:
    """The temporary directory of the gateways."""
    folder = Path(tempfile.mkdtemp(prefix="h-"))
    yield folder
    shutil.rmtree(folder)


def children(pid: int) -> list[int]:
    with suppress(FileNotFoundError):  # it has ended
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    return []


def history_processes(gateway: GatewayProcess) -> list[int]:
    """Those among its descendants."""
    assert gateway.process is not None
    found, looking = [], [gateway.process.pid]
    while looking:
        pid = looking.pop()
        with suppress(FileNotFoundError):
            if PROGRAM in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
        looking += children(pid)
    return found


def exists(pid: int) -> bool:
    """Whether the process runs; one that nobody has waited for has ended too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@each_number_of_workers
async def test_a_signal_to_the_whole_group_ends_it_too_and_leaves_nothing(
    make_gateway: LaunchGateway, publisher: Publisher, temporary: Path, workers: str
) -> None:
    gateway = make_gateway(GATEWAY_HISTORY="on", GATEWAY_WORKERS=workers, TMPDIR=str(temporary))
    gateway.launch(under=[sys.executable, "-c", PASSES_ON]).until_it_answers()
    await until_complete(gateway)
    (history,) = history_processes(gateway)
    gateway.signal_group(SIGTERM)
    assert await asyncio.to_thread(gateway.wait) == 0
    assert not exists(history)
    assert list(temporary.iterdir()) == []
    assert "Traceback" not in gateway.stderr


async def test_one_that_hangs_is_ended_by_force(
    make_gateway: LaunchGateway, publisher: Publisher, temporary: Path
) -> None:
    gateway = make_gateway(GATEWAY_HISTORY="on", TMPDIR=str(temporary)).start()
    await until_complete(gateway)
    await until(lambda: gateway.health()["history"]["complete"], "the same in /health")
    (history,) = history_processes(gateway)
    os.kill(history, SIGSTOP)
    assert await asyncio.to_thread(gateway.stop) == 0
    assert not exists(history)
    assert list(temporary.iterdir()) == []


async def test_when_it_is_killed_the_gateway_goes_on_and_starts_it_again(
    make_gateway: LaunchGateway, publisher: Publisher
) -> None:
    gateway = make_gateway(GATEWAY_HISTORY="on").start()
    await publisher.publish(LEVELS, levels(0))
    await until_complete(gateway)
    (history,) = history_processes(gateway)
    async with knowing_viewer(gateway) as viewer:
        since = viewer.payloads[0]["events"]["cursor"]
        os.kill(history, SIGKILL)
        await until(lambda: gateway.get("/events").status == 503, "the loss")
        assert gateway.get("/events").headers["Retry-After"] == "1"
        for n in range(1, 8):
            await publisher.publish(LEVELS, levels(n))
        await until(lambda: viewer.newest["levels"]["ts"] > 0 and gateway.ready, "the gateway goes on")
        await until_read(gateway, 8)
        answer = await events_of(gateway, f"?since={since}")
        assert answer["complete"]
        await until(lambda: told(viewer) == by_id(answer), "what happened meanwhile")
        assert all(payload["events"]["complete"] for payload in viewer.payloads)
    (again,) = history_processes(gateway)
    assert again != history
    assert "the history process has ended with -9; starting it again" in gateway.stderr


@each_number_of_workers
async def test_when_the_gateway_is_killed_it_ends_by_itself(
    make_gateway: LaunchGateway, publisher: Publisher, workers: str
) -> None:
    gateway = make_gateway(GATEWAY_HISTORY="on", GATEWAY_WORKERS=workers).start()
    await until_complete(gateway)
    (history,) = history_processes(gateway)
    gateway.kill()
    await until(lambda: not exists(history), "its end")


async def test_a_worker_that_ends_takes_no_history_from_the_others(
    make_gateway: LaunchGateway, publisher: Publisher, temporary: Path
) -> None:
    """The first one has the process, for all."""
    gateway = make_gateway(GATEWAY_HISTORY="on", GATEWAY_WORKERS="2", TMPDIR=str(temporary)).start()
    await publisher.publish(LEVELS, levels(0))
    await until_complete(gateway)
    (history,) = history_processes(gateway)
    for owner in (False, True):
        (pid,) = [pid for pid in workers_of(gateway) if (history in children(pid)) is owner]
        os.kill(pid, SIGKILL)
        await until(lambda: pid not in (now := workers_of(gateway)) and len(now) == 2, "another one")  # noqa: B023
        await until(lambda: exists(history) is not owner, "it ends with its own worker alone")  # noqa: B023
        await until_complete(gateway)
        assert len(history_processes(gateway)) == 1
    async with Viewer(gateway, path=EVENTS) as viewer:
        await viewer.until_first()
        assert worker_of(viewer, gateway)
        await until(lambda: viewer.newest["events"]["complete"], "its ring begins")
        await publisher.publish(LEVELS, levels(1))
        await until(lambda: told(viewer), "an event, at whichever worker")


def test_without_a_history_there_is_no_such_process(make_gateway: LaunchGateway, temporary: Path) -> None:
    gateway = make_gateway(GATEWAY_HISTORY="off", TMPDIR=str(temporary)).start()
    assert history_processes(gateway) == []
    assert gateway.health()["history"] is None
    assert gateway.get("/events").status == 404
    assert gateway.get("/snapshot?events=1").status == 204
    assert list(temporary.iterdir()) == []
