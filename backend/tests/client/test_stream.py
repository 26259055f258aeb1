"""The client on real sockets: servers that say what a test wants, and the gateway itself."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from spymaster_client import Payload, Shape, State, Stream, stream
from spymaster_client.contract import Status
from spymaster_client.shape import with_shape
from spymaster_client.stream import read_payload
from src.demo.nats_server import NatsServer
from tests.conftest import LaunchGateway
from tests.end_to_end.publisher import Publisher
from tests.waiting import until

Serving = Callable[[ServerConnection], Awaitable[None]]


def frame(number: int, **sections: Any) -> str:
    """A payload that `number_of` finds again."""
    return json.dumps({"levels": {"ts": number, "spy": {}, "levels": []}, **sections})


def number_of(state: State) -> int:
    return state.payload["levels"]["ts"] if "levels" in state.payload else 0


def url_of(server: Server) -> str:
    return f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/ws/stream"


@contextlib.asynccontextmanager
async def gateway_that(serving: Serving) -> AsyncIterator[str]:
    async with serve(serving, "127.0.0.1", 0) as server:
        yield url_of(server)


def sends(*frames: str | bytes) -> Serving:
    """Sends these to each viewer, and keeps the connection."""

    async def serving(socket: ServerConnection) -> None:
        for each in frames:
            await socket.send(each)
        await socket.wait_closed()

    return serving


async def state_with(states: Stream, number: int) -> State:
    async for state in states:
        if number_of(state) == number:
            return state
    raise AssertionError(f"the stream ended before {number}")


# -- frames ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '"text"',
        "{",
        b"{}",
        '{"levels": []}',
        '{"levels": null}',
        '{"levels": {"levels": {}}}',
        '{"levels": {}}',
        '{"flow": 1}',
        '{"viewport": []}',
        '{"flow": {"a": NaN}}',
        "[" * 100_000,
    ],
)
def test_what_is_no_payload_is_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  json's own error is one too
        read_payload(text, {})


def test_a_section_that_did_not_change_is_the_object_that_it_was() -> None:
    before = read_payload(frame(1, flow={"a": 1}, viewport={"ts": 1}), {})
    after = read_payload(frame(2, flow={"a": 1}), before)
    assert after["flow"] is before["flow"]
    assert after["levels"] is not before["levels"]
    assert "viewport" not in after


# -- states ------------------------------------------------------------------------------------------------------------


async def test_a_stream_says_what_it_knows_from_the_first_attempt_on() -> None:
    async with gateway_that(sends(frame(1))) as url, stream(url) as states:
        first = await anext(states)
        assert (first.connection, first.payload, first.last_disconnect) == ("connecting", {}, None)
        second = await anext(states)
        assert (second.connection, number_of(second)) == ("late", 1)


async def test_the_second_levels_make_it_live_and_silence_makes_it_late_then_stale() -> None:
    async with gateway_that(sends(frame(1), frame(2), frame(3))) as url, stream(url) as states:
        seen = []
        async for state in states:
            seen.append(state.connection)
            if state.connection == "stale":
                break
    assert [word for word, before in zip(seen, ["", *seen], strict=False) if word != before][-3:] == [
        "live",
        "late",
        "stale",
    ]


async def test_levels_that_repeat_do_not_keep_a_stream_live() -> None:
    """Frames come with each flow; the levels in them may be old."""
    async with gateway_that(flowing_without_levels) as url, stream(url) as states:
        async for state in states:
            if state.connection == "stale":
                break
        assert state.freshness.flow is not None
        assert state.freshness.flow.age == "live"


async def flowing_without_levels(socket: ServerConnection) -> None:
    number = 0
    with contextlib.suppress(asyncio.CancelledError):
        while socket.close_code is None:
            number += 1
            await socket.send(frame(min(number, 3), flow={"n": number}))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    await socket.wait_closed()


async def test_where_there_are_no_levels_the_flow_decides() -> None:
    flows = [json.dumps({"flow": {"n": number}}) for number in (1, 2)]
    async with gateway_that(sends(*flows)) as url, stream(url) as states:
        async for state in states:
            if state.connection == "live":
                break
        assert state.freshness.levels is None


async def test_garbage_is_counted_and_skipped() -> None:
    nonsense: list[str | bytes] = ["nonsense", b"\x00", '{"levels": 3}']
    async with gateway_that(sends(frame(1), *nonsense, frame(2))) as url, stream(url) as states:
        state = await state_with(states, 2)
    assert (state.invalid_frames, state.connection) == (3, "live")


async def test_garbage_does_not_make_it_live() -> None:
    async with gateway_that(sends("nonsense", frame(1))) as url, stream(url) as states:
        assert (await state_with(states, 1)).connection == "late"


async def test_a_slow_reader_gets_the_newest_and_no_queue() -> None:
    count = 2_000
    async with gateway_that(sends(*(frame(number) for number in range(1, count + 1)))) as url, stream(url) as states:
        seen = []
        async for state in states:
            seen.append(number_of(state))
            if seen[-1] == count:
                break
            await until(lambda: number_of(states.state()) > min(seen[-1] + 500, count - 1), "many more")
    assert seen == sorted(set(seen))
    assert len(seen) < 10


async def test_a_wait_for_news_may_be_cancelled() -> None:
    go_on = asyncio.Event()

    async def wait_between(socket: ServerConnection) -> None:
        await socket.send(frame(1))
        await go_on.wait()
        await socket.send(frame(2))
        await socket.wait_closed()

    async with gateway_that(wait_between) as url, stream(url) as states:
        await state_with(states, 1)
        waiting = asyncio.ensure_future(anext(states))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        go_on.set()
        assert (await state_with(states, 2)).connection == "live"


# -- leaving and coming back -------------------------------------------------------------------------------------------


class Guests:
    """Notes how viewers leave."""

    def __init__(self) -> None:
        self.codes: list[int | None] = []

    async def __call__(self, socket: ServerConnection) -> None:
        await socket.send(frame(1))
        await socket.wait_closed()
        self.codes.append(socket.close_code)


async def break_out(url: str) -> None:
    async for state in stream(url):
        if state.payload:
            break


async def break_out_inside_with(url: str) -> None:
    async with stream(url) as states:
        await state_with(states, 1)


async def fail_inside(url: str) -> None:
    with contextlib.suppress(ZeroDivisionError):
        async for state in stream(url):
            assert not state.payload or 1 / 0


async def close_by_hand(url: str) -> None:
    states = stream(url)
    async for state in states:
        if state.payload:
            await states.aclose()
    await states.aclose()
    assert states.state().connection == "closed"


async def be_cancelled(url: str) -> None:
    async with stream(url) as states:
        await state_with(states, 1)
        reading = asyncio.create_task(state_with(states, 2))
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait({reading})


@pytest.mark.parametrize(
    "leave",
    [break_out, break_out_inside_with, fail_inside, close_by_hand, be_cancelled],
    ids=lambda leave: str(leave.__name__),
)
async def test_a_stream_takes_leave_as_normal_and_leaves_no_task(leave: Callable[[str], Awaitable[None]]) -> None:
    guests = Guests()
    async with gateway_that(guests) as url:
        await leave(url)
        await until(lambda: guests.codes, "the viewer leaves")
        await until(
            lambda: not any(task.get_name().startswith("stream ") for task in asyncio.all_tasks()), "its task ends"
        )
    assert guests.codes == [1000]


async def test_leaving_while_it_connects_or_waits_takes_no_time() -> None:
    async with asyncio.timeout(5):
        async with stream("ws://127.0.0.1:1/ws/stream") as states:
            async for state in states:
                if state.last_disconnect is not None:
                    break
    assert state.last_disconnect is not None
    assert state.last_disconnect.explanation == "connection refused"
    assert state.connection == "connecting"


async def test_after_a_close_it_reconnects_and_keeps_the_old_payload() -> None:
    viewers = 0

    async def greet_and_leave(socket: ServerConnection) -> None:
        nonlocal viewers
        viewers += 1
        await socket.send(frame(viewers))
        if viewers == 1:
            await socket.send(frame(1, flow={}))
            await socket.close(1001, "the gateway is stopping; reconnect")
        await socket.wait_closed()

    async with gateway_that(greet_and_leave) as url, stream(url) as states:
        words = []
        async for state in states:
            words.append((state.connection, number_of(state)))
            if number_of(state) == 2:
                break
    assert ("connecting", 1) in words
    assert words[-1] == ("late", 2)
    assert state.last_disconnect is not None
    assert (state.last_disconnect.code, state.last_disconnect.reconnect) == (1001, True)


async def test_after_a_close_for_good_the_iteration_ends() -> None:
    async def send_away(socket: ServerConnection) -> None:
        await socket.send(frame(1))
        await socket.close(1003, "not you")

    async with gateway_that(send_away) as url:
        seen = [state async for state in stream(url)]
    assert (seen[-1].connection, number_of(seen[-1])) == ("closed", 1)
    assert seen[-1].last_disconnect is not None
    assert seen[-1].last_disconnect.explanation == "closed by the gateway: 1003 not you"


async def test_a_refusal_that_would_come_again_ends_it_too() -> None:
    def refuse(connection: ServerConnection, _request: Request) -> Response:
        return connection.respond(HTTPStatus.UNAUTHORIZED, "who are you")

    async with serve(sends(), "127.0.0.1", 0, process_request=refuse) as server:
        seen = [state async for state in stream(url_of(server))]
    assert [state.connection for state in seen] == ["connecting", "closed"]
    assert seen[-1].last_disconnect is not None
    assert seen[-1].last_disconnect.code == 401


async def test_a_refusal_that_passes_is_tried_again() -> None:
    refusals = 0

    def refuse_twice(connection: ServerConnection, _request: Request) -> Response | None:
        nonlocal refusals
        refusals += 1
        return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "full") if refusals <= 2 else None

    async with serve(sends(frame(1)), "127.0.0.1", 0, process_request=refuse_twice) as server:
        states = stream(url_of(server))
        state = await state_with(states, 1)
        await states.aclose()
    assert refusals == 3
    assert state.last_disconnect is not None
    assert state.last_disconnect.code == 503


# -- who we are --------------------------------------------------------------------------------------------------------


async def test_a_token_is_asked_for_before_each_attempt_and_goes_into_a_header() -> None:
    seen: list[str | None] = []

    def look(connection: ServerConnection, request: Request) -> Response | None:
        seen.append(request.headers.get("Authorization"))
        return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "") if len(seen) == 1 else None

    async def fresh() -> str:
        return f"token-{len(seen)}"

    async with serve(sends(frame(1)), "127.0.0.1", 0, process_request=look) as server:
        for token in ("fixed", fresh, None):
            async with stream(url_of(server), token) as states:
                await state_with(states, 1)
    assert seen == ["Bearer fixed", "Bearer fixed", "Bearer token-2", None]


async def test_a_token_that_is_refused_is_asked_for_again_where_there_may_be_another() -> None:
    tokens = iter(["expired", "fresh"])

    def refuse_expired(connection: ServerConnection, request: Request) -> Response | None:
        refused = request.headers["Authorization"] == "Bearer expired"
        return connection.respond(HTTPStatus.UNAUTHORIZED, "") if refused else None

    async with serve(sends(frame(1)), "127.0.0.1", 0, process_request=refuse_expired) as server:
        async with stream(url_of(server), lambda: next(tokens)) as states:
            await state_with(states, 1)
        seen = [state.connection async for state in stream(url_of(server), "expired")]
    assert seen[-1] == "closed"


async def test_a_gateway_that_asks_for_tokens_lets_their_holders_in(
    make_gateway: LaunchGateway, nats_server: NatsServer, tmp_path: Path
) -> None:
    (tmp_path / "tokens").write_text("a-token-of-some-length-for-this desk\n")
    gateway = make_gateway(GATEWAY_AUTH="token", GATEWAY_TOKENS_FILE=str(tmp_path / "tokens")).start()
    async with Publisher(nats_server) as publisher:
        await publisher.levels(1)
        async with stream(gateway.url(), "a-token-of-some-length-for-this") as states:
            await state_with(states, 1)
    seen = [state async for state in stream(gateway.url())]
    assert seen[-1].last_disconnect is not None
    assert seen[-1].last_disconnect.explanation.startswith("refused: HTTP 401 a token is needed")


async def test_a_token_that_cannot_be_had_is_asked_for_again() -> None:
    asked = 0

    def sometimes() -> str:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise RuntimeError("the vault is shut")
        return "token"

    async with gateway_that(sends(frame(1))) as url, stream(url, sometimes) as states:
        state = await state_with(states, 1)
    assert state.last_disconnect is not None
    assert state.last_disconnect.explanation == "no token: the vault is shut"


@pytest.mark.parametrize("url", ["http://localhost:8000", "localhost:8000", "", "ws://", "ws://localhost:99999/"])
def test_what_is_no_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="is not the address of a stream"):
        stream(url)


async def test_a_certificate_that_is_not_trusted_is_told() -> None:
    async with stream("wss://127.0.0.1:1/ws/stream", ssl=ssl.create_default_context()) as states:
        async for state in states:
            if state.last_disconnect is not None:
                break
    assert state.last_disconnect is not None
    assert state.last_disconnect.explanation == "connection refused"


# -- the gateway itself ------------------------------------------------------------------------------------------------


LAST_KNOWN = ("late", "stale")  # the first frame of a connection; stale when the machine took its time


async def until_state(states: Stream, *words: str, number: int) -> State:
    async for state in states:
        if state.connection in words and number_of(state) == number:
            return state
    raise AssertionError(f"the stream ended before it was {words}")


async def test_a_gateway_that_restarts_and_a_bus_that_goes_away_are_seen_and_passed(
    make_gateway: LaunchGateway, nats_server: NatsServer
) -> None:
    gateway = make_gateway().start()
    async with Publisher(nats_server) as publisher, stream(gateway.url(), status=False) as states:
        await publisher.levels(1)
        await until_state(states, *LAST_KNOWN, number=1)
        await publisher.levels(2)
        await until_state(states, "live", number=2)
        gateway.stop()
        left = await until_state(states, "connecting", number=2)
        assert left.last_disconnect is not None
        assert left.last_disconnect.code == 1001
        gateway.start()
        await until_state(states, *LAST_KNOWN, number=2)
        await publisher.levels(3)
        await until_state(states, "live", number=3)
        await asyncio.to_thread(nats_server.stop)
        await until_state(states, "stale", number=3)
        await asyncio.to_thread(nats_server.start)
        await publisher.levels(4)
        await until_state(states, "live", number=4)


async def test_what_the_gateway_sends_is_the_payload_type(make_gateway: LaunchGateway, nats_server: NatsServer) -> None:
    gateway = make_gateway().start()
    async with Publisher(nats_server) as publisher, stream(gateway.url()) as states:
        await publisher.levels(1)
        await publisher.flow(2)
        async for state in states:
            if "flow" in state.payload and "levels" in state.payload:
                break
    payload: Payload = state.payload
    assert payload["levels"]["levels"][0]["level_price"] == 687.25
    assert payload["flow"] == {"n": 2}


async def test_a_wrong_path_on_the_gateway_ends_the_stream_with_its_words(make_gateway: LaunchGateway) -> None:
    gateway = make_gateway().start()
    seen = [state async for state in stream(gateway.url("/elsewhere"))]
    assert seen[-1].last_disconnect is not None
    assert seen[-1].last_disconnect.explanation == "refused: HTTP 404 no stream here; connect to /ws/stream"


# -- shapes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "url"),
    [
        (Shape(), "ws://x/s"),
        (Shape(sections=["levels", "flow"], near=25, rate=2), "ws://x/s?sections=levels%2Cflow&near=25&rate=2"),
        (Shape(levels=["A&B"]), "ws://x/s?levels=A%26B"),
    ],
)
def test_a_shape_is_asked_for_in_the_query(shape: Shape, url: str) -> None:
    assert with_shape("ws://x/s", shape, status=False) == url


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("ws://x/s", "ws://x/s?near=25&status=1"),
        ("ws://x/s?a=1", "ws://x/s?a=1&near=25&status=1"),
        ("ws://x/s?status=0", "ws://x/s?status=0&near=25"),  # the gateway refuses a parameter that is there twice
    ],
)
def test_status_is_asked_for_beside_the_shape(url: str, asked: str) -> None:
    assert with_shape(url, Shape(near=25), status=True) == asked


def test_the_state_of_the_connection_before_is_named_so_that_the_gateway_tells_what_was_missed() -> None:
    last = cast(Status, {"epoch": "18ec-2", "seq": 37})
    asked = "ws://x/s?status=1&since=18ec-2%3A37"
    assert [with_shape("ws://x/s", Shape(), status=wanted, last=last) for wanted in (True, False)] == [
        asked,
        "ws://x/s",
    ]


async def test_the_gateway_sends_the_shape_that_is_asked_for(make_gateway: LaunchGateway, publisher: Publisher) -> None:
    gateway = make_gateway().start()
    await publisher.levels(5)
    await publisher.flow(6)
    async with stream(gateway.url(), shape=Shape(sections=["levels"]), status=False) as states:
        assert (await state_with(states, 5)).payload.keys() == {"levels"}
        await states.change(Shape(sections=["flow"], rate=50))
        async for state in states:
            if "flow" in state.payload:
                break
        assert state.payload == {"flow": {"n": 6}}


async def test_a_shape_that_changed_is_asked_for_again_after_a_reconnect() -> None:
    asked: list[str] = []

    async def serving(socket: ServerConnection) -> None:
        assert socket.request is not None
        asked.append(socket.request.path)
        await socket.send(frame(len(asked)))
        if len(asked) == 1:
            asked.append(str(await socket.recv()))
            await socket.close(1001)
        await socket.wait_closed()

    async with gateway_that(serving) as url, stream(url, shape=Shape(near=25)) as states:
        await state_with(states, 1)
        await states.change(Shape(near=10))
        await state_with(states, 3)
    assert asked == [
        "/ws/stream?near=25&status=1",
        '{"subscribe": {"near": 10, "status": true}}',
        "/ws/stream?near=10&status=1",
    ]
