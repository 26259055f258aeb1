"""The session of the New York exchanges: how far into it a moment is."""

from datetime import datetime, time
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

NEW_YORK: Final = ZoneInfo("America/New_York")
OPEN: Final = time(9, 30)
FIRST_MINUTES: Final = 15
MINUTE_MS: Final = 60_000


class SessionContext(NamedTuple):
    """How far into its session a moment is.

    Attributes:
        is_first_15m: 09:30:00.000 <= t < 09:45:00.000 in New York.
        bars_since_open: whole minutes since 09:30 of that New York date; 0 before it, 869 at most.
    """

    is_first_15m: bool
    bars_since_open: int


def new_york(ts_ms: int) -> datetime:
    """A moment in the time of New York, to the second.

    Args:
        ts_ms: milliseconds since 1970 UTC.

    Raises:
        ValueError, OverflowError, OSError: it is not in the years 1 to 9999.
    """
    return datetime.fromtimestamp(ts_ms // 1000, NEW_YORK)


OUT_OF_TIME: Final = SessionContext(is_first_15m=False, bars_since_open=0)


def session_context(ts_ms: int) -> SessionContext:
    """The session context of a moment, on any day: there is no holiday calendar.

    Args:
        ts_ms: milliseconds since 1970 UTC. Outside the years 1 to 9999 there is no session: (False, 0).
    """
    try:
        opened_ms = open_ms(ts_ms)
    except (OverflowError, ValueError, OSError):  # what `datetime` raises beyond its years, by platform and distance
        return OUT_OF_TIME
    minutes = (ts_ms - opened_ms) // MINUTE_MS  # negative before the open
    return SessionContext(0 <= minutes < FIRST_MINUTES, max(minutes, 0))


def open_ms(ts_ms: int) -> int:
    """09:30 of the New York date of `ts_ms`. The clock changes at 02:00, so a date has exactly one 09:30.

    Raises:
        ValueError, OverflowError, OSError: as `new_york`.
    """
    local = new_york(ts_ms)
    return int(datetime.combine(local, OPEN, NEW_YORK).timestamp()) * 1000
