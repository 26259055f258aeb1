"""The levels that are watched now, what happens at each, and the `levels` list of a message.

A level's book and tape are decayed sums over about a minute: near the spot they fill, far from it they fade.
"""

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from src.simulator import rules
from src.simulator.landmarks import Level, draw_hotzones, landmarks, nearest
from src.simulator.option_chain import OptionChain
from src.simulator.price_field import PriceField
from src.simulator.randomness import decay
from src.simulator.rules import Book
from src.simulator.spot_path import APPROACH_BARS, POINT_VALUE, TICK, SpotPath, Sweep, activity_shape

_BOOK_WINDOW_S = 60.0
_TAPE_WINDOW_S = 30.0
_SMOOTHING_S = 15.0
# Points that a level may move and still be the same place in the book.
_ZONE = 1.0
# Contracts added a second at the spot, at shape 1.
_ADDED_A_SECOND = 40.0
_USUAL_DEPTH = 600.0
# Points from the spot over which the book, and the tape, of a level are seen.
_BOOK_REACH = 4.0
_TAPE_REACH = 1.6
_SWEEP_REACH = 6.0
# A touch begins this near, and the next one needs the spot to have gone this far away.
_TOUCH_WITHIN, _TOUCH_OVER = 0.5, 2.0
# Share of the orders in a zone that trade without the spot being there.
_STRAY_FILLS = 0.12
_RESOLVE_LASTS_S, _FLICKER_LASTS_S = 75.0, 4.0


@dataclass(slots=True)
class WatchedLevel:
    """One level while it is watched. Volumes are contracts in the level's zone."""

    level: Level
    distance: float = 0.0
    toward: int = 1  # 1: above the spot, a resistance; -1: below, a support
    added: float = 0.0
    canceled: float = 0.0
    filled: float = 0.0
    depth: float = 0.0
    bought: float = 0.0
    sold: float = 0.0
    delta_smooth: float | None = None
    ratio_smooth: float = 1.0
    gamma: float = 0.0
    gamma_smooth: float = 0.0
    score: float = 50.0
    score_smooth: float = 50.0
    state: rules.BarrierState = "NEUTRAL"
    fuel: rules.FuelEffect = "NEUTRAL"
    signal: rules.Signal = "NEUTRAL"
    sweep: Sweep | None = None

    @property
    def book(self) -> Book:
        return Book(float(round(self.added)), float(round(self.canceled)), float(round(self.filled)), round(self.depth))

    @property
    def volume(self) -> int:
        return round(self.bought) + round(self.sold)

    @property
    def imbalance(self) -> float:
        """Of the tape, -1 to 1; 0 when nothing traded here."""
        buys, sells = round(self.bought), round(self.sold)
        return (buys - sells) / (buys + sells + 1e-6)


