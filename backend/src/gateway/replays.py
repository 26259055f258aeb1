"""The replays of this process's viewers: each a channel of its own, fed by the history process.

At its end a replay goes over into the present: its viewer is moved to the channel of the live state at a moment at
which that shows the same messages or the next ones, so that it misses none and sees none twice.
"""

import asyncio
import itertools
import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from src.common.tasks import end
from src.gateway.delivery.channel import Channel
from src.gateway.delivery.hub import Hub
from src.gateway.history import messages
from src.gateway.history.messages import Change, Ended, Play, Played
from src.gateway.history.replay_query import PRESENT, ReplayAsked
from src.gateway.live_status import LiveStatus
from src.gateway.refusals import NO_HISTORY, TOO_MANY_REPLAYS, Refusal
from src.gateway.signals.contract import ReplayStatus
from src.gateway.signals.freshness import Message
from src.gateway.signals.shape import Shape
from src.gateway.signals.status import HEARTBEAT_MS

logger = logging.getLogger("gateway")

AGAIN_S: Final = 0.5
NEAR_MS: Final = 100  # between messages that are so near, a live viewer misses some as well
LOOK_EVERY_S: Final = 0.02  # whether the live state shows the same messages
HEARTBEAT_S: Final = HEARTBEAT_MS / 1000 * 0.75


