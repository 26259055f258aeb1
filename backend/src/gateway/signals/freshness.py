"""How fresh each section is: its age, its own pace, and whether it may be called live. Time is an argument.

**The pace is the section's own.** The usual gap is the median of the last gaps between messages. An outage is no pace:
a gap that would have been called stale is left out, unless three in a row are alike, which is a slow producer.

**Ages are by one clock.** NATS says when it took a message, by its own clock. How far that differs from the gateway's
is the least difference seen at messages that came live.
"""

from collections import deque
from statistics import median_low
from typing import Final, NamedTuple

from src.gateway.signals.session_clock import new_york

KEPT_GAPS: Final = 16
LONGEST_GAP_MS: Final = 60_000  # of a producer at its own pace
ALIKE_GAPS: Final = 3  # that make a pace of gaps which were left out
# Beyond the usual gap. While that is not known, a producer may be a slow one.
LATE_GAPS, LATE_MS = 2.5, 250.0
STALE_GAPS, LEAST_STALE_MS = 8.0, 2_500.0
UNKNOWN_LATE_MS, UNKNOWN_STALE_MS = 6_000.0, 15_000.0
# Core's clock behind that of NATS: hosts that keep no time well differ by a second or two.
LAG_LATE_MS, LAG_STALE_MS = 5_000, 15_000
# A replay differs from lag: it is far from the present, and of another day, at another speed, or too far for any lag.
REPLAY_LAG_MS: Final = 3_600_000
LONGEST_LAG_MS: Final = 6 * 3_600_000
KEPT_CLOCKS_MS: Final = 10_000
SPEED_SPAN_MS: Final = 3_000
LEAST_SPEED, MOST_SPEED = 0.67, 1.5
KEPT_DIFFERENCES: Final = 64

LIVE, LATE, STALE, CLOSED, REPLAY = "live", "late", "stale", "closed", "replay"
_BY_SEVERITY: Final = (LIVE, LATE, STALE)


class Limits(NamedTuple):
    """Ages in ms beyond which a section is late, and stale."""

    late_ms: float
    stale_ms: float


class Pace:
    """The usual gap between messages of one section."""

    def __init__(self) -> None:
        self._gaps_ms: deque[float] = deque(maxlen=KEPT_GAPS)
        self._left_out_ms: list[float] = []

    def add(self, gap_ms: float) -> None:
        """A message came so long after the one before."""
        if gap_ms > LONGEST_GAP_MS:
            self._left_out_ms.clear()
        elif self._gaps_ms and gap_ms > self.limits.stale_ms:
            self._left_out_ms.append(gap_ms)
            if len(self._left_out_ms) == ALIKE_GAPS:
                self._begin_anew()
        else:
            self._left_out_ms.clear()
            self._gaps_ms.append(gap_ms)

    def _begin_anew(self) -> None:
        if max(self._left_out_ms) < 2 * min(self._left_out_ms):
            self._gaps_ms.clear()
            self._gaps_ms.extend(self._left_out_ms)
            self._left_out_ms.clear()
        else:
            del self._left_out_ms[0]

    @property
    def usual_ms(self) -> float | None:
        """None before the second message."""
        return median_low(self._gaps_ms) if self._gaps_ms else None

    @property
    def limits(self) -> Limits:
        usual_ms = self.usual_ms
        if usual_ms is None:
            return Limits(UNKNOWN_LATE_MS, UNKNOWN_STALE_MS)
        return Limits(LATE_GAPS * usual_ms + LATE_MS, max(STALE_GAPS * usual_ms, LEAST_STALE_MS))


class CoreClock:
    """Core's time in the messages, against the time at which NATS took them."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, int]] = deque()  # when NATS took a message, and its Core's time; ms since 1970 UTC

    def add(self, published_ms: int, ts_ms: int | None) -> None:
        """A message; `ts_ms` is None where it has no time."""
        if ts_ms is None:
            self._seen.clear()
            return
        self._seen.append((published_ms, ts_ms))
        while published_ms - self._seen[0][0] > KEPT_CLOCKS_MS:
            self._seen.popleft()

    @property
    def lag_ms(self) -> int | None:
        """Of the newest message; below 0 where Core's clock is ahead."""
        return self._seen[-1][0] - self._seen[-1][1] if self._seen else None

    @property
    def is_replay(self) -> bool:
        lag_ms = self.lag_ms
        if lag_ms is None or abs(lag_ms) < REPLAY_LAG_MS:
            return False
        if abs(lag_ms) >= LONGEST_LAG_MS:
            return True
        published_ms, ts_ms = self._seen[-1]
        is_another_day = new_york(published_ms).date() != new_york(ts_ms).date()
        return is_another_day or not LEAST_SPEED <= self._speed <= MOST_SPEED

    @property
    def _speed(self) -> float:
        """Of Core's time; 1 while too little was seen."""
        (first_ms, first_ts_ms), (last_ms, last_ts_ms) = self._seen[0], self._seen[-1]
        if last_ms - first_ms < SPEED_SPAN_MS:
            return 1.0
        return (last_ts_ms - first_ts_ms) / (last_ms - first_ms)


