"""How much silence is a dead line."""

import pytest

from spymaster_client.line import Line


def line_with(*frames_s: float) -> Line:
    """A connection at 0, and frames at these moments."""
    made = Line()
    made.begin(0.0)
    for moment_s in frames_s:
        made.add(moment_s)
    return made


def every(gap_s: float, until_s: float, from_s: float = 0.0) -> list[float]:
    return [from_s + number * gap_s for number in range(1, round((until_s - from_s) / gap_s) + 1)]


@pytest.mark.parametrize(
    ("frames_s", "limit_s"),
    [
        ([0.125], 3.125),
        (every(0.125, 10.0), 3.125),
        (every(1.0, 10.0), 4.0),
        ([8.0], 11.0),  # the first frame took long to arrive
        ([8.0, *every(0.5, 600.0, 8.0)], 11.0),  # and the next large one will
        ([0.5, 8.5, *every(0.5, 60.0, 8.5)], 11.0),
        ([0.5, 8.5, *every(0.5, 69.0, 8.5)], 3.5),  # more than a minute ago
        ([1.0, 4.0, 6.0, 7.0], 6.0),
        ([1.0, 3601.0], 33.0),  # the machine slept
    ],
)
def test_a_line_is_dead_after_three_heartbeats_and_the_longest_gap_of_the_last_minute(
    frames_s: list[float], limit_s: float
) -> None:
    assert line_with(*frames_s).silence_limit_s(1_000) == pytest.approx(limit_s)


def test_the_gateway_names_its_heartbeat() -> None:
    assert line_with(0.5).silence_limit_s(5_000) == 15.5
    assert line_with(0.5).silence_limit_s(1 << 53) == 180.5


def test_another_connection_begins_anew() -> None:
    made = line_with(8.0)
    made.begin(100.0)
    made.add(100.5)
    assert made.silence_limit_s(1_000) == 3.5
