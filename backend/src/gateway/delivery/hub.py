"""The hub sends each new frame to every peer that is ready, and watches over all of them between frames.

**Fan-out is a plain loop without an await, in slices**: a round sends one frame to all; between two slices the event
loop may read what has come. A newer frame takes over at the next slice: peers that the round had not reached get it
first, and it alone, then those that it had. So the newest frame never waits for an older one to reach everybody, and
no peer is sent an older frame after a newer. The sends of ready peers stand in one table for each form of the frame;
the loop touches nothing of a peer but its socket. A peer that is behind is not in the table: it costs nothing until it
is ready again, and is then sent the newest frame, as is a peer that joins.
"""

import asyncio
import contextlib
import math
import time
from collections import Counter, deque
from collections.abc import Callable
from itertools import islice
from typing import Any, Final, NamedTuple, Protocol

from src.common.tasks import end, guarded
from src.gateway.close_codes import CloseCode
from src.gateway.delivery.frame import Frame
from src.gateway.metrics import FAN_OUT_BOUNDS_S, LATENCY_BOUNDS_S, Histogram

WATCH_INTERVAL_S: Final = 1.0
DRAIN_A_SECOND: Final = 100  # so few can be taken in elsewhere at any time
DRAIN_STEP_S: Final = 0.01

SLICE_PEERS: Final = 32  # half a millisecond of sends: measured, 16 cost more a frame and gained nothing

Form = Callable[[Frame], Any]
Send = Callable[[Any], int]


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

    def close(self, close_code: CloseCode) -> None:
        """Say goodbye and end, in bounded time; idempotent."""

    def check(self, now_s: float) -> None:
        """Do what time demands: ping, give up on one that stalls or does not answer."""


class Round(NamedTuple):
    """What is to be known of a round when it ends.

    Attributes:
        began_s: monotonic seconds.
        goal: how many sends the hub's rounds will have done when all that were due have had their turn.
        published_s: when the messages were published that it tells of, seconds since the epoch.
    """

    began_s: float
    goal: int
    published_s: tuple[float, ...]


