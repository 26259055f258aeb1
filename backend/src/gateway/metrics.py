"""Counters and histograms of what happens too often to be logged.

They are plain integers, added to once a message or once a fan-out and never once a frame and peer.
`http/metrics_page.py` reads them when Prometheus asks; a new metric is a row of its table.
"""

from bisect import bisect_left
from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

NORMALIZATION_BOUNDS_S: Final = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1)
FAN_OUT_BOUNDS_S: Final = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
LATENCY_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
VIEWER_AGE_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
LOOP_LAG_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

FAULTS: Final = ("level_left_out", "prediction_left_out", "spot_left_out", "viewport_dropped", "non_finite")

LOOP_LAG_INTERVAL_S: Final = 0.25
LOOP_LAGS_A_SECOND: Final = int(1 / LOOP_LAG_INTERVAL_S)
RECENT_S: Final = 60.0  # the longest lag is that of this time: a scrape an hour later wants to know about now


class Histogram:
    """Observations counted by size.

    Attributes:
        bounds: upper bounds of the counts, each included, ascending; one more count is for what is above them all.
        counts: how many observations each took; not cumulative.
        total: the sum of all observations.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one observation; a negative one, from clocks that differ, counts as 0."""
        if value < 0:
            value = 0.0
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class LoopLag:
    """How late the event loop runs what is due.

    Attributes:
        histogram: of all observations.
    """

    def __init__(self) -> None:
        self.histogram = Histogram(LOOP_LAG_BOUNDS_S)
        self._recent: deque[float] = deque(maxlen=int(RECENT_S / LOOP_LAG_INTERVAL_S))

    def observe(self, late_s: float) -> None:
        self.histogram.observe(late_s)
        self._recent.append(max(late_s, 0.0))

    @property
    def newest_s(self) -> float:
        """The longest of the last second."""
        return max(islice(reversed(self._recent), LOOP_LAGS_A_SECOND), default=0.0)

    @property
    def recent_max_s(self) -> float:
        """The longest of the last minute."""
        return max(self._recent, default=0.0)


@dataclass(slots=True)
class Metrics:
    """Counts since the start of the process.

    Attributes:
        faults: bad parts that were left out of good messages, by kind.
        unserializable: merged payloads that could not be written as JSON and were skipped.
        normalization: seconds to map a levels message to the payload's section.
        arrived_s: when the message that each known section comes from arrived, monotonic seconds.
    """

    faults: Counter[str] = field(default_factory=Counter)
    unserializable: int = 0
    normalization: Histogram = field(default_factory=lambda: Histogram(NORMALIZATION_BOUNDS_S))
    arrived_s: dict[str, float] = field(default_factory=dict)

    def state_age_s(self, now_s: float) -> dict[str, float]:
        """How old each known section is.

        Args:
            now_s: monotonic seconds.
        """
        return {section: max(now_s - arrived_s, 0.0) for section, arrived_s in self.arrived_s.items()}
