"""What workers tell each other of their viewers."""

import os

import pytest

from src.gateway.processes.viewer_count import LIVE_LIMIT_S, ViewerCount


@pytest.fixture
def clock_s() -> list[float]:
    """The time, as tests set it."""
    return [1000.0]


@pytest.fixture
def viewer_count(clock_s: list[float]) -> ViewerCount:
    return ViewerCount(3, clock=lambda: clock_s[0])


def report(viewer_count: ViewerCount, worker: int, viewers: int) -> None:
    viewer_count.own = worker
    viewer_count.report(viewers)


def counted(viewer_count: ViewerCount) -> tuple[int, int]:
    return viewer_count.viewers, viewer_count.live


def test_no_worker_has_reported_at_first(viewer_count: ViewerCount) -> None:
    assert counted(viewer_count) == (0, 0)
    assert viewer_count.configured == 3


def test_each_worker_counts_with_its_newest_report(viewer_count: ViewerCount) -> None:
    for worker, viewers in ((1, 10), (2, 5), (3, 0), (1, 11)):
        report(viewer_count, worker, viewers)
    assert counted(viewer_count) == (16, 3)


def test_a_worker_that_has_ended_counts_nothing(viewer_count: ViewerCount) -> None:
    for worker in (1, 2, 3):
        report(viewer_count, worker, 10)
    viewer_count.clear(2)
    assert counted(viewer_count) == (20, 2)
    report(viewer_count, 2, 1)
    assert counted(viewer_count) == (21, 3)


def test_a_worker_that_hangs_is_not_live_and_keeps_its_viewers(viewer_count: ViewerCount, clock_s: list[float]) -> None:
    for worker in (1, 2, 3):
        report(viewer_count, worker, 10)
    clock_s[0] += LIVE_LIMIT_S
    report(viewer_count, 1, 10)
    assert counted(viewer_count) == (30, 1)


def test_what_a_forked_process_reports_is_seen_by_the_other(viewer_count: ViewerCount) -> None:
    pid = os.fork()
    if pid == 0:
        report(viewer_count, 3, 7)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert counted(viewer_count) == (7, 1)
