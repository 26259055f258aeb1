"""Sessions of XNYS and CMES: by hand where a day is special, and each of 16 years as the library has them."""

from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import exchange_calendars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.gateway.signals.market_calendar import MARKETS, MarketState, market_at, sentence
from src.gateway.signals.market_holidays import FIRST_DAY, LAST_DAY

NEW_YORK = ZoneInfo("America/New_York")
HALT_MS = 3_600_000
BOTH = ["XNYS", "CMES"]


def ms(clock: str) -> int:
    """A time of New York, such as "2026-11-26 11:00"."""
    return int(datetime.fromisoformat(clock).replace(tzinfo=NEW_YORK).timestamp() * 1000)


def told(market: str, clock: str, last_data: str | None = None) -> str:
    now_ms = ms(clock)
    return sentence(market_at(market, now_ms), now_ms, None if last_data is None else ms(last_data))


# -- by hand -----------------------------------------------------------------------------------------------------------

# time of New York, market, None or why it is closed, next open, close, whether that is an early one
MOMENTS = [
    ("2026-11-25 17:00", "XNYS", "Thanksgiving", "2026-11-27 09:30", "2026-11-27 13:00", True),
    ("2026-11-26 11:00", "XNYS", "Thanksgiving", "2026-11-27 09:30", "2026-11-27 13:00", True),
    ("2026-11-26 11:00", "CMES", None, None, "2026-11-26 13:00", True),
    ("2026-11-26 12:59", "CMES", None, None, "2026-11-26 13:00", True),
    ("2026-11-26 13:00", "CMES", "early close", "2026-11-26 18:00", "2026-11-27 13:00", True),
    ("2026-11-26 17:30", "CMES", "daily halt", "2026-11-26 18:00", "2026-11-27 13:00", True),
    ("2026-11-26 18:00", "CMES", None, None, "2026-11-27 13:00", True),
    ("2026-11-27 09:29", "XNYS", "night", "2026-11-27 09:30", "2026-11-27 13:00", True),
    ("2026-11-27 09:30", "XNYS", None, None, "2026-11-27 13:00", True),
    ("2026-11-27 13:30", "XNYS", "early close", "2026-11-30 09:30", "2026-11-30 16:00", False),
    ("2026-11-27 13:30", "CMES", "early close", "2026-11-29 18:00", "2026-11-30 17:00", False),
    ("2026-11-27 16:00", "XNYS", "weekend", "2026-11-30 09:30", "2026-11-30 16:00", False),
    ("2026-11-27 17:00", "CMES", "weekend", "2026-11-29 18:00", "2026-11-30 17:00", False),
    ("2026-12-24 12:00", "XNYS", None, None, "2026-12-24 13:00", True),
    ("2026-12-24 17:30", "CMES", "Christmas", "2026-12-27 18:00", "2026-12-28 17:00", False),
    ("2026-12-24 18:30", "CMES", "Christmas", "2026-12-27 18:00", "2026-12-28 17:00", False),
    ("2026-12-25 12:00", "XNYS", "Christmas", "2026-12-28 09:30", "2026-12-28 16:00", False),
    ("2026-12-25 12:00", "CMES", "Christmas", "2026-12-27 18:00", "2026-12-28 17:00", False),
    ("2026-12-25 18:30", "CMES", "weekend", "2026-12-27 18:00", "2026-12-28 17:00", False),
    ("2024-12-25 12:00", "CMES", "Christmas", "2024-12-25 18:00", "2024-12-26 17:00", False),
    ("2024-12-25 18:30", "CMES", None, None, "2024-12-26 17:00", False),
    ("2025-01-09 12:00", "XNYS", "national day of mourning", "2025-01-10 09:30", "2025-01-10 16:00", False),
    ("2026-11-15 17:30", "XNYS", "weekend", "2026-11-16 09:30", "2026-11-16 16:00", False),
    ("2026-11-15 17:30", "CMES", "weekend", "2026-11-15 18:00", "2026-11-16 17:00", False),
    ("2026-11-15 19:00", "XNYS", "weekend", "2026-11-16 09:30", "2026-11-16 16:00", False),
    ("2026-11-15 19:00", "CMES", None, None, "2026-11-16 17:00", False),
    ("2026-11-17 03:00", "XNYS", "night", "2026-11-17 09:30", "2026-11-17 16:00", False),
    ("2026-11-17 03:00", "CMES", None, None, "2026-11-17 17:00", False),
    ("2026-11-17 12:00", "XNYS", None, None, "2026-11-17 16:00", False),
    ("2026-11-17 17:30", "XNYS", "night", "2026-11-18 09:30", "2026-11-18 16:00", False),
    ("2026-11-17 17:30", "CMES", "daily halt", "2026-11-17 18:00", "2026-11-18 17:00", False),
    ("2026-11-20 18:30", "CMES", "weekend", "2026-11-22 18:00", "2026-11-23 17:00", False),
]


