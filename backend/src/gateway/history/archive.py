"""Reads the past of both streams into memory, and keeps it there as it grows.

**The newest part first.** The last five minutes are read before anything is told, then each new message as it comes,
and beside that the rest backwards to the oldest, at most half of the time of a processor. What is kept is the same
whatever the order.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final

from src.common.bus import NATSBus
from src.common.messages import BadMessage
from src.common.ordered_consumer import StoredMessage
from src.common.subjects import LEVELS_SIGNALS, MARKET_FLOW, RETENTION_S
from src.common.tasks import end
from src.gateway.history.entries import flow_entry
from src.gateway.history.event_log import NOWHERE, Cursor, EventLog
from src.gateway.history.reader import BEFORE, BLOCK, LevelsReader, Life, Pace, follow, life_of, span
from src.gateway.history.store import Past
from src.gateway.signals.contract import Event

logger = logging.getLogger("history")

FILL_SHARE: Final = 0.5  # of one processor
REST_EVERY: Final = 8  # messages, about a millisecond
FORGET_EVERY: Final = 1_000  # messages: old events are dropped this often
SUBJECTS: Final = (LEVELS_SIGNALS, MARKET_FLOW)

OnEvents = Callable[[list[Event]], None]


@dataclass(slots=True)
class StreamProgress:
    """How much of one stream has been read.

    Attributes:
        life: of the stream.
        begin: the sequence with which the live end begins.
        first: the sequence from which on everything has been read.
        reached_ms: Core's time there, ms since 1970 UTC; None before the first message.
        caught_up: set once the live end has been read.
    """

    life: Life
    begin: int
    first: int
    reached_ms: int | None = None
    caught_up: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_filled(self) -> bool:
        return self.first <= self.life.first_seq


class Archive:
    """The past of the streams, as far as it has been read.

    Attributes:
        log: the events.
        past: spot, levels and flow, a second a cell.
        cursor: up to which the live end has been read for events.
        caught_up: set once the newest part has been read.
    """

    def __init__(self, bus: NATSBus, wall_baseline: float, on_events: OnEvents) -> None:
        """
        Args:
            bus: connected; of this archive alone, so that a backlog delays nothing else.
            wall_baseline: as for the payload.
            on_events: called with events that are new, or count one more, once `caught_up` is set.
        """
        self.log = EventLog("")
        self.past = Past()
        self.cursor = NOWHERE
        self.caught_up = asyncio.Event()
        self._bus = bus
        self._wall_baseline = wall_baseline
        self._on_events = on_events
        self._progress: dict[str, StreamProgress] = {}
        self._alone = 0  # the first message of the oldest block, where the one before it has not been read; 0 for none
        self._verdicts: dict[str, str] = {}  # of each section, the one that was told last

    @property
    def is_filled(self) -> bool:
        """Whether everything that the streams have has been read."""
        return self.caught_up.is_set() and all(progress.is_filled for progress in self._progress.values())

    @property
    def since(self) -> Cursor:
        """The cursor from which on no event is missing."""
        progress = self._progress.get(LEVELS_SIGNALS)
        return NOWHERE if progress is None else Cursor(self.log.life, max(progress.first - 1, self._alone), 0)

    @property
    def reached_ms(self) -> int | None:
        """Core's time from which on all was read; None before the first message."""
        reached = [progress.reached_ms for progress in self._progress.values() if not progress.is_filled]
        return max((ms for ms in reached if ms is not None), default=self.past.oldest_ms)

    def reaches(self, ts_ms: int) -> bool:
        """Whether all from this time of Core's on has been read, or all that the streams have."""
        reached_ms = self.reached_ms
        return self.is_filled or (reached_ms is not None and ts_ms >= reached_ms)

    def life(self, subject: str) -> Life:
        """The life of the stream that is read; once `caught_up` is set."""
        return self._progress[subject].life

    def note_verdict(self, section: str, before: str, after: str, now_ms: int) -> Event | None:
        """A gateway process judges that a verdict has changed; None where another one has said so already.

        Each worker tells its own judgement of the same silence.
        """
        told = self._verdicts.get(section)
        if told == after:
            return None
        self._verdicts[section] = after
        now_ms = max(now_ms, self.cursor.server_ms + 1)  # so that cursors tell it from what was before
        self.cursor = self.cursor._replace(server_ms=now_ms)
        return self.log.add_verdict(section, told or before, after, now_ms)

    async def run(self) -> None:
        """Read without end.

        Raises:
            LifeEnded: a stream was made anew; begin again with another archive.
        """
        for subject in SUBJECTS:
            life = await life_of(self._bus, subject)
            begin = max(life.first_seq, life.last_seq + 1 - BLOCK)
            self._progress[subject] = StreamProgress(life, begin, begin)
        levels, flow = (self._progress[subject] for subject in SUBJECTS)
        self.log = EventLog(levels.life.name)
        self.cursor = self.since
        await _until_one_ends(self._follow_levels(levels), self._follow_flow(flow), self._fill(levels, flow))

    # -- the live end ----------------------------------------------------------------------------------------------

    async def _follow_levels(self, levels: StreamProgress) -> None:
        reader = LevelsReader(self._wall_baseline)
        begin = levels.begin

        def catch_up() -> None:
            if not levels.caught_up.is_set():
                self._reach(levels, begin, reader)
                levels.caught_up.set()

        until_forgetting = FORGET_EVERY
        async with aclosing(follow(self._bus, LEVELS_SIGNALS, begin - BEFORE, levels.life, catch_up)) as messages:
            async for message in messages:
                changed = self._take_levels(reader, message, levels, begin)
                if message.seq >= begin:
                    # A verdict may have been judged by another clock: who has read it is not told it again.
                    read_ms = max(message.stored_us // 1000, self.cursor.server_ms)
                    self.cursor = Cursor(self.log.life, message.seq, read_ms)
                if changed and self.caught_up.is_set():
                    self._on_events(changed)
                until_forgetting -= 1
                if not until_forgetting:
                    until_forgetting = FORGET_EVERY
                    self.log.forget_before(message.stored_us // 1000 - RETENTION_S * 1000)

    async def _follow_flow(self, flow: StreamProgress) -> None:
        async with aclosing(follow(self._bus, MARKET_FLOW, flow.begin, flow.life, flow.caught_up.set)) as messages:
            async for message in messages:
                self._take_flow(message, flow)

    # -- backwards -------------------------------------------------------------------------------------------------

    async def _fill(self, levels: StreamProgress, flow: StreamProgress) -> None:
        """Block after block, each before the last."""
        for progress in (levels, flow):
            await progress.caught_up.wait()
        self.caught_up.set()
        began_s, pace = time.monotonic(), Pace(FILL_SHARE)
        while not (levels.is_filled and flow.is_filled):
            await self._fill_levels(levels, pace)
            await self._fill_flow(flow, pace)
        logger.info("the history is complete, after %.1f s", time.monotonic() - began_s)
        await asyncio.get_running_loop().create_future()  # until it is cancelled

    async def _fill_levels(self, levels: StreamProgress, pace: Pace) -> None:
        first, end_seq = _block_before(levels)
        reader = LevelsReader(self._wall_baseline)
        end_seq = max(end_seq, self._alone + 1)
        async with aclosing(span(self._bus, LEVELS_SIGNALS, first - BEFORE, end_seq, levels.life)) as messages:
            async for message in messages:
                self._take_levels(reader, message, levels, first)
                await pace.rest(REST_EVERY)
        self._reach(levels, first, reader)

    def _reach(self, levels: StreamProgress, first: int, reader: LevelsReader) -> None:
        """A block from `first` on has been read.

        The message before it may be further back than `BEFORE`: what happened between the two is read with the next
        block, which goes on until there.
        """
        if reader.first_seq:
            self._alone = reader.first_seq if reader.first_seq >= first > levels.life.first_seq else 0
        levels.first = first

    async def _fill_flow(self, flow: StreamProgress, pace: Pace) -> None:
        first, end_seq = _block_before(flow)
        async with aclosing(span(self._bus, MARKET_FLOW, first, end_seq, flow.life)) as messages:
            async for message in messages:
                self._take_flow(message, flow)
                await pace.rest(REST_EVERY)
        flow.first = first

    # -- one message -----------------------------------------------------------------------------------------------

    def _take_levels(
        self, reader: LevelsReader, message: StoredMessage, levels: StreamProgress, first: int
    ) -> list[Event]:
        """Messages before `first` are read for what comes after them. Returns the events that changed."""
        read = reader.read(message)
        if read is None or message.seq < first:
            return []
        self.past.add_levels(read.entry)
        levels.reached_ms = _least(levels.reached_ms, read.entry.ts_ms)
        if read.before is None:
            return []
        return self.log.add_message(message.seq, read.entry.stored_ms, read.before, read.now)

    def _take_flow(self, message: StoredMessage, flow: StreamProgress) -> None:
        try:
            entry = flow_entry(message.body, seq=message.seq, stored_ms=message.stored_us // 1000)
        except BadMessage:
            return
        self.past.add_flow(entry)
        flow.reached_ms = _least(flow.reached_ms, entry.ts_ms)


def _block_before(progress: StreamProgress) -> tuple[int, int]:
    """The sequences of the next block to read, first ≤ seq < end; empty where all has been read."""
    return max(progress.life.first_seq, progress.first - BLOCK), progress.first


def _least(reached_ms: int | None, ts_ms: int) -> int:
    return ts_ms if reached_ms is None else min(reached_ms, ts_ms)


async def _until_one_ends(*work: Coroutine[Any, Any, None]) -> None:
    """Run all until one of them ends, which it does by an exception."""
    tasks = [asyncio.create_task(each, name="archive") for each in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await end(*tasks)
