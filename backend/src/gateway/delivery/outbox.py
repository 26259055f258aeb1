"""The state of one peer that is behind. Bound: it holds no frame of its own. Policy: the newest frame wins.

Every frame is the whole state, so a peer that is behind needs no frame in between: when it is ready again, it takes the
hub's newest. What remains per peer is whether it is ready, which frame it was sent last, and since when no byte has
left. This module decides in values: time is an argument, and the caller sends.
"""

from src.gateway.delivery.frame import Frame


class Outbox:
    """Whether one peer is ready, and what it missed while it was blocked."""

    __slots__ = ("_blocked_since_s", "_sent")

    def __init__(self) -> None:
        self._sent: Frame | None = None
        self._blocked_since_s: float | None = None

    @property
    def ready(self) -> bool:
        return self._blocked_since_s is None

    def pause(self, sent: Frame | None, now_s: float) -> None:
        """The peer is blocked.

        Args:
            sent: the newest frame that the peer has been sent.
            now_s: monotonic seconds.
        """
        if self._blocked_since_s is None:
            self._sent = sent
            self._blocked_since_s = now_s

    def resume(self, newest: Frame | None) -> tuple[Frame | None, int]:
        """The peer is ready again.

        Returns:
            The newest frame, or None where the peer has been sent that; and how many frames in between it skips.
        """
        sent, self._sent, self._blocked_since_s = self._sent, None, None
        if newest is None or newest is sent:
            return None, 0
        return newest, newest.number - (sent.number if sent else 0) - 1

    def progressed(self, now_s: float) -> None:
        """Some bytes have left, though the peer is not ready."""
        if self._blocked_since_s is not None:
            self._blocked_since_s = now_s

    def stalled_s(self, now_s: float) -> float:
        """For how long no byte has left, in seconds; 0 while the peer is ready."""
        return 0.0 if self._blocked_since_s is None else now_s - self._blocked_since_s
