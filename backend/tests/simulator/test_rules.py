import math

import pytest

from src.simulator import rules
from src.simulator.landmarks import Level
from src.simulator.rules import Book


@pytest.mark.parametrize(
    ("book", "state"),
    [
        (Book(added=3000, canceled=1500, filled=300, depth=900), "WALL"),
        (Book(added=3000, canceled=1500, filled=300, depth=300), "ABSORPTION"),
        (Book(added=2000, canceled=1600, filled=300, depth=600), "NEUTRAL"),
        (Book(added=2000, canceled=2000, filled=300, depth=600), "WEAK"),
        (Book(added=1500, canceled=1800, filled=300, depth=600), "VACUUM"),
        (Book(added=1500, canceled=1200, filled=900, depth=600), "CONSUMED"),
        (Book(added=1500, canceled=1800, filled=300, depth=0), "VACUUM"),
        (Book(added=0, canceled=0, filled=0, depth=0), "WEAK"),
    ],
)
def test_the_barrier_state_follows_from_the_book(book: Book, state: str) -> None:
    assert rules.barrier_state(book, usual_depth=600) == state


def test_replenishment_of_an_untouched_book_is_huge_but_finite() -> None:
    assert 1e6 < Book(added=402, canceled=0, filled=0, depth=10).replenishment <= 1e9


def _score(state: rules.BarrierState = "NEUTRAL", *, imbalance: float = 0, swept: bool = False, at: float = 0) -> float:
    return rules.break_score(state, "NEUTRAL", imbalance=imbalance, velocity=0, swept=swept, distance=at)


def test_weaker_barriers_score_higher() -> None:
    states: list[rules.BarrierState] = ["WALL", "ABSORPTION", "NEUTRAL", "WEAK", "CONSUMED", "VACUUM"]
    scores = [_score(state) for state in states]
    assert scores == sorted(scores)
    assert all(0 <= score <= 100 for score in scores)


def test_tape_and_sweeps_toward_a_level_raise_its_score() -> None:
    assert _score(imbalance=-0.8) < _score() < _score(imbalance=0.8) < _score(imbalance=0.8, swept=True)


def test_scores_of_far_levels_are_undecided() -> None:
    assert math.isclose(_score("VACUUM", at=60), 50, abs_tol=0.1)


@pytest.mark.parametrize(
    ("before", "score", "distance", "imbalance", "volume", "expected"),
    [
        ("NEUTRAL", 66, 1.0, 0.9, 300, "BREAK"),
        ("NEUTRAL", 60, 1.0, 0.9, 300, "NEUTRAL"),
        ("BREAK", 53, 1.0, 0.9, 300, "BREAK"),
        ("BREAK", 51, 1.0, 0.9, 300, "NEUTRAL"),
        ("NEUTRAL", 33, 1.0, 0.9, 300, "REJECT"),
        ("NEUTRAL", 40, 1.0, 0.9, 300, "NEUTRAL"),
        ("REJECT", 47, 1.0, 0.9, 300, "REJECT"),
        ("REJECT", 49, 1.0, 0.9, 300, "NEUTRAL"),
        ("NEUTRAL", 50, 0.5, 0.1, 300, "CONTESTED"),
        ("NEUTRAL", 50, 0.5, 0.1, 10, "NEUTRAL"),
        ("NEUTRAL", 50, 0.5, 0.5, 300, "NEUTRAL"),
        ("CONTESTED", 50, 1.4, 0.5, 100, "CONTESTED"),
        ("NEUTRAL", 90, 4.5, 0.9, 300, "NEUTRAL"),
        ("BREAK", 90, 4.5, 0.9, 300, "BREAK"),
        ("BREAK", 90, 6.5, 0.9, 300, "NEUTRAL"),
    ],
)
def test_a_signal_needs_more_to_begin_than_to_last(
    before: rules.Signal, score: float, distance: float, imbalance: float, volume: int, expected: str
) -> None:
    assert rules.signal(before, score, distance, imbalance, volume) == expected


@pytest.mark.parametrize(
    ("distance", "volume", "expected"), [(1, 100, "HIGH"), (1, 5, "MEDIUM"), (6, 100, "MEDIUM"), (9, 100, "LOW")]
)
def test_confidence_falls_with_distance_and_a_thin_tape(distance: float, volume: int, expected: str) -> None:
    assert rules.confidence(distance, volume) == expected


@pytest.mark.parametrize(("gamma", "effect"), [(50_000, "DAMPEN"), (-50_000, "AMPLIFY"), (100, "NEUTRAL")])
def test_dealers_fade_with_positive_and_chase_with_negative_gamma(gamma: float, effect: str) -> None:
    assert rules.fuel_effect(gamma) == effect


def test_confluence_counts_the_levels_around_but_not_the_level_itself() -> None:
    level = Level("VWAP", "VWAP", 6900.0)
    others = [level, Level("PM_HIGH", "PM_HIGH", 6901.0), Level("ROUND_6910", "ROUND", 6910.0)]
    found = rules.confluence(level, others, trend=5.0)
    assert (found.gathered, found.alignment) == (1, 1)
    assert 0 < found.pressure < 1


def test_a_level_alone_has_no_confluence() -> None:
    level = Level("VWAP", "VWAP", 6900.0)
    assert rules.confluence(level, [level], trend=5.0) == (0, 0.0, 0, 0, "UNDEFINED")
