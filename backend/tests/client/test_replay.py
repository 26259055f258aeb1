"""The stream from a moment on."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from spymaster_client import Replay, State, at
from spymaster_client.replay import PRESENT, Place
from spymaster_client.status import is_status, verdict_of
from src.common.tasks import end
from tests.client.test_events import Forgetful, event, events
from tests.client.test_status import section, status
from tests.client.test_stream import frame, number_of, state_with, url_of
from tests.conftest import LaunchGateway
from tests.end_to_end.publisher import Publisher
from tests.waiting import until


def past(at_ms: int, epoch: str = "x-past-1", **further: Any) -> str:
    """A frame of the past; its levels have the time that is shown."""
    replay = {"at_ms": at_ms, "speed": 1, "paused": False, **further}
    levels = section("replay", 9_000_000) | {"published_ms": at_ms}
    of_past = status(at_ms, epoch=epoch, cause="past", explanation="The past.", levels=levels, replay=replay)
    return frame(at_ms, status=of_past)


def present(number: int, **further: Any) -> str:
    levels = section("live") | {"published_ms": number}
    return frame(number, status=status(number, epoch="live", levels=levels), **further)


class Directed:
    """A gateway that does what a test wants, and keeps what viewers ask."""

    def __init__(self, *welcomes: str | None) -> None:
        self.welcomes = welcomes
        self.asked: list[tuple[str | None, str | None]] = []
        self.said: list[Any] = []
        self.viewers: list[ServerConnection] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        async with serve(self._welcome, "127.0.0.1", 0) as server:
            yield url_of(server)

    async def send(self, *frames: str) -> None:
        for each in frames:
            await self.viewers[-1].send(each)

    async def reconnected(self) -> None:
        """The newest connection is gone, and another one is there."""
        before = len(self.viewers)
        await self.viewers[-1].close(1001)
        await until(lambda: len(self.viewers) > before, "another connection")

    async def _welcome(self, viewer: ServerConnection) -> None:
        assert viewer.request is not None
        query = parse_qs(urlsplit(viewer.request.path).query)
        self.asked.append((query.get("at", [None])[0], query.get("speed", [None])[0]))
        first = self.welcomes[min(len(self.asked), len(self.welcomes)) - 1]
        if first is not None:
            await viewer.send(first)
        self.viewers.append(viewer)
        with contextlib.suppress(ConnectionClosed):
            async for text in viewer:
                self.said.append(json.loads(text)["replay"])


async def shown(states: Replay, is_so: Callable[[State], bool]) -> State:
    async for state in states:
        if is_so(state):
            return state
    raise AssertionError("the stream ended")


# -- rules -------------------------------------------------------------------------------------------------------------


def test_the_past_is_a_replay_whatever_is_known_of_it() -> None:
    assert verdict_of({}, None, "past") == "replay"
    assert verdict_of({"levels": "live"}, None, "past") == "replay"


@pytest.mark.parametrize("replay", [7, {}, {"at_ms": 1, "speed": "4", "paused": True}, {"at_ms": 1, "speed": 4}])
def test_a_status_with_another_replay_is_none(replay: Any) -> None:
    assert not is_status(status(replay=replay))


def test_a_place_is_that_of_the_newest_frame_and_the_present_after_the_last() -> None:
    place = Place("-2h", None, paused=True)
    assert (place.query, place.wish) == ({"at": "-2h"}, {"at": "-2h", "paused": True})
    place.shows({"at_ms": 0, "speed": 1.0, "paused": False})
    place.shows(None)
    assert place.at == "-2h"
    place.shows({"at_ms": 5000, "speed": 4.0, "paused": True})
    assert (place.query, place.wish) == ({"at": "5000", "speed": 4.0}, {"at": "5000", "speed": 4.0, "paused": True})
    place.shows(None)
    assert (place.query, place.wish, place.paused) == ({}, {"at": PRESENT}, False)


# -- a gateway that does what a test wants -----------------------------------------------------------------------------


async def test_it_is_a_replay_for_as_long_as_its_frames_are_of_the_past() -> None:
    gateway = Directed(past(5000, speed=4))
    moment = datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC)
    async with gateway.open() as url, at(url, moment, speed=4) as states:
        state = await state_with(states, 5000)
        assert state.status is not None
        assert (state.connection, state.status["replay"]["at_ms"], states.speed) == ("replay", 5000, 4)
        assert state.freshness.levels is not None
        assert state.freshness.levels.age == "replay", "it is old, and that is no fault"
        await gateway.send(present(9000))
        assert (await state_with(states, 9000)).connection == "live"
    assert gateway.asked == [("5000", "4")]


async def test_it_is_directed_by_messages() -> None:
    gateway = Directed(past(5000))
    async with gateway.open() as url, at(url, 5000) as states:
        await state_with(states, 5000)
        await states.pause()
        await states.set_speed(10)
        await states.step(-3)
        await states.seek("2026-11-25T10:31:04-05:00")
        await states.resume()
        await states.live()
        await until(lambda: len(gateway.said) == 6, "all")
    assert gateway.said == [
        {"paused": True},
        {"speed": 10},
        {"step": -3},
        {"at": "2026-11-25T10:31:04-05:00", "speed": 10, "paused": True},
        {"paused": False},
        {"at": "live"},
    ]


async def test_a_reconnection_goes_on_from_the_moment_that_was_shown() -> None:
    gateway = Directed(past(5000, speed=2), past(6000, "x-2", speed=2, paused=True), None)
    async with gateway.open() as url, at(url, "-2h") as states:
        await state_with(states, 5000)
        await gateway.reconnected()
        await state_with(states, 6000)
        assert gateway.said == []
        await gateway.reconnected()
        await until(lambda: gateway.said, "it stands still")
        levels = states.state().freshness.levels
        assert levels is not None
        assert (states.state().connection, levels.age) == ("connecting", "replay")
    assert gateway.said == [{"at": "6000", "speed": 2, "paused": True}]
    assert gateway.asked == [("-2h", None), ("5000", "2"), ("6000", "2")]


async def test_a_reconnection_after_the_present_was_reached_is_one_to_the_present() -> None:
    gateway = Directed(past(5000), None)
    async with gateway.open() as url, at(url, 5000) as states:
        await state_with(states, 5000)
        await gateway.send(present(9000))
        await state_with(states, 9000)
        await gateway.reconnected()
    assert gateway.asked == [("5000", None), (None, None)]


async def test_what_is_asked_for_without_a_connection_is_asked_for_by_the_next_one() -> None:
    gateway = Directed(past(9000), past(3000, "x-past-2", speed=7, paused=True))
    async with gateway.open() as url, at(url, 9000) as states:
        await state_with(states, 9000)
        await gateway.viewers[-1].close(1001)
        await until(lambda: not states.is_connected, "no connection")
        await states.seek(3000)
        await states.set_speed(7)
        await states.pause()
        state = await state_with(states, 3000)
        assert state.last_disconnect is not None
        assert state.last_disconnect.code == 1001, "older is what was asked for, and no lagging gateway"
        await until(lambda: gateway.said, "it stands still")
    assert (gateway.asked[1], gateway.said) == (("3000", "7"), [{"at": "3000", "speed": 7, "paused": True}])


async def test_from_the_present_it_goes_to_the_past_on_the_same_connection() -> None:
    gateway = Directed(present(9000))
    async with gateway.open() as url, at(url, "live") as states:
        await state_with(states, 9000)
        await states.seek(5000)
        await until(lambda: gateway.said, "the message")
        await gateway.send(present(9001), past(5000))
        assert (await state_with(states, 5000)).connection == "replay"
        await gateway.reconnected()
    assert gateway.asked == [(None, None), ("5000", "1")]


async def test_events_that_happened_while_it_showed_the_past_are_asked_for_when_it_is_back() -> None:
    answering = Forgetful((200, events("a-9-1", event("e1"), event("e2"), event("e3"))))
    told: list[str] = []

    async def welcome(viewer: ServerConnection) -> None:
        await viewer.send(present(9000, events=events("a-1-1", event("e1"))))
        await viewer.send(past(5000))
        await viewer.send(present(9002, events=events("a-3-1", event("e3"))))
        await viewer.wait_closed()

    async with (
        serve(welcome, "127.0.0.1", 0, process_request=answering._answer) as server,
        at(url_of(server), "live", events=True) as states,
    ):
        async for state in states:
            told += [each["id"] for each in state.events]
            if len(told) == 3:
                break
    assert told == ["e1", "e3", "e2"]
    assert [request.path for request in answering.requests] == ["/events?since=a-1-1"]


# -- the real gateway --------------------------------------------------------------------------------------------------


async def test_the_real_gateway_plays_steps_jumps_and_reaches_the_present(
    make_gateway: LaunchGateway, publisher: Publisher
) -> None:
    gateway = make_gateway(GATEWAY_HISTORY="on", GATEWAY_MARKET="24x7").start()
    begin = int(time.time() * 1000) - 20_000
    await publisher.flow(1)
    for number in range(20):
        await publisher.levels(begin + number * 1000)
    await until(lambda: gateway.get("/events").status == 200, "its history is read")
    async with at(gateway.url(), begin + 2000, paused=True) as states:
        state = await state_with(states, begin + 2000)
        assert state.connection == "replay"
        await states.step(3)
        await state_with(states, begin + 5000)
        await states.step(-1)
        await state_with(states, begin + 4000)
        await states.seek(begin + 10_000)
        await state_with(states, begin + 10_000)
        await asyncio.to_thread(gateway.stop)
        await shown(states, lambda state: state.connection == "connecting")
        await asyncio.to_thread(gateway.start)
        state = await shown(states, lambda state: state.connection == "replay" and "levels" in state.payload)
        assert number_of(state) == begin + 10_000
        await states.set_speed(60)
        await states.resume()
        await state_with(states, begin + 19_000)
        going = asyncio.create_task(publishing(publisher))
        try:
            await shown(states, lambda state: state.status is not None and "replay" not in state.status)
        finally:
            await end(going)


async def test_the_real_gateway_plays_levels_where_no_flow_was_ever_published(
    make_gateway: LaunchGateway, publisher: Publisher
) -> None:
    gateway = make_gateway(GATEWAY_HISTORY="on").start()
    begin = int(time.time() * 1000) - 20_000
    for number in range(3):
        await publisher.levels(begin + number * 1000)
    await until(lambda: gateway.get("/events").status == 200, "its history is read")
    async with at(gateway.url(), begin, paused=True) as states:
        await state_with(states, begin)
        await states.step(2)
        await state_with(states, begin + 2000)


async def publishing(publisher: Publisher) -> None:
    """Levels of now, at a pace at which a replay catches up on a busy machine, until it is cancelled."""
    while True:
        await publisher.levels(int(time.time() * 1000))
        await asyncio.sleep(1)
