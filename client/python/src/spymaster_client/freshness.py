"""How old a section is, compared with its usual pace. Rules only; `now_s` is any clock that only goes forward.

The numbers are those of the TypeScript client, so a page and a terminal never disagree about one stream.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final, Literal

Age = Literal["live", "late", "stale"]

GAPS: Final = 40
USUAL_BEFORE_KNOWN_S: Final = 1.0  # Core publishes several times a second
LATE_GAPS, LATE_SLACK_S = 2.5, 0.25
STALE_GAPS, STALE_AT_LEAST_S = 8.0, 2.5


@dataclass(frozen=True, slots=True)
class SectionFreshness:
    """One section's age.

    Attributes:
        age: `late` when it is overdue by well over its usual gap, or is only the last known state; `stale` when it is
            too old to trade on.
        age_s: since it last changed here. Core's `ts` plays no part: it may repeat and jump back.
        usual_s: the gap that nine of ten changes keep; None before there were two.
    """

    age: Age
    age_s: float
    usual_s: float | None


@dataclass(frozen=True, slots=True)
class Freshness:
    """Of each section, None before its first; a change of the viewport counts for `levels`: they are one message."""

    levels: SectionFreshness | None
    flow: SectionFreshness | None
    frames_per_s: float


class Cadence:
    """When one section changed."""

    # An outage is no cadence. A gap beyond the stale limit counts only when as many come in a row, of about one length:
    # then it is the pace of a slow producer.
    ALIKE_GAPS: Final = 3
    ALIKE_WITHIN: Final = 1.5  # times the shortest of them

    def __init__(self) -> None:
        self._gaps_s: deque[float] = deque(maxlen=GAPS)
        self._long_gaps_s: deque[float] = deque(maxlen=self.ALIKE_GAPS)  # the last ones, not learned yet
        self._last_s: float | None = None
        self._moves = False
        self.least_gap_s = 0.0  # the shortest that is possible, where frames come at a rate that was asked for

    def add(self, now_s: float, *, first: bool) -> None:
        """A change; `first` when it came with the first frame of a connection, which may be of any age."""
        if self._moves and self._last_s is not None:
            self._learn(now_s - self._last_s)
        self._last_s = now_s
        self._moves = not first

    def interrupt(self) -> None:
        """A connection ended: the next change spans the outage and says nothing about the cadence."""
        self._moves = False
        self._long_gaps_s.clear()

    def at(self, now_s: float) -> SectionFreshness | None:
        """None before the first change."""
        if self._last_s is None:
            return None
        usual_s = self._usual_s()
        return SectionFreshness(self._age(now_s - self._last_s, usual_s), now_s - self._last_s, usual_s)

    def _learn(self, gap_s: float) -> None:
        if gap_s <= self._stale_after_s(self._usual_s()):
            self._long_gaps_s.clear()
            self._gaps_s.append(gap_s)
            return
        self._long_gaps_s.append(gap_s)
        are_alike = max(self._long_gaps_s) <= self.ALIKE_WITHIN * min(self._long_gaps_s)
        if len(self._long_gaps_s) == self.ALIKE_GAPS and are_alike:
            self._gaps_s = deque(self._long_gaps_s, maxlen=GAPS)  # the pace has changed: the one before is over
            self._long_gaps_s.clear()

    def _usual_s(self) -> float | None:
        return sorted(self._gaps_s)[int(len(self._gaps_s) * 0.9)] if self._gaps_s else None

    def _gap_s(self, usual_s: float | None) -> float:
        return max(USUAL_BEFORE_KNOWN_S if usual_s is None else usual_s, self.least_gap_s)

    def _stale_after_s(self, usual_s: float | None) -> float:
        return max(STALE_AT_LEAST_S, STALE_GAPS * self._gap_s(usual_s))

    def _age(self, age_s: float, usual_s: float | None) -> Age:
        if age_s > self._stale_after_s(usual_s):
            return "stale"
        return "live" if self._moves and age_s <= LATE_GAPS * self._gap_s(usual_s) + LATE_SLACK_S else "late"


class FrameRate:
    """Frames a second over the last seconds."""

    WINDOW_S: Final = 5.0
    AT_LEAST_S: Final = 1.0  # a rate over less says nothing

    def __init__(self) -> None:
        self._arrivals_s: deque[float] = deque(maxlen=4096)
        self._began_s = 0.0

    def begin(self, now_s: float) -> None:
        """A connection begins: the time before it had no frames to count."""
        self._arrivals_s.clear()
        self._began_s = now_s

    def add(self, now_s: float) -> None:
        self._arrivals_s.append(now_s)

    def at(self, now_s: float) -> float:
        while self._arrivals_s and now_s - self._arrivals_s[0] >= self.WINDOW_S:
            self._arrivals_s.popleft()
        return len(self._arrivals_s) / min(self.WINDOW_S, max(self.AT_LEAST_S, now_s - self._began_s))
