"""Reads the past of both streams into memory, and keeps it there as it grows.

**The newest part first.** The last ten minutes are read before anything is told, then each new message as it comes,
and beside that the rest backwards to the oldest, at most half of the time of a processor. What is kept is the same
whatever the order.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from src.common.bus import NATSBus
from src.common.ordered_consumer import StoredMessage
from src.common.subjects import LEVELS_SIGNALS, RETENTION_S
from src.common.tasks import end
from src.gateway.history.event_log import Cursor, EventLog
from src.gateway.history.reader import BEFORE, BLOCK, LevelsReader, Life, Pace, follow, life_of, span
from src.gateway.signals.contract import Event

logger = logging.getLogger("history")

FILL_SHARE: Final = 0.5  # of one processor
REST_EVERY: Final = 32  # messages
FORGET_EVERY: Final = 1_000  # messages: old events are dropped this often

OnEvents = Callable[[list[Event]], None]


class Archive:
    """The past of the streams, as far as it has been read.

    Attributes:
        log: the events.
        cursor: up to which the live end has been read for events.
        since: the cursor from which on no event is missing.
        caught_up: set once the newest part has been read.
        is_filled: whether everything that the streams have has been read.
    """

    def __init__(self, bus: NATSBus, wall_baseline: float, on_events: OnEvents) -> None:
        """
        Args:
            bus: connected; of this archive alone, so that a backlog delays nothing else.
            wall_baseline: as for the payload.
            on_events: called with events that are new, or count one more, once `caught_up` is set.
        """
        self._bus = bus
        self._wall_baseline = wall_baseline
        self._on_events = on_events
        self.caught_up = asyncio.Event()
        self.is_filled = False
        self._verdicts: dict[str, str] = {}  # of each section, the one that was told last
        self.log = EventLog("")
        self.cursor = self.since = Cursor("", 0, 0)

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
        levels = await life_of(self._bus, LEVELS_SIGNALS)
        self.log = EventLog(levels.name)
        begin = max(levels.first_seq, levels.last_seq + 1 - BLOCK)
        self.cursor = self.since = Cursor(levels.name, begin - 1, 0)
        filling = asyncio.create_task(self._fill(levels, begin), name="fill levels")
        try:
            await self._follow(levels, begin)
        finally:
            await end(filling)

    async def _follow(self, levels: Life, begin: int) -> None:
        reader = LevelsReader(self._wall_baseline)
        async for message in follow(self._bus, LEVELS_SIGNALS, begin - BEFORE, levels, self.caught_up.set):
            changed = self._take(reader, message, begin)
            if message.seq >= begin:
                self.cursor = Cursor(levels.name, message.seq, message.stored_us // 1000)
            if changed and self.caught_up.is_set():
                self._on_events(changed)
            if message.seq % FORGET_EVERY == 0:
                self.log.forget_before(message.stored_us // 1000 - RETENTION_S * 1000)

    async def _fill(self, levels: Life, end_seq: int) -> None:
        """Block after block, each before the last."""
        await self.caught_up.wait()
        began_s, pace = time.monotonic(), Pace(FILL_SHARE)
        first = end_seq
        while first > levels.first_seq:
            end_seq, first = first, max(levels.first_seq, first - BLOCK)
            reader = LevelsReader(self._wall_baseline)
            async for message in span(self._bus, LEVELS_SIGNALS, first - BEFORE, end_seq, levels):
                self._take(reader, message, first)
                await pace.rest(REST_EVERY)
            self.since = self.since._replace(seq=first - 1)
        self.is_filled = True
        logger.info("the history is complete, after %.1f s", time.monotonic() - began_s)

    def _take(self, reader: LevelsReader, message: StoredMessage, first: int) -> list[Event]:
        """Messages before `first` are read for what comes after them."""
        read = reader.read(message)
        if read is None or message.seq < first or read.before is None:
            return []
        return self.log.add_message(message.seq, message.stored_us // 1000, read.before, read.now)
