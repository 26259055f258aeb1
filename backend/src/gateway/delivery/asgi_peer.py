"""A viewer behind the WebSocket of any ASGI server, as `SocketBroadcaster.connect` takes it.

That server frames, compresses and buffers, so this peer costs a task and a compression of its own for each frame.
"""

import asyncio
import time
from typing import Protocol

from src.gateway.admission.admission_control import Admission
from src.gateway.close_codes import CLOSE_HANDSHAKE_TIMEOUT_S, STALLED, CloseCode
from src.gateway.delivery.channel import Channel
from src.gateway.delivery.frame import text
from src.gateway.delivery.hub import Hub
from src.gateway.delivery.outbox import Outbox


class WebSocket(Protocol):
    """What this peer needs of Starlette's WebSocket."""

    async def send_text(self, data: str) -> None: ...

    async def close(self, code: int = 1000, reason: str | None = None) -> None: ...


class AsgiPeer:
    """Sends the newest frame as soon as the one before it has been sent."""

    def __init__(
        self, websocket: WebSocket, hub: Hub, stall_limit_s: float, admission: Admission | None = None
    ) -> None:
        self.websocket = websocket
        self.form = text
        self.pongs = None  # that server's pings are its own
        self._hub = hub
        self._admission = admission
        self._stall_limit_s = stall_limit_s
        self._outbox = Outbox()
        self._sending: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    def send(self, wire: str) -> int:
        self._outbox.pause(self._hub.blocked(self), time.monotonic())
        self._sending = asyncio.create_task(self._send(wire), name="asgi peer")
        return len(wire)

    def send_rest(self, wire: str, taken: int) -> None:
        raise AssertionError("send() takes all")

    async def settle(self, limit_s: float) -> None:
        """Wait until the frame in hand has been sent, at most `limit_s` seconds."""
        if self._sending is not None:
            await asyncio.wait({self._sending}, timeout=limit_s)

    def close(self, close_code: CloseCode) -> None:
        if self._closing is None:
            self._hub.closed[close_code.code] += 1
            self._closing = asyncio.create_task(self._send_close(close_code), name="asgi peer close")

    def move(self, channel: Channel, *, has_newest: bool = False) -> None:
        if not self._outbox.ready:
            self._outbox.restart()
        self._hub.move(self, channel, ready=self._outbox.ready, has_newest=has_newest)

    def check(self, now_s: float) -> None:
        """The ASGI server pings, and a send that hangs has its own timeout: only the token is checked here."""
        if self._admission is not None and (over := self._admission.over()) is not None:
            self.close(over)

    def drop(self) -> None:
        """Leave without a close frame: the viewer is gone, and only its server knows how."""
        if self._closing is None and self in self._hub.peers:
            self._hub.left["other"] += 1
        self._hub.leave(self)
        if self._sending is not None and self._sending is not asyncio.current_task():
            self._sending.cancel()

    async def _send(self, wire: str) -> None:
        try:
            async with asyncio.timeout(self._stall_limit_s):
                await self.websocket.send_text(wire)
            missed = self._outbox.resume(self._hub.newest_for(self))
            self._hub.skipped += missed.skipped
            if self in self._hub.peers:
                self._hub.ready(self, missed.frame, missed.last)
        except TimeoutError:
            self.close(STALLED)
        except Exception:  # noqa: BLE001 - each server raises an exception of its own for a lost viewer
            self.drop()

    async def _send_close(self, close_code: CloseCode) -> None:
        self.drop()
        try:
            async with asyncio.timeout(CLOSE_HANDSHAKE_TIMEOUT_S):
                await self.websocket.close(close_code.code, close_code.reason)
        except Exception:  # noqa: BLE001 - the viewer is gone already
            return
