"""The section `status`, from the outside: real NATS, a real gateway, a standard client."""

import asyncio
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from src.demo.nats_server import NatsServer
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import Publisher, levels_message
from tests.end_to_end.viewer import Viewer
from tests.waiting import until

STATUS = "/ws/stream?status=1"


@pytest.fixture
def gateway(tmp_path: Path, nats_server: NatsServer) -> Iterator[GatewayProcess]:
    gateway = GatewayProcess(tmp_path, nats_server.url, GATEWAY_MARKET="24x7").start()
    yield gateway
    gateway.kill()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def live(publisher: Publisher, count: int = 12, *, lag_ms: int = 0) -> None:
    """Levels and flow at Core's pace."""
    for n in range(count):
        await publisher.publish("levels.signals", levels_message(now_ms() - lag_ms))
        await publisher.flow(n)
        await asyncio.sleep(0.1)


async def until_status(viewer: Viewer, **wanted: Any) -> dict[str, Any]:
    """The first status that has these values, by `section__field` or `field`."""

    def value(status: dict[str, Any], path: str) -> Any:
        for name in path.split("__"):
            status = status.get(name, {})
        return status

    def found() -> dict[str, Any] | None:
        statuses = (payload["status"] for payload in viewer.payloads[::-1])
        return next((each for each in statuses if all(value(each, path) == it for path, it in wanted.items())), None)

    await until(found, f"{wanted} in {[payload['status'] for payload in viewer.payloads[-2:]]}")
    status = found()
    assert status is not None
    return status


async def test_a_viewer_that_does_not_ask_gets_exactly_the_contract(
    gateway: GatewayProcess, publisher: Publisher
) -> None:
    async with Viewer(gateway) as viewer, Viewer(gateway, path=STATUS) as asking:
        await live(publisher, 2)
        await until_status(asking, levels__verdict="live")
        await until(lambda: len(asking.payloads) > 6, "two heartbeats")
        assert {name for payload in viewer.payloads for name in payload} <= {"levels", "flow"}
        assert all(payload for payload in viewer.payloads)


async def test_frames_are_live_and_their_status_is_true(gateway: GatewayProcess, publisher: Publisher) -> None:
    async with Viewer(gateway, path=STATUS) as viewer:
        await live(publisher)
        status = await until_status(viewer, levels__verdict="live", flow__verdict="live", cause=None)
        assert abs(status["sent_ms"] - now_ms()) < 60_000
        assert 0 <= status["levels"]["age_ms"] < 60_000
        assert status["levels"]["seq"] <= 12
        frames = [payload["status"] for payload in viewer.payloads if len(payload) > 1]
        assert {frame["epoch"] for frame in frames} == {status["epoch"]}
        for before, after in itertools.pairwise(frames):
            assert after["skipped"]["frames"] == after["seq"] - before["seq"] - 1


async def test_silence_is_told_with_its_cause_and_the_gateway_is_heard_each_second(
    gateway: GatewayProcess, publisher: Publisher
) -> None:
    async with Viewer(gateway, path=STATUS) as viewer:
        await live(publisher)
        for verdict in ("late", "stale"):
            status = await until_status(viewer, levels__verdict=verdict, flow__verdict=verdict, cause="core_silent")
            assert status["explanation"]
        known = len(viewer.payloads)
        await until(lambda: len(viewer.payloads) >= known + 3, "heartbeats")
        assert all(payload.keys() == {"status"} for payload in viewer.payloads[known:])
        sent_ms = [payload["status"]["sent_ms"] for payload in viewer.payloads]
        assert sent_ms == sorted(sent_ms)
        assert gateway.health()["cause"] == "core_silent"


async def test_a_viewer_that_comes_late_is_told_how_old_its_first_frame_is(
    gateway: GatewayProcess, publisher: Publisher
) -> None:
    await live(publisher)
    await asyncio.sleep(3.0)
    async with Viewer(gateway, path=STATUS) as viewer:
        first = (await viewer.until_first())["status"]
    assert first["levels"]["age_ms"] >= 3_000
    assert (first["levels"]["verdict"], first["skipped"]["frames"]) == ("stale", 0)


