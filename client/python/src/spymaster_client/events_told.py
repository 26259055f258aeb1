"""Which events of a stream its reader has, and which are missing. Rules only: no clock, no socket."""

from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from spymaster_client.contract import Event

MOST_DIGITS: Final = 15  # of a message's number in a cursor, as gateways count
REMEMBERED: Final = 4_000  # the newest that came; a gateway's frames have the newest 1,000 at most
MOST_UNREAD: Final = 20_000  # as many as a gateway keeps; the oldest go first, and the reader is told so


class EventsTold:
    """What frames and answers told.

    Attributes:
        cursor: up to where; None before the first.
        missing_since: from where on some are missing; None while none is.
    """

    def __init__(self) -> None:
        self.cursor: str | None = None
        self.missing_since: str | None = None
        self._missing_until = ""
        self._counts: dict[str, int] = {}
        self._unread: deque[Event] = deque(maxlen=MOST_UNREAD)
        self._is_complete = True
        self._is_past = False

    def pass_by(self) -> None:
        """A frame shows the past, which tells no events."""
        self._is_past = True

    def reach(self, cursor: str, *, complete: bool) -> bool:
        """A frame has a cursor, and tells all since the one before or not; whether some are missing now."""
        is_missing = (self._is_past or not complete) and self.cursor is not None
        if is_missing:
            self.missing_since = self.missing_since or self.cursor
            self._missing_until = cursor
        self._is_past = False
        if not cursor.startswith("-"):  # else the gateway itself has read nothing so far
            self.cursor = cursor
        return is_missing

    def reaches(self, cursor: str) -> bool:
        """Whether an answer up to `cursor` goes as far as the frame behind which events are missing."""
        (life, seq), (missing_life, missing_seq) = _place_of(cursor), _place_of(self._missing_until)
        return life != missing_life or seq >= missing_seq

    def add(self, events: Iterable[Event]) -> bool:
        """Keep those for the reader that did not come yet, or count more by now; whether there are any."""
        new = [event for event in events if self._counts.get(event["id"], 0) < event["count"]]
        for event in new:
            self._counts.pop(event["id"], None)  # the newest stand last
            self._counts[event["id"]] = event["count"]
            if len(self._counts) > REMEMBERED:
                del self._counts[next(iter(self._counts))]
            self._is_complete = self._is_complete and len(self._unread) < MOST_UNREAD
            self._unread.append(event)
        return bool(new)

    def lose(self) -> None:
        """Those that are missing will not come."""
        self._is_complete = False

    def take(self) -> tuple[tuple[Event, ...], bool]:
        """All that the reader did not have, and whether none is missing; from now on it has them."""
        taken = tuple(self._unread), self._is_complete
        self._unread.clear()
        self._is_complete = True
        return taken


def _place_of(cursor: str) -> tuple[str, int]:
    """Its life of the stream, and the message in it. What follows, the time of verdicts, each gateway counts itself."""
    life, _, rest = cursor.partition("-")
    seq = rest.partition("-")[0]
    return life, int(seq) if seq.isdecimal() and len(seq) <= MOST_DIGITS else 0


def is_events(section: Any) -> bool:
    """Whether it has what the client reads of `Events`, in its types."""
    return (
        isinstance(section, dict)
        and isinstance(section.get("cursor"), str)
        and isinstance(section.get("complete"), bool)
        and isinstance(section.get("events"), list)
        and all(map(_is_event, section["events"]))
    )


def _is_event(event: Any) -> bool:
    return isinstance(event, dict) and isinstance(event.get("id"), str) and isinstance(event.get("count"), int)