class LevelBoard:
    """Watches the `count` levels nearest to the spot."""

    def __init__(self, rng: Random, path: SpotPath, chain: OptionChain, count: int) -> None:
        self.watched: dict[str, WatchedLevel] = {}
        self._rng = rng
        self._path = path
        self._chain = chain
        self._count = count
        self._hotzones = draw_hotzones(rng, path.spot)
        self._candidates: list[Level] = []  # by price, then by id
        self._prices: list[float] = []  # of the candidates
        self._resolve = PriceField(Random(rng.random()), _RESOLVE_LASTS_S)
        self._flicker = PriceField(Random(rng.random()), _FLICKER_LASTS_S)
        self._touches: Counter[str] = Counter()
        self._touching: set[str] = set()
        self._bid_size = self._ask_size = 1

    def advance(self, elapsed_s: float) -> None:
        """Look again, `elapsed_s` after the last look."""
        candidates = landmarks(self._path, self._chain, self._hotzones, strikes=self._count + 1)
        self._candidates = sorted(candidates, key=lambda level: (level.price, level.id))
        self._prices = [level.price for level in self._candidates]
        shown = nearest(self._candidates, self._path.spot, self._count, self.watched)
        self.watched = {level.id: self._seen(level) for level in shown}
        self._bid_size, self._ask_size = self._rng.randint(5, 130), self._rng.randint(5, 130)
        for watched in self.watched.values():
            self._place(watched)
            self._trade(watched, elapsed_s)
            self._quote(watched, elapsed_s)
            self._judge(watched, elapsed_s)

    def message(self) -> list[dict[str, Any]]:
        """The `levels` list of one `levels.signals` message, nearest first."""
        chain_prices = self._chain_prices()
        return [self._entry(watched, chain_prices) for watched in self.watched.values()]

    def _seen(self, level: Level) -> WatchedLevel:
        """The watched level of that id at its new price; else what is known of that price; else a fresh one."""
        known = self.watched.get(level.id)
        if known is not None and abs(known.level.price - level.price) <= _ZONE:
            known.level = level
            return known
        for watched in self.watched.values():
            if watched.level.price == level.price:
                return replace(watched, level=level)
        return self._fresh(level)

    def _fresh(self, level: Level) -> WatchedLevel:
        """A level that nobody looked at, with a minute of book behind it."""
        watched = WatchedLevel(level)
        self._place(watched)
        self._quote(watched, _BOOK_WINDOW_S)
        watched.gamma_smooth = self._chain.dealer_gamma(level.price)
        return watched

    def _place(self, watched: WatchedLevel) -> None:
        """Where the level lies from the spot, and whether the spot just came to touch it."""
        away = watched.level.price - self._path.spot
        watched.distance, watched.toward = abs(away), 1 if away >= 0 else -1
        name = watched.level.id
        if watched.distance <= _TOUCH_WITHIN and name not in self._touching:
            self._touching.add(name)
            self._touches[name] += 1
        elif watched.distance > _TOUCH_OVER:
            self._touching.discard(name)

    def _trade(self, watched: WatchedLevel, elapsed_s: float) -> None:
        left = decay(elapsed_s, _TAPE_WINDOW_S)
        share = _tape_share(watched)
        watched.bought = watched.bought * left + self._path.bought * share
        watched.sold = watched.sold * left + self._path.sold * share
        watched.sweep = self._path.sweep if watched.distance <= _SWEEP_REACH else None

    def _quote(self, watched: WatchedLevel, elapsed_s: float) -> None:
        """Add, cancel and fill orders in the level's zone; a firm level adds more, refills and cancels less."""
        price, second = watched.level.price, self._path.second
        resolve, flicker = self._resolve.at(price, second), self._flicker.at(price, second)
        resolve += 0.4 * (watched.level.weight - 0.8)
        left = decay(elapsed_s, _BOOK_WINDOW_S)
        seen = math.exp(-watched.distance / _BOOK_REACH) * activity_shape(second)
        base = _ADDED_A_SECOND * seen * _BOOK_WINDOW_S * (1 - left)
        hits = (self._path.bought if watched.toward > 0 else self._path.sold) * _tape_share(watched)
        added = base * math.exp(0.2 * resolve + 0.05 * flicker) + hits * math.exp(0.5 * resolve)
        watched.added = watched.added * left + added
        watched.canceled = watched.canceled * left + 0.85 * base * math.exp(-0.16 * resolve)
        watched.filled = watched.filled * left + hits + _STRAY_FILLS * base
        depth = _USUAL_DEPTH * math.exp(0.35 * resolve + 0.15 * flicker) * _book_share(watched)
        watched.depth += (depth - watched.depth) * (1 - decay(elapsed_s, _FLICKER_LASTS_S))

    def _judge(self, watched: WatchedLevel, elapsed_s: float) -> None:
        book, share = watched.book, 1 - decay(elapsed_s, _SMOOTHING_S)
        watched.delta_smooth = book.delta if watched.delta_smooth is None else watched.delta_smooth
        watched.delta_smooth += (book.delta - watched.delta_smooth) * share
        watched.ratio_smooth += (book.replenishment - watched.ratio_smooth) * share
        watched.gamma = self._chain.dealer_gamma(watched.level.price)
        watched.gamma_smooth += (watched.gamma - watched.gamma_smooth) * share
        watched.state = rules.barrier_state(book, _USUAL_DEPTH)
        watched.fuel = rules.fuel_effect(watched.gamma)
        watched.score = rules.break_score(
            watched.state,
            watched.fuel,
            imbalance=watched.toward * watched.imbalance,
            velocity=watched.toward * self._path.velocity,
            swept=watched.sweep is not None and watched.sweep.direction == _heading(watched),
            distance=watched.distance,
        )
        watched.score_smooth += (watched.score - watched.score_smooth) * share
        watched.signal = rules.signal(
            watched.signal, watched.score_smooth, watched.distance, watched.imbalance, watched.volume
        )

    def _chain_prices(self) -> dict[str, float | None]:
        """What the option chain says about prices; the same for all levels."""
        return {
            "call_wall": self._chain.call_wall,
            "put_wall": self._chain.put_wall,
            "hvl": self._chain.high_volume_price(),
        }

    def _entry(self, watched: WatchedLevel, chain_prices: dict[str, float | None]) -> dict[str, Any]:
        level, toward = watched.level, watched.toward
        approached = self._path.approach_points * toward
        confluence = rules.confluence(level, self._around(level), (self._path.spot - self._path.sma) * toward)
        return {
            "id": level.id,
            "price": level.price,
            "kind": level.kind,
            "direction": "RESISTANCE" if toward > 0 else "SUPPORT",
            "distance": watched.distance,
            "break_score_raw": watched.score,
            "break_score_smooth": watched.score_smooth,
            "signal": watched.signal,
            "confidence": rules.confidence(watched.distance, watched.volume),
            "approach_velocity": approached / APPROACH_BARS,
            "approach_bars": self._path.bars_toward(toward),
            "approach_distance": abs(approached),
            "prior_touches": self._touches[level.id],
            "barrier": self._barrier(watched),
            "tape": self._tape(watched),
            "fuel": _fuel(watched, chain_prices),
            "runway": _runway(watched, self._beyond(watched)),
            "confluence_count": confluence.gathered,
            "confluence_pressure": confluence.pressure,
            "confluence_alignment": confluence.alignment,
            "confluence_level": confluence.level,
            "confluence_level_name": confluence.name,
            "note": rules.note(watched.state, watched.fuel, watched.sweep is not None),
        }

    def _around(self, level: Level) -> list[Level]:
        """The candidates near enough to gather with a level, itself among them."""
        first = bisect_left(self._prices, level.price - rules.CONFLUENCE_REACH)
        return self._candidates[first : bisect_right(self._prices, level.price + rules.CONFLUENCE_REACH)]

    def _beyond(self, watched: WatchedLevel) -> Level:
        """The first candidate behind a level, seen from the spot."""
        if watched.toward > 0:
            return self._candidates[bisect_left(self._prices, watched.level.price + TICK)]
        price = self._prices[bisect_right(self._prices, watched.level.price - TICK) - 1]
        return self._candidates[bisect_left(self._prices, price)]

    def _barrier(self, watched: WatchedLevel) -> dict[str, Any]:
        book = watched.book
        below = watched.toward < 0
        return {
            "state": watched.state,
            "delta_liq": book.delta,
            "delta_liq_smooth": watched.delta_smooth,
            "replenishment_ratio": book.replenishment,
            "replenishment_ratio_smooth": watched.ratio_smooth,
            "added": book.added,
            "canceled": book.canceled,
            "filled": book.filled,
            "defending_quote": {
                "price": self._path.bid if below else self._path.ask,
                "size": self._bid_size if below else self._ask_size,
            },
            "churn": book.added + book.canceled + book.filled,
            "depth_in_zone": book.depth,
        }

    def _tape(self, watched: WatchedLevel) -> dict[str, Any]:
        return {
            "imbalance": watched.imbalance,
            "buy_vol": round(watched.bought),
            "sell_vol": round(watched.sold),
            "velocity": self._path.velocity,
            "velocity_smooth": self._path.velocity_smooth,
            "sweep": _sweep(watched.sweep, self._path.spot),
        }


