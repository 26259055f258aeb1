"""The hub offers each new frame to every peer, and watches over the peers between frames.

**Fan-out is one plain loop without an await**, at most once a turn of the event loop: what is published within one turn
is one frame, the newest. A peer that joins is offered the newest frame first, so it never sees an older one after it.
"""

import asyncio
import contextlib
import time
from collections import Counter
from typing import Final, Protocol

from src.common.tasks import end
from src.gateway.delivery.closing import Closing
from src.gateway.delivery.frame import Frame

WATCH_INTERVAL_S: Final = 1.0


class Peer(Protocol):
    """One viewer's socket, as the hub sees it."""

    def offer(self, frame: Frame) -> bool:
        """Send the frame, or keep it in the one slot until the peer is ready; never waits. True when it was sent."""

    def close(self, closing: Closing) -> None:
        """Say goodbye and end, in bounded time; idempotent."""

    def check(self, now_s: float) -> None:
        """Do what time demands: ping, give up on one that stalls or does not answer."""


class Hub:
    """All peers and the newest frame.

    Attributes:
        newest: what a peer that joins is sent first, or None before the first publish.
        offered, sent: frames times peers, as offered and as sent at once; the others waited or were skipped.
        joined: peers that ever joined.
        closings: goodbyes that the gateway said, by code.
    """

    def __init__(self) -> None:
        self.newest: Frame | None = None
        self.peers: set[Peer] = set()
        self.offered = 0
        self.sent = 0
        self.joined = 0
        self.closings: Counter[int] = Counter()
        self._next: Frame | None = None
        self._closing: Closing | None = None
        self._empty = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None

    def publish(self, payload: bytes) -> None:
        """Offer `payload` to every peer at the end of this turn of the event loop, unless a newer one comes first."""
        if self._next is None:
            asyncio.get_running_loop().call_soon(self._fan_out)
        self._next = Frame(payload)

    def join(self, peer: Peer) -> None:
        """Take the peer in and send it the newest frame; while the hub closes, say goodbye instead."""
        self.peers.add(peer)
        self.joined += 1
        if self._closing is not None:
            peer.close(self._closing)
        elif self.newest is not None:
            self._count(1, peer.offer(self.newest))

    def leave(self, peer: Peer) -> None:
        """Idempotent."""
        self.peers.discard(peer)
        if not self.peers:
            self._empty.set()

    def open(self) -> None:
        """Begin to watch over the peers."""
        if self._watch is None:
            self._watch = asyncio.create_task(self._check_peers(), name="hub watch")

    async def close(self, closing: Closing, limit_s: float) -> None:
        """Say goodbye to every peer and wait until they are gone, at most `limit_s` seconds."""
        self._closing = closing
        self._empty.clear()
        for peer in tuple(self.peers):
            peer.close(closing)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s if self.peers else 0):
                await self._empty.wait()
        await end(self._watch)
        self._watch = None

    def _fan_out(self) -> None:
        frame, self._next = self._next, None
        assert frame is not None, "scheduled by publish()"
        self.newest = frame
        sent = 0
        peers = tuple(self.peers)  # a peer may leave while it is being offered the frame
        for peer in peers:
            sent += peer.offer(frame)
        self._count(len(peers), sent)

    def _count(self, offered: int, sent: int) -> None:
        self.offered += offered
        self.sent += sent

    async def _check_peers(self) -> None:
        while True:
            await asyncio.sleep(WATCH_INTERVAL_S)
            now_s = time.monotonic()
            for peer in tuple(self.peers):
                peer.check(now_s)
