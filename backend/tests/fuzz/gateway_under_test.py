"""Where viewers are fuzzed: the gateway's own parts on a real loop and real sockets, with a healthy viewer beside them.

Every input gets a connection of its own. Nothing may reach the loop's exception handler, nothing may be logged, the
gateway's side has to end when the viewer's does, and the healthy viewer has to get the frame of this very input.
"""

import asyncio
import contextlib
import logging
import socket
import struct
from typing import Final, NamedTuple

import uvicorn
import uvloop

from src.gateway.close_codes import GOING_AWAY
from src.gateway.delivery.stream_peer import PeerLimits, peer_factory
from src.gateway.http.app import make_app
from src.gateway.listener.handshake_timeouts import HandshakeLimits, HandshakeTimeouts
from src.gateway.listener.http_connection import HttpConnection
from src.gateway.socket_broadcaster import SocketBroadcaster
from tests.end_to_end.sockets import PING, PONG, TEXT, client_frame
from tests.gateway.fake_bus import FakeBus

LIMIT_S: Final = 10.0
PATH: Final = "/ws/stream"
ABRUPT: Final = struct.pack("ii", 1, 0)  # SO_LINGER: no TIME_WAIT is left behind
UPGRADE: Final = (
    b"GET /ws/stream HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
)
DEFLATE: Final = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
CLOSE_CODES: Final = {1001, 1002, 1007, 1008, 1009}  # or the body of the viewer's own close frame, echoed


class Received(NamedTuple):
    """What the gateway sent, taken apart.

    Attributes:
        statuses: of the HTTP answers.
        opcodes: of the frames after them.
        close_body: the body of the close frame.
    """

    statuses: list[int]
    opcodes: list[int]
    close_body: bytes | None


class GatewayUnderTest:
    """A loop, a port of the gateway's and a healthy viewer; for many inputs, one after the other."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self._loop = uvloop.new_event_loop()
        self._loop.set_exception_handler(lambda _loop, context: self.faults.append(str(context)))
        self._watcher = _Watcher(self.faults)
        logging.getLogger().addHandler(self._watcher)
        self._published = 0
        self._loop.run_until_complete(self._open())

    def play(self, pieces: list[bytes]) -> Received:
        """Send `pieces` on a new connection and return what came back, once the gateway has ended its side.

        Raises:
            AssertionError: something was logged, a callback failed, or the healthy viewer missed the frame.
        """
        wire = self._loop.run_until_complete(self._play(pieces))
        assert not self.faults, self.faults
        return taken_apart(wire)

    def close(self) -> None:
        self._loop.run_until_complete(self._close())
        self._loop.close()
        logging.getLogger().removeHandler(self._watcher)

    async def _open(self) -> None:
        self._broadcaster = SocketBroadcaster(FakeBus())  # type: ignore[arg-type]
        self._hub = self._broadcaster.hub
        config = uvicorn.Config(
            make_app(self._broadcaster),
            http=HttpConnection,
            ws=peer_factory(self._hub, PeerLimits()),  # type: ignore[arg-type]
            lifespan="off",
            log_config=None,
            access_log=False,
        )
        config.load()
        self._state = uvicorn.Server(config).server_state
        timeouts = HandshakeTimeouts(HandshakeLimits(), self._broadcaster.admission_control.refused)
        make = lambda: HttpConnection(  # noqa: E731
            timeouts, config=config, server_state=self._state, app_state={}, _loop=self._loop
        )
        listening = socket.create_server(("127.0.0.1", 0))
        self._server = await self._loop.create_server(make, sock=listening)
        self._port = listening.getsockname()[1]
        self._healthy = await self._connected()
        await self._loop.sock_sendall(self._healthy, UPGRADE + b"\r\n")
        await self._until_received(self._healthy, b"\r\n\r\n")

    async def _close(self) -> None:
        self._healthy.close()
        self._server.close()
        await self._hub.close(GOING_AWAY, 1.0)

    async def _play(self, pieces: list[bytes]) -> bytes:
        async with asyncio.timeout(LIMIT_S):
            with await self._connected() as viewer:
                receiving = asyncio.ensure_future(self._all_from(viewer))
                for piece in pieces:
                    with contextlib.suppress(OSError):  # ended already
                        await self._loop.sock_sendall(viewer, piece)
                    await asyncio.sleep(0)
                await self._publish()
                with contextlib.suppress(OSError):
                    viewer.shutdown(socket.SHUT_WR)
                answer = await receiving
            while len(self._hub.peers) > 1 or self._state.connections:
                await asyncio.sleep(0)
        return answer

    async def _publish(self) -> None:
        self._published += 1
        payload = b'{"n":%d}' % self._published
        self._hub.publish(payload)
        while (received := await self._frame())[0] == PING:
            await self._loop.sock_sendall(self._healthy, client_frame(PONG, received[1]))
        assert received == (TEXT, payload), "the healthy viewer gets every frame"

    async def _frame(self) -> tuple[int, bytes]:
        """The first byte and the payload of the healthy viewer's next frame, which is a short one."""
        first, length = await self._exactly(2)
        return first, await self._exactly(length)

    async def _exactly(self, count: int) -> bytes:
        received = b""
        while len(received) < count:
            received += await self._loop.sock_recv(self._healthy, count - len(received))
        return received

    async def _connected(self) -> socket.socket:
        viewer = socket.socket()
        viewer.setblocking(False)
        viewer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABRUPT)
        await self._loop.sock_connect(viewer, ("127.0.0.1", self._port))
        return viewer

    async def _all_from(self, viewer: socket.socket) -> bytes:
        received = b""
        with contextlib.suppress(ConnectionError):
            while piece := await self._loop.sock_recv(viewer, 1 << 16):
                received += piece
        return received

    async def _until_received(self, viewer: socket.socket, end: bytes) -> None:
        received = b""
        while not received.endswith(end):
            received += await self._loop.sock_recv(viewer, 1)


class _Watcher(logging.Handler):
    """What is logged while viewers are hostile is a fault."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._faults = faults

    def emit(self, record: logging.LogRecord) -> None:
        self._faults.append(f"{record.name}: {record.getMessage()} {record.exc_info or ''}")


def taken_apart(wire: bytes) -> Received:
    """
    Raises:
        AssertionError: it is neither HTTP answers nor, after a 101, whole frames of a server.
    """
    statuses: list[int] = []
    while wire.startswith(b"HTTP/1.1 "):
        head, ended, wire = wire.partition(b"\r\n\r\n")
        assert ended, "a whole head"
        statuses.append(int(head[9:12]))
        if statuses[-1] == 101:
            return Received(statuses, *_frames_in(wire))
        wire = wire[_length(head) :]
    assert not wire, wire[:80]
    return Received(statuses, [], None)


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


def _frames_in(wire: bytes) -> tuple[list[int], bytes | None]:
    """As a server has to send them: not masked, whole, nothing behind the close frame; RSV1 where it is compressed."""
    opcodes: list[int] = []
    close_body = None
    while wire:
        assert close_body is None, "nothing follows a close frame"
        opcode, length = wire[0] & 0x0F, wire[1]
        assert wire[0] in (0x81, 0xC1, 0x88, 0x89, 0x8A), wire[:20]
        assert length < 126, "no frame of this test is longer"
        body, wire = wire[2 : 2 + length], wire[2 + length :]
        assert len(body) == length, "a whole frame"
        opcodes.append(opcode)
        if opcode == 0x8:
            close_body = body
    return opcodes, close_body
