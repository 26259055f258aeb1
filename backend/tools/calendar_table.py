"""`python -m tools.calendar_table`: write the holidays of the markets as a module of rows, from `exchange_calendars`.

`make calendar` runs it. The gateway imports the rows and never the library, because the library imports pandas.
"""

import json
from collections.abc import Iterator
from datetime import date, time, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, TypeAlias
from zoneinfo import ZoneInfo

import exchange_calendars

TABLE: Final = Path(__file__).resolve().parents[1] / "src" / "gateway" / "signals" / "market_holidays.py"
FIRST_DAY: Final = date(2020, 1, 1)
LAST_DAY: Final = date(2035, 12, 31)
NEW_YORK: Final = ZoneInfo("America/New_York")

# A session of CMES ends in the library where the next one opens, at 18:00. The halt from 17:00 is not in it.
HALT: Final = {time(18): time(17)}
REGULAR_CLOSE: Final = {"XNYS": time(16), "CMES": time(17)}

NAMES: Final = {  # what the library says, and what a sentence says
    "Black Friday": "day after Thanksgiving",
    "Christmas": "Christmas",
    "Christmas Eve": "Christmas Eve",
    "Dr. Martin Luther King Jr. Day": "Martin Luther King Jr. Day",
    "Good Friday": "Good Friday",
    "July 4th": "Independence Day",
    "Juneteenth National Independence Day": "Juneteenth",
    "Labor Day": "Labor Day",
    "Memorial Day": "Memorial Day",
    "Mondays, Tuesdays, and Thursdays Before Independence Day": "day before Independence Day",
    "New Year's Day": "New Year's Day",
    "President's Day": "Presidents' Day",
    "Thanksgiving": "Thanksgiving",
    "Thanksgiving Day": "Thanksgiving",
    "Washington's Birthday": "Presidents' Day",
    "Wednesdays Before Independence Day including and after 2013": "day before Independence Day",
}
UNNAMED: Final = {  # the library has these dates without a name
    date(2025, 1, 9): "national day of mourning",  # for President Carter
}

Row: TypeAlias = tuple[date, str, time | None, time | None]

HEAD: Final = '''\
"""Holidays and early closes of XNYS and CMES. `make calendar` writes this file, from exchange_calendars {version}.

A row is a day on which one of the two has no session, or closes early: the date, its name, the close of XNYS and the
close of CMES. A close is a time of New York; None is a day without a session.
"""

from datetime import date, time
from typing import Final

FIRST_DAY: Final = {first}
LAST_DAY: Final = {last}

HOLIDAYS: Final[tuple[tuple[date, str, time | None, time | None], ...]] = (
'''


def table() -> str:
    """The text of `market_holidays.py`."""
    head = HEAD.format(version=version("exchange-calendars"), first=_date(FIRST_DAY), last=_date(LAST_DAY))
    return f"{head}{''.join(_line(*row) for row in rows())})\n"


def rows() -> Iterator[Row]:
    """The weekdays of the table's years on which a market does not close at its regular time.

    Raises:
        KeyError: the library has a holiday that `NAMES` and `UNNAMED` do not have.
    """
    calendars = {market: _calendar(market) for market in REGULAR_CLOSE}
    closes = {market: _closes(calendar) for market, calendar in calendars.items()}
    names = {day: name for calendar in calendars.values() for day, name in _names(calendar).items()} | UNNAMED
    for after in range((LAST_DAY - FIRST_DAY).days + 1):
        day = FIRST_DAY + timedelta(after)
        of_day = {market: closes[market].get(day) for market in REGULAR_CLOSE}
        if day.weekday() < 5 and of_day != REGULAR_CLOSE:
            yield day, names[day], of_day["XNYS"], of_day["CMES"]


def _calendar(market: str) -> Any:
    return exchange_calendars.get_calendar(market, start=str(FIRST_DAY), end=str(LAST_DAY))


def _closes(calendar: Any) -> dict[date, time]:
    """The close of each session, by its date, as a time of New York."""
    closes = {session.date(): close.tz_convert(NEW_YORK).time() for session, close in calendar.closes.items()}
    return {day: HALT.get(close, close) for day, close in closes.items()}


def _names(calendar: Any) -> dict[date, str]:
    holidays = [calendar.regular_holidays, *(early for _, early in calendar.special_closes)]
    named = (each.holidays(str(FIRST_DAY), str(LAST_DAY), return_name=True) for each in holidays)
    return {day.date(): NAMES[name] for each in named for day, name in each.items()}


def _line(day: date, name: str, xnys: time | None, cmes: time | None) -> str:
    quoted = json.dumps(name)  # in double quotes, as ruff wants it
    return f"    ({_date(day)}, {quoted}, {_close(xnys)}, {_close(cmes)}),\n"


def _date(day: date) -> str:
    return f"date({day.year}, {day.month}, {day.day})"


def _close(close: time | None) -> str:
    if close is None:
        return "None"
    return f"time({close.hour}, {close.minute})" if close.minute else f"time({close.hour})"


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
