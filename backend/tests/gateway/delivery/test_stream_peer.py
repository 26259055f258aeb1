"""StreamPeer on real sockets, with the standard client of the websockets library and with raw bytes."""

import asyncio
import contextlib
import gc
import re
import socket
import weakref
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from src.gateway.admission.admission_control import AdmissionControl
from src.gateway.admission.client_request import ClientRequest
from src.gateway.close_codes import GOING_AWAY, NOT_RESPONDING, STALLED, TOO_MANY_MESSAGES
from src.gateway.delivery import viewer_protocol
from src.gateway.delivery.channel import Channel
from src.gateway.delivery.hub import Hub
from src.gateway.delivery.pong_clock import LATE_S, QUICK_IN_A_ROW, UNANSWERED_S
from src.gateway.delivery.stream_peer import MAX_CHANGES, Channels, PeerLimits, StreamPeer
from tests.end_to_end.sockets import PONG, TEXT, client_frame
from tests.waiting import until

HANDSHAKE = (
    b"GET /ws/stream HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
)
AGREED = "permessage-deflate; client_no_context_takeover"
DECLINED = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
FIRST_PING = b"\x89\x04\x00\x00\x00\x01"
PLAIN, DEFLATED = b"\x81", b"\xc1"  # first byte of a text frame


@dataclass
class Served:
    """A hub behind a listening port, with a clock that stands still until a test moves it."""

    hub: Hub
    port: int
    now_s: float = 0.0

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/stream"

    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds
        for peer in tuple(self.hub.peers):
            peer.check(self.now_s)


Serve = Callable[..., Any]
RawViewer = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    async with contextlib.AsyncExitStack() as stack:

        async def start(
            limits: PeerLimits = PeerLimits(),  # noqa: B008 - frozen
            admission_control: AdmissionControl | None = None,
            channels: Channels | None = None,
        ) -> Served:
            served = Served(Hub(), 0)
            server = await asyncio.get_running_loop().create_server(
                lambda: StreamPeer(served.hub, limits, lambda: served.now_s, admission_control, channels),
                "127.0.0.1",
                0,
            )
            served.port = server.sockets[0].getsockname()[1]
            stack.callback(server.close)
            stack.push_async_callback(served.hub.close, GOING_AWAY, 5.0)
            return served

        yield start


