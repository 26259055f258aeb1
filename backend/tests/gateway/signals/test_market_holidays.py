"""The table of holidays and early closes is what `make calendar` writes."""

from datetime import date, time

import pytest

from src.gateway.signals.market_holidays import FIRST_DAY, HOLIDAYS, LAST_DAY
from tools.calendar_table import TABLE, table

ROWS = {day: row for day, *row in HOLIDAYS}


def test_the_table_is_what_make_calendar_writes() -> None:
    assert TABLE.read_text(encoding="utf-8") == table(), "run `make calendar`"


def test_a_row_is_a_weekday_within_the_years_in_order_and_once() -> None:
    days = [day for day, *_ in HOLIDAYS]
    assert days == sorted(set(days))
    assert (date(FIRST_DAY.year, 1, 1), date(LAST_DAY.year, 12, 31)) == (FIRST_DAY, LAST_DAY)
    assert all(FIRST_DAY <= day <= LAST_DAY and day.weekday() < 5 for day in days)


# "NYSE Group announces 2026, 2027 and 2028 holiday and early closings calendar", 2025-12-23: holidays, early closes.
PUBLISHED_BY_NYSE = {
    2026: (
        ["01-01", "01-19", "02-16", "04-03", "05-25", "06-19", "07-03", "09-07", "11-26", "12-25"],
        ["11-27", "12-24"],
    ),
    2027: (["01-01", "01-18", "02-15", "03-26", "05-31", "06-18", "07-05", "09-06", "11-25", "12-24"], ["11-26"]),
    2028: (["01-17", "02-21", "04-14", "05-29", "06-19", "07-04", "09-04", "11-23", "12-25"], ["07-03", "11-24"]),
}


@pytest.mark.parametrize("year", PUBLISHED_BY_NYSE)
def test_xnys_has_the_holidays_that_nyse_published(year: int) -> None:
    of_year = {f"{day:%m-%d}": xnys for day, (_, xnys, _) in ROWS.items() if day.year == year}
    holidays, early_closes = PUBLISHED_BY_NYSE[year]
    assert [day for day, close in of_year.items() if close is None] == holidays
    assert [day for day, close in of_year.items() if close == time(13)] == early_closes
    assert len(of_year) == len(holidays) + len(early_closes)


@pytest.mark.parametrize(
    ("day", "row"),
    [
        (date(2025, 1, 9), ["national day of mourning", None, None]),
        (date(2026, 1, 19), ["Martin Luther King Jr. Day", None, time(13)]),
        (date(2026, 6, 19), ["Juneteenth", None, time(17)]),
        (date(2026, 11, 26), ["Thanksgiving", None, time(13)]),
        (date(2026, 11, 27), ["day after Thanksgiving", time(13), time(13)]),
        (date(2028, 7, 3), ["day before Independence Day", time(13), time(17)]),
    ],
)
def test_a_row_has_a_name_and_both_closes(day: date, row: list[object]) -> None:
    assert ROWS[day] == row
