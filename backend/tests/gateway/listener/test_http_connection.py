"""HttpConnection on real sockets, with a clock that stands still until a test moves it."""

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from src.gateway.delivery.hub import Hub
from src.gateway.delivery.stream_peer import PeerLimits, peer_factory
from src.gateway.listener.handshake_timeouts import HandshakeLimits, HandshakeTimeouts
from src.gateway.listener.http_connection import LINGER_S, MOST_HEADERS, MOST_WAITING, STOP_LIMIT_S, HttpConnection
from tests.waiting import LIMIT_S, until

GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
END = b"\r\n"
UPGRADE = (
    b"GET /ws/stream HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
LIMITS = HandshakeLimits(handshake_timeout_s=10.0, response_timeout_s=60.0, max_head_bytes=16384)
LARGE = 30_000_000  # bytes: no kernel buffer takes it at once
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Served:
    """Connections to an application that answers `body` when it may."""

    port: int = 0
    now_s: float = 0.0
    body: bytes = b"hello"
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    asked: int = 0
    hub: Hub = field(default_factory=Hub)
    refused: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.may_answer.set()
        self.timeouts = HandshakeTimeouts(LIMITS, self.refused, lambda: self.now_s)
        self.state = ServerState()
        self._config = uvicorn.Config(
            self._application,
            interface="asgi3",
            ws=peer_factory(self.hub, PeerLimits()),  # type: ignore[arg-type]
            lifespan="off",
            log_config=None,
        )

    def connection(self) -> HttpConnection:
        return HttpConnection(self.timeouts, config=self._config, server_state=self.state, app_state={})

    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds
        self.timeouts.sweep()

    async def _application(self, _scope: Any, _receive: Any, send: Any) -> None:
        self.asked += 1
        await self.may_answer.wait()
        length = str(len(self.body)).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        half = len(self.body) // 2
        await send({"type": "http.response.body", "body": self.body[:half], "more_body": True})
        await send({"type": "http.response.body", "body": self.body[half:]})


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    served = Served()
    server = await asyncio.get_running_loop().create_server(served.connection, "127.0.0.1", 0)
    served.port = server.sockets[0].getsockname()[1]
    yield served
    server.close()
    for connection in list(served.state.connections):
        connection.transport.abort()
    for peer in tuple(served.hub.peers):
        peer.check(float("inf"))
    await until(lambda: not served.state.connections, "all connections end")


@contextlib.asynccontextmanager
async def connected(served: Served, *pieces: bytes) -> AsyncIterator[Streams]:
    """A connection that has sent these."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    for piece in pieces:
        writer.write(piece)
    await until(lambda: served.state.connections or served.hub.peers, "it is accepted")
    try:
        async with asyncio.timeout(LIMIT_S):
            yield reader, writer
    finally:
        writer.close()


async def answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
    return await reader.readexactly(int(length.partition(b":")[2]))


# -- what has to arrive in time ----------------------------------------------------------------------------------------


async def test_a_silent_client_is_dropped(served: Served) -> None:
    async with connected(served) as (reader, _):
        served.pass_time(9.9)
        assert not served.refused
        served.pass_time(0.2)
        assert await reader.read() == b""
    assert served.refused == {"silent": 1}


async def test_a_client_that_sends_a_byte_at_a_time_is_answered_with_408(served: Served) -> None:
    async with connected(served) as (reader, writer):
        (connection,) = served.state.connections
        assert isinstance(connection, HttpConnection)
        for byte in GET[:9]:
            served.pass_time(1.0)
            before = connection._head_bytes
            writer.write(bytes((byte,)))
            await until(lambda: connection._head_bytes > before, "it has arrived")  # noqa: B023 - called at once
        served.pass_time(1.0)
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
    assert served.refused == {"too_slow": 1}


async def test_a_client_that_sends_line_ends_alone_is_dropped_too(served: Served) -> None:
    async with connected(served, END) as (_, writer):
        for _ in range(9):
            writer.write(END)
            await asyncio.sleep(0)
            served.pass_time(1.0)
        assert served.state.connections
        served.pass_time(1.0)
        await until(lambda: not served.state.connections, "dropped")
    assert served.refused == {"silent": 1}


async def test_a_connection_that_asks_for_no_more_is_closed_without_a_word(served: Served) -> None:
    async with connected(served, GET + END) as (reader, writer):
        assert await answer(reader) == b"hello"
        served.pass_time(9.0)
        writer.write(GET + END)
        assert await answer(reader) == b"hello"
        served.pass_time(9.0)
        writer.write(GET + END)
        assert await answer(reader) == b"hello"
        served.pass_time(11.0)
        assert await reader.read() == b""
    assert not served.refused


async def test_a_slow_second_request_is_as_slow_as_a_first(served: Served) -> None:
    async with connected(served, GET + END) as (reader, writer):
        assert await answer(reader) == b"hello"
        served.pass_time(9.0)
        (connection,) = served.state.connections
        assert isinstance(connection, HttpConnection)
        writer.write(GET)
        await until(lambda: connection._in_head, "half of the second has arrived")
        served.pass_time(2.0)
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
    assert served.refused == {"too_slow": 1}


async def test_no_client_is_dropped_while_the_gateway_itself_is_slow(served: Served) -> None:
    served.may_answer.clear()
    async with connected(served, GET + END) as (reader, _):
        await until(lambda: served.asked, "the request has arrived")
        for _ in range(5):
            served.pass_time(11.0)
        served.may_answer.set()
        assert await answer(reader) == b"hello"
    assert not served.refused


async def test_a_viewer_has_no_handshake_timeout(served: Served) -> None:
    async with connected(served, UPGRADE) as (reader, _):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        served.pass_time(1000.0)
        served.hub.publish(b"{}")
        assert await reader.readexactly(4) == b"\x81\x02{}"
    assert not served.refused


async def reading_little(served: Served, request: bytes, buffer_bytes: int = 4096) -> socket.socket:
    little = socket.socket()
    little.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    little.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(little, ("127.0.0.1", served.port))
    await loop.sock_sendall(little, request)
    await until(lambda: served.asked, "asked")
    return little


@pytest.mark.parametrize("requests", [1, 5])
async def test_a_client_that_reads_nothing_of_its_response_is_dropped(served: Served, requests: int) -> None:
    served.body = bytes(LARGE)
    with await reading_little(served, requests * (GET + END)):
        (connection,) = served.state.connections
        await until(lambda: connection.transport.get_write_buffer_size(), "the answer waits")
        served.pass_time(11.0)
        served.pass_time(11.0)
        await until(lambda: not served.state.connections, "dropped")
    assert served.refused == {"untaken": 1}


async def test_a_client_that_reads_its_response_slowly_gets_all_of_it(served: Served) -> None:
    served.body = bytes(LARGE)
    loop = asyncio.get_running_loop()
    with await reading_little(served, GET + END, buffer_bytes=1 << 17) as little:
        (connection,) = served.state.connections
        received, sweeps = 0, 0
        while received < LARGE:
            before = connection.transport.get_write_buffer_size()
            piece = await loop.sock_recv(little, 1 << 20)
            assert piece, served.refused
            received += len(piece)
            if connection.transport.get_write_buffer_size() < before and sweeps < 5:
                served.pass_time(11.0)
                sweeps += 1
        assert sweeps == 5
    assert not served.refused


async def test_a_client_that_takes_too_long_to_read_its_response_is_dropped(served: Served) -> None:
    served.body = bytes(LARGE)
    loop = asyncio.get_running_loop()
    with await reading_little(served, GET + END, buffer_bytes=1 << 17) as little:
        (connection,) = served.state.connections
        await until(lambda: connection.transport.get_write_buffer_size(), "the answer waits")
        kernel = connection.transport.get_extra_info("socket")
        kernel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)  # small: it takes little at a time
        passed_s = 0.0
        while not served.refused:
            before = connection.transport.get_write_buffer_size()
            while connection.transport.get_write_buffer_size() == before:
                assert await loop.sock_recv(little, 1 << 16)
            served.pass_time(11.0)
            passed_s += 11.0
        await until(lambda: not served.state.connections, "dropped")
    assert (served.refused, passed_s) == ({"slow_reader": 1}, 66.0)


async def test_a_response_that_is_not_read_does_not_hold_up_a_stop(served: Served) -> None:
    served.body = bytes(LARGE)
    with await reading_little(served, GET + END):
        (connection,) = served.state.connections
        assert isinstance(connection, HttpConnection)
        await until(lambda: connection.transport.get_write_buffer_size(), "the answer waits")
        connection.shutdown()
        served.pass_time(STOP_LIMIT_S)
        await until(lambda: not served.state.connections, "cut off")
    assert not served.refused


# -- what is too much --------------------------------------------------------------------------------------------------

TOO_MUCH = {
    "a large header": (GET + b"X: " + bytes(8180).replace(b"\0", b"x") + END + END, None),
    "a header over 8 KB": (GET + b"X: " + b"x" * 8190 + END + END, 431),
    "large headers": (GET + b"X: %b\r\n" % (b"x" * 8000) * 3 + END, 431),
    "headers without an end": (GET + b"X: y\r\n" * 5000, 431),
    "one header without an end": (GET + b"X: " + b"x" * 100_000, 431),
    "many headers": (GET + b"X: y\r\n" * (MOST_HEADERS - 1) + END, None),
    "too many headers": (GET + b"X: y\r\n" * MOST_HEADERS + END, 431),
    "a long address": (GET.replace(b"/ ", b"/" + b"x" * 8000 + b" ") + END, None),
    "an address over 8 KB": (GET.replace(b"/ ", b"/" + b"x" * 9000 + b" ") + END, 414),
    "an address without an end": (b"GET /" + b"x" * 100_000, 414),
    "a body": (GET + b"Content-Length: 5\r\n\r\nhello", 413),
    "a body that never comes": (GET + b"Content-Length: 5000000000\r\n\r\n", 413),
    "a body that is waited for": (GET + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n", 413),
    "a chunked body": (GET + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 413),
    "no body": (GET + b"Content-Length: 0\r\n\r\n", None),
    "many requests at once": ((GET + END) * (MOST_WAITING + 1), None),
    "too many requests at once": ((GET + END) * (MOST_WAITING + 2), 429),
}


@pytest.mark.parametrize("name", TOO_MUCH)
async def test_what_is_too_much_is_refused_and_nothing_else(served: Served, name: str) -> None:
    request, status = TOO_MUCH[name]
    async with connected(served, request) as (reader, _):
        if status is None:
            assert await answer(reader) == b"hello"
            assert not served.refused
        else:
            whole = await reader.read()
            assert whole.startswith(b"HTTP/1.1 %d " % status)
            assert whole.count(b"HTTP/1.1 ") == 1, "and nothing follows"
            assert served.refused.total() == 1


async def test_a_client_that_goes_on_sending_can_read_its_refusal_and_is_then_aborted(served: Served) -> None:
    async with connected(served, GET + b"Content-Length: 100000000\r\n\r\n") as (reader, writer):
        for _ in range(100):
            writer.write(bytes(100_000))
            await writer.drain()
        assert (await reader.read()).startswith(b"HTTP/1.1 413 ")
        assert served.state.connections, "it is still listened to"
        served.pass_time(LINGER_S)
        await until(lambda: not served.state.connections, "cut off")
    assert served.refused == {"with_body": 1}


async def test_a_half_said_answer_is_not_followed_by_a_refusal(served: Served) -> None:
    served.body = bytes(LARGE)
    with await reading_little(served, (GET + END) * 2) as little:
        (connection,) = served.state.connections
        await until(lambda: connection.transport.get_write_buffer_size(), "half of the first answer waits")
        received = b""
        assert isinstance(connection, HttpConnection)
        connection.data_received(b"this is no HTTP\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while piece := await asyncio.get_running_loop().sock_recv(little, 1 << 20):
                received += piece
    assert received.count(b"HTTP/1.1 ") == 1
    assert len(received) < LARGE