class Message(NamedTuple):
    """One message of a section.

    Attributes:
        seq: its sequence in the stream; 0 for none.
        published_ms: when NATS took it, by its clock, ms since 1970 UTC.
        core_lag_ms: `published_ms` less Core's time; None where it has none.
    """

    seq: int = 0
    published_ms: int = 0
    core_lag_ms: int | None = None


class SectionFreshness:
    """One section, from its first message on.

    Attributes:
        newest: its newest message.
        core: Core's clock in the messages.
    """

    def __init__(self) -> None:
        self.newest = Message()
        self.core = CoreClock()
        self._pace = Pace()
        self._differences_ms: deque[int] = deque(maxlen=KEPT_DIFFERENCES)

    def add(self, seq: int, published_ms: int | None, ts_ms: int | None, now_ms: int, *, is_live: bool) -> None:
        """A message has come.

        Args:
            seq: its sequence in the stream; 0 while it is not known.
            published_ms: when NATS took it, by its clock; None while it is not known, because core NATS brought it: it
                is then taken for as quick as the quickest.
            ts_ms: Core's time; None where it has none.
            now_ms: the gateway's clock, ms since 1970 UTC.
            is_live: False for the first one of a subscription, which may be old.
        """
        if published_ms is None:
            published_ms = now_ms - min(self._differences_ms, default=0)
        elif is_live:
            self._differences_ms.append(now_ms - published_ms)
        if self.newest.published_ms:
            self._pace.add(max(published_ms - self.newest.published_ms, 0))
        self.core.add(published_ms, ts_ms)
        self.newest = Message(seq, published_ms, self.core.lag_ms)

    def place(self, seq: int, published_ms: int, arrived_ms: int) -> None:
        """JetStream tells the place of the newest message, which core NATS had brought.

        Args:
            seq: its sequence in the stream.
            published_ms: when NATS took it, by its clock.
            arrived_ms: when it came by core NATS, by the gateway's clock.
        """
        self._differences_ms.append(arrived_ms - published_ms)
        self.newest = self.newest._replace(seq=seq, published_ms=published_ms)

    def age_ms(self, now_ms: int, message: Message | None = None) -> int:
        """Since NATS took a message, by default the newest."""
        published_ms = (message or self.newest).published_ms
        return max(now_ms - published_ms - min(self._differences_ms, default=0), 0)

    def verdict(self, now_ms: int, opened_ms: int | None) -> str:
        """One of `VERDICTS` of the contract.

        Args:
            now_ms: the gateway's clock.
            opened_ms: since when the market is open, at the latest; None while it is closed.
        """
        if self.core.is_replay:
            return REPLAY
        age_ms = self.age_ms(now_ms)
        if opened_ms is not None and age_ms > now_ms - opened_ms:  # the newest message is of the session before
            by_silence = self._by_silence(now_ms - opened_ms)
            return CLOSED if by_silence == LIVE else by_silence
        by_silence = self._by_silence(age_ms)
        if by_silence != LIVE and opened_ms is None:
            return CLOSED
        return max(by_silence, self._by_lag(), key=_BY_SEVERITY.index)

    def is_silent(self, now_ms: int) -> bool:
        """Whether the age alone makes it late or stale."""
        return self._by_silence(self.age_ms(now_ms)) != LIVE

    def _by_silence(self, silent_ms: float) -> str:
        limits = self._pace.limits
        return STALE if silent_ms > limits.stale_ms else LATE if silent_ms > limits.late_ms else LIVE

    def _by_lag(self) -> str:
        lag_ms = self.core.lag_ms or 0
        return STALE if lag_ms > LAG_STALE_MS else LATE if lag_ms > LAG_LATE_MS else LIVE
