"""The one slot between the hub and a peer that is behind. Bound: no frame of its own. Policy: newest wins.

Every frame is the whole state, so a peer that is behind needs none of those between. The slot need not even be the
peer's: it is the hub's newest frame, which a peer takes when it is ready again. Here stands what is left to know of one
peer: whether it is ready, what it has been sent, and since when nothing moves. A rule of values only: time is an
argument, sending is the request's.
"""

from src.gateway.delivery.frame import Frame


class Outbox:
    """Whether one peer is ready, and what it missed while it was not."""

    __slots__ = ("_blocked_since_s", "_sent")

    def __init__(self) -> None:
        self._sent: Frame | None = None
        self._blocked_since_s: float | None = None

    @property
    def ready(self) -> bool:
        return self._blocked_since_s is None

    def pause(self, sent: Frame | None, now_s: float) -> None:
        """The peer takes no more for now.

        Args:
            sent: the newest frame that it has been sent, as the hub says.
            now_s: monotonic seconds.
        """
        if self._blocked_since_s is None:
            self._sent = sent
            self._blocked_since_s = now_s

    def resume(self, newest: Frame | None) -> tuple[Frame | None, int]:
        """The peer is ready: the newest frame if it has not been sent that, else None; and how many it skipped.

        What it skipped was never sent, because a newer one was there before it was ready.
        """
        sent, self._sent, self._blocked_since_s = self._sent, None, None
        if newest is None or newest is sent:
            return None, 0
        return newest, newest.number - (sent.number if sent else 0) - 1

    def progressed(self, now_s: float) -> None:
        """The peer took something, though it is not ready for more."""
        if self._blocked_since_s is not None:
            self._blocked_since_s = now_s

    def stalled_s(self, now_s: float) -> float:
        """For how long the peer has taken nothing, in seconds; 0 while it is ready."""
        return 0.0 if self._blocked_since_s is None else now_s - self._blocked_since_s
