"""Reads the streams for the archive: the newest part first, then backwards to the oldest, and each new message.

**Backwards in blocks.** A consumer reads forwards only. So each block is read by a consumer of its own, from a few
messages before it: what happened between two messages needs the one before, and whether Core replays needs some more.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Final, NamedTuple

from src.common.bus import BusError, NATSBus
from src.common.messages import BadMessage
from src.common.ordered_consumer import OrderedConsumer, StoredMessage
from src.gateway.history.entries import LevelsEntry, levels_entry
from src.gateway.signals.events import Moment, kept_sides, moment_of
from src.gateway.signals.freshness import CoreClock
from src.gateway.signals.intake import read_levels
from src.gateway.signals.normalize import normalize_levels

logger = logging.getLogger("history")

BLOCK: Final = 1_200  # messages: five minutes at Core's pace
BEFORE: Final = 64  # messages before a block, more than `KEPT_CLOCKS_MS` has at Core's pace
AGAIN_S: Final = 1.0
READ_EVERY_S: Final = 0.25  # as Core publishes


class Life(NamedTuple):
    """One life of a stream.

    Attributes:
        created_ms: when it was made, ms since 1970 UTC: another life has another one.
        first_seq: of the oldest message that it has.
        last_seq: of the newest.
    """

    created_ms: int
    first_seq: int
    last_seq: int

    @property
    def name(self) -> str:
        return f"{self.created_ms:x}"


class LifeEnded(Exception):
    """The stream was made anew: sequences count from 1 again."""


class Read(NamedTuple):
    """A levels message, read.

    Attributes:
        entry: for the history.
        before: the moment of the message before; None for the first.
        now: its own.
    """

    entry: LevelsEntry
    before: Moment | None
    now: Moment


class LevelsReader:
    """Reads consecutive messages of `levels.signals`; a bad one is left out, as on the live path.

    Attributes:
        first_seq: of the first message that could be read; 0 before it.
    """

    def __init__(self, wall_baseline: float) -> None:
        self.first_seq = 0
        self._wall_baseline = wall_baseline
        self._clock = CoreClock()
        self._before: Moment | None = None

    def read(self, message: StoredMessage) -> Read | None:
        """None for a message that cannot be read."""
        try:
            decoded = read_levels(message.body)
        except BadMessage:
            return None
        self.first_seq = self.first_seq or message.seq
        stored_ms = message.stored_us // 1000
        levels = normalize_levels(decoded.value, now_ms=stored_ms, wall_baseline=self._wall_baseline)
        self._clock.add(stored_ms, decoded.value.ts_ms)
        now = moment_of(levels, is_replay=self._clock.is_replay)
        before = self._before
        self._before = now if before is None else kept_sides(before, now)
        return Read(levels_entry(levels, seq=message.seq, stored_ms=stored_ms), before, self._before)


async def life_of(bus: NATSBus, subject: str) -> Life:
    """The life of the subject's stream now; waits until there is one."""
    async with _following(bus, subject, None) as consumer:
        return life(consumer)


@contextlib.asynccontextmanager
async def _following(bus: NATSBus, subject: str, since_seq: int | None) -> AsyncIterator[OrderedConsumer]:
    """Once begun, a consumer survives outages by itself; the begin is tried until it succeeds."""
    consumer = await _begun(bus, subject, since_seq)
    try:
        yield consumer
    finally:
        await bus.leave(consumer)


async def _begun(bus: NATSBus, subject: str, since_seq: int | None) -> OrderedConsumer:
    told = False
    while True:
        try:
            return await bus.follow(subject, since_seq=since_seq, waits=False)
        except BusError as error:
            if not told:
                logger.warning("the history of %s waits: %s", subject, error)
            told = True
            await asyncio.sleep(AGAIN_S)


def life(consumer: OrderedConsumer) -> Life:
    """The life of the stream that is being read, as of when the consumer was bound last."""
    stream = consumer.stream
    assert stream.created is not None, "the server always says it"
    return Life(int(stream.created.timestamp() * 1000), stream.state.first_seq, stream.state.last_seq)


async def follow(
    bus: NATSBus, subject: str, since_seq: int, of: Life, on_idle: Callable[[], None] = lambda: None
) -> AsyncGenerator[StoredMessage, None]:
    """Every message from `since_seq` on, without end; once all has been read, a few times a second those that came.

    Args:
        bus: connected.
        subject: what to read.
        since_seq: the first sequence.
        of: the life in which that counts.
        on_idle: called whenever all that is there has been read.

    Raises:
        LifeEnded: the stream was made anew.
    """
    async with _following(bus, subject, max(since_seq, 1)) as consumer:
        newest = None
        while True:
            message = await _next(consumer, of)
            if message is not None:
                newest = message
                yield message
            if consumer.has_read_all:
                on_idle()
                age_s = None if newest is None else time.time() - newest.stored_us / 1e6
                newest = None
                await asyncio.sleep(pause_s(age_s))


def pause_s(age_s: float | None) -> float:
    """How long to wait, so that messages that come evenly are read half-way between two of them.

    A process that reads a message when it comes takes its processor from the live path, which sends it then.

    Args:
        age_s: of the newest message that was read now, by the clock of its server, which may differ from ours; None
            where none came.
    """
    late_s = READ_EVERY_S / 2 if age_s is None else min(max(age_s, 0.0), READ_EVERY_S)
    return READ_EVERY_S + READ_EVERY_S / 2 - late_s


async def span(bus: NATSBus, subject: str, first: int, end: int, of: Life) -> AsyncGenerator[StoredMessage, None]:
    """The messages with sequences in `first ≤ seq < end` that are still there, oldest first.

    Raises:
        LifeEnded: the stream was made anew.
    """
    if first >= end:
        return
    async with _following(bus, subject, max(first, 1)) as consumer:
        while not consumer.has_read_all:
            message = await _next(consumer, of)
            if message is not None:
                if message.seq < end:
                    yield message
                if message.seq >= end - 1:
                    return


async def _next(consumer: OrderedConsumer, of: Life) -> StoredMessage | None:
    """As `OrderedConsumer.next`.

    Raises:
        LifeEnded: the stream was made anew; the message may have been one of the new life.
    """
    message = await consumer.next()
    if life(consumer).created_ms != of.created_ms:
        raise LifeEnded(consumer.subject)
    return message


class Pace:
    """Leaves the machine to others: after each piece of work it rests, so that it works for a share of the time."""

    def __init__(self, share: float) -> None:
        """
        Args:
            share: of the time, at most; above 0, up to 1.
        """
        self._share = share
        self._began_s = time.monotonic()
        self._worked = 0

    async def rest(self, every: int) -> None:
        """Call after each message; rests after every `every` of them."""
        self._worked += 1
        if self._worked % every == 0:
            took_s = time.monotonic() - self._began_s
            await asyncio.sleep(took_s * (1 - self._share) / self._share)
            self._began_s = time.monotonic()