@contextlib.asynccontextmanager
async def raw_viewer(port: int, request: bytes = HANDSHAKE + b"\r\n") -> AsyncIterator[RawViewer]:
    """A connection that has sent its request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def closed_with(viewer: ClientConnection) -> tuple[int | None, str]:
    with contextlib.suppress(ConnectionClosed):
        async for _frame in viewer:
            pass
    return viewer.close_code, viewer.close_reason or ""


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_frames_reach_a_standard_client_in_order(serve: Serve, compression: str | None) -> None:
    served = await serve()
    served.hub.publish(b'{"n":0}')
    await asyncio.sleep(0)
    async with connect(served.url, compression=compression) as viewer:
        assert await viewer.recv() == '{"n":0}'
        for n in range(1, 200):
            served.hub.publish(b'{"n":%d,"pad":"%s"}' % (n, b"x" * n * 20))
            await asyncio.sleep(0)
            assert str(await viewer.recv()).startswith(f'{{"n":{n},')
        assert bool(viewer.protocol.extensions) is (compression is not None)


@pytest.mark.parametrize(
    ("offer", "answer", "first_byte"),
    [
        ("permessage-deflate", AGREED, DEFLATED),
        ("permessage-deflate; client_max_window_bits", AGREED, DEFLATED),
        ("permessage-deflate; client_no_context_takeover", AGREED, DEFLATED),
        ("permessage-deflate; server_max_window_bits=15", AGREED + "; server_max_window_bits=15", DEFLATED),
        ("permessage-deflate; server_no_context_takeover", DECLINED, DEFLATED),
        ("permessage-deflate; server_max_window_bits=10", DECLINED + "; server_max_window_bits=10", PLAIN),
        (
            "permessage-deflate; server_max_window_bits=10, permessage-deflate",
            DECLINED + "; server_max_window_bits=10",
            PLAIN,
        ),
        ("permessage-deflate; unknown=1", None, PLAIN),
        ("permessage-deflate; server_max_window_bits=16", None, PLAIN),
        ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", None, PLAIN),
        ("permessage-deflate; unknown, permessage-deflate; client_no_context_takeover", AGREED, DEFLATED),
        ("x-webkit-deflate-frame", None, PLAIN),
    ],
)
async def test_deflate_is_negotiated_and_the_shared_frame_sent_where_it_can_be_inflated(
    serve: Serve, offer: str, answer: str | None, first_byte: bytes
) -> None:
    served = await serve()
    served.hub.publish(b'{"n":0}')
    await asyncio.sleep(0)
    offering = HANDSHAKE + b"Sec-WebSocket-Extensions: " + offer.encode() + b"\r\n\r\n"
    async with raw_viewer(served.port, offering) as (reader, _):
        response = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert response.startswith("HTTP/1.1 101")
        answers = [line.partition(": ")[2] for line in response.split("\r\n") if line.startswith("Sec-WebSocket-Ext")]
        assert answers == ([answer] if answer else [])
        assert await reader.readexactly(1) == first_byte


async def send_with_context(writer: asyncio.StreamWriter) -> None:
    """Three compressed messages, of which the later ones refer to the first, as RFC 7692 forbids here."""
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    for _ in range(3):
        body = deflate.compress(b'{"words":"the same words again"}') + deflate.flush(zlib.Z_SYNC_FLUSH)
        writer.write(client_frame(0xC1, body[:-4]))
    writer.write(client_frame(0x89, b"hi"))
    await writer.drain()


@pytest.mark.parametrize(("inflaters", "answer"), [(1, b"\x8a\x02hi"), (0, b"\x88\x16\x03\xea")])
async def test_a_viewer_that_keeps_its_context_is_read_while_there_is_an_inflater_for_it(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, inflaters: int, answer: bytes
) -> None:
    gc.collect()  # viewers of earlier tests have theirs
    monkeypatch.setattr(viewer_protocol, "MAX_INFLATERS", inflaters)
    served = await serve()
    async with raw_viewer(served.port, HANDSHAKE + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n") as (
        reader,
        writer,
    ):
        await reader.readuntil(b"\r\n\r\n")
        await send_with_context(writer)
        assert await reader.readexactly(len(answer)) == answer


async def test_a_small_window_offer_of_a_client_gets_plain_frames(serve: Serve) -> None:
    served = await serve()
    served.hub.publish(b'{"n":0}')
    await asyncio.sleep(0)
    offer = ClientPerMessageDeflateFactory(server_max_window_bits=9)
    async with connect(served.url, compression=None, extensions=[offer]) as viewer:
        assert await viewer.recv() == '{"n":0}'
        assert viewer.protocol.extensions, "agreed, and not used by the gateway"


async def test_another_path_is_answered_with_404_in_json(serve: Serve) -> None:
    served = await serve()
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"ws://127.0.0.1:{served.port}/elsewhere")
    response = refused.value.response
    assert (response.status_code, response.headers["Content-Type"]) == (404, "application/json")
    assert response.body == b'{"detail":"no stream here; connect to /ws/stream"}'


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (HANDSHAKE.replace(b"Version: 13", b"Version: 12") + b"\r\n", b"400"),
        (HANDSHAKE.replace(b"AAAAAAAAAAAAAAAAAAAAAA==", b"short") + b"\r\n", b"400"),
        (HANDSHAKE.replace(b"GET", b"POST") + b"\r\n", b"405"),
    ],
)
async def test_a_bad_handshake_is_refused_and_joins_nothing(serve: Serve, request_bytes: bytes, status: bytes) -> None:
    served = await serve()
    async with raw_viewer(served.port, request_bytes) as (reader, _):
        assert (await reader.read()).startswith(b"HTTP/1.1 " + status)
        assert not served.hub.peers


async def test_what_a_viewer_sends_is_dropped_and_its_pings_are_answered(serve: Serve) -> None:
    served = await serve()
    async with connect(served.url) as viewer:
        await viewer.send("hello " * 100)
        await viewer.send(b"\x00\x01")
        await (await viewer.ping(b"are you there"))


@pytest.mark.parametrize(
    ("incoming", "code"),
    [
        (b"\x81\x02hi", 1002),  # not masked
        (b"\x83\x80\x00\x00\x00\x00", 1002),  # reserved opcode
        (b"\x81\x81\x00\x00\x00\x00\xff", 1007),  # not UTF-8
        (b"\x01\x81\x00\x00\x00\x00\xc3\x80\x80\x00\x00\x00\x00", 1007),  # a character begun and not ended
        (b"\x82\xfe\x20\x00\x00\x00\x00\x00", 1009),  # 8 KiB announced, 4 KiB allowed
        (b"\xc1\x80\x00\x00\x00\x00", 1002),  # compressed, though not agreed
    ],
)
async def test_a_viewer_that_breaks_the_protocol_is_closed_alone(serve: Serve, incoming: bytes, code: int) -> None:
    served = await serve()
    async with connect(served.url) as other:
        await until(lambda: len(served.hub.peers) == 1, "the other joined")
        async with raw_viewer(served.port) as (reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(incoming)
            closing = await reader.read()
            assert (closing[0], int.from_bytes(closing[2:4])) == (0x88, code)
        await until(lambda: len(served.hub.peers) == 1, "only that one left")
        served.hub.publish(b"{}")
        assert await other.recv() == "{}"


async def test_a_viewer_has_its_rate_in_each_second_whatever_it_sends(serve: Serve) -> None:
    served = await serve(PeerLimits(max_incoming_rate=4))
    async with connect(served.url) as viewer:
        for _ in range(3):
            await viewer.send("a message")
            await (await viewer.ping())
            served.pass_time(0.5)
        await viewer.send("the third of this second")
        await (await viewer.ping())
        await viewer.send("the fifth")
        await until(lambda: served.hub.closed, "too many")
        served.pass_time(2.0)  # what it says after a flood is not read, nor is its close frame
        assert await closed_with(viewer) == (1008, TOO_MANY_MESSAGES.reason)
    assert served.hub.closed == {1008: 1}


async def test_a_viewer_that_leaves_is_forgotten(serve: Serve) -> None:
    served = await serve()
    async with connect(served.url):
        await until(lambda: len(served.hub.peers) == 1, "joined")
    await until(lambda: not served.hub.peers, "left")
    async with raw_viewer(served.port) as (reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()
        await until(lambda: not served.hub.peers, "cut off")


async def test_the_close_frame_has_its_code_and_reason(serve: Serve) -> None:
    served = await serve()
    async with connect(served.url) as viewer:
        await until(lambda: served.hub.peers, "joined")
        for peer in tuple(served.hub.peers):
            peer.close(GOING_AWAY)
            peer.close(GOING_AWAY)
        assert await closed_with(viewer) == (1001, GOING_AWAY.reason)
    await until(lambda: not served.hub.peers, "gone")
    assert served.hub.closed == {1001: 1}


# -- viewers that do not read ------------------------------------------------------------------------------------------


async def deaf_viewer(port: int) -> socket.socket:
    """A viewer with a small receive buffer that reads nothing after the handshake."""
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(deaf, ("127.0.0.1", port))
    await loop.sock_sendall(deaf, HANDSHAKE + b"\r\n")
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += await loop.sock_recv(deaf, 1)
    return deaf


async def until_blocked(served: Served) -> StreamPeer:
    """Publish until the deaf viewer's buffers are full. It answers no ping, so frames do not wait for its pongs."""
    await until(lambda: served.hub.peers, "joined")
    (peer,) = served.hub.peers
    assert isinstance(peer, StreamPeer)
    served.hub.publish(b"{}")
    await until(lambda: not peer._outbox.ready, "its first frame")
    served.pass_time(UNANSWERED_S)
    n = 0
    while peer._outbox.ready:
        n += 1
        served.hub.publish(b'{"n":%d,"pad":"%s"}' % (n, b"x" * 100_000))
        await asyncio.sleep(0.001)
    return peer


