"""TLS on the gateway's port: which files are taken, and a peer behind it on real sockets."""

import asyncio
import contextlib
import re
import socket
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from websockets.asyncio.client import connect

from src.gateway.close_codes import GOING_AWAY
from src.gateway.delivery.hub import Hub
from src.gateway.delivery.stream_peer import PeerLimits, StreamPeer
from src.gateway.listener.handshake_timeouts import HandshakeLimits, HandshakeTimeouts
from src.gateway.listener.tls import Certificate, TlsConnection
from src.gateway.settings import SettingError
from tests import certificates
from tests.certificates import Authority, private_pem
from tests.end_to_end.sockets import PONG, client_frame
from tests.waiting import LIMIT_S, until

HANDSHAKE = (
    b"GET /ws/stream HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def files(authority: Authority) -> certificates.Certificate:
    return authority.certificate("gateway")


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority.ca)


# -- the files ---------------------------------------------------------------------------------------------------------


def encrypt(files: certificates.Certificate) -> None:
    key: Any = load_pem_private_key(files.key.read_bytes(), None)
    files.key.write_bytes(private_pem(key, b"a passphrase"))


def swap_key(files: certificates.Certificate) -> None:
    folder = files.key.parent / "other"
    folder.mkdir()
    files.key.write_bytes(Authority(folder).certificate("other").key.read_bytes())


def make_folder_of_key(files: certificates.Certificate) -> None:
    files.key.unlink()
    files.key.mkdir()


WRONG: dict[str, tuple[Callable[[certificates.Certificate], object], str]] = {
    "no certificate": (lambda files: files.cert.unlink(), "GATEWAY_TLS_CERT names a file that does not exist"),
    "no key": (lambda files: files.key.unlink(), "GATEWAY_TLS_KEY names a file that does not exist"),
    "an empty key": (lambda files: files.key.write_text(""), "GATEWAY_TLS_KEY names a file that is empty"),
    "another key": (swap_key, "GATEWAY_TLS_KEY is not the key of GATEWAY_TLS_CERT"),
    "an encrypted key": (encrypt, "GATEWAY_TLS_KEY is encrypted"),
    "a certificate that is none": (lambda files: files.cert.write_text("x"), "GATEWAY_TLS_CERT is not a PEM file"),
    "a key that is none": (lambda files: files.key.write_text("x"), "GATEWAY_TLS_KEY is not a PEM file"),
    "the two confused": (
        lambda files: (files.cert.rename(files.cert.with_suffix(".x")), files.key.rename(files.cert)),
        "GATEWAY_TLS_KEY names a file that does not exist",
    ),
    "the key as certificate": (
        lambda files: files.cert.write_bytes(files.key.read_bytes()),
        "GATEWAY_TLS_CERT is not a PEM file with a certificate",
    ),
    "a folder": (make_folder_of_key, "GATEWAY_TLS_KEY names something that is not a file"),
}


