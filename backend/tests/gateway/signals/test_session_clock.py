"""New York time, through both changes of its clock."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.gateway.signals.session_clock import session_context

NEW_YORK = ZoneInfo("America/New_York")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)

DAYS = {
    "winter": date(2026, 1, 15),
    "summer": date(2026, 7, 15),
    "the Friday before clocks go forward": date(2026, 3, 6),
    "the Sunday on which clocks go forward": date(2026, 3, 8),
    "the Monday after": date(2026, 3, 9),
    "the Friday before clocks go back": date(2026, 10, 30),
    "the Sunday on which clocks go back": date(2026, 11, 1),
    "the Monday after that": date(2026, 11, 2),
    "Christmas": date(2026, 12, 25),
    "the year 9999": date(9999, 12, 30),
}
TIMES = [
    ("00:00:00.000", False, 0),
    ("09:29:59.999", False, 0),
    ("09:30:00.000", True, 0),
    ("09:30:59.999", True, 0),
    ("09:31:00.000", True, 1),
    ("09:44:59.999", True, 14),
    ("09:45:00.000", False, 15),
    ("16:00:00.000", False, 390),
    ("23:59:59.999", False, 869),
]


@pytest.mark.parametrize("day", DAYS.values(), ids=DAYS.keys())
@pytest.mark.parametrize(("clock", "is_first_15m", "bars_since_open"), TIMES)
def test_the_session_of_a_new_york_time(day: date, clock: str, is_first_15m: bool, bars_since_open: int) -> None:
    ts_ms = ms(datetime.combine(day, time.fromisoformat(clock), NEW_YORK))
    assert session_context(ts_ms) == (is_first_15m, bars_since_open)


@pytest.mark.parametrize(
    ("utc", "bars_since_open"),
    [
        ("2026-03-06T14:30", 0),
        ("2026-03-06T14:31", 1),
        ("2026-03-09T13:31", 1),
        ("2026-03-09T14:31", 61),
        ("2026-10-30T13:31", 1),
        ("2026-11-02T13:31", 0),
        ("2026-11-02T14:31", 1),
        ("2026-11-03T04:59", 869),
        ("2026-11-03T05:00", 0),
    ],
)
def test_the_open_moves_with_daylight_saving(utc: str, bars_since_open: int) -> None:
    assert session_context(ms(datetime.fromisoformat(utc + "Z"))).bars_since_open == bars_since_open


@pytest.mark.parametrize("ts_ms", [253_402_300_800_000, 10**18, 10**30, -(10**15), -(10**30)])
def test_beyond_the_years_1_to_9999_there_is_no_session(ts_ms: int) -> None:
    assert session_context(ts_ms) == (False, 0)


@settings(deadline=None)
@given(st.integers(0, 253_402_300_799_999))
def test_every_moment_has_the_minutes_that_new_yorks_wall_clock_shows(ts_ms: int) -> None:
    local = (EPOCH + ts_ms * MILLISECOND).astimezone(NEW_YORK)
    minutes = local.hour * 60 + local.minute - (9 * 60 + 30)
    assert session_context(ts_ms) == (0 <= minutes < 15, max(minutes, 0))


def ms(moment: datetime) -> int:
    return (moment - EPOCH) // MILLISECOND