async def test_a_slow_viewer_skips_to_the_newest_frame(serve: Serve) -> None:
    served = await serve()
    deaf = await deaf_viewer(served.port)
    await until_blocked(served)
    assert (served.hub.behind, served.hub.skipped) == (1, 0)
    for n in range(1000, 1100):
        served.hub.publish(b'{"n":%d}' % n)
        await asyncio.sleep(0)
    loop, received = asyncio.get_running_loop(), b""
    while not received.endswith(b'{"n":1099}'):
        received += await loop.sock_recv(deaf, 1 << 20)
    assert len(re.findall(rb'{"n":10\d\d}', received)) == 1
    assert (served.hub.behind, served.hub.skipped) == (0, 99)
    deaf.close()


async def test_a_viewer_that_takes_nothing_is_closed_as_stalled(serve: Serve) -> None:
    served = await serve(PeerLimits(stall_limit_s=30.0))
    deaf = await deaf_viewer(served.port)
    await until_blocked(served)
    served.pass_time(29.0)
    assert not served.hub.closed
    served.pass_time(2.0)
    assert served.hub.closed == {STALLED.code: 1}
    served.pass_time(2.0)
    await until(lambda: not served.hub.peers, "cut off, since it does not answer the close frame either")
    deaf.close()


async def test_a_viewer_that_does_not_answer_a_ping_is_closed(serve: Serve) -> None:
    served = await serve(PeerLimits(ping_interval_s=20.0, pong_timeout_s=10.0))
    deaf = await deaf_viewer(served.port)
    await until(lambda: served.hub.peers, "joined")
    served.pass_time(20.0)
    assert not served.hub.closed
    served.pass_time(11.0)
    assert served.hub.closed == {NOT_RESPONDING.code: 1}
    served.pass_time(2.0)
    await until(lambda: not served.hub.peers, "cut off")
    deaf.close()


