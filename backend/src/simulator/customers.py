"""What the customers of the options want: what they rather buy than sell, and whether they trade calls or puts.

The shape is the usual one of an index: they sell calls above the spot for income and buy puts below it for protection.
On top of it lies a random part for each kind and price, which drifts over the day.
"""

import math
from random import Random
from typing import Final, Literal

from src.simulator.price_field import PriceField
from src.simulator.randomness import clamp, revert

Kind = Literal["C", "P"]
CALL: Final = "C"
PUT: Final = "P"

# How one-sided the usual shape is, 0 to 1, and over how many points from the spot it builds up.
_ONE_SIDED: dict[Kind, float] = {CALL: 0.3, PUT: 0.45}
_BUILDS_UP_OVER = 20.0
_DRIFT = 0.3
_DRIFT_SPACING = 20.0
_DRIFT_LASTS_S = 2700.0
# Of a contract's volume, what is bought less what is sold is never more than this share.
_MOST = 0.9
_MOOD, _MOOD_LASTS_S = 0.25, 1800.0


class Customers:
    """Everybody who is no dealer."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._mood = 0.0
        self._drift = {kind: PriceField(Random(rng.random()), _DRIFT_LASTS_S, _DRIFT_SPACING) for kind in _ONE_SIDED}

    def advance(self, elapsed_s: float) -> None:
        self._mood = revert(self._rng, self._mood, elapsed_s, _MOOD_LASTS_S, _MOOD)

    def activity(self, kind: Kind) -> float:
        """How much they trade calls, or puts, about 0.6 to 1.6: more of one is less of the other."""
        return math.exp(self._mood if kind == CALL else -self._mood)

    def net_share(self, kind: Kind, strike: float, spot: float, second: float) -> float:
        """Of a contract's volume, the share that they buy less the share that they sell; -0.9 to 0.9.

        Args:
            second: of the day; it never goes back.
        """
        usual = -_ONE_SIDED[kind] * math.tanh((strike - spot) / _BUILDS_UP_OVER)
        return clamp(usual + _DRIFT * self._drift[kind].at(strike, second), -_MOST, _MOST)
