"""The hub knows every peer and the channel that it is on, checks each peer once a second, and closes them in the end.

**A channel is one payload, prepared once for all peers that asked for the same** (`channel.py`). The hub's own channel
has the payload of the contract. Further channels exist while they have peers, and their number is bounded.
"""

import asyncio
import contextlib
import itertools
import math
import time
from collections import Counter
from collections.abc import Hashable, Iterator
from typing import Final

from src.common.tasks import end, guarded, tick
from src.gateway.close_codes import CloseCode
from src.gateway.delivery.channel import Channel, Counters
from src.gateway.delivery.frame import Frame, number_of, position_of
from src.gateway.delivery.peer import Peer
from src.gateway.delivery.pong_clock import PongClock
from src.gateway.metrics import LOOP_LAG_INTERVAL_S, LOOP_LAGS_A_SECOND, LoopLag

DRAIN_PER_S: Final = 100  # other gateways can accept this many at any time
DRAIN_AT_ONCE: Final = 100  # so few are no load: a restart is no slower for them than a crash
DRAIN_STEP_S: Final = 0.01


class Hub:
    """All peers, and the channels that they are on.

    Attributes:
        channel: the payload of the contract; always there.
        channels: further ones, by what their peers asked for.
        peers: all that joined and have not left, each with its channel.
        joined: how many ever joined.
        counters: of all channels together.
        skipped: frames never sent, each counted for each peer, when that peer is ready again.
        closed: peers that the gateway closed, by close code.
        left: peers that left by themselves, by close code, one of `LEFT_CODES`.
        loop_lag: how late the checks of the peers begin; everything else that is due waits as long.
    """

    def __init__(self) -> None:
        self.counters = Counters()
        self.channel = Channel(self.counters)
        self.channels: dict[Hashable, Channel] = {}
        self.peers: dict[Peer, Channel] = {}
        self.joined = 0
        self.skipped = 0
        self.closed: Counter[int] = Counter()
        self.left: Counter[str] = Counter()
        self.loop_lag = LoopLag()
        self._close_code: CloseCode | None = None
        self._empty = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None

    def publish(self, payload: bytes, published_s: float | None = None, linger_s: float = 0.0) -> None:
        """Send `payload` to every ready peer of the hub's own channel; see `Channel.publish`."""
        self.channel.publish(payload, published_s, linger_s=linger_s)

    @property
    def newest(self) -> Frame | None:
        """The newest frame of the hub's own channel."""
        return self.channel.newest

    @property
    def behind(self) -> int:
        """How many peers take nothing now: their socket buffer is full, or they are being closed."""
        ready = self.channel.ready_peers + sum(channel.ready_peers for channel in self.channels.values())
        return len(self.peers) - ready

    @property
    def one_at_a_time(self) -> int:
        """How many peers take a frame only when the one before has arrived."""
        return sum(pongs.one_at_a_time for pongs in self._pong_clocks)

    def worst_age_s(self, now_s: float) -> float | None:
        """The largest age that the pongs of a peer tell, see `PongClock.age_s`; None where that of no peer is known."""
        ages_s = (pongs.age_s(now_s) for pongs in self._pong_clocks)
        return max((age_s for age_s in ages_s if age_s is not None), default=None)

    @property
    def _pong_clocks(self) -> Iterator[PongClock]:
        return (peer.pongs for peer in self.peers if peer.pongs is not None)

    async def settle(self) -> None:
        """Wait until every ready peer of every channel has been sent the newest frame."""
        for channel in (self.channel, *self.channels.values()):
            await channel.idle.wait()

    # -- called by peers -------------------------------------------------------------------------------------------

    def join(self, peer: Peer, channel: Channel | None = None, since: int = 0) -> None:
        """Add a peer that is ready, and send it the newest frame; while the hub drains, close it instead.

        Args:
            peer: see there.
            channel: one of `channels`; by default the hub's own.
            since: the number of the frame that its viewer had last, see `Channel.join`.
        """
        channel = channel or self.channel
        self.peers[peer] = channel
        self.joined += 1
        channel.join(peer, ready=self._close_code is None, since=since)
        if self._close_code is not None:
            peer.close(self._close_code)

    def leave(self, peer: Peer) -> None:
        """Idempotent."""
        channel = self.peers.pop(peer, None)
        if channel is not None:
            channel.leave(peer)
            self.release(channel)
        if not self.peers:
            self._empty.set()

    def move(self, peer: Peer, channel: Channel, *, ready: bool, has_newest: bool = False) -> None:
        """Put a peer that joined on another channel; one that is ready is sent the newest frame of that.

        `has_newest` as for `Channel.join`.
        """
        old = self.peers[peer]
        told = position_of(old.leave(peer))
        self.peers[peer] = channel
        channel.join(peer, ready=ready, since=number_of(0, 0, told), has_newest=has_newest)
        self.release(old)

    def newest_for(self, peer: Peer) -> Frame | None:
        """The newest frame of the channel that the peer is on."""
        return self.peers.get(peer, self.channel).newest

    def ready(self, peer: Peer, missed: Frame | None = None, last: int = 0) -> None:
        """A peer that joined takes frames again; see `Channel.ready`."""
        self.peers[peer].ready(peer, missed, last)

    def blocked(self, peer: Peer) -> int:
        """The peer takes no frame for now; idempotent. Returns the number of the frame that it was sent last, or 0."""
        channel = self.peers.get(peer)
        return 0 if channel is None else channel.blocked(peer)

    def release(self, channel: Channel) -> None:
        """Drop a channel of `channels` that has no peers; idempotent."""
        if channel.peers == 0 and channel is not self.channel:
            channel.close()
            self.channels = {key: other for key, other in self.channels.items() if other is not channel}

    # -- lifecycle -------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Start the periodic check of the peers."""
        if self._watch is None:
            self._watch = asyncio.create_task(self._check_peers(), name="hub watch")

    @property
    def is_closing(self) -> bool:
        """Whether viewers are being closed, or are about to be."""
        return self._close_code is not None

    def begin_drain(self, close_code: CloseCode) -> None:
        """From now on, a peer that joins is closed. The peers that are here stay, and are sent what is published."""
        self._close_code = close_code

    async def drain(self, close_code: CloseCode, over_s: float) -> None:
        """Close one peer after the other, over `over_s` seconds or less.

        Clients reconnect as soon as they are closed, and other gateways have to accept them; a few at once are no load.
        """
        self.begin_drain(close_code)
        peers = tuple(self.peers)
        began_s, over_s = time.monotonic(), min(over_s, max(len(peers) - DRAIN_AT_ONCE, 0) / DRAIN_PER_S)
        for number, peer in enumerate(peers):
            early_s = began_s + over_s * number / len(peers) - time.monotonic()
            if early_s > DRAIN_STEP_S:
                await asyncio.sleep(early_s)
            peer.close(close_code)

    async def close(self, close_code: CloseCode, limit_s: float) -> None:
        """Close every peer and wait until all are gone; abort those that remain after `limit_s` seconds."""
        self.begin_drain(close_code)
        self._empty.clear()
        for peer in tuple(self.peers):
            peer.close(close_code)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s if self.peers else 0):
                await self._empty.wait()
        for peer in tuple(self.peers):
            guarded(peer.check, math.inf)  # at this time every deadline has passed
        await end(self._watch)
        self._watch = None

    async def _check_peers(self) -> None:
        peers: tuple[Peer, ...] = ()
        for turn in itertools.count():
            due_s = await tick(LOOP_LAG_INTERVAL_S)
            now_s = time.monotonic()
            self.loop_lag.observe(now_s - due_s)
            part = turn % LOOP_LAGS_A_SECOND  # of the peers, so that each is looked at once a second
            if part == 0:
                peers = tuple(self.peers)
            for peer in peers[part::LOOP_LAGS_A_SECOND]:
                if peer in self.peers:
                    guarded(peer.check, now_s)
