"""What was, by requests beside the stream."""

import asyncio
import http
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from spymaster_client import RequestError, events, history
from spymaster_client.past import MOST_PAGES
from tests.client.test_events import event
from tests.client.test_stream import url_of
from tests.conftest import LaunchGateway
from tests.end_to_end.publisher import Publisher
from tests.waiting import LIMIT_S


@asynccontextmanager
async def paging(*pages: Any) -> AsyncIterator[tuple[str, list[str]]]:
    """A gateway that answers with these, the last one again and again; its stream's address, and the paths."""
    paths: list[str] = []

    def answer(_socket: ServerConnection, request: Request) -> Response:
        paths.append(request.path)
        written = json.dumps(pages[min(len(paths), len(pages)) - 1]).encode()
        return Response(200, "OK", Headers({"Content-Length": str(len(written)), "Connection": "close"}), written)

    async def nobody(_socket: ServerConnection) -> None:
        return

    async with serve(nobody, "127.0.0.1", 0, process_request=answer) as server:
        yield url_of(server), paths


@asynccontextmanager
async def answering(code: int, body: str, **headers: str) -> AsyncIterator[tuple[str, list[Request]]]:
    """A gateway under a path that answers each request so; its stream's address, and the requests."""
    requests: list[Request] = []

    def answer(_socket: ServerConnection, request: Request) -> Response:
        requests.append(request)
        written = body.encode()
        given = {"Content-Length": str(len(written)), "Connection": "close", **headers}
        return Response(code, http.HTTPStatus(code).phrase, Headers(given), written)

    async def nobody(_socket: ServerConnection) -> None:
        return

    async with serve(nobody, "127.0.0.1", 0, process_request=answer) as server:
        yield url_of(server).replace("/ws/stream", "/gw/ws/stream"), requests


async def test_a_request_has_the_path_prefix_and_the_token_of_the_stream() -> None:
    async def token() -> str:
        return "secret"

    async with answering(200, "{}") as (url, requests):
        begin = datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC)
        await history(url, token, from_=begin, to="-1h", step=5, fields=["spot", "flow"], levels=["a b"])
        await events(url, since="a-1-1", kinds=["signal"])
        await events(f"{url}?token=secret&kinds=VWAP")
        await events(url.replace("://", "://me:mine@"))
    assert [(request.path, request.headers.get("Authorization")) for request in requests] == [
        ("/gw/history?from=5000&to=-1h&step=5&fields=spot%2Cflow&levels=a+b", "Bearer secret"),
        ("/gw/events?since=a-1-1&kinds=signal", None),
        ("/gw/events?token=secret", None),
        ("/gw/events", "Basic bWU6bWluZQ=="),
    ]


FIRST = {"cursor": "a-1-1", "complete": True, "events": [event("e1"), event("e2")], "more": True}
SECOND = {"cursor": "a-2-2", "complete": True, "events": [event("e3"), event("e1", 2)], "more": True}
LAST = {"cursor": "a-9-9", "complete": True, "events": [event("e4")], "more": False}


async def test_pages_of_events_are_asked_for_until_all_is_there() -> None:
    async with paging(FIRST, SECOND, LAST) as (url, paths):
        told = await events(url, kinds=["signal"])
    assert [(each["id"], each["count"]) for each in told["events"]] == [("e2", 1), ("e3", 1), ("e1", 2), ("e4", 1)]
    assert told == {"cursor": "a-9-9", "complete": True, "events": told["events"]}
    assert paths == [f"/events?{since}kinds=signal" for since in ("", "since=a-1-1&", "since=a-2-2&")]


async def test_events_are_complete_where_each_page_is() -> None:
    for pages in ((FIRST | {"complete": False}, LAST), (FIRST, LAST | {"complete": False})):
        async with paging(*pages) as (url, _):
            assert (await events(url))["complete"] is False


async def test_a_gateway_whose_pages_never_end_is_left() -> None:
    async with paging(FIRST) as (url, paths):
        assert (await events(url))["complete"] is False
    assert len(paths) == MOST_PAGES


async def test_a_page_that_is_none_is_no_answer() -> None:
    async with paging(FIRST, {"more": True}) as (url, _):
        with pytest.raises(RequestError) as refused:
            await events(url)
    assert not refused.value.disconnect.reconnect


@pytest.mark.parametrize(
    ("code", "body", "headers", "expected"),
    [
        (400, '{"detail": "step accepts 1 to 3600"}', {}, (400, "step accepts 1 to 3600", False, 0.0)),
        (401, "<html>", {}, (401, "", False, 0.0)),
        (503, '{"detail": "later"}', {"Retry-After": "1"}, (503, "later", True, 1.0)),
        (302, "", {"Location": "http://elsewhere"}, (302, "", False, 0.0)),
    ],
)
async def test_a_refusal_says_why_and_whether_to_ask_again(
    code: int, body: str, headers: dict[str, str], expected: tuple[Any, ...]
) -> None:
    async with answering(code, body, **headers) as (url, _):
        with pytest.raises(RequestError) as refused:
            await history(url)
    why = refused.value.disconnect
    assert (why.code, why.reason, why.reconnect, why.retry_after_s) == expected


async def test_an_answer_that_is_no_json_and_no_answer_at_all_may_pass() -> None:
    async with answering(200, "<html>") as (url, _):
        with pytest.raises(RequestError, match="no answer"):
            await events(url)
    with pytest.raises(RequestError, match="no answer") as refused:
        await events(url)
    assert refused.value.disconnect.reconnect


async def test_a_token_that_cannot_be_had_is_named() -> None:
    def token() -> str:
        raise LookupError("no login")

    with pytest.raises(RequestError, match="no token: no login"):
        await events("ws://localhost:1/ws/stream", token)


async def test_what_cannot_be_asked_for_is_an_error_at_once() -> None:
    with pytest.raises(ValueError, match="is not the address of a stream"):
        await events("http://localhost/ws/stream")
    with pytest.raises(ValueError, match="has no time zone"):
        await history("ws://localhost:1/ws/stream", from_=datetime(2026, 1, 1))  # noqa: DTZ001


async def test_the_real_gateway_answers_with_points_and_events(
    make_gateway: LaunchGateway, publisher: Publisher
) -> None:
    gateway = make_gateway(GATEWAY_HISTORY="on").start()
    url, at = gateway.url(), 1_700_000_000_000
    for number, signal in enumerate(["NEUTRAL", "BREAK", "REJECT"]):
        level = {"id": "VWAP", "price": 687.25, "signal": signal}
        await publisher.levels(at + number * 1000, spy={"spot": 690 + number}, levels=[level])

    async def is_read() -> bool:
        try:
            return (await history(url, from_=at, to=at + 3000, step=1))["spy"]["close"][2] == 692
        except RequestError:
            return False

    async with asyncio.timeout(LIMIT_S):
        while not await is_read():
            await asyncio.sleep(0.01)
    day = await history(url, from_=at, to=at + 3000, step=1)
    assert (day["from_ms"], day["step_ms"], day["count"], day["spy"]["open"]) == (at, 1000, 3, [690, 691, 692])
    (vwap,) = day["levels"]
    assert [day["signals"][place or 0] for place in vwap["signal"]] == ["NO_TRADE", "BREAK", "BOUNCE"]
    told = await events(url, kinds=["signal"])
    assert [(each["before"], each["after"]) for each in told["events"]] == [("NO_TRADE", "BREAK"), ("BREAK", "BOUNCE")]
    later, again = await asyncio.gather(events(url, since=told["cursor"]), events(url, kinds=["signal"]))
    assert (later["events"], later["complete"], again["events"]) == ([], True, told["events"])
