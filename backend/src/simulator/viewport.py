"""Core's predictions for the levels at the spot: the `viewport` section, which is there only while its model is.

A prediction compares the approach with past ones of the same kind of level; kinds without a past have no neighbours.
"""

import math
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

from src.simulator.level_board import LevelBoard, WatchedLevel
from src.simulator.pacing import NEW_YORK, OPEN_S, timestamp_ms
from src.simulator.price_field import PriceField
from src.simulator.randomness import clamp, decay
from src.simulator.spot_path import SpotPath

NEIGHBORS = 50

# Kinds whose past approaches the model knows.
_WITH_HISTORY = {"PM_HIGH", "PM_LOW", "OR_HIGH", "OR_LOW", "SESSION_HIGH", "SESSION_LOW", "SMA_200", "VWAP"}
# A target begins this near, and ends when the spot has gone this far away.
_TARGET_WITHIN, _TARGET_OVER = 0.75, 1.5
_MOST_TARGETS = 6
_CONFIRM_S = 240
_HORIZONS_S = (60, 120, 180, 300)
_THRESHOLDS = ("t1", "t2", "t1_break", "t1_bounce", "t2_break", "t2_bounce")
# The geometry of an approach takes a quarter of an hour to be known in full.
_STAGE_B_FROM_S = OPEN_S + 15 * 60
# The model answers for some minutes, then is gone for a shorter while.
_UP_FOR_S, _DOWN_FOR_S = 420.0, 60.0
# How long the model keeps an opinion on a price.
_OPINION_LASTS_S = 40.0
_OUTCOMES = ("BREAK", "REJECT", "CHOP")


@dataclass(slots=True)
class Target:
    """One level that the spot is touching: what stays the same until it leaves."""

    touch_ts_ns: int
    threshold_s: list[float]
    neighbors: list[dict[str, Any]]
    context: dict[str, float]