@pytest.mark.parametrize(("clock", "market", "why_closed", "opens", "closes", "early_close"), MOMENTS)
def test_the_state_at_a_new_york_time(
    clock: str, market: str, why_closed: str | None, opens: str | None, closes: str, early_close: bool
) -> None:
    opens_ms = None if opens is None else ms(opens)
    expected = MarketState(market, why_closed is None, why_closed, opens_ms, ms(closes), early_close)
    assert market_at(market, ms(clock)) == expected


@pytest.mark.parametrize(
    ("market", "opens_utc", "closes_utc"),
    [
        ("XNYS", "2026-03-06T14:30", "2026-03-06T21:00"),
        ("XNYS", "2026-03-09T13:30", "2026-03-09T20:00"),
        ("XNYS", "2026-10-30T13:30", "2026-10-30T20:00"),
        ("XNYS", "2026-11-02T14:30", "2026-11-02T21:00"),
        ("CMES", "2026-03-05T23:00", "2026-03-06T22:00"),
        ("CMES", "2026-03-08T22:00", "2026-03-09T21:00"),
        ("CMES", "2026-10-29T22:00", "2026-10-30T21:00"),
        ("CMES", "2026-11-01T23:00", "2026-11-02T22:00"),
    ],
)
def test_a_session_keeps_new_yorks_time_over_both_changes_of_the_clock(
    market: str, opens_utc: str, closes_utc: str
) -> None:
    opens_ms, closes_ms = (
        int(datetime.fromisoformat(utc).replace(tzinfo=UTC).timestamp() * 1000) for utc in (opens_utc, closes_utc)
    )
    before, first = market_at(market, opens_ms - 1), market_at(market, opens_ms)
    last, after = market_at(market, closes_ms - 1), market_at(market, closes_ms)
    assert (before.is_open, before.opens_ms, before.closes_ms) == (False, opens_ms, closes_ms)
    assert first == last == MarketState(market, True, None, None, closes_ms, False)
    assert not after.is_open


@pytest.mark.parametrize("now_ms", [-(2**53), 0, ms("2026-11-26 11:00"), 2**53])
def test_24x7_is_always_open(now_ms: int) -> None:
    assert market_at("24x7", now_ms) == MarketState("24x7", True, None, None, None, False)


def test_an_unknown_market_is_an_error() -> None:
    with pytest.raises(KeyError):
        market_at("XLON", 0)


# -- outside the table -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clock", "market", "expected"),
    [
        ("2019-11-28 11:00", "XNYS", (True, None, None, ms("2019-11-28 16:00"))),  # Thanksgiving
        ("2019-12-31 17:30", "CMES", (False, "New Year's Day", ms("2020-01-01 18:00"), ms("2020-01-02 17:00"))),
        ("2035-12-31 12:00", "XNYS", (True, None, None, ms("2035-12-31 16:00"))),
        ("2035-12-31 16:00", "XNYS", (False, "night", None, None)),
        ("2035-12-31 20:00", "CMES", (True, None, None, ms("2036-01-01 17:00"))),  # New Year's Day
        ("2036-12-25 11:00", "XNYS", (True, None, None, ms("2036-12-25 16:00"))),
        ("2036-12-27 11:00", "XNYS", (False, "weekend", None, None)),
        ("2036-12-24 17:30", "CMES", (False, "daily halt", None, None)),
    ],
)
def test_outside_the_table_a_weekday_has_regular_hours_and_no_next_open(
    clock: str, market: str, expected: tuple[object, ...]
) -> None:
    assert market_at(market, ms(clock))[1:5] == expected


# -- the library -------------------------------------------------------------------------------------------------------


@cache
def library(market: str) -> Any:
    return exchange_calendars.get_calendar(market, start=str(FIRST_DAY), end=str(LAST_DAY))


@cache
def sessions_of_the_library(market: str) -> list[tuple[int, int, bool]]:
    """Open, close, whether it is an early one; with the halt of CMES, which the library does not have."""
    calendar = library(market)
    early = set(calendar.early_closes)
    halt_ms = HALT_MS if market == "CMES" else 0
    return [
        (
            int(opens.timestamp()) * 1000,
            int(closes.timestamp()) * 1000 - (0 if session in early else halt_ms),
            session in early,
        )
        for session, opens, closes in zip(calendar.sessions, calendar.opens, calendar.closes, strict=True)
    ]


