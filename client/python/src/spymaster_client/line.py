"""Whether the gateway still speaks, where it has promised a heartbeat. Rules only; `now_s` as in `freshness`."""

from collections import deque
from typing import Final

WINDOW_S: Final = 60.0
HEARTBEATS: Final = 3
LONGEST_HEARTBEAT_S: Final = 60.0  # a longer one that a gateway names is cut to this
LONGEST_GAP_S: Final = 30.0  # a longer one was no frame on its way: this machine slept


class Line:
    """The gaps between the frames of one connection. A frame of 20 s on a slow line is silence until it is complete."""

    def __init__(self) -> None:
        self._last_s = 0.0
        self._first_gap_s: float | None = None
        # When a gap ended, and its length. Those that a longer one has followed are gone: the first is the longest.
        self._gaps_s: deque[tuple[float, float]] = deque()

    def begin(self, now_s: float) -> None:
        """A connection is there. The gap before its first frame counts for good: that frame is as long as any."""
        self._last_s = now_s
        self._first_gap_s = None
        self._gaps_s.clear()

    def add(self, now_s: float) -> None:
        """A frame has arrived, whatever it holds."""
        gap_s, self._last_s = now_s - self._last_s, now_s
        if self._first_gap_s is None:
            self._first_gap_s = gap_s
        while self._gaps_s and self._gaps_s[-1][1] <= gap_s:
            self._gaps_s.pop()
        self._gaps_s.append((now_s, gap_s))
        while now_s - self._gaps_s[0][0] > WINDOW_S:
            self._gaps_s.popleft()

    def silence_limit_s(self, heartbeat_ms: int) -> float:
        """After how much silence the line is dead."""
        longest_gap_s = max(self._first_gap_s or 0.0, self._gaps_s[0][1] if self._gaps_s else 0.0)
        return HEARTBEATS * min(heartbeat_ms / 1000, LONGEST_HEARTBEAT_S) + min(longest_gap_s, LONGEST_GAP_S)
