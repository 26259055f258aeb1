"""`GET /events`: which events somebody asks for, and the answer. Values in, values out."""

from typing import Any, Final, NamedTuple

from src.gateway.history.event_log import Cursor, EventLog, cursor_of, newest_cursor
from src.gateway.signals.contract import EVENT_KINDS, Events
from src.gateway.signals.shape import PARAMETERS, WrongParameter, given_in_query

EVENT_PARAMETERS: Final = {
    "since": "a cursor: only what happened after it",
    "kinds": f"any of {', '.join(EVENT_KINDS)}",
    "levels": "ids of levels; of verdicts, sections",
}


class EventQuery(NamedTuple):
    """A field that is None asks for everything."""

    since: Cursor | None = None
    kinds: frozenset[str] | None = None
    levels: frozenset[str] | None = None


def event_query(query: str) -> EventQuery:
    """Read the query of a request; parameters that are not in `EVENT_PARAMETERS` are ignored.

    Raises:
        WrongParameter: a known parameter is there twice, or has a value that is not accepted.
    """
    asked: dict[str, Any] = {name: _read(name, text) for name, text in given_in_query(query, EVENT_PARAMETERS).items()}
    return EventQuery(**asked)


def _read(name: str, text: str) -> Cursor | frozenset[str]:
    if name == "since":
        cursor = cursor_of(text)
        if cursor is None:
            raise WrongParameter("since accepts a cursor, as a frame or an answer before had it")
        return cursor
    names: frozenset[str] = PARAMETERS["levels"](name, text)
    if name == "kinds" and not names <= set(EVENT_KINDS):
        raise WrongParameter(f"kinds accepts {', '.join(EVENT_KINDS)}, separated by commas")
    return names


def answer(log: EventLog, asked: EventQuery, since: Cursor, cursor: Cursor, *, filled: bool) -> Events:
    """The events that are asked for.

    Args:
        log: all that is kept.
        asked: see there.
        since: from which on none is missing.
        cursor: up to which the log goes.
        filled: whether it goes back to the beginning of the stream.
    """
    read = asked.since if asked.since is not None and asked.since.life == log.life else None
    events = log.events(read, asked.kinds, asked.levels)
    reaches = read is not None and read.seq >= since.seq and read.server_ms >= log.lost_ms
    return {
        "cursor": str(newest_cursor(log.life, events, cursor)),
        "complete": reaches or (asked.since is None and filled and not log.lost_ms),
        "events": events,
    }
