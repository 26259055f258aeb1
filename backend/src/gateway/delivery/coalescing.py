"""How long a frame waits for a message that regularly comes right after the one in hand. Values only.

Core publishes levels and flow as a pair: 0.2 to 3 ms apart, where it awaits each acknowledgement of NATS. A frame for
each sends every viewer the first message twice; one frame for both costs half of the CPU and of the bytes, and makes
the first message so much older.
"""

from typing import Final

REMEMBERED: Final = 8  # bursts: two seconds at Core's pace
ENOUGH: Final = 7  # of those


class Coalescing:
    """Knows which sections come together.

    A burst is one message and those of other sections within a limit after it. Where the last bursts that began with a
    section had another one too, the next such burst waits for it; where it stays out, this is forgotten within two
    seconds, at that limit a message.
    """

    def __init__(self, limit_s: float) -> None:
        """`limit_s` is the longest that a message waits; 0: none does."""
        self._limit_s = limit_s
        self._began_s = float("-inf")
        self._first = ""
        self._others: set[str] = set()  # of the burst
        self._followed: dict[tuple[str, str], int] = {}  # by first and other: one bit for each of the last bursts

    def linger_s(self, section: str, now_s: float) -> float:
        """A message is in hand. Returns for how many seconds its frame should wait for the next one.

        Args:
            section: of the message.
            now_s: monotonic seconds.
        """
        left_s = self._began_s + self._limit_s - now_s
        if left_s >= 0 and section != self._first and section not in self._others:
            self._others.add(section)
        else:
            self._end_burst()
            self._began_s, self._first, self._others, left_s = now_s, section, set(), self._limit_s
        return left_s if self._expected() - self._others else 0.0

    def _expected(self) -> set[str]:
        return {
            other
            for (first, other), followed in self._followed.items()
            if first == self._first and followed.bit_count() >= ENOUGH
        }

    def _end_burst(self) -> None:
        for other in self._others:
            self._followed.setdefault((self._first, other), 0)
        for (first, other), followed in self._followed.items():
            if first == self._first:
                bit = other in self._others
                self._followed[first, other] = (followed << 1 | bit) & (1 << REMEMBERED) - 1
