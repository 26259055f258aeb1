"""The newest events, for frames: what a viewer was not told yet.

Each entry has a position, counted in this process alone, and a frame remembers up to which position it told. Bound:
`RING_EVENTS`. Policy: the oldest go first, and a viewer that missed them is told so.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from itertools import islice
from operator import attrgetter
from typing import Final, NamedTuple

import msgspec

from src.gateway.history.event_log import NOWHERE, Cursor, is_after, newest_cursor
from src.gateway.signals.contract import Event

RING_EVENTS: Final = 1_000  # 300 KB; at the pace of a recorded session half an hour
UNKNOWN_POSITION: Final = 1  # of a viewer that missed events
FIRST_POSITION: Final = 1 << 24  # a first connection brings entries with smaller positions


class _Entry(NamedTuple):
    position: int
    cursor: Cursor  # of who has read up to this event
    event: bytes


class EventRing:
    """The newest events, by their last occurrence.

    Attributes:
        position: of the newest entry.
    """

    def __init__(self) -> None:
        self.position = FIRST_POSITION
        self._entries: deque[_Entry] = deque()
        self._lost = FIRST_POSITION  # entries up to this position are gone
        self._lost_cursor = self._cursor = NOWHERE

    def begin(self, since: Cursor, cursor: Cursor, events: Iterable[Event]) -> None:
        """The history process is connected, for the first time or again.

        Args:
            since: from which on it has every event.
            cursor: up to which they go.
            events: by their last occurrence.
        """
        if self._cursor is NOWHERE:
            kept = list(events)
            self._lost, self._lost_cursor, self._cursor = FIRST_POSITION - len(kept), since, since
            self.position = self._lost
        elif self._cursor.life != since.life or self._cursor.seq < since.seq:
            kept = list(events)
            self._entries.clear()
            self._lost = self.position = self.position + 1
            self._lost_cursor = self._cursor = since
        else:
            kept = [event for event in events if is_after(event, self._cursor)]
        self.add(cursor, kept)

    def add(self, cursor: Cursor, events: Iterable[Event]) -> None:
        """Events that are new, or count one more; who has read them has read up to `cursor`.

        Those of another life are dropped: `begin` will bring them.
        """
        if cursor.life != self._cursor.life:
            return
        for event in events:
            self._cursor = newest_cursor(cursor.life, [event], self._cursor)
            self.position += 1
            self._entries.append(_Entry(self.position, self._cursor, msgspec.json.encode(event)))
            if len(self._entries) > RING_EVENTS:
                self._lost, self._lost_cursor, _ = self._entries.popleft()
        self._cursor = max(self._cursor, cursor, key=_order)

    def position_of(self, cursor: Cursor) -> int:
        """Of the newest entry that a viewer with this cursor has; `UNKNOWN_POSITION` where later ones are missing."""
        if cursor.life != self._cursor.life or _order(cursor) < _order(self._lost_cursor):
            return UNKNOWN_POSITION
        entries = list(self._entries)
        read = bisect_right(entries, _order(cursor), key=lambda entry: _order(entry.cursor))
        return entries[read - 1].position if read else self._lost

    def section(self, told: int) -> bytes:
        """The section `events`, as JSON, for a viewer that was told up to the position `told`."""
        new = self.position - max(told, self._lost)
        events = b",".join(entry.event for entry in islice(self._entries, len(self._entries) - new, None))
        has_all = told >= self._lost and self._cursor is not NOWHERE  # what happens before the begin is told to nobody
        complete = b"true" if has_all else b"false"
        return b'{"cursor":"%s","complete":%s,"events":[%s]}' % (str(self._cursor).encode(), complete, events)


_order: Final = attrgetter("seq", "server_ms")
