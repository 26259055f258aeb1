"""How fresh a section is, in simulated time."""

import random
from datetime import datetime, timedelta

import pytest

from src.gateway.signals.freshness import (
    CLOSED,
    LAG_LATE_MS,
    LAG_STALE_MS,
    LATE,
    LIVE,
    REPLAY,
    STALE,
    UNKNOWN_LATE_MS,
    UNKNOWN_STALE_MS,
    CoreClock,
    Pace,
    SectionFreshness,
)
from src.gateway.signals.session_clock import NEW_YORK

NOON_MS = int(datetime(2026, 11, 24, 12, tzinfo=NEW_YORK).timestamp() * 1000)
OPEN_MS = NOON_MS - 9_000_000
DAY_MS = 86_400_000


class Section:
    """A section whose messages come in simulated time."""

    def __init__(self, skew_ms: int = 0, transit_ms: int = 2) -> None:
        self.freshness = SectionFreshness()
        self.now_ms = NOON_MS
        self.skew_ms = skew_ms  # NATS's clock before ours
        self.transit_ms = transit_ms
        self._seq = 0

    def message(self, lag_ms: int | None = 0, *, is_live: bool = True) -> None:
        self._seq += 1
        published_ms = self.now_ms + self.skew_ms
        ts_ms = None if lag_ms is None else published_ms - lag_ms
        self.freshness.add(self._seq, published_ms, ts_ms, self.now_ms + self.transit_ms, is_live=is_live)

    def run(self, seconds: float, every_ms: int = 250, lag_ms: int = 0) -> None:
        for _ in range(int(seconds * 1000 / every_ms)):
            self.now_ms += every_ms
            self.message(lag_ms)

    def after(self, silence_ms: float, opened_ms: int | None = OPEN_MS) -> str:
        return self.freshness.verdict(int(self.now_ms + silence_ms), opened_ms)


# -- the pace ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("every_ms", "late_ms", "stale_ms"), [(250, 875, 2_500), (5_000, 12_750, 40_000)])
def test_a_section_is_late_and_stale_by_its_own_pace(every_ms: int, late_ms: int, stale_ms: int) -> None:
    section = Section()
    section.run(100, every_ms)
    assert [section.after(ms) for ms in (late_ms - 10, late_ms + 10, stale_ms - 10, stale_ms + 10)] == [
        LIVE,
        LATE,
        LATE,
        STALE,
    ]


def test_while_the_pace_is_not_known_a_producer_may_be_slow() -> None:
    section = Section()
    section.message()
    verdicts = [section.after(ms) for ms in (UNKNOWN_LATE_MS - 10, UNKNOWN_LATE_MS + 10, UNKNOWN_STALE_MS + 10)]
    assert verdicts == [LIVE, LATE, STALE]


def test_an_outage_is_no_pace() -> None:
    section = Section()
    section.run(10)
    section.now_ms += 10_000
    section.run(5)
    assert section.after(2_600) == STALE


def test_a_producer_that_becomes_slow_is_live_at_its_new_pace() -> None:
    section = Section()
    section.run(10)
    section.run(20, every_ms=5_000)
    assert section.after(5_100) == LIVE


def test_outages_one_after_the_other_make_no_pace_unless_they_are_alike() -> None:
    pace = Pace()
    for gap_ms in (250, 250, 250, 5_000, 12_000, 5_000, 12_000):
        pace.add(gap_ms)
    assert pace.usual_ms == 250
    for _ in range(3):
        pace.add(12_000)
    assert pace.usual_ms == 12_000


def test_no_pace_is_slower_than_a_minute() -> None:
    pace = Pace()
    for _ in range(10):
        pace.add(61_000)
    assert pace.usual_ms is None


# -- the age -----------------------------------------------------------------------------------------------------------


def test_the_first_message_is_as_old_as_the_stream_says() -> None:
    section = Section()
    section.now_ms -= 150_000
    section.message(is_live=False)
    assert section.freshness.age_ms(NOON_MS) == 150_000
    section.now_ms = NOON_MS
    assert section.after(0) == STALE


