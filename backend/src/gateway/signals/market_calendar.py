"""Whether a market is open: XNYS, the US exchanges; CMES, the ES future of CME; 24x7, a market that never closes.

A market has regular hours on weekdays; `market_holidays.py` has the days on which it closes early or has no session.
Outside the years of that table each weekday has regular hours, and the next open is not told.

XNYS is the session of stocks and of most options, from 09:30 to 16:00. Some options trade a quarter of an hour longer,
on an early close too, and those on SPX and VIX also overnight; these hours are not here.

A session of CMES opens at 18:00 of the day before and closes at 17:00. The daily halt follows until 18:00. The table is
from the library exchange_calendars 4.13.2, in which a session lasts until 18:00: the halt is a rule of this module. The
library is coarser than CME in other things too, and so is this module:

- On the day after Thanksgiving and on Christmas Eve ES closes at 13:15; the table has 13:00.
- On the day before Independence Day ES closes at 13:15 where XNYS closes early; the table has a regular day.
- On Juneteenth ES closes at 13:00, since 2022; the table has a regular day. The library has it after 4.13.2.
- On a Good Friday with an employment report, as in 2021 and 2023, ES trades until 09:15, and on 2025-01-09 it traded
  until 09:30; the table has no session.
- Until June 2021 ES also paused from 16:15 to 16:30.
"""

from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, NamedTuple, get_args

from src.gateway.setting_types import MarketName
from src.gateway.signals.market_holidays import FIRST_DAY, HOLIDAYS, LAST_DAY
from src.gateway.signals.session_clock import MINUTE_MS, NEW_YORK, new_york

MARKETS: Final = get_args(MarketName)

SATURDAY: Final = 5
ONE_DAY: Final = timedelta(days=1)


class Hours(NamedTuple):
    """The regular session of a weekday, in times of New York.

    Attributes:
        opens: on the day itself, or on the day before where `opens_day_before`.
        closes: on the day itself.
        pause: why the market is closed between the sessions of two consecutive days.
    """

    opens: time
    opens_day_before: bool
    closes: time
    pause: str


HOURS: Final = {
    "XNYS": Hours(time(9, 30), opens_day_before=False, closes=time(16), pause="night"),
    "CMES": Hours(time(18), opens_day_before=True, closes=time(17), pause="daily halt"),
}
CLOSES: Final[dict[str, dict[date, time | None]]] = {
    "XNYS": {day: close for day, _, close, _ in HOLIDAYS},
    "CMES": {day: close for day, _, _, close in HOLIDAYS},
}
HOLIDAY_NAMES: Final = {day: name for day, name, _, _ in HOLIDAYS}

WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
CLOSED: Final = {  # by reason; a holiday's name follows "Closed for"
    "daily halt": "Closed for the daily halt",
    "early close": "Closed after an early close",
    "national day of mourning": "Closed for a national day of mourning",
    "night": "Closed overnight",
    "weekend": "Closed over the weekend",
}


class MarketState(NamedTuple):
    """Whether a market is open, and until when.

    Attributes:
        market: one of `MARKETS`.
        is_open: opens <= t < closes.
        why_closed: a holiday's name, "weekend", "night", "daily halt", or "early close" from an early close until the
            regular one. None while open.
        opens_ms: the next open, in ms since 1970 UTC. None while open, and where the next open is outside the table.
        closes_ms: the close of the session that is open, or of the one that begins at `opens_ms`, in ms since 1970 UTC.
            None where there is neither, and for 24x7.
        early_close: whether `closes_ms` is before the regular close.
    """

    market: str
    is_open: bool
    why_closed: str | None
    opens_ms: int | None
    closes_ms: int | None
    early_close: bool


class Session(NamedTuple):
    """opens_ms <= t < closes_ms, in ms since 1970 UTC."""

    opens_ms: int
    closes_ms: int
    early_close: bool


