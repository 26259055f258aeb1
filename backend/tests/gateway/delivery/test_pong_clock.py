"""What the pongs of one viewer mean; time is an argument."""

from src.gateway.delivery.pong_clock import (
    LATE_S,
    PONG_BYTES,
    PONG_HEADER,
    PROBE_AFTER,
    QUICK_IN_A_ROW,
    QUICK_S,
    UNANSWERED_S,
    PongClock,
    pong_number,
)

LONGEST_S = 8.0
FIRST_S = 5.0


class Line:
    """A viewer at some distance, over a line that takes some time for a frame."""

    def __init__(self, distance_s: float, transfer_s: float = 0.0, longest_s: float = LONGEST_S) -> None:
        self.pongs = PongClock(longest_s, FIRST_S)
        self.distance_s = distance_s
        self.transfer_s = transfer_s
        self.now_s = 0.0

    def frame(self, lag_s: float = 0.0) -> None:
        """A frame and a ping, and the pong; with the ping that may follow alone."""
        self.pongs.ping(self.now_s)
        self.now_s += self.transfer_s + self.distance_s + lag_s
        if self.pongs.pong(self.now_s, lag_s):
            self.pongs.ping(self.now_s)
            self.now_s += self.distance_s
            assert not self.pongs.pong(self.now_s, 0.0), "one ping alone is enough"


def quick_line(longest_s: float = LONGEST_S) -> Line:
    line = Line(distance_s=0.02, longest_s=longest_s)
    for _ in range(QUICK_IN_A_ROW):
        line.frame()
    return line


def test_a_ping_has_a_number_that_its_pong_repeats_masked() -> None:
    pongs = PongClock(LONGEST_S, FIRST_S)
    assert [pongs.ping(0.0) for _ in range(2)] == [b"\x89\x04\0\0\0\x01", b"\x89\x04\0\0\0\x02"]
    mask, payload = bytes((1, 2, 3, 4)), bytes((0, 0, 0, 2))
    pong = PONG_HEADER + mask + bytes(a ^ b for a, b in zip(mask, payload, strict=True))
    assert len(pong) == PONG_BYTES
    assert pong_number(pong) == 2
    assert pongs.awaits(2)
    assert not pongs.awaits(1), "an older one says nothing"


def test_a_new_viewer_gets_one_frame_at_a_time_until_its_pongs_were_quick() -> None:
    line = Line(0.02)
    for _ in range(QUICK_IN_A_ROW):
        assert line.pongs.one_at_a_time
        line.frame()
    assert not line.pongs.one_at_a_time


def test_distance_does_not_count() -> None:
    line = Line(distance_s=0.9)
    for _ in range(1 + QUICK_IN_A_ROW):  # after the first frame a ping alone tells the distance
        line.frame()
    assert not line.pongs.one_at_a_time


def test_the_time_that_a_frame_takes_counts() -> None:
    line = Line(distance_s=0.02, transfer_s=1.0)
    for _ in range(100):
        line.frame()
        assert line.pongs.one_at_a_time
    assert line.pongs.round_trip_s is not None
    assert abs(line.pongs.round_trip_s - 1.02) < 1e-6


def test_the_lag_of_the_gateway_does_not_count() -> None:
    line = Line(0.02)
    for _ in range(1 + QUICK_IN_A_ROW):  # after the first frame a ping alone tells that
        line.frame(lag_s=0.7)
    assert not line.pongs.one_at_a_time


def test_a_slow_line_is_none_the_faster_for_a_gateway_that_starts_late() -> None:
    line = Line(distance_s=0.02, transfer_s=0.3)
    line.pongs.ping(0.0)
    assert line.pongs.pong(0.32, lag_s=0.5), "a ping alone tells what of it is distance"
    line.pongs.ping(0.32)
    line.pongs.pong(0.32 + 0.02 + 0.5, lag_s=0.5)
    for _ in range(100):
        line.frame()
        assert line.pongs.one_at_a_time


def test_a_late_pong_puts_one_frame_in_flight_again() -> None:
    line = quick_line()
    line.transfer_s = LATE_S + 0.1
    line.frame()
    assert line.pongs.one_at_a_time


def test_a_pong_that_does_not_come_does_so_too() -> None:
    line = quick_line()
    line.pongs.ping(line.now_s)
    line.pongs.check(line.now_s + LATE_S, 0.0)
    assert not line.pongs.one_at_a_time
    line.pongs.check(line.now_s + LATE_S + 0.1, 0.2)
    assert not line.pongs.one_at_a_time, "the gateway itself is late"
    line.pongs.check(line.now_s + LATE_S + 0.1, 0.0)
    assert line.pongs.one_at_a_time


def interval_of(line: Line) -> int:
    """Whole seconds until the next ping."""
    return next(seconds for seconds in range(60) if line.pongs.is_due(line.now_s + seconds))


def test_no_interval_is_longer_than_the_longest() -> None:
    assert interval_of(quick_line(longest_s=1.0)) == 1


def test_pings_become_rare_while_the_viewer_is_quick_and_frequent_when_it_is_not() -> None:
    line = quick_line()

    intervals_s = []
    for _ in range(5):
        intervals_s.append(interval_of(line))
        line.frame()
    assert intervals_s == [5, 8, 8, 8, 8]
    line.transfer_s = QUICK_S + 0.05
    line.frame()
    assert interval_of(line) == 2
    line.transfer_s = 0.0
    line.frame()
    assert interval_of(line) == 8
    line.transfer_s = QUICK_S + 0.05
    line.frame()
    assert not line.pongs.one_at_a_time, "not quick, and not late either"


def test_a_viewer_that_is_further_away_than_it_was_is_quick_again_after_a_while() -> None:
    line = quick_line()
    line.distance_s = 0.9
    line.frame()
    assert line.pongs.one_at_a_time
    for _ in range(PROBE_AFTER + QUICK_IN_A_ROW):
        line.frame()
    assert not line.pongs.one_at_a_time


def test_a_viewer_that_answers_no_ping_is_not_waited_for_until_it_does() -> None:
    pongs = PongClock(LONGEST_S, FIRST_S)
    waits_for_it = []
    pongs.ping(0.0)
    for now_s in (UNANSWERED_S - 0.1, UNANSWERED_S):
        pongs.check(now_s, 0.0)
        waits_for_it.append(pongs.one_at_a_time)
    pongs.pong(UNANSWERED_S + 1.0, 0.0)
    assert [*waits_for_it, pongs.one_at_a_time] == [True, False, True]


def test_the_age_at_a_viewer_is_the_last_round_trip_or_the_time_that_a_pong_is_missing() -> None:
    line = Line(0.25)
    assert line.pongs.age_s(0.0) is None
    line.frame()
    assert line.pongs.age_s(line.now_s + 100.0) == 0.25
    line.pongs.ping(10.0)
    assert line.pongs.age_s(10.125) == 0.25
    assert line.pongs.age_s(13.0) == 3.0