@pytest.mark.parametrize("skew_ms", [-7_000, 7_000])
def test_the_clock_of_nats_may_differ(skew_ms: int) -> None:
    section = Section(skew_ms)
    section.run(10)
    assert [section.after(ms) for ms in (800, 900, 2_600)] == [LIVE, LATE, STALE]
    assert section.freshness.age_ms(section.now_ms + 1_002) == 1_000


# -- Core's own clock --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lag_ms", "verdict"),
    [
        (0, LIVE),
        (-2_000, LIVE),
        (LAG_LATE_MS, LIVE),
        (10_000, LATE),
        (LAG_STALE_MS + 1, STALE),
        (60_000, STALE),
        (3 * 3_600_000, STALE),  # the same day at its own speed: Core is behind
        (6 * 3_600_000, REPLAY),
        (345 * DAY_MS, REPLAY),
        (-DAY_MS, REPLAY),
    ],
)
def test_core_is_as_late_as_its_own_time_says(lag_ms: int, verdict: str) -> None:
    section = Section()
    section.run(20, lag_ms=lag_ms)
    assert section.after(100) == verdict


def test_midnight_is_no_replay() -> None:
    clock = CoreClock()
    midnight_ms = int(datetime(2026, 11, 25, tzinfo=NEW_YORK).timestamp() * 1000)
    clock.add(midnight_ms + 500, midnight_ms - 500)
    assert (clock.lag_ms, clock.is_replay) == (1_000, False)


@pytest.mark.parametrize(("speed", "is_replay"), [(1.0, False), (4.0, True), (0.25, True)])
def test_this_morning_at_another_speed_is_a_replay(speed: float, is_replay: bool) -> None:
    clock = CoreClock()
    for n in range(100):
        clock.add(NOON_MS + 250 * n, int(NOON_MS - 2 * 3_600_000 + 250 * n * speed))
    assert clock.is_replay is is_replay


def test_core_that_catches_up_is_no_replay() -> None:
    clock = CoreClock()
    for n in range(100):
        clock.add(NOON_MS + 250 * n, NOON_MS - 60_000 + 750 * n)
    assert not clock.is_replay


def test_a_message_without_a_time_has_no_lag() -> None:
    section = Section()
    section.message(lag_ms=None)
    assert section.freshness.core.lag_ms is None
    assert section.after(0) == LIVE


# -- the market's hours ------------------------------------------------------------------------------------------------


def test_silence_in_closed_hours_is_closed_and_data_in_them_is_live() -> None:
    section = Section()
    section.run(10)
    assert [section.after(ms, opened_ms=None) for ms in (100, 1_000, 10_000_000)] == [LIVE, CLOSED, CLOSED]


def test_core_that_is_behind_is_so_in_closed_hours_too() -> None:
    section = Section()
    section.run(10, lag_ms=10_000)
    assert [section.after(ms, opened_ms=None) for ms in (100, 1_000)] == [LATE, CLOSED]


def test_at_the_open_silence_counts_from_the_open_and_old_data_is_never_live() -> None:
    section = Section()
    section.run(10)
    opened_ms = section.now_ms + 63_000_000
    after = [section.freshness.verdict(opened_ms + ms, opened_ms) for ms in (0, 800, 900, 2_600)]
    assert after == [CLOSED, CLOSED, LATE, STALE]


# -- a week ------------------------------------------------------------------------------------------------------------


def test_outages_of_any_length_are_told_within_a_second_and_nothing_else_is() -> None:
    """A producer with jitter and outages, looked at four times a second, as the gateway looks."""
    chance = random.Random(1)
    section = Section()
    section.run(10)
    for _ in range(300):
        outage_ms = chance.choice([0, 0, 400, 1_500, 9_000, 70_000])
        last_ms = section.now_ms
        for looked_ms in range(250, outage_ms, 250):
            verdict = section.after(looked_ms)
            if looked_ms <= 500:
                assert verdict == LIVE
            if 1_000 + 1_000 < looked_ms < 2_500:
                assert verdict == LATE
            if looked_ms > 2_500 + 1_000:
                assert verdict == STALE
        section.now_ms = last_ms + outage_ms
        for _ in range(chance.randint(20, 60)):
            section.now_ms += chance.randint(150, 350)
            section.message()
            assert section.after(0) == LIVE, timedelta(milliseconds=section.now_ms - NOON_MS)
