"""The past on the same address: the stream from a moment on, and the payload of one."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
from nats.js.api import StreamConfig

from src.common.subjects import STREAMS
from src.common.tasks import end
from tests.conftest import LaunchGateway
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import Publisher
from tests.end_to_end.viewer import Viewer
from tests.waiting import until

GAP_MS = 250
PAST = 24  # messages: six seconds at Core's pace
STREAM = "/ws/stream"


@pytest.fixture
async def begin_ms(publisher: Publisher) -> int:
    """A past of `PAST` messages on both subjects, the newest of which is of now; returns the time of the first."""
    for stream in STREAMS.values():
        await publisher.jetstream.add_stream(StreamConfig(name=stream.name, subjects=list(stream.subjects)))
    begin_ms = time.time_ns() // 1_000_000 - (PAST - 1) * GAP_MS
    for number in range(PAST):
        await publisher.levels(begin_ms + number * GAP_MS)
        await publisher.flow(number)
    return begin_ms


@pytest.fixture
def gateway(begin_ms: int, make_gateway: LaunchGateway) -> GatewayProcess:
    return make_gateway(GATEWAY_HISTORY="on", GATEWAY_MAX_REPLAYS="2").start()


@pytest.fixture
async def live(begin_ms: int, publisher: Publisher) -> AsyncIterator[None]:
    """Core goes on, at its pace."""

    async def publish() -> None:
        for number in range(PAST, PAST * 100):
            await asyncio.sleep(GAP_MS / 1000)
            await publisher.levels(begin_ms + number * GAP_MS)
            await publisher.flow(number)

    publishing = asyncio.create_task(publish())
    yield
    await end(publishing)


async def has_history(gateway: GatewayProcess) -> None:
    await until(lambda: gateway.get("/events").status == 200, "the history has been read")


def at(moment: object, **parameters: object) -> str:
    return f"{STREAM}?status=1&at={moment}" + "".join(f"&{name}={value}" for name, value in parameters.items())


def shown(viewer: Viewer) -> list[dict[str, Any]]:
    """The frames with a state, without heartbeats."""
    return [payload for payload in viewer.payloads if "levels" in payload]


def numbers(viewer: Viewer, begin_ms: int) -> list[int]:
    """Which of Core's messages were shown, in order; a state that changed only its flow repeats one."""
    numbers = [(payload["levels"]["ts"] - begin_ms) // GAP_MS for payload in shown(viewer)]
    return [number for number, before in zip(numbers, [None, *numbers], strict=False) if number != before]


async def ask(viewer: Viewer, **replay: object) -> None:
    await viewer.socket.send(json.dumps({"replay": replay}))


async def test_a_replay_goes_over_into_the_present(gateway: GatewayProcess, begin_ms: int, live: None) -> None:
    await has_history(gateway)
    async with Viewer(gateway, path=at(begin_ms, speed=4)) as viewer:
        await until(lambda: shown(viewer) and "replay" not in shown(viewer)[-1]["status"], "the present")
        count = len(shown(viewer))
        await until(lambda: len(shown(viewer)) > count + 4, "it goes on")
    frames = shown(viewer)
    is_past = ["replay" in frame["status"] for frame in frames]
    assert is_past == sorted(is_past, reverse=True), "the past, then the present"
    assert {frame["status"]["cause"] for frame, past in zip(frames, is_past, strict=True) if past} == {"past"}
    seen = numbers(viewer, begin_ms)
    assert seen[0] == 0
    assert all(after > before for before, after in pairwise(seen)), "none twice, none older"
    seam = is_past.index(False)
    last, first = ((frames[place]["levels"]["ts"] - begin_ms) // GAP_MS for place in (seam - 1, seam))
    assert first - last <= 1 + frames[seam]["status"]["skipped"]["frames"], "none left out in between"


async def test_it_stands_still_steps_jumps_and_returns(gateway: GatewayProcess, begin_ms: int) -> None:
    await has_history(gateway)
    async with Viewer(gateway, path=at(begin_ms + 8 * GAP_MS, speed=0.1)) as viewer:
        await until(lambda: numbers(viewer, begin_ms)[-1:] == [8], "the moment that was asked for")
        await ask(viewer, step=1)
        await until(lambda: numbers(viewer, begin_ms)[-1] == 9, "one message on")
        await until(lambda: viewer.newest["status"]["replay"]["paused"], "it stands still")
        await ask(viewer, step=-3)
        await until(lambda: numbers(viewer, begin_ms)[-1] == 6, "three back")
        await ask(viewer, at=begin_ms + 20 * GAP_MS)
        await until(lambda: numbers(viewer, begin_ms)[-1] == 20, "a jump")
        assert viewer.newest["status"]["replay"] == {"at_ms": begin_ms + 20 * GAP_MS, "speed": 0.1, "paused": True}
        await viewer.socket.send('{"subscribe": {"levels": "none"}}')
        await until(lambda: viewer.newest.get("levels", {}).get("levels") == [], "another shape of the moment")
        assert numbers(viewer, begin_ms)[-1] == 20
        await viewer.socket.send('{"subscribe": {}}')
        await ask(viewer, at="live")
        await until(lambda: numbers(viewer, begin_ms)[-1] == PAST - 1, "the present")
        assert "replay" not in viewer.newest.get("status", {})
        await ask(viewer, at="-2s", paused=True)
        await until(lambda: numbers(viewer, begin_ms)[-1] == PAST - 9, "the past again, from the present")
        await ask(viewer, speed=1000)
        assert await viewer.close_code() == 4005


async def test_the_payload_of_a_moment_is_what_viewers_were_sent(
    make_gateway: LaunchGateway, publisher: Publisher
) -> None:
    gateway = make_gateway(GATEWAY_HISTORY="on").start()
    begin_ms = time.time_ns() // 1_000_000
    async with Viewer(gateway) as viewer:
        for number in range(5):
            await publisher.levels(begin_ms + number * 1000, viewport={"targets": [], "n": number})
            await publisher.flow(number)
            await viewer.until_newest(levels=begin_ms + number * 1000, flow=number)
    sent = {payload["levels"]["ts"]: payload for payload in viewer.payloads if "levels" in payload}
    await has_history(gateway)
    for number in range(5):
        # Flow has the time at which it was stored, so all of it is of the first second.
        then = gateway.get(f"/snapshot?at={begin_ms + number * 1000 + 999}").json
        expected = sent[begin_ms + number * 1000]
        assert (then["levels"], then["viewport"]) == (expected["levels"], expected["viewport"])
    assert gateway.get(f"/snapshot?at={begin_ms}&sections=levels").json.keys() == {"levels"}
    before = gateway.get(f"/snapshot?at={begin_ms - 100_000}")
    assert (before.status, list(before.json)) == (404, ["detail"])


async def test_replays_are_bounded_and_leave_room_when_they_end(gateway: GatewayProcess, begin_ms: int) -> None:
    await has_history(gateway)
    path = at(begin_ms, speed=0.1)
    async with Viewer(gateway, path=path) as first, Viewer(gateway, path=path) as second:
        await asyncio.gather(first.until_first(), second.until_first())
        refused = gateway.upgrade(path)
        assert (refused.status, refused.headers["Retry-After"]) == (503, "10")
        async with Viewer(gateway) as other:
            await other.until_first()
    async with Viewer(gateway, path=path) as third:
        await third.until_first()


async def test_a_replay_survives_its_history_process(gateway: GatewayProcess, begin_ms: int) -> None:
    await has_history(gateway)
    async with Viewer(gateway, path=at(begin_ms + 4 * GAP_MS, speed=0.1)) as viewer:
        await until(lambda: numbers(viewer, begin_ms)[-1:] == [4], "the moment")
        gateway.kill_history()
        await ask(viewer, speed=4)
        await until(lambda: numbers(viewer, begin_ms)[-1] > 8, "it goes on")
        seen = numbers(viewer, begin_ms)
        assert seen == sorted(seen), "from where it was"


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("at=yesterday", "at accepts ms since 1970, ISO 8601 with an offset, or a time before the newest like -2h"),
        ("at=-1h&speed=61", "speed accepts a number from 0.1 to 60"),
        ("at=-1h&at=-2h", "at is given twice"),
    ],
)
def test_a_wrong_moment_or_speed_is_told(shared_gateway: GatewayProcess, query: str, detail: str) -> None:
    refused = shared_gateway.upgrade(f"{STREAM}?{query}")
    assert (refused.status, refused.json) == (400, {"detail": detail})


def test_without_a_history_the_past_is_refused_with_the_reason(shared_gateway: GatewayProcess) -> None:
    refused = [shared_gateway.upgrade(f"{STREAM}?at=-1h"), shared_gateway.get("/snapshot?at=-1h")]
    detail = {"detail": "the past is not kept here: GATEWAY_HISTORY is off"}
    assert [(each.status, each.json) for each in refused] == [(404, detail)] * 2
