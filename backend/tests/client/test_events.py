"""What happened: each event once, whatever the reader skips and the client misses."""

import asyncio
import http
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from spymaster_client import Shape, Stream, stream
from spymaster_client.events_told import MOST_UNREAD, REMEMBERED, EventsTold, is_events
from tests.client.test_status import status
from tests.client.test_stream import frame, gateway_that, number_of, sends, state_with, url_of
from tests.conftest import LaunchGateway
from tests.end_to_end.publisher import Publisher
from tests.waiting import until

Answer = tuple[int, Any]


def event(name: str, count: int = 1) -> Any:
    return {"id": name, "count": count}


def events(cursor: str, *of: Any, complete: bool = True) -> Any:
    return {"cursor": cursor, "complete": complete, "events": list(of)}


class Forgetful:
    """A gateway whose second connection tells too little; it answers requests in turn, the last answer again."""

    def __init__(self, *answers: Answer, cursor: str = "a-9-1") -> None:
        self.answers = list(answers)
        self.cursor = cursor
        self.requests: list[Request] = []
        self.connections: list[str] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        async with serve(self._welcome, "127.0.0.1", 0, process_request=self._answer) as server:
            yield url_of(server)

    async def _welcome(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        self.connections.append(socket.request.path)
        if len(self.connections) == 1:
            await socket.send(frame(1, events=events("a-1-1", event("e1"))))
            await socket.close(1001)
            return
        await socket.send(frame(9, events=events(self.cursor, event("e9"), complete=False)))
        await socket.wait_closed()

    def _answer(self, _socket: ServerConnection, request: Request) -> Response | None:
        if urlsplit(request.path).path.endswith("/ws/stream"):
            return None
        self.requests.append(request)
        code, told = self.answers[min(len(self.requests), len(self.answers)) - 1]
        body = json.dumps(told).encode()
        headers = Headers({"Content-Length": str(len(body)), "Connection": "close"})
        return Response(code, http.HTTPStatus(code).phrase, headers, body)


async def told_until(states: Stream, count: int) -> list[tuple[str, int]]:
    """The events of the states to come, until there are so many."""
    told: list[tuple[str, int]] = []
    async for state in states:
        told += [(each["id"], each["count"]) for each in state.events]
        if len(told) >= count:
            return told
    raise AssertionError(f"the stream ended after {told}")


# -- rules -------------------------------------------------------------------------------------------------------------


def test_an_event_comes_again_when_it_counts_one_more_and_not_else() -> None:
    told = EventsTold()
    assert [told.add([event("e", count)]) for count in (1, 1, 3, 2)] == [True, False, True, False]
    assert told.take() == ((event("e"), event("e", 3)), True)
    assert told.take() == ((), True)


def test_what_is_remembered_and_what_is_not_read_has_a_bound() -> None:
    told = EventsTold()
    told.add([event(f"e{number}") for number in range(MOST_UNREAD + 1)])
    assert not told.add([event(f"e{MOST_UNREAD + 1 - REMEMBERED}")])
    unread, complete = told.take()
    assert (len(unread), unread[0], complete) == (MOST_UNREAD, event("e1"), False)
    assert told.add([event("e0")])


@pytest.mark.parametrize(
    "section",
    [7, {}, events("a") | {"cursor": 1}, events("a") | {"complete": 1}, events("a") | {"events": {}}, events("a", 7)],
)
def test_what_is_no_section_of_events_is_refused(section: Any) -> None:
    assert not is_events(section)


# -- frames ------------------------------------------------------------------------------------------------------------


async def test_a_slow_reader_skips_states_and_no_event() -> None:
    count = 2_000
    frames = [frame(number, events=events(f"a-{number}-1", event(f"e{number}"))) for number in range(1, count + 1)]
    async with gateway_that(sends(*frames)) as url, stream(url, events=True) as states:
        told, seen = [], 0
        async for state in states:
            seen += 1
            told += [each["id"] for each in state.events]
            assert state.events_complete
            assert "events" not in state.payload
            if number_of(state) == count:
                break
            await until(lambda: number_of(states.state()) == count, "all frames")
            assert states.state().events == ()
    assert told == [f"e{number}" for number in range(1, count + 1)]
    assert seen < 10


async def test_events_beside_a_status_take_no_section_away() -> None:
    alone = json.dumps({"status": status(), "events": events("a-2-1", event("e"))})
    async with (
        gateway_that(sends(frame(1, status=status(), events=events("a-1-1")), alone)) as url,
        stream(url, events=True) as states,
    ):
        assert await told_until(states, 1) == [("e", 1)]
        assert number_of(states.state()) == 1


async def test_a_frame_with_other_events_than_a_list_is_invalid() -> None:
    async with gateway_that(sends(frame(1, events=7), frame(2))) as url, stream(url) as states:
        assert (await state_with(states, 2)).invalid_frames == 1


async def test_it_asks_for_events_and_again_with_another_shape() -> None:
    asked: list[str] = []

    async def serving(socket: ServerConnection) -> None:
        assert socket.request is not None
        asked.append(socket.request.path)
        await socket.send(frame(1))
        asked.append(str(await socket.recv()))
        await socket.wait_closed()

    async with gateway_that(serving) as url, stream(url, events=True) as states:
        await state_with(states, 1)
        await states.change(Shape(rate=2))
        await until(lambda: len(asked) == 2, "the other shape")
    assert parse_qs(urlsplit(asked[0]).query)["events"] == ["1"]
    assert json.loads(asked[1]) == {"subscribe": {"rate": 2, "status": True, "events": True}}


# -- what frames do not tell -------------------------------------------------------------------------------------------

MISSED: Final = events("a-9-1", event("e1"), event("e2"), event("e3", 4), event("e9"))


async def test_a_reconnection_names_the_cursor_and_asks_for_what_its_frames_do_not_tell() -> None:
    gateway = Forgetful((200, MISSED))
    async with gateway.open() as url, stream(url.replace("/ws", "/gw/ws"), "secret", events=True) as states:
        assert await told_until(states, 4) == [("e1", 1), ("e9", 1), ("e2", 1), ("e3", 4)]
    assert [parse_qs(urlsplit(path).query).get("events_since") for path in gateway.connections] == [None, ["a-1-1"]]
    (request,) = gateway.requests
    assert (request.path, request.headers["Authorization"]) == ("/gw/events?since=a-1-1", "Bearer secret")


async def test_what_frames_do_not_tell_comes_in_pages() -> None:
    first = events("a-2-1", event("e2")) | {"more": True}
    gateway = Forgetful((200, first), (200, events("a-9-1", event("e3"))))
    async with gateway.open() as url, stream(url, events=True) as states:
        assert await told_until(states, 4) == [("e1", 1), ("e9", 1), ("e2", 1), ("e3", 1)]
    assert [request.path for request in gateway.requests] == ["/events?since=a-1-1", "/events?since=a-2-1"]


async def test_a_gateway_that_has_not_read_back_to_them_is_asked_again() -> None:
    partial = [(200, events("a-9-1", event(f"e{number}"), complete=number == 4)) for number in (2, 3, 4)]
    gateway = Forgetful((503, {"detail": "later"}), *partial)
    async with gateway.open() as url, stream(url, events=True) as states:
        assert await told_until(states, 5) == [("e1", 1), ("e9", 1), ("e2", 1), ("e3", 1), ("e4", 1)]
        assert states.state().events_complete
    assert len(gateway.requests) == 4


async def test_an_answer_of_a_gateway_that_has_read_less_than_the_frame_told_is_not_all() -> None:
    gateway = Forgetful((200, events("a-8-7", event("e2"))), (200, events("a-9-0", event("e2"), event("e3"))))
    async with gateway.open() as url, stream(url, events=True) as states:
        assert await told_until(states, 4) == [("e1", 1), ("e9", 1), ("e2", 1), ("e3", 1)]
        assert states.state().events_complete
    assert [request.path for request in gateway.requests] == ["/events?since=a-1-1"] * 2


@pytest.mark.parametrize("cursor", ["b-1-1", "a-9-0", "a-10-1", "a-9", "b", ""])
def test_an_answer_of_another_life_or_up_to_the_frame_is_all(cursor: str) -> None:
    told = EventsTold()
    told.reach("a-1-1", complete=True)
    told.reach("a-9-1", complete=False)
    assert told.reaches(cursor)


@pytest.mark.parametrize("cursor", ["a-8-1", "a-0-9", "a--1", "a-" + "9" * 9000 + "-1", "a"])
def test_an_answer_that_stops_before_the_frame_is_not_all(cursor: str) -> None:
    told = EventsTold()
    told.reach("a-1-1", complete=True)
    told.reach("a-9-1", complete=False)
    assert not told.reaches(cursor)


@pytest.mark.parametrize("answer", [(404, {"detail": "nothing at /events"}), (200, {"events": 7})])
async def test_a_gateway_that_will_not_tell_them_makes_them_incomplete(answer: Answer) -> None:
    gateway = Forgetful(answer)
    async with gateway.open() as url, stream(url, events=True) as states:
        async for state in states:
            if not state.events_complete:
                break
    assert len(gateway.requests) == 1


async def test_a_gateway_that_has_read_nothing_so_far_has_no_cursor_to_go_on_from() -> None:
    gateway = Forgetful((200, MISSED), cursor="-0-0")
    async with gateway.open() as url, stream(url, events=True) as states:
        await told_until(states, 4)
        assert "events_since=a-1-1" in states._address(Shape())


async def test_a_stream_that_is_left_while_it_asks_leaves_no_request_behind() -> None:
    silent, ended = asyncio.Event(), asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        silent.set()
        await reader.read()
        writer.close()
        await writer.wait_closed()
        ended.set()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws/stream"
    states = stream(url, events=True)
    states._told_events.reach("a-1-1", complete=True)
    states._hear(events("a-2-1", complete=False))
    await silent.wait()
    async with asyncio.timeout(5):
        await states.aclose()
        await ended.wait()
    server.close()
    await server.wait_closed()


# -- the real gateway --------------------------------------------------------------------------------------------------


async def test_the_real_gateway_tells_each_signal_also_of_the_time_without_it(
    make_gateway: LaunchGateway, publisher: Publisher
) -> None:
    numbers = iter(range(1, 100))

    async def signal(word: str) -> None:
        level = {"id": "VWAP", "price": 687.25, "signal": word}
        await publisher.levels(next(numbers), levels=[level])

    gateway = make_gateway(GATEWAY_HISTORY="on").start()
    await signal("NEUTRAL")
    await until(lambda: gateway.get("/events").status == 200, "its history is read")
    told: list[tuple[str, str]] = []

    async with stream(gateway.url(), events=True) as states:

        async def hear(count: int) -> None:
            async for state in states:
                told.extend((each["before"], each["after"]) for each in state.events if each["kind"] == "signal")
                assert state.events_complete
                if len(told) >= count:
                    return

        await state_with(states, 1)
        await signal("BREAK")
        await hear(1)
        assert gateway.stop() == 0
        await signal("REJECT")
        await signal("NEUTRAL")
        gateway.start()
        await hear(3)
        await signal("CONTESTED")
        await signal("BREAK")
        await hear(4)
    assert told == [("NO_TRADE", "BREAK"), ("BREAK", "BOUNCE"), ("BOUNCE", "NO_TRADE"), ("NO_TRADE", "BREAK")]
