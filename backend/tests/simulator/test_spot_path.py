from random import Random

import pytest

from src.simulator.pacing import CLOSE_S, OPEN_S, OPENING_RANGE_END_S
from src.simulator.spot_path import TICK, SpotPath, activity_shape


def _path(seed: int = 1) -> SpotPath:
    return SpotPath(Random(seed), 6900.0)


def test_a_day_is_lively_at_the_open_quiet_at_noon_and_lively_into_the_close() -> None:
    premarket, at_open, noon, close = (activity_shape(s) for s in (OPEN_S - 60, OPEN_S, 12.5 * 3600, CLOSE_S))
    assert premarket < noon < close < at_open


def test_prices_are_whole_ticks_and_the_spot_is_at_the_bid_or_the_ask() -> None:
    path = _path()
    for second in range(int(OPEN_S), int(OPEN_S) + 200):
        path.advance(second)
        assert path.spot % TICK == 0
        assert path.ask - path.bid == TICK
        assert path.spot in (path.bid, path.ask)


def test_before_the_open_there_is_only_a_premarket_range() -> None:
    path = _path()
    path.advance(OPEN_S - 1)
    assert path.premarket.seen
    assert not path.session.seen
    assert not path.opening_range.seen
    assert path.vwap is None


def test_ranges_follow_the_path_and_the_opening_range_ends_after_a_quarter_of_an_hour() -> None:
    path = _path()
    spots = []
    for second in range(int(OPEN_S) + 1, int(OPEN_S) + 3600):
        path.advance(second)
        spots.append(path.spot)
    opening = spots[: int(OPENING_RANGE_END_S - OPEN_S)]
    assert (path.session.high, path.session.low) == (max(spots), min(spots))
    assert (path.opening_range.high, path.opening_range.low) == (max(opening), min(opening))


def test_the_vwap_lies_within_the_session() -> None:
    path = _path()
    path.advance(CLOSE_S)
    assert path.vwap is not None
    assert path.session.low <= path.vwap <= path.session.high


def test_the_moving_average_is_the_mean_of_the_minute_closes() -> None:
    path = _path()
    path.advance(12 * 3600)
    assert len(path.minute_closes) == 200
    assert path.sma == pytest.approx(sum(path.minute_closes) / 200)


def test_asking_for_the_same_second_again_changes_nothing() -> None:
    path = _path()
    path.advance(OPEN_S)
    spot, range_before = path.spot, (path.premarket.high, path.premarket.low)
    path.advance(OPEN_S)
    assert (path.spot, path.bought, path.sold) == (spot, 0.0, 0.0)
    assert (path.premarket.high, path.premarket.low) == range_before
