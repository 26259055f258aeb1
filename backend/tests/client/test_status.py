"""The section `status`: what is read of it, and how a stream with it behaves."""

import asyncio
import contextlib
import json
import time
from collections.abc import Iterable
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from spymaster_client import State, Status, Stream, stream
from spymaster_client.status import VERDICTS, age_of, is_heartbeat, verdict_of
from spymaster_client.stream import read_payload
from src.gateway.signals.contract import SectionStatus
from tests.client.test_stream import frame, gateway_that, number_of, sends, state_with
from tests.conftest import LaunchGateway
from tests.end_to_end.publisher import Publisher
from tests.waiting import until

MARKET = {"name": "XNYS", "open": True, "sentence": "Open until 16:00.", "opens_ms": None, "closes_ms": 1}


def section(verdict: str, age_ms: int = 100) -> Any:
    return {"seq": 1, "age_ms": age_ms, "published_ms": 1, "core_lag_ms": None, "verdict": verdict}


def status(seq: int = 1, heartbeat_ms: int = 60_000, **further: Any) -> Any:
    """Without further words: nothing is known of levels and flow, and no cause is told."""
    return {
        "seq": seq,
        "epoch": "e",
        "sent_ms": 1,
        "heartbeat_ms": heartbeat_ms,
        "skipped": {"frames": 0, "why": None},
        "cause": None,
        "explanation": None,
        "market": MARKET,
        **further,
    }


def heartbeat(seq: int = 1, **further: Any) -> str:
    return json.dumps({"status": status(seq, **further)})


# -- rules -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("levels", "flow", "sections", "expected"),
    [
        ("live", "live", None, "live"),
        ("live", "stale", None, "late"),
        ("late", "live", None, "late"),
        ("closed", "live", None, "market_closed"),
        ("closed", "stale", None, "market_closed"),
        ("stale", "replay", None, "replay"),
        ("live", "stale", ["levels"], "live"),
        ("live", "stale", ["viewport"], "live"),
        ("live", "stale", ["viewport", "flow"], "late"),
        ("live", "closed", None, "live"),
        ("stale", "live", None, "stale"),
        ("live", None, None, "live"),
        (None, "late", None, "late"),
        (None, None, None, "live"),
        ("live", "live", ["news"], "live"),
        ("a new word", "live", None, "stale"),
    ],
)
def test_a_stream_is_as_its_levels_and_not_live_while_a_part_is_dead(
    levels: str | None, flow: str | None, sections: list[str] | None, expected: str
) -> None:
    known = {name: age_of(section(word)) for name, word in (("levels", levels), ("flow", flow)) if word}
    assert verdict_of(known, sections, None) == expected


def test_a_stream_without_a_message_is_not_live() -> None:
    assert [verdict_of({}, None, cause) for cause in ("no_message", "market_closed")] == ["late", "market_closed"]


def test_live_levels_without_a_spot_or_beside_a_flow_that_never_came_are_not_all_live() -> None:
    ages = {"levels": age_of(section("live"))}
    assert [verdict_of(ages, None, cause) for cause in ("spot_missing", "flow_silent", None)] == [
        "late",
        "late",
        "live",
    ]
    assert verdict_of(ages, ["levels"], "flow_silent") == "live"


def test_every_verdict_of_the_gateway_has_its_word() -> None:
    described = str(SectionStatus.__annotations__["verdict"])
    assert all(verdict in described for verdict in VERDICTS)


@pytest.mark.parametrize(
    ("names", "seq", "epoch", "expected"),
    [
        (["status"], 1, "e", True),
        (["status"], 2, "e", False),
        (["status"], 1, "another", False),
        (["status", "levels"], 1, "e", False),
    ],
)
def test_a_heartbeat_repeats_the_number_of_the_state(names: list[str], seq: int, epoch: str, expected: bool) -> None:
    assert is_heartbeat(dict.fromkeys(names), status(seq, epoch=epoch), status(1)) is expected
    assert not is_heartbeat(dict.fromkeys(names), status(seq, epoch=epoch), None)


@pytest.mark.parametrize(
    "changes",
    [
        {"seq": "1"},
        {"epoch": None},
        {"heartbeat_ms": 0},
        {"heartbeat_ms": 1.5},
        {"heartbeat_ms": 10**400},
        {"cause": 1},
        {"explanation": []},
        {"market": None},
        {"market": {"sentence": None}},
        {"levels": None},
        {"flow": {"verdict": "live"}},
        {"flow": {"verdict": None, "age_ms": 1}},
        {"levels": {"verdict": "live", "age_ms": -1}},
    ],
)
def test_a_frame_with_a_broken_status_is_no_payload(changes: dict[str, Any]) -> None:
    read_payload(json.dumps({"status": status()}), {})
    with pytest.raises(ValueError, match="status"):
        read_payload(json.dumps({"status": status(**changes)}), {})


