"""The one slot between the hub and a peer that is behind. Bound: one frame. Policy: newest wins.

Every frame is the whole state, so a peer that is behind needs none of those between: it is sent the newest when it is
ready again. A rule of values only: time is an argument, sending is the caller's.
"""

from src.gateway.delivery.frame import Frame


class Outbox:
    """What waits for one peer, and since when.

    Attributes:
        skipped: frames that a newer one replaced before they were sent.
    """

    __slots__ = ("_blocked_since_s", "_waiting", "skipped")

    def __init__(self) -> None:
        self.skipped = 0
        self._waiting: Frame | None = None
        self._blocked_since_s: float | None = None

    @property
    def blocked(self) -> bool:
        return self._blocked_since_s is not None

    def offer(self, frame: Frame) -> Frame | None:
        """The frame to send now, or None: then it waits, and what waited before it is skipped."""
        if self._blocked_since_s is None:
            return frame
        if self._waiting is not None:
            self.skipped += 1
        self._waiting = frame
        return None

    def pause(self, now_s: float) -> None:
        """The peer takes no more for now."""
        if self._blocked_since_s is None:
            self._blocked_since_s = now_s

    def resume(self) -> Frame | None:
        """The peer is ready: the newest frame that it has not been sent, if there is one."""
        self._blocked_since_s = None
        waiting, self._waiting = self._waiting, None
        return waiting

    def progressed(self, now_s: float) -> None:
        """The peer took something, though it is not ready for more."""
        if self._blocked_since_s is not None:
            self._blocked_since_s = now_s

    def stalled_s(self, now_s: float) -> float:
        """For how long the peer has taken nothing, in seconds; 0 while it is not blocked."""
        return 0.0 if self._blocked_since_s is None else now_s - self._blocked_since_s

    def clear(self) -> None:
        """Let go of what waits."""
        self._waiting = None
