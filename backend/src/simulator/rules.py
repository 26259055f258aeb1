"""Core's conclusions about a level: barrier state, score, signal, confidence, confluence, note.

Pure rules; the numbers are chosen so that every conclusion occurs in a session, not measured on a market.
"""

import math
from collections.abc import Iterable
from typing import Literal, NamedTuple

from src.simulator.landmarks import WEIGHT, Level
from src.simulator.randomness import clamp

BarrierState = Literal["VACUUM", "CONSUMED", "WEAK", "NEUTRAL", "ABSORPTION", "WALL"]
Signal = Literal["BREAK", "REJECT", "CONTESTED", "NEUTRAL"]
Confidence = Literal["HIGH", "MEDIUM", "LOW"]
FuelEffect = Literal["AMPLIFY", "DAMPEN", "NEUTRAL"]

# How much each barrier state speaks for a break, 0 to 100.
BARRIER_SCORE: dict[BarrierState, float] = {
    "VACUUM": 95.0,
    "CONSUMED": 85.0,
    "WEAK": 66.0,
    "NEUTRAL": 48.0,
    "ABSORPTION": 27.0,
    "WALL": 5.0,
}
FUEL_SCORE: dict[FuelEffect, float] = {"AMPLIFY": 75.0, "NEUTRAL": 50.0, "DAMPEN": 25.0}

# Points from the spot within which a level gets a signal and keeps it, and within which both sides fight over it.
# Admission and exit differ, here and below, so that a value on the edge does not make a signal flicker.
_SIGNAL_FROM, _SIGNAL_UNTIL = 4.0, 6.0
_CONTEST_REACH = 1.0
_BREAK_FROM, _BREAK_UNTIL = 64.0, 52.0
_REJECT_FROM, _REJECT_UNTIL = 35.0, 48.0
_CONTEST_VOLUME = 120
_CONTEST_IMBALANCE = 0.4

_DEALER_GAMMA_MATTERS = 20_000.0

CONFLUENCE_REACH = 2.5
# Least pressure, then the step on the hierarchical scale of 0 to 10 (0: alone) and its name.
CONFLUENCE_LEVELS = (
    (0.30, 1, "ULTRA_PREMIUM"),
    (0.22, 3, "PREMIUM"),
    (0.14, 5, "STRONG"),
    (0.06, 7, "MODERATE"),
    (0.00, 9, "CONSOLIDATION"),
)
_ALIGNED_FROM = 3.0
_ALL_WEIGHT = sum(WEIGHT.values())


class Book(NamedTuple):
    """The last minute of the order book at a level, in contracts."""

    added: float
    canceled: float
    filled: float
    depth: int

    @property
    def delta(self) -> float:
        return self.added - self.canceled - self.filled

    @property
    def replenishment(self) -> float:
        """Added for each contract taken away; beyond all bounds, not an error, when nothing was taken."""
        return self.added / (self.canceled + self.filled + 1e-6)


class Confluence(NamedTuple):
    gathered: int
    pressure: float
    alignment: int
    level: int
    name: str


def barrier_state(book: Book, usual_depth: float) -> BarrierState:
    """What stands at the level; `usual_depth` is what its zone holds on average."""
    ratio = book.replenishment
    if book.depth < 0.1 * usual_depth:
        return "VACUUM" if ratio < 0.85 and book.added else "WEAK"
    if ratio < 0.95 and book.filled > 0.45 * book.canceled:
        return "CONSUMED"
    if ratio < 0.74:
        return "VACUUM"
    if ratio >= 1.42 and book.depth >= usual_depth:
        return "WALL"
    if ratio >= 1.06:
        return "ABSORPTION"
    return "WEAK" if ratio < 0.93 else "NEUTRAL"


def fuel_effect(dealer_gamma: float) -> FuelEffect:
    if abs(dealer_gamma) < _DEALER_GAMMA_MATTERS:
        return "NEUTRAL"
    return "DAMPEN" if dealer_gamma > 0 else "AMPLIFY"


def break_score(
    state: BarrierState, fuel: FuelEffect, *, imbalance: float, velocity: float, swept: bool, distance: float
) -> float:
    """How likely the level breaks, 0 to 100; far from the spot it fades to an undecided 50.

    Args:
        imbalance: of the tape at the level, -1 to 1, positive toward the level.
        velocity: of the spot in points a second, positive toward the level.
        swept: an order just swept toward the level.
        distance: from the spot, in points.
    """
    tape = 50 + 50 * math.tanh(1.1 * imbalance + 0.8 * velocity)
    score = 0.55 * BARRIER_SCORE[state] + 0.33 * tape + 0.12 * FUEL_SCORE[fuel] + (8 if swept else 0)
    proximity = math.exp(-max(0.0, distance - 1.0) / 6)
    return clamp(50 + (score - 50) * proximity, 0.0, 100.0)


def signal(before: Signal, score: float, distance: float, imbalance: float, volume: int) -> Signal:
    """The signal that follows `before`; `score` is the smooth one, `volume` the contracts traded at the level."""
    if distance > (_SIGNAL_FROM if before == "NEUTRAL" else _SIGNAL_UNTIL):
        return "NEUTRAL"
    if score >= (_BREAK_UNTIL if before == "BREAK" else _BREAK_FROM):
        return "BREAK"
    if score <= (_REJECT_UNTIL if before == "REJECT" else _REJECT_FROM):
        return "REJECT"
    slack = 2.0 if before == "CONTESTED" else 1.0
    balanced = abs(imbalance) <= _CONTEST_IMBALANCE * slack
    fought = distance <= _CONTEST_REACH * slack and volume * slack >= _CONTEST_VOLUME and balanced
    return "CONTESTED" if fought else "NEUTRAL"


def confidence(distance: float, volume: int) -> Confidence:
    """Near levels with a busy tape are known best."""
    if distance <= 3.0 and volume >= 40:
        return "HIGH"
    return "MEDIUM" if distance <= 7.0 else "LOW"


def confluence(level: Level, others: Iterable[Level], trend: float) -> Confluence:
    """What gathers around a level.

    Args:
        level: the one asked about.
        others: all levels that there are; it may be among them.
        trend: spot over its long average, in points; a level on the trend's own side is aligned with it.
    """
    near = [
        (other.weight, abs(other.price - level.price))
        for other in others
        if other.id != level.id and abs(other.price - level.price) <= CONFLUENCE_REACH
    ]
    if not near:
        return Confluence(0, 0.0, 0, 0, "UNDEFINED")
    pull = sum(weight * (1 - away / CONFLUENCE_REACH) for weight, away in near)
    pressure = min(1.0, pull / _ALL_WEIGHT)
    step, name = next((step, name) for least, step, name in CONFLUENCE_LEVELS if pressure >= least)
    alignment = 0 if abs(trend) < _ALIGNED_FROM else 1 if trend > 0 else -1
    return Confluence(len(near), pressure, alignment, step, name)


def note(state: BarrierState, fuel: FuelEffect, swept: bool) -> str:
    """The reasons in words, as a trader reads them."""
    by_state = {"WALL": "Wall holding", "VACUUM": "Vacuum ahead", "CONSUMED": "Level consumed"}
    by_fuel = {"AMPLIFY": "dealers chase", "DAMPEN": "dealers fade"}
    reasons = [by_state.get(state), by_fuel.get(fuel), "sweep confirms" if swept else None]
    return "; ".join(reason for reason in reasons if reason) or "Monitoring"
