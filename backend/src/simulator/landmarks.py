"""The prices that may be levels now: where each comes from, and which of them are near enough to be watched."""

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from random import Random

from src.simulator.option_chain import STRIKE_STEP, OptionChain
from src.simulator.spot_path import SpotPath, to_tick

ROUND_STEP = 10.0

# How much a kind weighs when levels gather around one price.
WEIGHT = {
    "SESSION_HIGH": 0.9,
    "SESSION_LOW": 0.9,
    "PM_HIGH": 1.0,
    "PM_LOW": 1.0,
    "OR_HIGH": 0.9,
    "OR_LOW": 0.9,
    "SMA_200": 0.8,
    "VWAP": 1.0,
    "CALL_WALL": 1.0,
    "PUT_WALL": 1.0,
    "ROUND": 0.7,
    "STRIKE": 0.6,
    "USER_HOTZONE": 0.5,
}

# Points by which a level that is watched already beats one that is not, so that the list does not flicker.
_KEEP_BONUS = 2.0
# Kinds that lie everywhere count as this much further away, so that the rarer ones stay in the list.
_COMMON = {"STRIKE": 1.8, "ROUND": 1.8}
_HOTZONES = 4


@dataclass(frozen=True, slots=True)
class Level:
    id: str
    kind: str
    price: float

    @property
    def weight(self) -> float:
        return WEIGHT[self.kind]


def landmarks(path: SpotPath, chain: OptionChain, hotzones: Iterable[Level], strikes: int) -> list[Level]:
    """Every price that could be a level now, with `strikes` strikes to each side of the spot, in no set order."""
    return [*_left_by_the_path(path), *_walls(chain), *hotzones, *_grid(path.spot, strikes)]


def nearest(candidates: Iterable[Level], spot: float, count: int, watched: Collection[str]) -> list[Level]:
    """The `count` levels nearest to the spot, nearest first; those `watched` before (by id) stay a little longer."""

    def rank(level: Level) -> tuple[float, str]:
        bonus = _KEEP_BONUS if level.id in watched else 0.0
        return abs(level.price - spot) * _COMMON.get(level.kind, 1.0) - bonus, level.id

    chosen = sorted(candidates, key=rank)[:count]
    return sorted(chosen, key=lambda level: (abs(level.price - spot), level.id))


def draw_hotzones(rng: Random, spot: float) -> list[Level]:
    """Prices that a user marked for the day."""
    prices = {to_tick(spot + rng.gauss(0, 14)) for _ in range(_HOTZONES)}
    by_id = {f"HOTZONE_{int(price)}": price for price in sorted(prices)}
    return [Level(name, "USER_HOTZONE", price) for name, price in by_id.items()]


def _left_by_the_path(path: SpotPath) -> Iterator[Level]:
    extents = (("PM", path.premarket), ("SESSION", path.session), ("OR", path.opening_range))
    for name, extent in extents:
        if extent.seen:
            yield Level(f"{name}_HIGH", f"{name}_HIGH", extent.high)
            yield Level(f"{name}_LOW", f"{name}_LOW", extent.low)
    yield Level("SMA_200", "SMA_200", path.sma)
    if path.vwap is not None:
        yield Level("VWAP", "VWAP", path.vwap)


def _walls(chain: OptionChain) -> Iterator[Level]:
    for name, price in (("CALL_WALL", chain.call_wall), ("PUT_WALL", chain.put_wall)):
        if price is not None:
            yield Level(name, name, price)


def _grid(spot: float, strikes: int) -> Iterator[Level]:
    middle = math.floor(spot / STRIKE_STEP)
    for index in range(middle - strikes + 1, middle + strikes + 1):
        price = index * STRIKE_STEP
        yield Level(f"STRIKE_{price:.0f}", "STRIKE", price)
        if price % ROUND_STEP == 0:
            yield Level(f"ROUND_{price:.0f}", "ROUND", price)