@pytest.mark.parametrize("name", WRONG)
def test_files_that_cannot_be_used_are_told_and_what_was_read_before_stays(
    files: certificates.Certificate, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    spoil, said = WRONG[name]
    certificate = Certificate(str(files.cert), str(files.key))
    before = certificate.context
    spoil(files)
    with pytest.raises(SettingError, match=re.escape(said)):
        Certificate(str(files.cert), str(files.key))
    certificate.reread()
    assert certificate.context is before
    assert said in caplog.text


# -- on the socket -----------------------------------------------------------------------------------------------------


@dataclass
class Served:
    """A hub behind a port with TLS, with a clock that stands still until a test moves it."""

    context: ssl.SSLContext
    hub: Hub = field(default_factory=Hub)
    refused: Counter[str] = field(default_factory=Counter)
    now_s: float = 0.0
    port: int = 0

    def __post_init__(self) -> None:
        self.timeouts = HandshakeTimeouts(HandshakeLimits(), self.refused, lambda: self.now_s)
        self.connections: list[TlsConnection] = []

    def connection(self) -> TlsConnection:
        peer = StreamPeer(self.hub, PeerLimits(), lambda: self.now_s)
        self.connections.append(TlsConnection(self.timeouts, self.context, peer))
        return self.connections[-1]


@pytest.fixture
async def served(files: certificates.Certificate) -> AsyncIterator[Served]:
    served = Served(Certificate(str(files.cert), str(files.key)).context)
    server = await asyncio.get_running_loop().create_server(served.connection, "127.0.0.1", 0)
    served.port = server.sockets[0].getsockname()[1]
    yield served
    server.close()
    await served.hub.close(GOING_AWAY, 5.0)
    for connection in served.connections:
        connection.abort()
    await asyncio.sleep(0)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("compression", ["deflate", None])
async def test_frames_of_any_size_reach_a_standard_client_in_order(
    served: Served, authority: Authority, version: ssl.TLSVersion, compression: str | None
) -> None:
    context = trusting(authority)
    context.minimum_version = context.maximum_version = version
    url = f"wss://127.0.0.1:{served.port}/ws/stream"
    async with connect(url, ssl=context, compression=compression, max_size=None) as viewer:
        for n in range(100):
            served.hub.publish(b'{"n":%d,"pad":"%s"}' % (n, b"x" * n * n * 50))
            assert str(await viewer.recv()).startswith(f'{{"n":{n},')
        await viewer.send("x" * 4000)
        await (await viewer.ping())


async def test_versions_below_1_2_are_refused(served: Served, authority: Authority) -> None:
    context = trusting(authority)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", served.port, ssl=context)
    await until(lambda: served.refused == {"bad_tls": 1}, "it is counted")


async def said_to(served: Served, *pieces: bytes) -> bytes:
    """What the gateway says without TLS, until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    for piece in pieces:
        writer.write(piece)
    try:
        async with asyncio.timeout(LIMIT_S):
            return await reader.read()
    finally:
        writer.close()


async def test_plain_http_is_told_what_to_do(served: Served) -> None:
    answer = await said_to(served, HANDSHAKE)
    assert b"HTTP/1.1 400 " in answer
    assert b"wss://" in answer
    assert served.refused == {"not_tls": 1}


@pytest.mark.parametrize("rubbish", [b"\x00" * 100, b"\x16\x03\x01\x00\x05hello", b"SSH-2.0-x\r\n"])
async def test_rubbish_is_cut_off_and_counted(served: Served, rubbish: bytes) -> None:
    await said_to(served, rubbish)
    assert served.refused == {"bad_tls": 1}


async def test_a_client_that_does_not_finish_the_handshake_is_dropped(served: Served, authority: Authority) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    hello = trusting(authority).wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with contextlib.suppress(ssl.SSLWantReadError):
        hello.do_handshake()
    silent, writer = await asyncio.open_connection("127.0.0.1", served.port)
    half, other = await asyncio.open_connection("127.0.0.1", served.port)
    other.write(outgoing.read())
    await half.readexactly(100)
    served.now_s += 11.0
    served.timeouts.sweep()
    async with asyncio.timeout(LIMIT_S):
        assert await silent.read() == b""
        with contextlib.suppress(ConnectionError):
            await half.read()
    assert served.refused == {"silent": 1, "too_slow": 1}
    writer.close()
    other.close()


async def test_the_end_of_a_viewer_is_the_end_with_and_without_a_close_frame(
    served: Served, authority: Authority
) -> None:
    for how in ("close_notify", "cut"):
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port, ssl=trusting(authority))
        writer.write(HANDSHAKE)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        await until(lambda: len(served.hub.peers) == 1, "joined")
        if how == "cut":
            writer.transport.abort()
        else:
            writer.close()
        await until(lambda: not served.hub.peers, f"left by {how}")


class SlowViewer:
    """Reads from its small socket when it is told to, and never before."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setblocking(False)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="127.0.0.1")

    async def shake_hands(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._exchange()
            else:
                return

    async def write(self, sent: bytes) -> None:
        self._tls.write(sent)
        await asyncio.get_running_loop().sock_sendall(self.socket, self._outgoing.read())

    async def read(self) -> bytes:
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                return self._tls.read(1 << 16)
            await self._exchange()

    async def _exchange(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self.socket, self._outgoing.read())
        self._incoming.write(await loop.sock_recv(self.socket, 1 << 16))


async def slow_viewer(served: Served, context: ssl.SSLContext) -> SlowViewer:
    viewer = SlowViewer(served.port, context)
    await viewer.shake_hands()
    await viewer.write(HANDSHAKE)
    assert b"HTTP/1.1 101 " in await viewer.read()
    return viewer


async def test_bytes_that_are_no_tls_end_an_open_connection(served: Served, authority: Authority) -> None:
    viewer = await slow_viewer(served, trusting(authority))
    await until(lambda: served.hub.peers, "joined")
    viewer.socket.sendall(b"this is no record of TLS, whatever its key")
    await until(lambda: not served.hub.peers, "let go")
    viewer.socket.close()


# -- slow viewers ------------------------------------------------------------------------------------------------------


async def test_a_slow_viewer_never_has_more_than_one_frame_waiting_and_skips_to_the_newest(
    served: Served, authority: Authority
) -> None:
    """What it reads in the end: what filled the kernel's buffers, the frame that was under way, and the newest."""
    slow = await slow_viewer(served, trusting(authority))
    await until(lambda: served.hub.peers, "joined")
    (peer,) = served.hub.peers
    assert isinstance(peer, StreamPeer)
    while peer.pongs.one_at_a_time:  # until its pongs were quick
        peer.check(time.monotonic() + 10.0)
        ping = await slow.read()
        await slow.write(client_frame(PONG, ping[2:]))
        await until(lambda: not peer.pongs.waits, "the pong")
    frame_bytes, n = 50_000, 0
    while peer._outbox.ready:
        n += 1
        served.hub.publish(b'{"n":%d,"pad":"%s"}' % (n, b"x" * frame_bytes))
        await asyncio.sleep(0.001)
    under_way = n
    for n in range(1000, 1100):
        served.hub.publish(b'{"n":%d,"pad":"%s"}' % (n, b"x" * frame_bytes))
        await asyncio.sleep(0)
    assert 0 < served.connections[0].get_write_buffer_size() < 1.1 * frame_bytes
    received = b""
    async with asyncio.timeout(LIMIT_S):
        while b'"n":1099,' not in received or not received.endswith(b'"}'):
            received += await slow.read()
    numbers = [int(found) for found in re.findall(rb'"n":(\d+),', received)]
    assert numbers == [*range(1, under_way + 1), 1099]
    slow.socket.close()
