"""Counts as values."""

import re

import pytest

from src.gateway.metrics import FAULTS, LOOP_LAG_INTERVAL_S, RECENT_S, Histogram, LoopLag, Metrics
from tests.documents import BACKEND


@pytest.mark.parametrize(
    ("value", "counts"),
    [
        (0.0, [1, 0, 0]),
        (1.0, [1, 0, 0]),  # a bound belongs to its count
        (1.001, [0, 1, 0]),
        (2.0, [0, 1, 0]),
        (2.001, [0, 0, 1]),
        (float("inf"), [0, 0, 1]),
        (-5.0, [1, 0, 0]),
    ],
)
def test_an_observation_is_counted_by_its_size(value: float, counts: list[int]) -> None:
    histogram = Histogram((1.0, 2.0))
    histogram.observe(value)
    assert histogram.counts == counts
    assert histogram.total == max(value, 0.0)


def test_the_longest_lag_is_that_of_the_last_minute() -> None:
    lag = LoopLag()
    assert lag.recent_max_s == 0.0
    lag.observe(1.5)
    lag.observe(-0.001)  # a timer that rounds down
    assert lag.recent_max_s == 1.5
    for _ in range(int(RECENT_S / LOOP_LAG_INTERVAL_S)):
        lag.observe(0.25)
    assert lag.recent_max_s == 0.25
    assert lag.histogram.total == 1.5 + 0.25 * RECENT_S / LOOP_LAG_INTERVAL_S


def test_the_age_of_a_section_is_counted_from_its_message() -> None:
    metrics = Metrics(arrived_s={"flow": 10.0, "levels": 12.5})
    assert metrics.state_age_s(now_s=13.0) == {"flow": 3.0, "levels": 0.5}


def test_every_fault_that_is_counted_has_its_name_here() -> None:
    sources = (BACKEND / "src" / "gateway" / "signals").glob("*.py")
    counted = re.findall(r'faults\["(\w+)"\]', "".join(path.read_text() for path in sources))
    assert set(counted) == set(FAULTS)