@pytest.mark.parametrize("text", ['{"status": null}', '{"status": []}', '{"status": {}}'])
def test_what_is_no_status_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="status"):
        read_payload(text, {})


# -- a stream ----------------------------------------------------------------------------------------------------------


async def state_that_is(states: Stream, *words: str) -> State:
    async for state in states:
        if state.connection in words:
            return state
    raise AssertionError(f"the stream ended before it was {words}")


async def test_the_first_frame_is_judged_by_the_gateway() -> None:
    told = status(levels=section("live", 1_200), flow=section("live"))
    async with gateway_that(sends(frame(1, flow={}, status=told))) as url, stream(url) as states:
        state = await state_with(states, 1)
    assert state.connection == "live"
    assert state.freshness.levels is not None
    assert (state.freshness.levels.age, state.freshness.levels.age_s >= 1.2) == ("live", True)
    typed: Status | None = state.status
    assert typed == state.payload.get("status") == told


async def test_an_old_first_frame_is_as_old_as_the_gateway_says_and_grows_older() -> None:
    told = status(levels=section("stale", 150_000), cause="core_silent", explanation="Core publishes nothing.")
    async with gateway_that(sends(frame(1, status=told))) as url, stream(url) as states:
        state = await state_with(states, 1)
        levels = state.freshness.levels
        assert levels is not None
        assert (state.connection, levels.age, 150.0 <= levels.age_s < 155.0) == ("stale", "stale", True)
        await until(lambda: age_s(states) > levels.age_s, "time to pass")


def age_s(states: Stream) -> float:
    levels = states.state().freshness.levels
    assert levels is not None
    return levels.age_s


async def test_a_heartbeat_changes_no_section_and_tells_a_verdict() -> None:
    told = status(1, levels=section("live"))
    later = heartbeat(1, levels=section("late", 900), cause="core_silent")
    async with gateway_that(sends(frame(1, status=told), later)) as url, stream(url) as states:
        live = await state_with(states, 1)
        late = live if live.connection == "late" else await state_that_is(states, "late")
        assert late.payload["levels"] is states.state().payload["levels"]
    assert number_of(late) == 1
    assert late.status is not None
    assert late.status["cause"] == "core_silent"
    assert late.freshness.frames_per_s <= 1.0  # a heartbeat is no frame that brings something


async def test_a_sequence_that_is_not_known_yet_makes_a_frame_no_older() -> None:
    known, unknown = {**section("live"), "seq": 17}, {**section("live"), "seq": 0}
    frames = [frame(1, status=status(1, levels=known)), frame(2, status=status(2, levels=unknown))]
    async with gateway_that(sends(*frames)) as url, stream(url) as states:
        state = await state_with(states, 2)
    assert state.connection == "live"


async def test_status_alone_with_a_new_number_means_that_all_sections_are_gone() -> None:
    frames = [frame(1, status=status(1, levels=section("live"))), heartbeat(2, cause="no_message")]
    async with gateway_that(sends(*frames)) as url, stream(url) as states:
        state = await state_that_is(states, "late")
    assert state.payload.keys() == {"status"}
    assert state.freshness.levels is None


async def test_an_empty_stream_is_connected() -> None:
    async with gateway_that(sends(heartbeat(0, cause="no_message"))) as url, stream(url) as states:
        state = await state_that_is(states, "late")
    assert state.status is not None
    assert state.status["cause"] == "no_message"


async def test_heartbeats_that_say_the_same_wake_no_reader() -> None:
    go_on = asyncio.Event()

    async def serving(socket: ServerConnection) -> None:
        await socket.send(frame(1, status=status(1, levels=section("live"))))
        await go_on.wait()
        for number in range(20):
            await socket.send(heartbeat(1, levels=section("live", 100 + number)))
            await asyncio.sleep(0.01)
        await socket.send(frame(2, status=status(2, levels=section("live"))))
        await socket.wait_closed()

    async with gateway_that(serving) as url, stream(url) as states:
        await state_with(states, 1)
        go_on.set()
        assert number_of(await anext(states)) == 2


@pytest.mark.parametrize("verdict", ["stale", "live"])
async def test_while_it_reconnects_nothing_is_live(verdict: str) -> None:
    viewers = 0

    async def greet_once(socket: ServerConnection) -> None:
        nonlocal viewers
        viewers += 1
        if viewers == 1:
            await socket.send(frame(1, status=status(1, levels=section(verdict, 60_000))))
            await socket.close(1001)
        await socket.wait_closed()

    async with gateway_that(greet_once) as url, stream(url) as states:
        await until(lambda: viewers == 2, "a second connection")
        state = states.state()
    assert (state.connection, state.status) == ("connecting", None)
    assert state.freshness.levels is not None
    assert (state.freshness.levels.age, state.freshness.levels.age_s >= 60) == ("stale", True)


