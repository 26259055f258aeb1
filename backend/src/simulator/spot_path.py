"""The path of the spot through one day: price, trades, sweeps, and the prices that the path itself leaves behind.

Volatility and volume follow the shape of the day; on top of it lie clustering (`_heat`), a slow trend and
fast order-flow pressure, each an Ornstein-Uhlenbeck process.
"""

import math
from collections import deque
from dataclasses import dataclass
from random import Random
from typing import Literal

from src.simulator.pacing import CLOSE_S, OPEN_S, OPENING_RANGE_END_S, PREMARKET_S
from src.simulator.randomness import arrivals, decay, revert

TICK = 0.25
# Dollars a point and contract, of the E-mini S&P 500.
POINT_VALUE = 50.0
SMA_BARS = 200
APPROACH_BARS = 10

# Points a square-root second at shape 1: about 0.6 % of 6,900 over a regular session.
_VOLATILITY = 0.24
# Share of a step that comes from pressure: a third of the variance over minutes.
_PRESSURE_DRIFT = 0.08
_CONTRACTS_A_SECOND = 22.0
_SWEEPS_A_SECOND = 1 / 25
_SWEEP_SEEN_S = 8.0
_LONGEST_STEP_S = 5.0
# Price levels hold a memory of a day: without a pull the path leaves the option chain once in a while.
_PULL_A_SECOND = 1 / 40_000


@dataclass(frozen=True, slots=True)
class Sweep:
    """An order that took several prices at once. `at_s`: seconds since midnight in New York."""

    direction: Literal["UP", "DOWN"]
    contracts: int
    prints: int
    window_ms: float
    at_s: float


@dataclass(slots=True)
class Extent:
    """The highest and lowest price seen so far; none before the first."""

    high: float = -math.inf
    low: float = math.inf

    def add(self, price: float) -> None:
        self.high = max(self.high, price)
        self.low = min(self.low, price)

    @property
    def seen(self) -> bool:
        return self.high >= self.low


def activity_shape(second: float) -> float:
    """How lively the market is at that second of the day: about 2.1 at the open, 0.6 at noon, 1.3 into the close."""
    if second < OPEN_S:
        return 0.35
    since_open, before_close = second - OPEN_S, max(0.0, CLOSE_S - second)
    return 0.58 + 1.5 * math.exp(-since_open / 1800) + 0.75 * math.exp(-before_close / 2400)


def to_tick(price: float) -> float:
    return round(price / TICK) * TICK


class SpotPath:
    """One day's path from the premarket on; `advance` takes it to a later second."""

    def __init__(self, rng: Random, first_price: float) -> None:
        self.second = PREMARKET_S
        self.spot = self.bid = to_tick(first_price)
        self.ask = self.bid + TICK
        self.velocity = self.velocity_smooth = 0.0
        self.bought = self.sold = 0.0
        self.sweep: Sweep | None = None
        self.premarket, self.opening_range, self.session = Extent(), Extent(), Extent()
        self.minute_closes: deque[float] = deque([self.spot], maxlen=SMA_BARS)
        self._rng = rng
        self._price = self._anchor = first_price
        self._heat = self._trend = self._pressure = 0.0
        self._notional = self._volume = 0.0

    def advance(self, second: float) -> None:
        """Go on to `second`; `bought` and `sold` are then the contracts traded on the way."""
        self.bought = self.sold = 0.0
        gap_s = second - self.second
        steps = max(1, math.ceil(gap_s / _LONGEST_STEP_S))
        for _ in range(steps if gap_s > 0 else 0):
            self._step(gap_s / steps)

    @property
    def vwap(self) -> float | None:
        """Volume-weighted average price since the open; none before it."""
        return self._notional / self._volume if self._volume else None

    @property
    def sma(self) -> float:
        """Simple moving average of the last 200 one-minute closes, fewer early in the premarket."""
        return sum(self.minute_closes) / len(self.minute_closes)

    @property
    def approach_points(self) -> float:
        """How far the spot went in the last ten minutes, with its sign."""
        closes = self.minute_closes
        return self.spot - closes[max(0, len(closes) - APPROACH_BARS)]

    def bars_toward(self, sign: int) -> int:
        """How many one-minute bars in a row closed further up (`sign` 1) or down (-1), the newest last."""
        closes, bars = self.minute_closes, 0
        while bars < len(closes) - 1 and (closes[-1 - bars] - closes[-2 - bars]) * sign > 0:
            bars += 1
        return bars

    def _step(self, elapsed_s: float) -> None:
        shape = activity_shape(self.second)
        self._heat = revert(self._rng, self._heat, elapsed_s, 600, 0.3)
        self._trend = revert(self._rng, self._trend, elapsed_s, 1500, 0.35)
        self._pressure = revert(self._rng, self._pressure, elapsed_s, 25, 1.0)
        self._move(elapsed_s, shape * math.exp(self._heat))
        self._close_minutes(self.second + elapsed_s)
        self.second += elapsed_s
        self._trade(elapsed_s, shape * math.exp(self._heat))
        self._watch_for_sweeps(elapsed_s, shape)
        self._remember()

    def _move(self, elapsed_s: float, liveliness: float) -> None:
        volatility = _VOLATILITY * liveliness
        drift = _PRESSURE_DRIFT * (self._pressure + 0.3 * self._trend) * volatility
        pull = (self._anchor - self._price) * _PULL_A_SECOND
        before = self._price
        self._price += (drift + pull) * elapsed_s + 0.82 * volatility * math.sqrt(elapsed_s) * self._rng.gauss(0, 1)
        self._quote(self._price - before)
        slope = (self._price - before) / elapsed_s
        self.velocity += (slope - self.velocity) * (1 - decay(elapsed_s, 10))
        self.velocity_smooth += (slope - self.velocity_smooth) * (1 - decay(elapsed_s, 30))

    def _quote(self, change: float) -> None:
        """The last trade was at the ask when the price rose, else at the bid."""
        self.spot = to_tick(self._price)
        self.bid = self.spot - TICK if change > 0 else self.spot
        self.ask = self.bid + TICK

    def _close_minutes(self, second: float) -> None:
        if second // 60 > self.second // 60:
            self.minute_closes.append(self.spot)

    def _trade(self, elapsed_s: float, liveliness: float) -> None:
        volume = _CONTRACTS_A_SECOND * liveliness * elapsed_s * self._rng.lognormvariate(-0.125, 0.5)
        buy_share = 0.5 + 0.36 * math.tanh(self._pressure)
        self.bought += volume * buy_share
        self.sold += volume * (1 - buy_share)
        if self.second > OPEN_S:
            self._notional += volume * self.spot
            self._volume += volume

    def _watch_for_sweeps(self, elapsed_s: float, shape: float) -> None:
        if self.sweep is not None and self.second - self.sweep.at_s > _SWEEP_SEEN_S:
            self.sweep = None
        if arrivals(self._rng, _SWEEPS_A_SECOND * shape * abs(self._pressure) * elapsed_s):
            self.sweep = Sweep(
                direction="UP" if self._pressure > 0 else "DOWN",
                contracts=round(self._rng.lognormvariate(5, 0.7)),
                prints=self._rng.randint(2, 14),
                window_ms=self._rng.uniform(12, 250),
                at_s=self.second,
            )

    def _remember(self) -> None:
        if self.second <= OPEN_S:
            self.premarket.add(self.spot)
            return
        self.session.add(self.spot)
        if self.second <= OPENING_RANGE_END_S:
            self.opening_range.add(self.spot)
