"""What workers tell each other of their viewers."""

import os

import pytest

from src.gateway.head_count import LIVE_LIMIT_S, HeadCount


@pytest.fixture
def clock_s() -> list[float]:
    """The time, as tests set it."""
    return [1000.0]


@pytest.fixture
def head_count(clock_s: list[float]) -> HeadCount:
    return HeadCount(3, clock=lambda: clock_s[0])


def report(head_count: HeadCount, worker: int, viewers: int) -> None:
    head_count.own = worker
    head_count.report(viewers)


def counted(head_count: HeadCount) -> tuple[int, int]:
    return head_count.viewers, head_count.live


def test_nobody_has_reported_at_first(head_count: HeadCount) -> None:
    assert counted(head_count) == (0, 0)
    assert head_count.configured == 3


def test_each_worker_counts_with_its_newest_report(head_count: HeadCount) -> None:
    for worker, viewers in ((1, 10), (2, 5), (3, 0), (1, 11)):
        report(head_count, worker, viewers)
    assert counted(head_count) == (16, 3)


def test_a_worker_that_has_ended_counts_nothing(head_count: HeadCount) -> None:
    for worker in (1, 2, 3):
        report(head_count, worker, 10)
    head_count.clear(2)
    assert counted(head_count) == (20, 2)
    report(head_count, 2, 1)
    assert counted(head_count) == (21, 3)


def test_a_worker_that_hangs_is_not_live_and_keeps_its_viewers(head_count: HeadCount, clock_s: list[float]) -> None:
    for worker in (1, 2, 3):
        report(head_count, worker, 10)
    clock_s[0] += LIVE_LIMIT_S
    report(head_count, 1, 10)
    assert counted(head_count) == (30, 1)


def test_what_a_forked_process_reports_is_seen_by_the_other(head_count: HeadCount) -> None:
    pid = os.fork()
    if pid == 0:
        report(head_count, 3, 7)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert counted(head_count) == (7, 1)