class Replay:
    """One viewer's replay.

    Attributes:
        shape: what the viewer asks for.
        channel: that of its viewer alone.
        asked: where it is, and how fast: what another one begins with.
    """

    def __init__(self, path: str, shape: Shape, asked: ReplayAsked, channel: Channel, is_present: "IsPresent") -> None:
        """
        Args:
            path: of the history process's socket.
            shape: what the viewer asks for.
            asked: where it begins, and how fast.
            channel: that of its viewer alone.
            is_present: told the messages that are shown where nothing newer is stored; True ends the replay.
        """
        self.shape = shape
        self.channel = channel
        self.asked = asked
        self._path = path
        self._is_present = is_present
        self._writer: asyncio.StreamWriter | None = None
        self._playing: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Play."""
        self._playing = asyncio.create_task(self._keep_playing(), name="replay")

    def end(self) -> None:
        """Idempotent; the task ends soon."""
        if self._playing is not None:
            self._playing.cancel()

    async def close(self) -> None:
        """Wait until it has ended."""
        await end(self._playing)

    def change(self, asked: ReplayAsked) -> None:
        """Heed what the viewer asks."""
        given = {name: value for name, value in asked._asdict().items() if value is not None}
        self.asked = self.asked._replace(**given)._replace(step=None)  # for another history process
        if self._writer is not None:
            messages.write(self._writer, Change(asked))

    async def _keep_playing(self) -> None:
        """Until the present is reached; another history process goes on where the one before has ended."""
        while True:
            try:
                if await self._play():
                    return
            except (EOFError, OSError) as error:
                logger.debug("a replay is interrupted: %s", error)
            finally:
                if self._writer is not None:
                    self._writer.close()
                self._writer = None
            await asyncio.sleep(AGAIN_S)

    async def _play(self) -> bool:
        """Whether the present was reached; False where it has to be tried again."""
        reader, self._writer = await messages.connect(self._path)
        messages.write(self._writer, Play(self.shape, self.asked))
        reading = asyncio.create_task(messages.read(reader), name="replay read")
        try:
            while True:
                await asyncio.wait({reading}, timeout=HEARTBEAT_S)
                if not reading.done():
                    if self.channel.newest is not None:
                        self.channel.tell()
                    continue
                played = reading.result()
                reading = asyncio.create_task(messages.read(reader), name="replay read")
                if isinstance(played, Ended):
                    logger.debug("a replay waits: %s", played.why)
                    return False
                if isinstance(played, Played) and self._show(played) and await self._reaches_present(played, reading):
                    return True
        finally:
            await end(reading)

    def _show(self, played: Played) -> bool:
        """Whether nothing newer is stored."""
        is_changed = (self.asked.speed, self.asked.paused) != (played.speed, played.paused)
        self.asked = ReplayAsked(str(played.at_ms), played.speed, played.paused)
        replay: ReplayStatus = {"at_ms": played.at_ms, "speed": played.speed, "paused": played.paused}
        self.channel.publish(played.payload, messages=(replay, played.messages))
        if is_changed and self.channel.newest is not None and self.channel.idle.is_set():
            self.channel.tell()  # no frame is on its way that would tell it
        return played.is_at_end

    async def _reaches_present(self, played: Played, reading: "asyncio.Task[messages.Message]") -> bool:
        """Look whether the live state shows the same messages, until there is a newer one."""
        while True:
            await self.channel.idle.wait()  # the state has been sent: a moment, which no viewer can lengthen
            if self._is_present(self, played.messages):
                return True
            if reading.done():
                return False
            await asyncio.wait({reading}, timeout=LOOK_EVERY_S)


IsPresent = Callable[[Replay, Mapping[str, Message]], bool]


class Replays:
    """All replays of this process."""

    def __init__(self, hub: Hub, status: LiveStatus, path: str | None, most: int, now_ms: Callable[[], int]) -> None:
        """
        Args:
            hub: has their channels.
            status: of the present.
            path: of the history process's socket; None where there is none.
            most: how many there may be at a time; 0 is no limit.
            now_ms: the gateway's clock, ms since 1970 UTC.
        """
        self.live_channel: Callable[[Shape], Channel | Refusal] = lambda _shape: NO_HISTORY
        self._hub = hub
        self._status = status
        self._path = path
        self._most = most
        self._now_ms = now_ms
        self._by_channel: dict[Channel, Replay] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count(1)
        self._life = f"{time.time_ns():x}"

    def __len__(self) -> int:
        return len(self._by_channel)

    def open(self, shape: Shape, asked: ReplayAsked) -> Channel | Refusal:
        """A channel that plays the past, for one viewer; it is dropped when that leaves."""
        if self._path is None:
            return NO_HISTORY
        if 0 < self._most <= len(self._by_channel):
            return TOO_MANY_REPLAYS
        number = next(self._numbers)
        epoch = f"{self._life}-past-{number}"

        def stamp(shown: Any, state: int, states: int, why: str | None, _told: int | None) -> bytes:
            begin: ReplayStatus = {"at_ms": 0, "speed": asked.speed or 1.0, "paused": False}
            replay, played = shown or (begin, {})
            status = self._status.stream.stamp_of_past(replay, played, self._now_ms(), epoch, state, states, why)
            return b'"status":' + status

        channel = Channel(
            self._hub.counters,
            only_changes=True,
            rate=shape.rate or math.inf,
            stamp=stamp,
            epoch=epoch,
            on_close=lambda: self._end(channel),
        )
        replay = Replay(self._path, shape, asked, channel, self._is_present)
        self._by_channel[channel] = replay
        self._hub.channels[f"replay {number}"] = channel
        replay.open()
        return channel

    def of(self, channel: Channel) -> Replay | None:
        """The replay that feeds this channel."""
        return self._by_channel.get(channel)

    def change(self, channel: Channel, asked: ReplayAsked) -> Channel | Refusal | None:
        """Heed what a viewer of this channel asks; the channel that it is on from now on, or None for no other."""
        replay = self._by_channel.get(channel)
        if replay is None:
            return None
        if asked.at == PRESENT:
            return self.live_channel(replay.shape)
        replay.change(asked)
        return None

    def with_shape(self, channel: Channel, shape: Shape) -> Channel | Refusal | None:
        """The same replay with another shape, on a channel of its own; None where the channel has no replay."""
        replay = self._by_channel.get(channel)
        if replay is None:
            return None
        self._end(channel)
        return self.open(shape, replay.asked)

    async def close(self) -> None:
        """End all; idempotent."""
        for channel in tuple(self._by_channel):
            self._end(channel)
        for ending in tuple(self._ending):
            await end(ending)

    def _end(self, channel: Channel) -> None:
        replay = self._by_channel.pop(channel, None)
        if replay is not None:
            replay.end()
            ending = asyncio.create_task(replay.close(), name="end of a replay")
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    def _is_present(self, replay: Replay, shown: Mapping[str, Message]) -> bool:
        """Move the viewer of a replay to the live state, if that shows the same messages as the replay, or the next."""
        live = self._status.stream.messages
        if live.keys() != shown.keys() or not all(_follows(live[name], message) for name, message in shown.items()):
            return False
        channel = self.live_channel(replay.shape)
        if isinstance(channel, Refusal):
            return False
        has_newest = all(live[name].seq == message.seq for name, message in shown.items())
        for peer, its_channel in tuple(self._hub.peers.items()):
            if its_channel is replay.channel:
                peer.move(channel, has_newest=has_newest)
        self._hub.release(channel)
        return True


def _follows(live: Message, shown: Message) -> bool:
    """Whether a live message is the one that was shown, the next, or one of the same moment."""
    return 0 <= live.seq - shown.seq <= 1 or (
        live.seq > shown.seq and live.published_ms - shown.published_ms <= NEAR_MS
    )