def sessions_of_the_table(market: str) -> Iterator[tuple[int, int, bool]]:
    """From one change of the state to the next, from the table's first day to its last."""
    state = market_at(market, ms(f"{FIRST_DAY} 00:00"))
    assert not state.is_open
    while state.opens_ms is not None and state.closes_ms is not None:
        opened = market_at(market, state.opens_ms)
        assert opened == MarketState(market, True, None, None, state.closes_ms, state.early_close)
        yield state.opens_ms, state.closes_ms, state.early_close
        state = market_at(market, state.closes_ms)
        assert not state.is_open


@pytest.mark.parametrize("market", BOTH)
def test_all_sessions_are_those_of_the_library(market: str) -> None:
    assert list(sessions_of_the_table(market)) == sessions_of_the_library(market)


@given(
    st.sampled_from(BOTH),
    st.integers(ms(f"{FIRST_DAY} 00:00"), ms(f"{LAST_DAY} 17:59")),
)
def test_any_moment_is_open_where_the_library_has_a_session(market: str, now_ms: int) -> None:
    sessions = sessions_of_the_library(market)
    following = bisect_right(sessions, now_ms, key=lambda session: session[0])
    is_open = following > 0 and now_ms < sessions[following - 1][1]
    state = market_at(market, now_ms)
    assert state.is_open == is_open == (state.why_closed is None)
    if is_open:
        assert (state.opens_ms, state.closes_ms, state.early_close) == (None, *sessions[following - 1][1:])
    elif following < len(sessions):
        assert (state.opens_ms, state.closes_ms, state.early_close) == sessions[following]


@pytest.mark.parametrize("market", BOTH)
def test_each_day_without_a_session_has_a_reason(market: str) -> None:
    sessions = {session.date() for session in library(market).sessions}
    for after in range((LAST_DAY - FIRST_DAY).days + 1):
        day: date = FIRST_DAY + timedelta(after)
        if day not in sessions:
            why_closed = market_at(market, ms(f"{day} 12:00")).why_closed
            assert (why_closed == "weekend") == (day.weekday() >= 5)
            assert why_closed not in ("night", "daily halt", "early close")


# -- the sentence ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("market", "clock", "last_data", "expected"),
    [
        (
            "XNYS",
            "2026-11-26 11:00",
            "2026-11-25 15:59:58",
            "Closed for Thanksgiving; opens Fri 09:30, closes 13:00; last data Wed 15:59:58",
        ),
        (
            "XNYS",
            "2026-11-28 11:00",
            "2026-11-27 12:59:59",
            "Closed over the weekend; opens Mon 09:30, closes 16:00; last data Fri 12:59:59",
        ),
        (
            "XNYS",
            "2026-11-27 13:30",
            "2026-11-27 13:00:00",
            "Closed after an early close; opens Mon 09:30, closes 16:00; last data 13:00:00",
        ),
        (
            "XNYS",
            "2026-11-30 08:00",
            "2026-11-18 15:59:58",
            "Closed overnight; opens 09:30, closes 16:00; last data Wed 2026-11-18 15:59:58",
        ),
        ("XNYS", "2025-01-09 12:00", None, "Closed for a national day of mourning; opens Fri 09:30, closes 16:00"),
        ("XNYS", "2026-11-17 12:00", "2026-11-17 11:59:59", "Open until 16:00"),
        ("XNYS", "2026-11-27 12:00", None, "Open until 13:00, an early close"),
        ("XNYS", "2036-12-27 11:00", None, "Closed over the weekend"),
        ("CMES", "2026-11-17 17:30", None, "Closed for the daily halt; opens 18:00"),
        ("CMES", "2026-11-25 17:30", None, "Closed for the daily halt; opens 18:00, closes Thu 13:00"),
        ("CMES", "2026-11-14 12:00", None, "Closed over the weekend; opens Sun 18:00"),
        ("CMES", "2026-11-17 12:00", None, "Open until 17:00"),
        ("CMES", "2026-11-16 20:00", None, "Open until Tue 17:00"),
        ("CMES", "2026-11-25 20:00", None, "Open until Thu 13:00, an early close"),
        ("24x7", "2026-12-25 12:00", "2026-12-25 11:59:59", "Open around the clock"),
    ],
)
def test_the_sentence_tells_what_matters_now(market: str, clock: str, last_data: str | None, expected: str) -> None:
    assert told(market, clock, last_data) == expected


@given(st.sampled_from(MARKETS), st.integers(ms("1970-01-02 00:00"), ms("2100-01-01 00:00")))
def test_any_state_has_a_sentence(market: str, now_ms: int) -> None:
    state = market_at(market, now_ms)
    assert sentence(state, now_ms, now_ms).startswith("Open " if state.is_open else "Closed ")