@dataclass(slots=True)
class Viewport:
    """Predictions on the levels of a board."""

    rng: Random
    on: date
    path: SpotPath
    board: LevelBoard
    _answering: bool = True
    _targets: dict[str, Target] = field(default_factory=dict)
    _leaning: PriceField = field(init=False)
    _tradeable: PriceField = field(init=False)

    def __post_init__(self) -> None:
        self._leaning = PriceField(Random(self.rng.random()), _OPINION_LASTS_S)
        self._tradeable = PriceField(Random(self.rng.random()), _OPINION_LASTS_S)

    def advance(self, elapsed_s: float) -> None:
        mean_s = _UP_FOR_S if self._answering else _DOWN_FOR_S
        if self.rng.random() > decay(elapsed_s, mean_s):
            self._answering = not self._answering
        touched = [watched for watched in self.board.watched.values() if self._is_target(watched)][:_MOST_TARGETS]
        names = {watched.level.id for watched in touched}
        self._targets = {name: target for name, target in self._targets.items() if name in names}
        for watched in touched:
            if watched.level.id not in self._targets:
                self._targets[watched.level.id] = self._touched(watched)

    def message(self, ts_ms: int) -> dict[str, Any] | None:
        """The section, or None while the model does not answer or has nothing to compare with (before the open)."""
        if not self._answering or self.path.second < OPEN_S:
            return None
        entries = [self._entry(self.board.watched[name], target) for name, target in self._targets.items()]
        entries.sort(key=lambda entry: (-float(entry["utility_score"]), str(entry["level_id"])))
        return {"ts": ts_ms, "targets": entries}

    def _is_target(self, watched: WatchedLevel) -> bool:
        return watched.distance <= (_TARGET_OVER if watched.level.id in self._targets else _TARGET_WITHIN)

    def _touched(self, watched: WatchedLevel) -> Target:
        """A new target. The model compares one approach at a time: the first, until it ends."""
        touch_ts_ns = timestamp_ms(self.on, self.path.second) * 1_000_000 + self.rng.randrange(1_000_000)
        compares = watched.level.kind in _WITH_HISTORY and not any(t.neighbors for t in self._targets.values())
        neighbors = self._neighbors(watched) if compares else []
        return Target(
            touch_ts_ns=touch_ts_ns,
            threshold_s=[self.rng.uniform(60, 400) for _ in _THRESHOLDS],
            neighbors=neighbors,
            context=_context(neighbors),
        )

    def _entry(self, watched: WatchedLevel, target: Target) -> dict[str, Any]:
        level = watched.level
        leaning = 0.7 * self._leaning.at(level.price, self.path.second)
        p_tradeable = _logistic(0.8 * self._tradeable.at(level.price, self.path.second))
        p_break = _logistic(leaning + (watched.score_smooth - 50) / 18)
        strength = (p_break - 0.5) * 3 + 0.4 * leaning
        return {
            "level_id": level.id,
            "level_kind_name": level.kind,
            "level_price": level.price,
            "direction": "UP" if watched.toward > 0 else "DOWN",
            "distance": watched.distance,
            "distance_signed": level.price - self.path.spot,
            "p_tradeable_2": p_tradeable,
            "p_no_trade": 1 - p_tradeable,
            "p_break": p_break,
            "p_bounce": 1 - p_break,
            "strength_signed": strength,
            "strength_abs": abs(strength),
            "time_to_threshold": _time_to_threshold(target.threshold_s),
            "retrieval": _retrieval(target),
            "ensemble": {"mix_weight": 0.8 if target.neighbors else 0.7, "disagreement_penalty": 0.0},
            "feasibility_mask": {"allow_break": True, "allow_bounce": True, "break_logit_bias": -1.0},
            "utility_score": p_tradeable * abs(strength),
            "viewport_state": "TOUCH",
            "pinned": level.kind == "USER_HOTZONE",
            "stage": "stage_b" if self.path.second >= _STAGE_B_FROM_S else "stage_a",
            "touch_ts_ns": target.touch_ts_ns,
            "confirm_ts_ns": target.touch_ts_ns + _CONFIRM_S * 1_000_000_000,
            "relevance": clamp(1 - watched.distance / _TARGET_OVER, 0, 1) * p_tradeable,
        }

    def _neighbors(self, watched: WatchedLevel) -> list[dict[str, Any]]:
        """The most similar past approaches, most similar first."""
        similarities = sorted((self.rng.uniform(0.05, 0.24) for _ in range(NEIGHBORS)), reverse=True)
        return [self._neighbor(watched, similarity) for similarity in similarities]

    def _neighbor(self, watched: WatchedLevel, similarity: float) -> dict[str, Any]:
        rng, level = self.rng, watched.level
        minutes = rng.uniform(0.2, 15) if self.path.second < _STAGE_B_FROM_S else rng.uniform(15, 380)
        then = self._past_time(minutes)
        heading = "UP" if watched.toward > 0 else "DOWN"
        price = round((level.price + rng.gauss(0, 70)) * 4) / 4
        strength = rng.gauss(0.2, 1.3)
        return {
            "event_id": f"{then:%Y%m%d}_{level.kind}_{heading}_{rng.randrange(200)}",
            "date": f"{then:%Y-%m-%d}",
            "timestamp": f"{then:%Y-%m-%d %H:%M:%S}",
            "ts_ns": int(then.timestamp()) * 1_000_000_000 + rng.randrange(1_000_000_000),
            "level_kind": level.kind,
            "level_price": price,
            "direction": heading,
            "spot": price + rng.gauss(0, 0.5),
            "atr": rng.uniform(1, 6),
            "minutes_since_open": minutes,
            "time_bucket": "T0_15" if minutes < 15 else "T15_30" if minutes < 30 else "T30_PLUS",
            "outcome_2min": rng.choice(_OUTCOMES),
            "outcome_4min": rng.choice(_OUTCOMES),
            "outcome_8min": rng.choice(_OUTCOMES),
            "excursion_favorable": abs(rng.gauss(0, 2.5)),
            "excursion_adverse": abs(rng.gauss(0, 1.8)),
            "strength_signed": strength,
            "strength_abs": abs(strength),
            "emission_weight": rng.uniform(0.2, 1),
            "prior_touches": rng.randrange(6),
            "attempt_index": rng.randrange(4),
            "similarity": similarity,
        }

    def _past_time(self, minutes_since_open: float) -> datetime:
        """A weekday of the last three months at that time of its session."""
        past = self.on - timedelta(days=self.rng.randint(3, 90))
        past -= timedelta(days=max(0, past.weekday() - 4))
        midnight = datetime(past.year, past.month, past.day, tzinfo=NEW_YORK)
        return midnight + timedelta(seconds=OPEN_S + int(minutes_since_open * 60))


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def _time_to_threshold(threshold_s: list[float]) -> dict[str, dict[str, float]]:
    """The chance to reach each threshold within each horizon."""
    return {
        name: {str(horizon): 1 - math.exp(-horizon / mean_s) for horizon in _HORIZONS_S}
        for name, mean_s in zip(_THRESHOLDS, threshold_s, strict=True)
    }


def _retrieval(target: Target) -> dict[str, Any]:
    neighbors = target.neighbors
    weights = sum(float(n["similarity"]) for n in neighbors)
    broke = sum(float(n["similarity"]) for n in neighbors if n["outcome_4min"] == "BREAK")
    p_break = broke / weights if weights else 0.0
    return {
        "p_break": p_break,
        "p_bounce": 1 - p_break,
        "context_metrics": target.context,
        "avg_similarity": weights / len(neighbors) if neighbors else 0.0,
        "n_retrieved": len(neighbors),
        "neighbors": neighbors,
    }


def _context(neighbors: list[dict[str, Any]]) -> dict[str, float]:
    if not neighbors:
        return {}
    favorable, adverse = _column(neighbors, "excursion_favorable"), _column(neighbors, "excursion_adverse")
    outcomes = [neighbor["outcome_4min"] for neighbor in neighbors]
    return {
        "base_rate_reject": outcomes.count("REJECT") / len(neighbors),
        "base_rate_break": outcomes.count("BREAK") / len(neighbors),
        "historical_avg_volatility": sum(_column(neighbors, "atr")) / len(neighbors),
        "historical_max_excursion": max(favorable),
        "avg_favorable_excursion": sum(favorable) / len(neighbors),
        "avg_adverse_excursion": sum(adverse) / len(neighbors),
    }


def _column(neighbors: list[dict[str, Any]], name: str) -> list[float]:
    return [float(neighbor[name]) for neighbor in neighbors]
