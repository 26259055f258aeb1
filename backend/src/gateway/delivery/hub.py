"""The hub sends each new frame to every peer that is ready, and watches over all of them between frames.

**Fan-out is one plain loop without an await**, at most once a turn of the event loop: what is published within one
turn is one frame, the newest; so is what is published while a fan-out gathers (`gathering_s`). The sends of ready
peers stand in one table for each form of the frame, so that the loop touches nothing of a peer but its socket. A peer
that is behind is not in the table: it costs nothing until it is ready again, and is then sent the newest frame. A
peer that joins is sent the newest frame first, so nobody sees an older one after it.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, Protocol

from src.common.tasks import end
from src.gateway.delivery.frame import Frame
from src.gateway.goodbyes import Closing
from src.gateway.metrics import FAN_OUT_BOUNDS_S, LATENCY_BOUNDS_S, Histogram

WATCH_INTERVAL_S: Final = 1.0

GATHERING_SHARE: Final = 0.25
LONGEST_GATHERING_S: Final = 0.005
LEAST_GATHERING_S: Final = 0.001  # the event loop's timers tick in milliseconds

Form = Callable[[Frame], Any]
Send = Callable[[Any], int]


def gathering_s(cost_s: float, idle_s: float) -> float:
    """How long a fan-out waits for messages that belong together.

    Core publishes levels and flow a moment apart. To many viewers the first of two frames costs more than it tells: it
    delays the second by all its sends. So a fan-out waits for a quarter of what the last one cost, 5 ms at most: with
    few viewers nothing. It does not wait where the one before has just ended: then the others have had their time.

    Args:
        cost_s: what the last fan-out took.
        idle_s: how long ago it ended.
    """
    return min(cost_s * GATHERING_SHARE, LONGEST_GATHERING_S) if idle_s > cost_s else 0.0


class Peer(Protocol):
    """One viewer's socket, as the hub sees it. It tells the hub when it is `ready`, and when it is `blocked`."""

    @property
    def form(self) -> Form:
        """Which form of a frame it takes; the same function for all that take the same."""

    @property
    def send(self) -> Send:
        """Takes what it can of a frame at once and returns how much; raises OSError where that is nothing."""

    def send_rest(self, wire: Any, taken: int) -> None:
        """Take care of what `send` left, without waiting."""

    def close(self, closing: Closing) -> None:
        """Say goodbye and end, in bounded time; idempotent."""

    def check(self, now_s: float) -> None:
        """Do what time demands: ping, give up on one that stalls or does not answer."""


class Hub:
    """All peers and the newest frame.

    Attributes:
        newest: what a peer that joins is sent first, or None before the first publish.
        peers: all that joined and did not leave.
        joined: how many ever joined.
        sent: frames times peers that were sent, in part at least.
        sent_bytes: what those frames hold, each counted whole.
        skipped: frames times peers that were never sent, counted when the peer is ready again, for a newer one.
        closings: goodbyes that the gateway said, by code.
        fan_out: seconds that each fan-out took.
        latency: seconds from the publication of each message to the end of the fan-out that told of it.
    """

    def __init__(self) -> None:
        self.newest: Frame | None = None
        self.peers: set[Peer] = set()
        self.joined = 0
        self.sent = 0
        self.sent_bytes = 0
        self.skipped = 0
        self.closings: Counter[int] = Counter()
        self.fan_out = Histogram(FAN_OUT_BOUNDS_S)
        self.latency = Histogram(LATENCY_BOUNDS_S)
        self._ready: dict[Form, dict[Send, Peer]] = {}
        self._next: Frame | None = None
        self._published_s: list[float] = []  # of the messages that the next fan-out tells of, which empties it
        self._cost_s = 0.0
        self._done_at_s = float("-inf")
        self._closing: Closing | None = None
        self._empty = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None

    def publish(self, payload: bytes, published_s: float | None = None) -> None:
        """Send `payload` to every ready peer, unless a newer one comes before its turn.

        Args:
            payload: one complete JSON object, UTF-8.
            published_s: when what is new in it was published, seconds since the epoch, where that is to be counted.
        """
        if self._next is None:
            self._schedule_fan_out()
        if published_s is not None:
            self._published_s.append(published_s)
        self._next = Frame(payload, self.newest.number + 1 if self.newest else 1)

    @property
    def behind(self) -> int:
        """How many peers take nothing now: their kernel is full, or they are on their way out."""
        return len(self.peers) - sum(map(len, self._ready.values()))

    # -- what peers tell -------------------------------------------------------------------------------------------

    def join(self, peer: Peer) -> None:
        """Take the peer in, ready, and send it the newest frame; while the hub closes, say goodbye instead."""
        self.peers.add(peer)
        self.joined += 1
        if self._closing is not None:
            peer.close(self._closing)
            return
        self.ready(peer, self.newest)

    def leave(self, peer: Peer) -> None:
        """Idempotent."""
        self.blocked(peer)
        self.peers.discard(peer)
        if not self.peers:
            self._empty.set()

    def ready(self, peer: Peer, missed: Frame | None = None) -> None:
        """The peer takes frames from now on, first the one that it `missed`."""
        self._ready.setdefault(peer.form, {})[peer.send] = peer
        if missed is not None:
            self._send_all({peer.send: peer}, peer.form(missed))

    def blocked(self, peer: Peer) -> None:
        """The peer takes none for now; idempotent."""
        self._ready.get(peer.form, {}).pop(peer.send, None)

    # -- fan-out ---------------------------------------------------------------------------------------------------

    def _schedule_fan_out(self) -> None:
        """At the end of this turn; after a pause for what belongs to it, where that spares more than it costs."""
        loop = asyncio.get_running_loop()
        gather_s = gathering_s(self._cost_s, loop.time() - self._done_at_s)
        if gather_s >= LEAST_GATHERING_S:
            loop.call_later(gather_s, self._fan_out)
        else:
            loop.call_soon(self._fan_out)

    def _fan_out(self) -> None:
        loop = asyncio.get_running_loop()
        began_s = time.monotonic()
        self._send_newest()
        self._cost_s, self._done_at_s = time.monotonic() - began_s, loop.time()
        self._observe()

    def _observe(self) -> None:
        self.fan_out.observe(self._cost_s)
        published, self._published_s = self._published_s, []
        for published_s in published:
            self.latency.observe(time.time() - published_s)

    def _send_newest(self) -> None:
        frame, self._next = self._next, None
        assert frame is not None, "scheduled by publish()"
        self.newest = frame
        for form, ready in self._ready.items():
            if ready:
                self._send_all(ready.copy(), form(frame))  # a copy: a peer that is blocked leaves the table

    def _send_all(self, peers: dict[Send, Peer], wire: Any) -> None:
        whole = len(wire)
        for send in peers:
            try:
                taken = send(wire)
            except OSError:  # full, or gone: the transport finds out which
                taken = 0
            if taken != whole:
                peers[send].send_rest(wire, taken)
        self.sent += len(peers)
        self.sent_bytes += whole * len(peers)

    # -- the life --------------------------------------------------------------------------------------------------

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

    async def _check_peers(self) -> None:
        while True:
            await asyncio.sleep(WATCH_INTERVAL_S)
            now_s = time.monotonic()
            for peer in tuple(self.peers):
                peer.check(now_s)
