"""What one viewer's pongs say about the frames on their way to it. This module decides in values.

Frames and pings arrive in order, and every WebSocket client answers a ping by itself (RFC 6455 §5.5.2). So a pong says
that all frames before its ping have arrived, also behind a proxy with large buffers, which takes whatever it is sent.
Measured without this: a viewer that reads 20 KB/s behind nginx or HAProxy sees frames that are 40 to 52 s old.

A viewer starts with one frame in flight: a frame and a ping, then the next frame after the pong. After
`QUICK_IN_A_ROW` quick pongs, frames are sent without waiting, and pings become rare. A late pong puts one frame in
flight again. Quick and late are measured from the least round trip of this viewer, so that distance does not count.
"""

import struct
from typing import Final

QUICK_S: Final = 0.1  # beyond the least round trip; 8 frames a second, Core's rhythm, leave 0.125 s for each
LATE_S: Final = 0.5  # beyond the least round trip
QUICK_IN_A_ROW: Final = 3
PROBE_AFTER: Final = 16  # pongs that were not quick, in a row: the viewer may be further away than it was
NOT_QUICK_INTERVAL_S: Final = 2.0  # between pings, after a pong that was not quick
# A viewer that has never answered a ping is sent frames without waiting after this time, until it is closed.
UNANSWERED_S: Final = 5.0

PONG_HEADER: Final = b"\x8a\x84"  # FIN and opcode 10, masked, 4 bytes; RFC 6455 §5.2
PONG_BYTES: Final = 10
_PING: Final = struct.Struct(">HI")
_PING_HEADER: Final = 0x8904  # FIN and opcode 9, 4 bytes
_NUMBERS: Final = 1 << 32


class PongClock:
    """The pings of one viewer and its pongs.

    Each ping has a number, which its pong repeats. The number counts pings, not frames: a viewer may change to another
    shape, whose frames are counted apart.

    Attributes:
        one_at_a_time: whether each frame waits for the pong of the one before.
        waits: whether the last ping is not answered yet.
        round_trip_s: of the last answered ping behind a frame; None before the first.
    """

    __slots__ = (
        "_first_interval_s",
        "_in_a_row",
        "_interval_s",
        "_least_s",
        "_longest_interval_s",
        "_number",
        "_probes",
        "_sent_s",
        "one_at_a_time",
        "round_trip_s",
        "waits",
    )

    def __init__(self, longest_interval_s: float, first_interval_s: float) -> None:
        """
        Args:
            longest_interval_s: between the pings of a viewer that stays quick.
            first_interval_s: the first of them; differs from viewer to viewer, so that those that came together are not
                pinged together.
        """
        self.one_at_a_time = True
        self.waits = False
        self.round_trip_s: float | None = None
        self._longest_interval_s = longest_interval_s
        self._interval_s = self._first_interval_s = first_interval_s
        self._least_s: float | None = None
        self._probes = False  # whether the last ping has no frame before it
        self._in_a_row = 0  # quick pongs; below 0, pongs that were not quick
        self._number = 0
        self._sent_s = float("-inf")

    def ping(self, now_s: float) -> bytes:
        """The bytes of a ping that is sent at `now_s`, monotonic seconds."""
        self._number = (self._number + 1) % _NUMBERS
        self._sent_s = now_s
        self.waits = True
        return _PING.pack(_PING_HEADER, self._number)

    def awaits(self, number: int) -> bool:
        """Whether a pong with this number answers the last ping. Any other pong says nothing."""
        return self.waits and number == self._number

    def pong(self, now_s: float, lag_s: float) -> bool:
        """The last ping is answered.

        Args:
            now_s: monotonic seconds.
            lag_s: how late the gateway reads what has arrived, which is no fault of the viewer.

        Returns:
            Whether to ping at once, without a frame before it. Round trips behind a frame contain its transfer, so
            only this one tells the distance.
        """
        self.waits = False
        round_trip_s = now_s - self._sent_s
        if self._probes:
            self._probes = False
            self._least_s = max(round_trip_s - lag_s, 0.0)
            return False
        self.round_trip_s = round_trip_s
        if self._least_s is None and round_trip_s > QUICK_S:  # the gateway may have been late, or the line is slow
            self._probes = self.one_at_a_time = True
        else:
            self._least_s = min(round_trip_s, round_trip_s if self._least_s is None else self._least_s)
            self._judge(round_trip_s - self._least_s - lag_s)
        return self._probes

    def _judge(self, beyond_s: float) -> None:
        quick = beyond_s <= QUICK_S
        self._in_a_row = max(self._in_a_row, 0) + 1 if quick else min(self._in_a_row, 0) - 1
        if not self.one_at_a_time:
            self._interval_s = self._longest_interval_s if quick else NOT_QUICK_INTERVAL_S
            self.one_at_a_time = beyond_s > LATE_S
        elif self._in_a_row >= QUICK_IN_A_ROW:
            self.one_at_a_time = False
            self._interval_s = self._first_interval_s
        elif self._in_a_row <= -PROBE_AFTER:
            self._in_a_row = 0
            self._probes = True

    def is_due(self, now_s: float) -> bool:
        """Whether a viewer that has answered is to be pinged again."""
        return now_s - self._sent_s >= min(self._interval_s, self._longest_interval_s)

    def check(self, now_s: float, lag_s: float) -> None:
        """Change to one frame at a time when the pong is overdue; called about once a second while it is missing."""
        waited_s = self.waited_s(now_s)
        if self._least_s is None:
            self.one_at_a_time = waited_s < UNANSWERED_S
        elif waited_s > self._least_s + LATE_S + lag_s:
            self.one_at_a_time = True

    def waited_s(self, now_s: float) -> float:
        """For how long the last ping is unanswered, in seconds; 0 when it is answered."""
        return now_s - self._sent_s if self.waits else 0.0

    def age_s(self, now_s: float) -> float | None:
        """At most how old, in seconds, what the viewer has was when it arrived; None while no pong has said so."""
        if self.round_trip_s is None:
            return self.waited_s(now_s) if self.waits else None
        return max(self.round_trip_s, self.waited_s(now_s))


def pong_number(frame: bytes) -> int:
    """The number in a masked pong of `PONG_BYTES`."""
    return int.from_bytes(frame[2:6]) ^ int.from_bytes(frame[6:10])