async def test_a_viewer_that_answers_pings_stays(serve: Serve) -> None:
    served = await serve(PeerLimits(ping_interval_s=20.0, pong_timeout_s=10.0))
    async with connect(served.url):
        await until(lambda: served.hub.peers, "joined")
        (peer,) = served.hub.peers
        assert isinstance(peer, StreamPeer)
        for _ in range(3):
            served.pass_time(20.0)
            await until(lambda: not peer.pongs.waits, "the pong")
        assert not served.hub.closed


# -- pongs -------------------------------------------------------------------------------------------------------------


async def test_a_new_viewer_gets_the_next_frame_when_its_pong_says_that_the_one_before_has_arrived(
    serve: Serve,
) -> None:
    served = await serve()
    served.hub.publish(b"1")
    async with raw_viewer(served.port) as (reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(3 + len(FIRST_PING)) == b"\x81\x011" + FIRST_PING
        for n in range(2, 6):
            served.hub.publish(b"%d" % n)
            await served.hub.settle()
        writer.write(client_frame(PONG, FIRST_PING[-4:-1] + b"\x07"))  # of another ping
        writer.write(client_frame(PONG, FIRST_PING[-4:]))
        assert await reader.readexactly(3) == b"\x81\x015"
        assert served.hub.skipped == 3
        assert served.hub.counters.viewer_age.counts[0] == 1


@pytest.mark.parametrize("cut", [1, 5, 9])
async def test_a_pong_in_pieces_or_behind_other_frames_is_read_as_well(serve: Serve, cut: int) -> None:
    served = await serve()
    served.hub.publish(b"1")
    async with raw_viewer(served.port) as (reader, writer):
        await reader.readuntil(FIRST_PING)
        served.hub.publish(b"2")
        await served.hub.settle()
        said = client_frame(TEXT, b"hello") + client_frame(PONG, FIRST_PING[-4:])
        writer.write(said[:-cut])
        await asyncio.sleep(0.01)
        writer.write(said[-cut:])
        assert await reader.readexactly(3) == b"\x81\x012"


async def test_a_quick_viewer_gets_frames_without_a_ping_behind_each(serve: Serve) -> None:
    served = await serve()
    async with connect(served.url) as viewer:
        await until(lambda: served.hub.peers, "joined")
        (peer,) = served.hub.peers
        assert peer.pongs is not None
        for n in range(QUICK_IN_A_ROW):
            assert peer.pongs.one_at_a_time
            await until(lambda: served.hub.behind == 0, "the pong")
            served.hub.publish(b"%d" % n)
            assert await viewer.recv() == str(n)
        await until(lambda: served.hub.one_at_a_time == 0, "it was quick")
        for n in range(100):
            served.hub.publish(b"%d" % n)
            await asyncio.sleep(0)
        assert [await viewer.recv() for _ in range(100)] == [str(n) for n in range(100)]
        assert not peer.pongs.waits


def test_viewers_that_came_together_are_not_pinged_together() -> None:
    hub, limits = Hub(), PeerLimits()
    due_s: Counter[int] = Counter()
    for pongs in [StreamPeer(hub, limits).pongs for _ in range(200)]:
        for _ in range(QUICK_IN_A_ROW):
            pongs.ping(0.0)
            pongs.pong(0.0, 0.0)
        due_s[next(second for second in range(60) if pongs.is_due(second))] += 1
    assert min(due_s) > 2
    assert max(due_s) <= limits.ping_interval_s
    assert max(due_s.values()) < 100


async def test_a_viewer_whose_pong_is_overdue_takes_no_more_frames_before_it_comes(serve: Serve) -> None:
    served = await serve()
    served.hub.publish(b"1")
    async with raw_viewer(served.port) as (reader, writer):
        for number in range(1, QUICK_IN_A_ROW + 1):
            ping = b"\x89\x04" + number.to_bytes(4)
            await reader.readuntil(ping)
            served.hub.publish(b"%d" % number)
            writer.write(client_frame(PONG, ping[2:]))
        await until(lambda: served.hub.one_at_a_time == 0, "it was quick")
        served.pass_time(PeerLimits().ping_interval_s)
        ping = b"\x89\x04" + (QUICK_IN_A_ROW + 1).to_bytes(4)
        await reader.readuntil(ping)
        served.pass_time(LATE_S + 0.01)
        assert (served.hub.one_at_a_time, served.hub.behind) == (1, 1)
        assert served.hub.worst_age_s(served.now_s) == pytest.approx(LATE_S + 0.01)
        served.hub.publish(b"8")
        served.hub.publish(b"9")
        writer.write(client_frame(PONG, ping[2:]))
        assert await reader.readexactly(3) == b"\x81\x019"


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("parting", [b"", b"\x88\x80\x00\x00\x00\x00", b"no frame"])
async def test_a_viewer_that_left_is_gone_from_memory_without_the_collector(
    serve: Serve, no_collector: None, parting: bytes
) -> None:
    served = await serve()
    async with raw_viewer(served.port) as (reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        protocol = weakref.ref(cast(Any, next(iter(served.hub.peers)))._websocket)
        writer.write(parting)
    await until(lambda: not served.hub.peers, "the end of the connection")
    await until(lambda: protocol() is None, "the end of what it left in memory")


# -- admission ---------------------------------------------------------------------------------------------------------


class Unsure(AdmissionControl):
    """Lets everybody in, but only when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Callable[[], None]] = []

    def admit(self, request: ClientRequest, again: Callable[[], None]) -> None:
        self.waiting.append(again)


async def test_a_viewer_waits_for_admission_and_is_not_read_meanwhile(serve: Serve) -> None:
    admission_control = Unsure()
    served = await serve(admission_control=admission_control)
    served.hub.publish(b"{}")
    async with raw_viewer(served.port) as (reader, writer):
        await until(lambda: admission_control.waiting, "it has asked")
        writer.write(b"\x89\x80\x00\x00\x00\x00")
        assert not served.hub.peers
        admission_control.waiting.pop()()
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        assert await reader.readexactly(4) == b"\x81\x02{}"
        assert await reader.readexactly(6) == FIRST_PING
        assert await reader.readexactly(2) == b"\x8a\x00", "the ping that came early"


async def test_a_viewer_that_is_gone_when_it_is_admitted_is_not_counted(serve: Serve) -> None:
    admission_control = Unsure()
    served = await serve(admission_control=admission_control)
    async with raw_viewer(served.port) as (_, writer):
        await until(lambda: admission_control.waiting, "it has asked")
        writer.transport.abort()
    admission_control.waiting.pop()()
    await until(lambda: not served.hub.peers and admission_control._viewer_limits.viewers == 0, "it is forgotten")


async def test_a_bad_handshake_gives_its_place_back(serve: Serve) -> None:
    admission_control = AdmissionControl()
    served = await serve(admission_control=admission_control)
    async with raw_viewer(served.port, HANDSHAKE.replace(b"Version: 13", b"Version: 12") + b"\r\n") as (reader, _):
        assert b" 400 " in await reader.read()
    await until(lambda: admission_control._viewer_limits.viewers == 0, "the place is free")


# -- changes of shape --------------------------------------------------------------------------------------------------


class RememberingChannels:
    """Remembers what it is asked, and has one channel for each text."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def of_query(self, query: str) -> Channel:
        return Channel()

    def since(self, query: str, channel: Channel) -> int:
        return 0

    def of_message(self, text: bytes, _channel: Channel) -> Channel:
        self.asked.append(text.decode())
        channel = Channel()
        channel.publish(text)
        return channel


async def test_of_many_changes_in_a_second_the_newest_takes_effect(serve: Serve) -> None:
    channels = RememberingChannels()
    served = await serve(channels=channels)
    async with connect(served.url) as viewer:
        for number in range(3 * MAX_CHANGES):
            await viewer.send(str(number))
        await (await viewer.ping())
        assert channels.asked == [str(number) for number in range(MAX_CHANGES)]
        served.pass_time(1.0)
        assert channels.asked[MAX_CHANGES:] == [str(3 * MAX_CHANGES - 1)]
        async for frame in viewer:
            if frame == str(3 * MAX_CHANGES - 1):
                break
        await viewer.send("next")
        await (await viewer.ping())
        assert channels.asked[-1] == "next"
