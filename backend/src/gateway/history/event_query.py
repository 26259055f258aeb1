"""`GET /events`: which events somebody asks for, and the answer. Values in, values out."""

from typing import Any, Final, NamedTuple

from src.gateway.history.contract import EventPage
from src.gateway.history.event_log import NOWHERE, Cursor, EventLog, cursor_of, newest_cursor
from src.gateway.signals.contract import EVENT_KINDS
from src.gateway.signals.shape import PARAMETERS, WrongParameter, given_in_query

USUAL_LIMIT: Final = 2_000  # 0.7 MB of JSON; the session of a day is about 9,000 events, and so five pages
MAX_LIMIT: Final = 5_000  # 1.8 MB: what a slow client may make the gateway keep for it

EVENT_PARAMETERS: Final = {
    "since": "a cursor: only what happened after it",
    "kinds": f"any of {', '.join(EVENT_KINDS)}",
    "levels": "ids of levels; of verdicts, sections",
    "limit": f"how many events at most, 1 to {MAX_LIMIT}, the oldest first; by default {USUAL_LIMIT}",
}


class EventQuery(NamedTuple):
    """A field that is None asks for everything; `limit` is the length of a page."""

    since: Cursor | None = None
    kinds: frozenset[str] | None = None
    levels: frozenset[str] | None = None
    limit: int = USUAL_LIMIT


def event_query(query: str) -> EventQuery:
    """Read the query of a request; parameters that are not in `EVENT_PARAMETERS` are ignored.

    Raises:
        WrongParameter: a known parameter is there twice, or has a value that is not accepted.
    """
    asked: dict[str, Any] = {name: _read(name, text) for name, text in given_in_query(query, EVENT_PARAMETERS).items()}
    return EventQuery(**asked)


def _read(name: str, text: str) -> Cursor | frozenset[str] | int:
    if name == "since":
        cursor = NOWHERE if text == str(NOWHERE) else cursor_of(text)  # a frame has that until the past is known
        if cursor is None:
            raise WrongParameter("since accepts a cursor, as a frame or an answer before had it")
        return cursor
    if name == "limit":
        return _read_limit(text.strip())
    names: frozenset[str] = PARAMETERS["levels"](name, text)
    if name == "kinds" and not names <= set(EVENT_KINDS):
        raise WrongParameter(f"kinds accepts {', '.join(EVENT_KINDS)}, separated by commas")
    return names


def _read_limit(text: str) -> int:
    limit = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(MAX_LIMIT)) else 0
    if not 1 <= limit <= MAX_LIMIT:
        raise WrongParameter(f"limit accepts a whole number from 1 to {MAX_LIMIT}")
    return limit


def answer(log: EventLog, asked: EventQuery, since: Cursor, cursor: Cursor, *, filled: bool) -> EventPage:
    """The events that are asked for: a page of them, the oldest first.

    Args:
        log: all that is kept.
        asked: see there.
        since: from which on none is missing.
        cursor: up to which the log goes.
        filled: whether it goes back to the beginning of the stream.
    """
    read = asked.since if asked.since is not None and asked.since.life == log.life else None
    if read is None:
        complete = asked.since is None and filled and not log.lost_ms
        read = Cursor(log.life, since.seq if complete else 0, 0)
    else:
        complete = read.seq >= since.seq and read.server_ms >= log.lost_ms
    events, more = log.page(read, asked.limit, asked.kinds, asked.levels)
    return {
        "cursor": str(newest_cursor(log.life, events, read if more else cursor)),
        "complete": complete,
        "events": events,
        "more": more,
    }
