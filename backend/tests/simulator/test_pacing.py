from datetime import UTC, date, datetime

import pytest

from src.simulator.pacing import CLOSE_S, PAST_STEP_S, Moment, Pace, timestamp_ms, today, trading_date

HOUR = 3600.0


@pytest.mark.parametrize(
    ("rate", "speed", "index", "second"),
    [
        (4, 1, 0, 9.5 * HOUR),
        (4, 1, 4, 9.5 * HOUR + 1),
        (4, 1, 1, 9.5 * HOUR + 0.25),
        (4, 60, 4, 9.5 * HOUR + 60),
        (0.5, 1, 3, 9.5 * HOUR + 6),
        (10, 0.1, 100, 9.5 * HOUR + 1),
    ],
)
def test_a_snapshot_shows_the_session_time_that_speed_and_rate_say(
    rate: float, speed: float, index: int, second: float
) -> None:
    assert Pace(rate, speed, 9.5 * HOUR).moment(index) == Moment(0, second)


@pytest.mark.parametrize(
    ("index", "moment"),
    [(3599, Moment(0, CLOSE_S - 1)), (3600, Moment(1, 15 * HOUR)), (7201, Moment(2, 15 * HOUR + 1))],
)
def test_at_the_close_the_next_day_starts_over(index: int, moment: Moment) -> None:
    assert Pace(rate_hz=1, speed=1, start_s=15 * HOUR).moment(index) == moment


def test_snapshots_are_due_at_even_distances_from_the_first() -> None:
    assert [Pace(4, 1, 0).due_s(index) for index in range(4)] == [0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize(
    ("index", "elapsed_s", "following"), [(0, 0.01, 1), (0, 0.26, 1), (4, 1.9, 7), (4, 10.0, 40), (4, 0.0, 5)]
)
def test_a_late_publisher_goes_on_with_the_newest_snapshot_that_is_due(
    index: int, elapsed_s: float, following: int
) -> None:
    assert Pace(4, 1, 0).index_after(index, elapsed_s) == following


@pytest.mark.parametrize(("rate", "speed"), [(4, 1), (50, 1), (4, 60)])
def test_the_live_part_goes_on_where_the_past_ends(rate: int, speed: float) -> None:
    pace = Pace(rate, speed, 9.5 * HOUR, past_s=HOUR)
    past = list(pace.past())
    assert [each.moment for each in past] == [Moment(0, 9.5 * HOUR + PAST_STEP_S * step) for step in range(360)]
    assert pace.moment(0) == Moment(0, past[-1].moment.second + PAST_STEP_S) == Moment(0, 10.5 * HOUR)
    assert all(each.moment.second + each.before_s == pace.moment(0).second for each in past)
    assert pace.moment(rate) == Moment(0, 10.5 * HOUR + speed)
    assert sum(each.has_flow for each in past) == 120
    assert past[0].has_flow


def test_a_past_that_is_no_multiple_of_the_step_ends_before_the_live_part() -> None:
    pace = Pace(4, 1, 9.5 * HOUR, past_s=25.0)
    assert [each.before_s for each in pace.past()] == [25.0, 15.0, 5.0]


def test_a_day_with_a_past_ends_at_the_close_too() -> None:
    pace = Pace(rate_hz=1, speed=1, start_s=15 * HOUR, past_s=1800)
    assert pace.moment(1799) == Moment(0, CLOSE_S - 1)
    assert pace.moment(1800) == Moment(1, 15 * HOUR)
    assert list(Pace(1, 1, 15 * HOUR).past()) == []


@pytest.mark.parametrize(
    ("first", "day", "expected"),
    [
        (date(2025, 12, 16), 0, date(2025, 12, 16)),
        (date(2025, 12, 16), 3, date(2025, 12, 19)),
        (date(2025, 12, 16), 4, date(2025, 12, 22)),
        (date(2025, 12, 20), 0, date(2025, 12, 20)),
        (date(2025, 12, 20), 1, date(2025, 12, 22)),
        (date(2025, 12, 21), 1, date(2025, 12, 22)),
    ],
)
def test_trading_days_follow_each_other_without_weekends(first: date, day: int, expected: date) -> None:
    assert trading_date(first, day) == expected


@pytest.mark.parametrize(
    ("on", "utc"),
    [
        (date(2025, 12, 16), datetime(2025, 12, 16, 14, 30, 0, 250_000, UTC)),
        (date(2025, 7, 16), datetime(2025, 7, 16, 13, 30, 0, 250_000, UTC)),
        (date(2025, 3, 9), datetime(2025, 3, 9, 13, 30, 0, 250_000, UTC)),  # the clocks went forward that night
        (date(2025, 11, 2), datetime(2025, 11, 2, 14, 30, 0, 250_000, UTC)),  # and back that night
    ],
)
def test_the_open_is_half_past_nine_in_new_york_on_every_date(on: date, utc: datetime) -> None:
    assert timestamp_ms(on, 9.5 * HOUR + 0.25) == round(utc.timestamp() * 1000)


def test_today_is_the_date_in_new_york() -> None:
    assert today(datetime(2025, 12, 17, 3, 0, tzinfo=UTC)) == date(2025, 12, 16)