async def test_an_older_gateway_after_a_newer_one_is_judged_by_the_client() -> None:
    told = frame(1, status=status(1, levels=section("live", 60_000)))
    async with gateway_that(sends(told, frame(2), frame(3))) as url, stream(url) as states:
        state = await state_with(states, 3)
    assert state.status is None
    assert state.freshness.levels is not None
    assert (state.connection, state.freshness.levels.age_s < 20) == ("live", True)


async def test_status_is_not_asked_for_where_it_is_not_wanted() -> None:
    asked: list[str] = []

    async def serving(socket: ServerConnection) -> None:
        assert socket.request is not None
        asked.append(socket.request.path)
        await socket.send(frame(1))
        asked.append(str(await socket.recv()))
        await socket.wait_closed()

    async with gateway_that(serving) as url, stream(url, status=False) as states:
        await state_with(states, 1)
        await states.change(states._shape)
        await until(lambda: len(asked) == 2, "the message")
    assert asked == ["/ws/stream", '{"subscribe": {}}']


# -- dead lines --------------------------------------------------------------------------------------------------------


class Speaker:
    """Sends a state, then heartbeats for as long as it is told to; notes how many viewers came."""

    def __init__(self, heartbeat_ms: int, moments_s: Iterable[float]) -> None:
        self.heartbeat_ms = heartbeat_ms
        self.pauses_s = list(moments_s)
        self.viewers = 0
        self.is_silent = asyncio.Event()

    async def __call__(self, socket: ServerConnection) -> None:
        self.viewers += 1
        said: dict[str, Any] = {"levels": section("stale"), "heartbeat_ms": self.heartbeat_ms}
        await socket.send(frame(1, status=status(1, **said)))
        for pause_s in self.pauses_s:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(socket.wait_closed(), pause_s)
            await socket.send(heartbeat(1, **said))
        self.is_silent.set()
        await socket.wait_closed()


async def test_a_gateway_that_falls_silent_is_left_and_dialled_again() -> None:
    speaker = Speaker(100, [0.1] * 5)
    async with gateway_that(speaker) as url, stream(url) as states:
        await speaker.is_silent.wait()
        began_s = time.monotonic()
        state = await state_that_is_after_disconnect(states)
        took_s = time.monotonic() - began_s
        await until(lambda: speaker.viewers == 2, "a second connection")
    assert took_s > 0.3
    assert state.connection == "connecting"
    assert state.last_disconnect is not None
    assert state.last_disconnect.explanation.startswith("the gateway said nothing for 0.")
    assert (state.last_disconnect.code, state.last_disconnect.reconnect) == (1006, True)


async def state_that_is_after_disconnect(states: Stream) -> State:
    async for state in states:
        if state.last_disconnect is not None:
            return state
    raise AssertionError("the stream ended")


async def test_silence_of_core_is_no_dead_line() -> None:
    speaker = Speaker(300, [0.1] * 20)
    async with gateway_that(speaker) as url, stream(url) as states:
        await speaker.is_silent.wait()
        state = states.state()
    assert (speaker.viewers, state.last_disconnect, state.connection) == (1, None, "stale")


async def test_a_program_that_was_busy_takes_what_has_arrived_before_it_calls_the_line_dead() -> None:
    here = asyncio.get_running_loop()
    address: asyncio.Future[str] = here.create_future()

    async def serve_in_a_thread() -> None:
        """As this loop stands still."""
        speaker = Speaker(100, [0.05] * 40)
        async with gateway_that(speaker) as url:
            here.call_soon_threadsafe(address.set_result, url)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(speaker.is_silent.wait(), 10)

    serving = asyncio.create_task(asyncio.to_thread(asyncio.run, serve_in_a_thread()))
    async with stream(await address) as states:
        await state_with(states, 1)
        time.sleep(1.0)  # noqa: ASYNC251
        state = await state_that_is_after_disconnect(states)
    await serving
    assert state.last_disconnect is not None
    assert state.last_disconnect.code == 1001  # the server has left; nobody called its line dead


# -- the gateway itself ------------------------------------------------------------------------------------------------


async def test_silence_of_core_is_stale_and_a_frozen_gateway_a_dead_line(
    make_gateway: LaunchGateway, publisher: Publisher
) -> None:
    gateway = make_gateway(GATEWAY_MARKET="24x7").start()
    async with stream(gateway.url()) as states:
        for _ in range(4):
            await publisher.levels(1, ts=time.time_ns() // 1_000_000)
            await publisher.flow(1)
        await state_that_is(states, "live", "late")
        silent = await state_that_is(states, "stale")
        assert silent.status is not None
        assert (silent.status["cause"], silent.last_disconnect) == ("core_silent", None)
        gateway.freeze()
        left = await state_that_is(states, "connecting")
        assert left.last_disconnect is not None
        assert left.last_disconnect.explanation.startswith("the gateway said nothing for ")
        gateway.thaw()
        again = await state_that_is(states, "stale")
    assert again.freshness.levels is not None
    assert again.freshness.levels.age_s > 3.0  # although it has just arrived
