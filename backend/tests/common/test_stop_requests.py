"""Which signals are one request to stop."""

import pytest

from src.common.stop_requests import SAME_REQUEST_S, StopRequests

ARRIVALS = [
    ([], False, False),
    ([0.0], True, False),
    ([5.0, 5.0, 5.001], True, False),
    ([5.0, 5.0 + SAME_REQUEST_S], True, False),
    ([5.0, 5.1 + SAME_REQUEST_S], True, True),
    ([5.0, 6.5, 8.0], True, True),
    ([5.0, 9.0, 9.1], True, True),
]


@pytest.mark.parametrize(("arrivals_s", "requested", "insisted"), ARRIVALS)
def test_signals_within_two_seconds_of_the_first_are_one_and_a_later_one_insists(
    arrivals_s: list[float], requested: bool, insisted: bool
) -> None:
    stops = StopRequests()
    for arrival_s in arrivals_s:
        stops.arrive(arrival_s)
    assert (stops.requested, stops.insisted) == (requested, insisted)
