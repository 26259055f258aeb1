"""Which messages a frame waits for."""

import pytest

from src.gateway.delivery.coalescing import REMEMBERED, Coalescing

LIMIT_S = 0.003
PERIOD_S = 0.25
GAP_S = 0.001
ENDLESS = 100


def pairs(coalescing: Coalescing, count: int, began_s: float = 0.0) -> list[tuple[float, float]]:
    """Levels with flow a millisecond behind it, `count` times; how long each of both should linger."""
    starts_s = [began_s + number * PERIOD_S for number in range(count)]
    return [(coalescing.linger_s("levels", s), coalescing.linger_s("flow", s + GAP_S)) for s in starts_s]


def test_a_message_waits_for_the_one_that_always_follows_it() -> None:
    coalescing = Coalescing(LIMIT_S)
    lingers = pairs(coalescing, ENDLESS)
    assert lingers[0] == (0.0, 0.0), "nothing is known yet"
    assert lingers[-1] == (LIMIT_S, 0.0), "the pair is complete with flow"
    assert lingers.index((LIMIT_S, 0.0)) <= REMEMBERED


def test_a_message_that_comes_alone_waits_for_nothing() -> None:
    coalescing = Coalescing(LIMIT_S)
    assert not any(coalescing.linger_s("levels", number * PERIOD_S) for number in range(ENDLESS))


def test_messages_further_apart_wait_for_nothing() -> None:
    coalescing = Coalescing(LIMIT_S)
    for number in range(ENDLESS):
        assert not coalescing.linger_s("levels", number * PERIOD_S)
        assert not coalescing.linger_s("flow", number * PERIOD_S + 2 * LIMIT_S)


def test_what_no_longer_follows_is_not_waited_for_any_more() -> None:
    coalescing = Coalescing(LIMIT_S)
    pairs(coalescing, ENDLESS)
    lingers = [coalescing.linger_s("levels", 1000 + number * PERIOD_S) for number in range(ENDLESS)]
    assert lingers[0] == LIMIT_S
    assert not any(lingers[REMEMBERED:])


def test_one_that_stays_out_now_and_then_is_still_waited_for() -> None:
    coalescing = Coalescing(LIMIT_S)
    for began_s in range(0, 1000, 10):
        pairs(coalescing, REMEMBERED, began_s)
        assert coalescing.linger_s("levels", began_s + REMEMBERED * PERIOD_S) == LIMIT_S


def test_three_that_come_together_wait_for_the_last() -> None:
    coalescing = Coalescing(LIMIT_S)
    for number in range(ENDLESS):
        began_s = number * PERIOD_S
        lingers = [coalescing.linger_s(name, began_s + place * GAP_S) for place, name in enumerate(("a", "b", "c"))]
    assert lingers == pytest.approx([LIMIT_S, LIMIT_S - GAP_S, 0.0])


def test_a_second_message_of_a_section_begins_a_burst_of_its_own() -> None:
    coalescing = Coalescing(LIMIT_S)
    pairs(coalescing, ENDLESS)
    assert coalescing.linger_s("levels", 1000.0) == LIMIT_S
    assert coalescing.linger_s("levels", 1000.0 + GAP_S) == LIMIT_S, "not less: it came now"


def test_the_order_within_a_pair_is_learned_for_each_first() -> None:
    coalescing = Coalescing(LIMIT_S)
    pairs(coalescing, ENDLESS)
    assert coalescing.linger_s("flow", 1000.0) == 0.0, "what follows flow is not known"


def test_nothing_waits_where_the_limit_is_zero() -> None:
    assert set(pairs(Coalescing(0.0), ENDLESS)) == {(0.0, 0.0)}
