"""Session time: which moment of which trading day a snapshot shows, and when it is due. Pure arithmetic.

A trading day runs from `start_s` to the close; the next one begins at `start_s` again, on the next weekday.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")

# Seconds since midnight in New York.
PREMARKET_S = 4 * 3600.0
OPEN_S = 9.5 * 3600.0
OPENING_RANGE_END_S = OPEN_S + 15 * 60.0
CLOSE_S = 16 * 3600.0

# The past is told in these steps: a day of it is published within seconds. Flow is three times as large as levels, and
# slower.
PAST_STEP_S = 10.0
FLOW_EVERY = 3


@dataclass(frozen=True, slots=True)
class Moment:
    """`second` since midnight in New York on trading day number `day` (0 is the first)."""

    day: int
    second: float


class PastMoment(NamedTuple):
    """A moment before the live part.

    Attributes:
        moment: see there.
        before_s: session seconds before snapshot 0, above 0.
        has_flow: whether the flow is told too.
    """

    moment: Moment
    before_s: float
    has_flow: bool


@dataclass(frozen=True, slots=True)
class Pace:
    """`rate_hz` snapshots a second of each subject, `speed` session seconds a second, days begin at `start_s`.

    Of day 0, the first `past_s` session seconds are the past, and snapshot 0 follows.
    """

    rate_hz: float
    speed: float
    start_s: float
    past_s: float = 0.0

    def past(self) -> Iterator[PastMoment]:
        """The past in steps, oldest first."""
        for step in range(math.ceil(self.past_s / PAST_STEP_S)):
            into_day_s = step * PAST_STEP_S
            moment = Moment(0, self.start_s + into_day_s)
            yield PastMoment(moment, self.past_s - into_day_s, has_flow=step % FLOW_EVERY == 0)

    def due_s(self, index: int) -> float:
        """When snapshot `index` is due, in seconds after the first one."""
        return index / self.rate_hz

    def index_after(self, index: int, elapsed_s: float) -> int:
        """The snapshot to publish after `index`: the next, or the newest that is due when some were missed."""
        return max(index + 1, int(elapsed_s * self.rate_hz))

    def moment(self, index: int) -> Moment:
        day, into_day_s = divmod(self.past_s + index * self.speed / self.rate_hz, CLOSE_S - self.start_s)
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
