"""How old a section is, compared with its usual pace. Rules only; `now_s` is any clock that only goes forward.

The numbers are those of the TypeScript client, so a page and a terminal never disagree about one stream.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

Age = Literal["live", "late", "stale", "closed", "replay"]

GAPS: Final = 40
USUAL_BEFORE_KNOWN_S: Final = 1.0  # Core publishes several times a second
LATE_GAPS, LATE_SLACK_S = 2.5, 0.25
STALE_GAPS, STALE_AT_LEAST_S = 8.0, 2.5
STALE_HEARTBEATS = 3
# An outage is no cadence. A gap beyond the stale limit counts only when as many come in a row, of about one length:
# then it is the pace of a slow producer.
IN_A_ROW: Final = 3
ALIKE: Final = 1.5  # the longest of them, in the shortest


@dataclass(frozen=True, slots=True)
class SectionFreshness:
    """One section's age.

    Attributes:
        age: the gateway's verdict, where it sends `status`: `closed` when the market is, `replay` when Core's time is
            that of another day. Else, and while there is no connection, by the client: `late` when it is overdue by
            well over its usual gap, or is only the last known state; `stale` when it is too old to trade on.
        age_s: as `status` says, and on from there by this machine's clock; without `status`, since it last changed
            here. Core's `ts` plays no part: it may repeat and jump back.
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


class _Told(NamedTuple):
    """What the gateway said of a section, and when that arrived."""

    now_s: float
    age_s: float
    heartbeat_s: float


class Cadence:
    """When one section changed."""

    def __init__(self) -> None:
        self._gaps_s: deque[float] = deque(maxlen=GAPS)
        self._long_gaps_s: deque[float] = deque(maxlen=IN_A_ROW)  # the last ones, not learned yet
        self._last_s: float | None = None
        self._moves = False
        self._verdict: Age | None = None  # the gateway's, of this connection
        self._told: _Told | None = None
        self.least_gap_s = 0.0  # the shortest that is possible, where frames come at a rate that was asked for

    def add(self, now_s: float, *, first: bool) -> None:
        """A change; `first` when it came with the first frame of a connection, which may be of any age."""
        if self._moves and self._last_s is not None:
            self._learn(now_s - self._last_s)
        self._last_s = now_s
        self._moves = not first

    def tell(self, now_s: float, verdict: Age, age_s: float, heartbeat_s: float) -> None:
        """The gateway says how old the section is, and will say something within `heartbeat_s` again."""
        self._verdict = verdict
        self._told = _Told(now_s, age_s, heartbeat_s)

    def untell(self) -> None:
        """The gateway says nothing about ages, as one without `status`."""
        self._verdict = self._told = None

    def forget(self) -> None:
        """There is no such section any more."""
        self.interrupt()
        self._last_s = self._told = None

    def interrupt(self) -> None:
        """A connection ended: the next change spans the outage and says nothing about the cadence."""
        self._moves = False
        self._verdict = "replay" if self._verdict == "replay" else None  # what is of another day is not stale
        self._long_gaps_s.clear()

    def at(self, now_s: float) -> SectionFreshness | None:
        """None before the first change."""
        if self._told is not None:
            age_s = self._told.age_s + now_s - self._told.now_s
        elif self._last_s is not None:
            age_s = now_s - self._last_s
        else:
            return None
        usual_s = self._usual_s()
        if self._told is not None and self._verdict is not None:
            age = self._verdict_after(now_s - self._told.now_s, self._told.heartbeat_s, self._verdict)
        else:
            age = self._age(age_s, usual_s)
        return SectionFreshness(age, age_s, usual_s)

    def _learn(self, gap_s: float) -> None:
        if gap_s <= self._stale_after_s(self._usual_s()):
            self._long_gaps_s.clear()
            self._gaps_s.append(gap_s)
            return
        self._long_gaps_s.append(gap_s)
        are_alike = max(self._long_gaps_s) <= ALIKE * min(self._long_gaps_s)
        if len(self._long_gaps_s) == IN_A_ROW and are_alike:
            self._gaps_s = deque(self._long_gaps_s, maxlen=GAPS)  # the pace has changed: the one before is over
            self._long_gaps_s.clear()

    def _usual_s(self) -> float | None:
        return sorted(self._gaps_s)[int((len(self._gaps_s) - 1) * 0.9)] if self._gaps_s else None

    def _verdict_after(self, silent_s: float, heartbeat_s: float, verdict: Age) -> Age:
        """The gateway's verdict, which is out of date when nothing has arrived for a while, as on a dead line."""
        if verdict not in ("live", "late"):
            return verdict
        usual_s = self._usual_s()
        if silent_s > max(self._stale_after_s(usual_s), STALE_HEARTBEATS * heartbeat_s):
            return "stale"
        is_late = silent_s > LATE_GAPS * max(self._gap_s(usual_s), heartbeat_s) + LATE_SLACK_S
        return "late" if is_late else verdict

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
