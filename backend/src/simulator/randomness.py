"""The few random draws that every part of the session shares; all take their `Random` and have no state."""

import math
from random import Random

# Above this mean a Poisson draw and a rounded normal one look the same, and the normal one costs one draw.
_NORMAL_FROM = 12.0


def decay(elapsed_s: float, time_constant_s: float) -> float:
    """What is left of a deviation after `elapsed_s`, 0 to 1."""
    return math.exp(-elapsed_s / time_constant_s)


def revert(rng: Random, value: float, elapsed_s: float, time_constant_s: float, deviation: float) -> float:
    """Take an Ornstein-Uhlenbeck process around 0 one exact step further, whatever the length of the step."""
    left = decay(elapsed_s, time_constant_s)
    return value * left + deviation * math.sqrt(1.0 - left * left) * rng.gauss(0.0, 1.0)


def arrivals(rng: Random, mean: float) -> int:
    """How many independent events happen where `mean` are expected."""
    if mean >= _NORMAL_FROM:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    count, left = 0, math.exp(-mean)
    product = rng.random()
    while product > left:
        count += 1
        product *= rng.random()
    return count


def clamp(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