class Hub:
    """All peers and the newest frame.

    Attributes:
        newest: what a peer that joins is sent first, or None before the first publish.
        peers: all that joined and did not leave.
        joined: how many ever joined.
        sent: frames times peers that were sent, in part at least.
        sent_bytes: what those frames hold, each counted whole.
        skipped: frames times peers that were never sent, counted when the peer is ready again, for a newer one.
        closed: peers that the gateway closed, by close code.
        left: peers that left by themselves, by close code, one of `LEFT_CODES`.
        fan_out: seconds that each round took, until all had its frame or a newer one.
        latency: seconds from the publication of each message to the end of the round that told of it.
        idle: set while every ready peer has been sent what was published.
    """

    def __init__(self) -> None:
        self.newest: Frame | None = None
        self.peers: set[Peer] = set()
        self.joined = 0
        self.sent = 0
        self.sent_bytes = 0
        self.skipped = 0
        self.closed: Counter[int] = Counter()
        self.left: Counter[str] = Counter()
        self.fan_out = Histogram(FAN_OUT_BOUNDS_S)
        self.latency = Histogram(LATENCY_BOUNDS_S)
        self.idle = asyncio.Event()
        self.idle.set()
        self._ready: dict[Form, dict[Send, Peer]] = {}
        self._due: dict[Form, dict[Send, Peer]] = {}  # of those, who is yet to be sent the newest frame
        self._next: Frame | None = None
        self._before: Frame | None = None
        self._has_turn = False
        self._published_s: list[float] = []  # of the messages that the next round tells of, which empties it
        self._rounds: deque[Round] = deque()  # under way; each ends when those after its begin have had one turn each
        self._served = 0
        self._close_code: CloseCode | None = None
        self._empty = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None

    def publish(self, payload: bytes, published_s: float | None = None) -> None:
        """Send `payload` to every ready peer, unless a newer one comes before its turn.

        Args:
            payload: one complete JSON object, UTF-8.
            published_s: when what is new in it was published, seconds since the epoch, where that is to be counted.
        """
        if published_s is not None:
            self._published_s.append(published_s)
        self._next = Frame(payload, self.newest.number + 1 if self.newest else 1)
        self._take_turn()

    @property
    def behind(self) -> int:
        """How many peers take nothing now: their kernel is full, or they are on their way out."""
        return len(self.peers) - sum(map(len, self._ready.values()))

    # -- what peers tell -------------------------------------------------------------------------------------------

    def join(self, peer: Peer) -> None:
        """Take the peer in, ready, and send it the newest frame; while the hub closes, say goodbye instead."""
        self.peers.add(peer)
        self.joined += 1
        if self._close_code is not None:
            peer.close(self._close_code)
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

    def blocked(self, peer: Peer) -> Frame | None:
        """The peer takes none for now; idempotent. Returns the newest frame that a ready peer has been sent."""
        self._ready.get(peer.form, {}).pop(peer.send, None)
        due = self._due.get(peer.form, {}).pop(peer.send, None)
        return self.newest if due is None else self._before

    # -- fan-out ---------------------------------------------------------------------------------------------------

    def _take_turn(self) -> None:
        """At the end of this turn of the event loop, so that what is published within one is one frame, the newest."""
        if not self._has_turn:
            self._has_turn = True
            self.idle.clear()
            asyncio.get_running_loop().call_soon(self._fan_out)

    def _fan_out(self) -> None:
        """One slice; the next one follows when the event loop has looked at what came meanwhile."""
        self._has_turn = False
        if self._next is not None:
            self._begin_round(self._next)
        for form, due in self._due.items():
            if due:
                self._send_slice(form, due)
                break
        if any(self._due.values()):
            self._end_rounds(self._served)
            self._take_turn()
        else:
            self._end_rounds(None)
            self.idle.set()

    def _begin_round(self, frame: Frame) -> None:
        self._before, self.newest, self._next = self.newest, frame, None
        for form, ready in self._ready.items():
            self._due[form] = self._due.get(form, {}) | ready  # whom the last round did not reach comes first
        due = sum(map(len, self._due.values()))
        self._rounds.append(Round(time.monotonic(), self._served + due, tuple(self._published_s)))
        self._published_s.clear()

    def _send_slice(self, form: Form, due: dict[Send, Peer]) -> None:
        assert self.newest is not None, "a round has begun"
        peers = dict(islice(due.items(), SLICE_PEERS))
        for send in peers:
            del due[send]
        self._served += len(peers)
        self._send_all(peers, form(self.newest))

    def _end_rounds(self, served: int | None) -> None:
        """Those whose goal is reached; all where nobody is due, as some may have left before their turn."""
        while self._rounds and (served is None or self._rounds[0].goal <= served):
            ended = self._rounds.popleft()
            self.fan_out.observe(time.monotonic() - ended.began_s)
            for published_s in ended.published_s:
                self.latency.observe(time.time() - published_s)

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

    @property
    def is_closing(self) -> bool:
        """Whether goodbyes have begun, or are about to."""
        return self._close_code is not None

    def begin_drain(self, close_code: CloseCode) -> None:
        """From now on, who joins is told goodbye. Those that are here stay, and are sent what is published."""
        self._close_code = close_code

    async def drain(self, close_code: CloseCode, over_s: float) -> None:
        """Say goodbye to one peer after the other, over `over_s` seconds or less.

        Clients connect again as soon as they are let go, and somebody has to take them in. A few need no such care.
        """
        self.begin_drain(close_code)
        peers = tuple(self.peers)
        began_s, over_s = time.monotonic(), min(over_s, len(peers) / DRAIN_A_SECOND)
        for number, peer in enumerate(peers):
            early_s = began_s + over_s * number / len(peers) - time.monotonic()
            if early_s > DRAIN_STEP_S:
                await asyncio.sleep(early_s)
            peer.close(close_code)

    async def close(self, close_code: CloseCode, limit_s: float) -> None:
        """Say goodbye to every peer and wait until they are gone; who is not after `limit_s` seconds is cut off."""
        self.begin_drain(close_code)
        self._empty.clear()
        for peer in tuple(self.peers):
            peer.close(close_code)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s if self.peers else 0):
                await self._empty.wait()
        for peer in tuple(self.peers):
            guarded(peer.check, math.inf)  # whatever it had time for is over
        await end(self._watch)
        self._watch = None

    async def _check_peers(self) -> None:
        while True:
            await asyncio.sleep(WATCH_INTERVAL_S)
            now_s = time.monotonic()
            for peer in tuple(self.peers):
                guarded(peer.check, now_s)
