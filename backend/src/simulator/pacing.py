"""Session time: which moment of which trading day a snapshot shows, and when it is due. Pure arithmetic.

A trading day runs from `start_s` to the close; the next one begins at `start_s` again, on the next weekday.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")

# Seconds since midnight in New York.
PREMARKET_S = 4 * 3600.0
OPEN_S = 9.5 * 3600.0
OPENING_RANGE_END_S = OPEN_S + 15 * 60.0
CLOSE_S = 16 * 3600.0


@dataclass(frozen=True, slots=True)
class Moment:
    """`second` since midnight in New York on trading day number `day` (0 is the first)."""

    day: int
    second: float


@dataclass(frozen=True, slots=True)
class Pace:
    """`rate_hz` snapshots a second of each subject, `speed` session seconds a second, days begin at `start_s`."""

    rate_hz: float
    speed: float
    start_s: float

    def due_s(self, index: int) -> float:
        """When snapshot `index` is due, in seconds after the first one."""
        return index / self.rate_hz

    def index_after(self, index: int, elapsed_s: float) -> int:
        """The snapshot to publish after `index`: the next, or the newest that is due when some were missed."""
        return max(index + 1, int(elapsed_s * self.rate_hz))

    def moment(self, index: int) -> Moment:
        day, into_day_s = divmod(index * self.speed / self.rate_hz, CLOSE_S - self.start_s)
        return Moment(int(day), self.start_s + into_day_s)


def trading_date(first: date, day: int) -> date:
    """The date of trading day `day`: weekdays follow each other, `first` itself may be any day."""
    current = first
    for _ in range(day):
        current += timedelta(days=3 if current.weekday() == 4 else 2 if current.weekday() == 5 else 1)
    return current


def timestamp_ms(on: date, second: float) -> int:
    """Milliseconds UTC of `second` since midnight in New York (wall clock) on that date."""
    wall = datetime.combine(on, time(), NEW_YORK) + timedelta(seconds=second)
    return round(wall.timestamp() * 1000)


def today(now: datetime) -> date:
    """The date in New York at the aware time `now`."""
    return now.astimezone(NEW_YORK).date()
