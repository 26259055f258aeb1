"""Which workers hang, by their reports."""

from collections.abc import Callable

from src.gateway.processes.hang_check import HANG_LIMIT_S, LOOK_INTERVAL_S, HangCheck

LOOKS = round(HANG_LIMIT_S / LOOK_INTERVAL_S)


def looks(check: HangCheck, count: int, reports: Callable[[int], dict[int, int]], first: int = 0) -> list[list[int]]:
    return [check.hanging(look * LOOK_INTERVAL_S, reports(look)) for look in range(first, first + count)]


def test_a_worker_without_a_new_report_is_named_once_within_five_seconds() -> None:
    named = looks(HangCheck(), LOOKS + 2, lambda look: {1: look, 2: 7})
    assert named == [*[[]] * LOOKS, [2], []]
    assert (LOOKS + 1) * LOOK_INTERVAL_S < 5.0


def test_a_report_ends_a_silence() -> None:
    check = HangCheck()
    assert not any(looks(check, LOOKS, lambda _: {1: 7}))
    assert not any(looks(check, LOOKS, lambda _: {1: 8}, first=LOOKS))


def test_a_pause_of_the_whole_machine_is_no_silence_of_a_worker() -> None:
    check = HangCheck()
    assert check.hanging(0.0, {1: 7}) == []
    assert check.hanging(3600.0, {1: 7}) == []
    assert check.hanging(3600.1, {1: 8}) == []


def test_looks_between_two_intervals_do_not_hasten_it() -> None:
    check = HangCheck()
    named = [check.hanging(look * HANG_LIMIT_S / 100, {1: 7}) for look in range(100)]
    assert not any(named)


def test_a_worker_that_should_not_report_yet_is_not_named_and_starts_anew() -> None:
    check = HangCheck()
    assert not any(looks(check, LOOKS, lambda _: {1: 7}))
    assert check.hanging(LOOKS * LOOK_INTERVAL_S, {}) == []
    assert not any(looks(check, LOOKS, lambda _: {1: 7}, first=LOOKS + 1))