async def test_so_is_the_first_frame_of_a_gateway_that_was_started_later(
    gateway: GatewayProcess, tmp_path: Path, nats_server: NatsServer, publisher: Publisher
) -> None:
    await live(publisher, 1)
    gateway.kill()
    await asyncio.sleep(2.0)
    later = GatewayProcess(tmp_path, nats_server.url, GATEWAY_MARKET="24x7").start()
    try:
        async with Viewer(later, path=STATUS) as viewer:
            assert (await viewer.until_first())["status"]["levels"]["age_ms"] >= 2_000
    finally:
        later.kill()


async def test_a_viewer_that_reconnects_is_told_how_many_states_it_missed(
    gateway: GatewayProcess, publisher: Publisher
) -> None:
    async with Viewer(gateway, path=STATUS) as staying:
        await live(publisher, 2)
        await staying.until_newest(flow=1)
        status = staying.payloads[-1]["status"]
        since = f"&since={status['epoch']}:{status['seq']}"
        await live(publisher, 4)
        await staying.until_newest(flow=3)
        async with Viewer(gateway, path=STATUS + since) as again:
            first = (await again.until_first())["status"]
        assert first["skipped"] == {"frames": first["seq"] - status["seq"] - 1, "why": "reconnect"}
        async with Viewer(gateway, path=STATUS + "&since=another:1") as stranger:
            assert (await stranger.until_first())["status"]["skipped"] == {"frames": 0, "why": None}


async def test_an_empty_stream_is_told(gateway: GatewayProcess) -> None:
    async with Viewer(gateway, path=STATUS) as viewer:
        await until_status(viewer, cause="no_message", seq=0)


async def test_a_lost_nats_is_told_within_a_second_and_that_it_is_back(
    gateway: GatewayProcess, publisher: Publisher, nats_server: NatsServer
) -> None:
    async with Viewer(gateway, path=STATUS) as viewer:
        await live(publisher)
        await until_status(viewer, cause=None)
        nats_server.kill()
        await until_status(viewer, cause="nats_down")
        nats_server.start()
        await live(publisher, 2)
        await until(lambda: viewer.newest["status"]["cause"] is None, "all is live again")


async def test_a_stop_is_told_before_viewers_are_closed(gateway: GatewayProcess, publisher: Publisher) -> None:
    async with Viewer(gateway, path=STATUS) as viewer:
        await live(publisher, 2)
        await until_status(viewer, cause=None)
        assert gateway.stop() == 0
        assert await viewer.close_code() == 1001


@pytest.mark.parametrize(
    ("lag_ms", "verdict", "cause"),
    [(10_000, "late", "core_behind"), (60_000, "stale", "core_behind"), (345 * 86_400_000, "replay", "replay")],
)
async def test_core_is_as_late_as_its_own_time_says(
    gateway: GatewayProcess, publisher: Publisher, lag_ms: int, verdict: str, cause: str
) -> None:
    async with Viewer(gateway, path=STATUS) as viewer:
        await live(publisher, 6, lag_ms=lag_ms)
        status = await until_status(viewer, levels__verdict=verdict, cause=cause)
        assert status["levels"]["core_lag_ms"] >= lag_ms


async def test_without_a_time_of_core_there_is_no_lag(gateway: GatewayProcess, publisher: Publisher) -> None:
    untimed = {"spy": {"spot": 687.5}, "levels": []}
    async with Viewer(gateway, path=STATUS) as viewer:
        await publisher.publish("levels.signals", untimed)
        assert (await until_status(viewer, levels__verdict="live"))["levels"]["core_lag_ms"] is None


async def test_status_may_be_asked_for_while_connected_and_in_a_snapshot(
    gateway: GatewayProcess, publisher: Publisher
) -> None:
    await live(publisher, 2)
    async with Viewer(gateway) as viewer:
        await viewer.until_first()
        await viewer.socket.send('{"subscribe":{"status":true,"sections":["levels"]}}')
        await until(lambda: "status" in viewer.newest, "the status")
        assert viewer.payloads[-1].keys() <= {"levels", "status"}
        assert "flow" not in viewer.newest["status"]
    assert gateway.get("/snapshot?status=1").json["status"]["levels"]["seq"] == 2