def market_at(market: str, now_ms: int) -> MarketState:
    """The state of a market at a moment.

    Args:
        market: one of `MARKETS`.
        now_ms: milliseconds since 1970 UTC, in the years 1 to 9998.

    Raises:
        KeyError: there is no such market.
        ValueError, OverflowError, OSError: `now_ms` is in no such year.
    """
    return _state(market, now_ms // MINUTE_MS)


def sentence(state: MarketState, now_ms: int, last_data_ms: int | None) -> str:
    """What a viewer reads about a market: "Closed over the weekend; opens Mon 09:30, closes 16:00".

    Times are of New York. A weekday is told where the day is not today; a date too, where it is a week away or more.

    Args:
        state: of the moment `now_ms`.
        now_ms: milliseconds since 1970 UTC.
        last_data_ms: when the last data came, in ms since 1970 UTC, or None; told while the market is closed.

    Raises:
        ValueError, OverflowError, OSError: a moment is not in the years 1 to 9999.
    """
    today = new_york(now_ms).date()
    if state.why_closed is None:
        return _open_sentence(state, today)
    parts = [CLOSED.get(state.why_closed, f"Closed for {state.why_closed}")]
    if state.opens_ms is not None and state.closes_ms is not None:
        opens, closes = new_york(state.opens_ms), new_york(state.closes_ms)
        parts.append(_next_session_part(opens, closes, state.early_close, today))
    if last_data_ms is not None:
        parts.append(f"last data {_on_day(new_york(last_data_ms), today, '%H:%M:%S')}")
    return "; ".join(parts)


# -- the state ---------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)  # the current minute of each market, and of messages that come late
def _state(market: str, minute: int) -> MarketState:
    """The state in a minute since 1970 UTC. All sessions begin and end on a whole minute."""
    if market == "24x7":
        return MarketState(market, True, None, None, None, False)
    now_ms = minute * MINUTE_MS
    now = new_york(now_ms)
    day = _session_day(market, now)
    session = _session(market, day)
    if session is not None and session.opens_ms <= now_ms < session.closes_ms:
        return MarketState(market, True, None, None, session.closes_ms, session.early_close)
    has_ended = session is not None and now_ms >= session.closes_ms
    upcoming = _next_session(market, day + ONE_DAY if has_ended else day)
    why_closed = _why_closed(market, day, now.time(), has_ended)
    if upcoming is None:
        return MarketState(market, False, why_closed, None, None, False)
    return MarketState(market, False, why_closed, *upcoming)


def _session_day(market: str, now: datetime) -> date:
    """The day whose session a moment belongs to: from the regular open of CMES on, it is the next day."""
    hours = HOURS[market]
    return now.date() + ONE_DAY if hours.opens_day_before and now.time() >= hours.opens else now.date()


def _session(market: str, day: date) -> Session | None:
    hours, close = HOURS[market], _close(market, day)
    if close is None:
        return None
    opening_day = day - ONE_DAY if hours.opens_day_before else day
    return Session(_ms(opening_day, hours.opens), _ms(day, close), close < hours.closes)


def _next_session(market: str, day: date) -> Session | None:
    """The first session of that day or later, within the table."""
    while FIRST_DAY <= day <= LAST_DAY:
        if session := _session(market, day):
            return session
        day += ONE_DAY
    return None


def _why_closed(market: str, day: date, clock: time, has_ended: bool) -> str:
    """The reason at a time of New York, before or after the session of `day`, or on a day without one."""
    if _close(market, day) is None:
        return HOLIDAY_NAMES[day] if day.weekday() < SATURDAY else "weekend"
    if not has_ended:
        return HOURS[market].pause
    if clock < HOURS[market].closes:
        return "early close"
    return _why_closed(market, day + ONE_DAY, clock, has_ended=False)


def _close(market: str, day: date) -> time | None:
    """When the session of a day closes, in the time of New York. None without a session."""
    return CLOSES[market].get(day, HOURS[market].closes) if day.weekday() < SATURDAY else None


# -- the sentence ------------------------------------------------------------------------------------------------------


def _open_sentence(state: MarketState, today: date) -> str:
    if state.closes_ms is None:
        return "Open around the clock"
    until = f"Open until {_on_day(new_york(state.closes_ms), today)}"
    return f"{until}, an early close" if state.early_close else until


def _next_session_part(opens: datetime, closes: datetime, early_close: bool, today: date) -> str:
    """Without the close of an overnight session, which is a day away, unless it is an early one."""
    opening = f"opens {_on_day(opens, today)}"
    if closes.date() != opens.date() and not early_close:
        return opening
    return f"{opening}, closes {_on_day(closes, opens.date())}"


def _on_day(moment: datetime, today: date, clock: str = "%H:%M") -> str:
    """A time, with the weekday where it is another day than `today`, and with the date where a weekday is ambiguous."""
    told = moment.strftime(clock)
    day = moment.date()
    if day == today:
        return told
    if abs(day - today).days >= len(WEEKDAYS):
        return f"{WEEKDAYS[day.weekday()]} {day} {told}"
    return f"{WEEKDAYS[day.weekday()]} {told}"


# -- New York ----------------------------------------------------------------------------------------------------------


def _ms(day: date, clock: time) -> int:
    """A time of New York. The clock changes at 02:00 of a Sunday, when no session opens or closes."""
    return int(datetime.combine(day, clock, NEW_YORK).timestamp()) * 1000