def _fuel(watched: WatchedLevel, chain_prices: dict[str, float | None]) -> dict[str, Any]:
    return {
        "effect": watched.fuel,
        "net_dealer_gamma": watched.gamma,
        "net_dealer_gamma_smooth": watched.gamma_smooth,
        **chain_prices,
    }


def _tape_share(watched: WatchedLevel) -> float:
    """How much of the market's trading happens in the level's zone."""
    return math.exp(-watched.distance / _TAPE_REACH)


def _book_share(watched: WatchedLevel) -> float:
    """How much of the level's zone the visible book still reaches."""
    return min(1.0, math.exp(-(watched.distance - _BOOK_REACH) / 2.5))


def _heading(watched: WatchedLevel) -> str:
    return "UP" if watched.toward > 0 else "DOWN"


def _sweep(sweep: Sweep | None, spot: float) -> dict[str, Any]:
    if sweep is None:
        return {"detected": False, "direction": "NONE", "notional": 0.0, "num_prints": 0, "window_ms": 0.0}
    return {
        "detected": True,
        "direction": sweep.direction,
        "notional": sweep.contracts * spot * POINT_VALUE,
        "num_prints": sweep.prints,
        "window_ms": sweep.window_ms,
    }


def _runway(watched: WatchedLevel, obstacle: Level) -> dict[str, Any]:
    """The way that opens behind the level when it breaks, up to the next one."""
    distance = abs(obstacle.price - watched.level.price)
    return {
        "direction": _heading(watched),
        "distance": distance,
        "next_obstacle": {"id": obstacle.id, "price": obstacle.price},
        "quality": "CLEAR" if distance >= 2.0 else "OBSTRUCTED",
    }
