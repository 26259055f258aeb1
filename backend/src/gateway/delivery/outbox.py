"""The state of one peer that is behind. Bound: it holds no frame of its own. Policy: the newest frame wins.

Every frame is the whole state, so a peer that is behind needs no frame in between: when it is ready again, it takes the
hub's newest. What remains per peer is whether it is ready, which frame it was sent last, and since when no byte has
left. This module decides in values: time is an argument, and the caller sends.
"""

from typing import NamedTuple

from src.gateway.delivery.frame import Frame, number_of, position_of, shown_of, state_of


class Missed(NamedTuple):
    """What a peer missed while it was blocked.

    Attributes:
        frame: the newest frame; None where the peer was sent that.
        last: the number of the frame that it was sent last; 0 for none.
        skipped: how many states in between it skips.
    """

    frame: Frame | None
    last: int
    skipped: int


class Outbox:
    """Whether one peer is ready, and what it missed while it was blocked."""

    __slots__ = ("_blocked_since_s", "_sent", "_was_moved")

    def __init__(self) -> None:
        self._sent = 0
        self._was_moved = False
        self._blocked_since_s: float | None = None

    @property
    def ready(self) -> bool:
        return self._blocked_since_s is None

    def pause(self, sent: int, now_s: float) -> None:
        """The peer is blocked.

        Args:
            sent: the number of the frame that the peer was sent last; 0 for none.
            now_s: monotonic seconds.
        """
        if self._blocked_since_s is None:
            self._sent = sent
            self._blocked_since_s = now_s

    def restart(self) -> None:
        """The peer, while it is blocked, is to be sent other frames, of which it was sent none and missed none.

        Events that it was told stay told.
        """
        self._sent = number_of(0, 0, position_of(self._sent))
        self._was_moved = True

    def resume(self, newest: Frame | None) -> "Missed":
        """The peer is ready again."""
        sent, self._sent, self._blocked_since_s = self._sent, 0, None
        was_moved, self._was_moved = self._was_moved, False
        if newest is None or shown_of(newest.number) <= shown_of(sent):
            return Missed(None, sent, 0)
        skipped = 0 if was_moved else state_of(newest.number) - state_of(sent) - 1
        return Missed(newest, sent, max(skipped, 0))

    def progressed(self, now_s: float) -> None:
        """Some bytes have left, though the peer is not ready."""
        if self._blocked_since_s is not None:
            self._blocked_since_s = now_s

    def stalled_s(self, now_s: float) -> float:
        """For how long no byte has left, in seconds; 0 while the peer is ready."""
        return 0.0 if self._blocked_since_s is None else now_s - self._blocked_since_s
