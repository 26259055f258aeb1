"""Limits on viewers in all, viewers of one address, and handshakes a second. 0 is no limit."""

from collections import Counter
from typing import Final

from src.gateway.admission.addresses import counted_as
from src.gateway.processes.viewer_count import ViewerCount
from src.gateway.refusals import FULL, TOO_MANY_OF_ADDRESS, Refusal

BURST_S: Final = 1.0  # handshakes that were not used are kept for this long


class ViewerLimits:
    """Counts the viewers of this process, by address, and limits them together with those of the other workers.

    The limit on one address holds for each process alone: the kernel spreads connections over the workers by chance.

    Attributes:
        counts_addresses: whether there is a limit on one address; without one, no address needs to be known.
    """

    def __init__(self, max_viewers: int, max_of_address: int, viewer_count: ViewerCount) -> None:
        self.viewers = 0
        self.counts_addresses = max_of_address > 0
        self._max_viewers = max_viewers
        self._max_of_address = max_of_address
        self._viewer_count = viewer_count
        self._of_address: Counter[str] = Counter()  # bounded by the viewers

    def acquire(self, address: str) -> str | Refusal:
        """Count one more viewer; the result is what `release` takes."""
        if self._max_viewers and self._viewer_count.others + self.viewers >= self._max_viewers:
            return FULL
        counted_address = counted_as(address) if self.counts_addresses else ""
        if self.counts_addresses and self._of_address[counted_address] >= self._max_of_address:
            return TOO_MANY_OF_ADDRESS
        self._of_address[counted_address] += 1
        self._count(1)
        return counted_address

    def release(self, counted_address: str) -> None:
        self._of_address[counted_address] -= 1
        if not self._of_address[counted_address]:
            del self._of_address[counted_address]
        self._count(-1)

    def _count(self, change: int) -> None:
        self.viewers += change
        self._viewer_count.count(self.viewers)


class HandshakeRate:
    """At most so many handshakes a second, those of the last second saved up."""

    def __init__(self, a_second: int, now_s: float) -> None:
        self._a_second = a_second
        self._left: float = a_second
        self._at_s = now_s

    def allows(self, now_s: float) -> bool:
        """Whether there is one left; if so, it is used."""
        if not self._a_second:
            return True
        gained = (now_s - self._at_s) * self._a_second
        self._left, self._at_s = min(self._left + gained, self._a_second * BURST_S), now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True
