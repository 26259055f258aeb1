"""Requests that no browser sends: each gets its answer or its end, nobody else notices, and nothing is logged."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from src.demo.nats_server import HOST
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import Publisher, fresh
from tests.end_to_end.sockets import PING, TEXT, client_frame
from tests.end_to_end.viewer import Viewer
from tests.waiting import LIMIT_S, until

KEY = b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
UPGRADE = (
    b"GET /ws/stream HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
) + KEY
END = b"\r\n"
GET_HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(autouse=True)
async def a_healthy_viewer_beside_it(
    shared_gateway: GatewayProcess, shared_publisher: Publisher
) -> AsyncIterator[None]:
    """Is there through every test of this file, and is sent the next message after it; the log stays as it was."""
    logged = shared_gateway.stderr
    async with Viewer(shared_gateway) as viewer:
        await viewer.ping()
        yield
        await shared_publisher.levels(number := fresh())
        await viewer.until_newest(levels=number)
        await until(lambda: shared_gateway.health()["connections"] == 1, "nobody else is left")
    assert shared_gateway.stderr == logged


async def answer_to(gateway: GatewayProcess, request: bytes) -> bytes:
    """All that the gateway says to `request`, until it closes."""
    reader, writer = await asyncio.open_connection(HOST, gateway.port)
    try:
        writer.write(request)
        async with asyncio.timeout(LIMIT_S):
            return await reader.read()
    finally:
        writer.close()


REFUSED = {
    "HTTP/1.0": (UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0") + END, 400),
    "a body": (UPGRADE + b"Content-Length: 5\r\n\r\nhello", 400),
    "a chunked body": (UPGRADE + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 400),
    "a chunked body whose trailer takes the upgrade back": (
        UPGRADE + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nConnection: close\r\n\r\n",
        400,
    ),
    "a chunked body and a length": (UPGRADE + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
    "behind a request": (GET_HEALTH + UPGRADE + END, 400),
    "behind several requests": (4 * GET_HEALTH + UPGRADE + END, 400),
    "another method": (UPGRADE.replace(b"GET", b"PUT") + END, 405),
    "two keys": (UPGRADE + KEY + END, 400),
    "two versions": (UPGRADE + b"Sec-WebSocket-Version: 8\r\n\r\n", 400),
    "no key": (UPGRADE.removesuffix(KEY) + END, 400),
    "a key that is no ASCII": (UPGRADE.replace(b"AAAA==", b"\xff\xfe==") + END, 400),
    "extensions that are none": (UPGRADE + b"Sec-WebSocket-Extensions: ;;=\r\n\r\n", 400),
    "an upgrade to HTTP/2, too": (UPGRADE + b"Upgrade: h2c\r\n\r\n", 426),
    "no connection": (UPGRADE + b"Connection: close\r\n\r\n", 426),
    "a path of 9,000 bytes": (UPGRADE.replace(b"/ws/stream", b"/ws/stream?" + b"x" * 9000) + END, 414),
    "a header of 1 MB": (UPGRADE + b"X-Long: " + b"x" * 1_000_000 + b"\r\n\r\n", 431),
    "5,000 headers": (UPGRADE + b"".join(b"X-%d: y\r\n" % n for n in range(5000)) + END, 431),
    "a path that is no ASCII": (UPGRADE.replace(b"/ws/stream", b"/\xff\xfe") + END, 400),
    "a header folded": (UPGRADE + b"X-Folded: a\r\n b\r\n\r\n", 400),
    "a null": (UPGRADE + b"X-Null: \x00\r\n\r\n", 400),
    "lines that end with LF": (UPGRADE.replace(b"\r\n", b"\n") + b"\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "CONNECT": (b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a length below 0": (b"POST /snapshot HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
    "a body of two lengths": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_request_that_is_none_is_refused(shared_gateway: GatewayProcess, name: str) -> None:
    request, status = REFUSED[name]
    answer = await answer_to(shared_gateway, request)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.count(b"HTTP/1.1 ") == 1, "and nothing follows"


async def test_the_connection_of_an_upgrade_to_something_else_ends_with_the_answer(
    shared_gateway: GatewayProcess,
) -> None:
    request = GET_HEALTH.replace(b"Host: x", b"Host: x\r\nConnection: Upgrade\r\nUpgrade: h2c")
    answer = await answer_to(shared_gateway, request + GET_HEALTH)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    ("header", "status"),
    [(b"", 101), (b"Content-Length: 0\r\n", 101), (b"Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b\r\n", 101)],
)
async def test_frames_in_one_packet_with_the_upgrade_count(
    shared_gateway: GatewayProcess, header: bytes, status: int
) -> None:
    close_frame = client_frame(0x88, (1000).to_bytes(2))
    answer = await answer_to(shared_gateway, UPGRADE + header + END + client_frame(PING, b"early") + close_frame)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    pong, closing = b"\x8a\x05early", b"\x88\x02" + (1000).to_bytes(2)
    assert pong in answer
    assert answer.endswith(closing)


async def test_an_upgrade_may_follow_an_answered_request(shared_gateway: GatewayProcess) -> None:
    reader, writer = await asyncio.open_connection(HOST, shared_gateway.port)
    async with asyncio.timeout(LIMIT_S):
        writer.write(GET_HEALTH)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        await reader.readexactly(int(length.partition(b":")[2]))
        writer.write(UPGRADE + END + client_frame(PING, b"here"))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        await reader.readuntil(b"\x8a\x04here")
    writer.close()


async def test_an_http_request_behind_the_upgrade_is_a_frame_that_is_none(shared_gateway: GatewayProcess) -> None:
    answer = await answer_to(shared_gateway, UPGRADE + END + GET_HEALTH)
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    close_frame = answer.rpartition(b"\x88")[2]
    assert int.from_bytes(close_frame[1:3]) == 1002


async def test_an_upgrade_in_single_bytes_is_an_upgrade(shared_gateway: GatewayProcess) -> None:
    reader, writer = await asyncio.open_connection(HOST, shared_gateway.port)
    for byte in UPGRADE + END + client_frame(TEXT, b"slow") + client_frame(PING, b"slow"):
        writer.write(bytes((byte,)))
        await asyncio.sleep(0)
    async with asyncio.timeout(LIMIT_S):
        assert b"HTTP/1.1 101 " in await reader.readuntil(b"\x8a\x04slow")
    writer.close()


@pytest.mark.parametrize("path", ["/health/", "/ready/", "/snapshot/", "/docs/"])
async def test_no_redirect_goes_to_a_host_that_the_request_names(shared_gateway: GatewayProcess, path: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n".encode()
    answer = await answer_to(shared_gateway, request)
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"evil.example" not in answer
