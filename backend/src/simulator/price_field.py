"""What differs from price to price: a random field over price and time, so that close prices behave alike.

Two levels at one price (a strike that is also a round number) see one book, as they do in a real market.
"""

import math
from dataclasses import dataclass, field
from random import Random

from src.simulator.randomness import revert


@dataclass(slots=True)
class PriceField:
    """Independent Ornstein-Uhlenbeck processes of deviation 1 at nodes `spacing` points apart, interpolated between."""

    rng: Random
    time_constant_s: float
    spacing: float = 1.0
    _values: dict[int, tuple[float, float]] = field(default_factory=dict)  # node → value, second of the day

    def at(self, price: float, second: float) -> float:
        """The value at a price, about -3 to 3; `second` never goes back."""
        below, share = divmod(price / self.spacing, 1.0)
        mixed = (1 - share) * self._node(int(below), second) + share * self._node(int(below) + 1, second)
        return mixed / math.hypot(1 - share, share)

    def _node(self, node: int, second: float) -> float:
        value, since = self._values.get(node, (self.rng.gauss(0, 1), second))
        if second > since:
            value = revert(self.rng, value, second - since, self.time_constant_s, 1.0)
        self._values[node] = value, second
        return value
