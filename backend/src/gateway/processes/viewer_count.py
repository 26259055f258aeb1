"""How many viewers each worker has, in memory that all workers share.

A worker writes its own two cells only; the supervisor clears those of a worker that has ended. A cell is one aligned
machine word, so a reader never sees half of a number, and no lock is needed.
"""

import mmap
import time
from collections.abc import Callable
from typing import Final

REPORT_INTERVAL_S: Final = 0.25
LIVE_LIMIT_S: Final = 2.0  # without a report for this long, a worker hangs: its event loop would have run eight times
CELL_BYTES: Final = 8
CELLS: Final = 2  # the viewers, and the time of the last report in ms; 0 for a worker that does not run


class ViewerCount:
    """Made before the workers are forked.

    Attributes:
        configured: how many workers there should be.
        own: the number, from 1, of the worker that this process is.
    """

    def __init__(self, configured: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            configured: see there.
            clock: monotonic seconds, the same in all processes.
        """
        self.configured = configured
        self.own = 1
        self._clock = clock
        self._cells = memoryview(mmap.mmap(-1, configured * CELLS * CELL_BYTES)).cast("Q")

    def report(self, viewers: int) -> None:
        """Report that the own worker works, and its number of viewers."""
        self._cells[CELLS * self.own - 2] = viewers
        self._cells[CELLS * self.own - 1] = self._now_ms()

    def count(self, viewers: int) -> None:
        """Update the number of viewers of the own worker, between two reports."""
        self._cells[CELLS * self.own - 2] = viewers

    def clear(self, worker: int) -> None:
        """Remove a worker that has ended, and its viewers."""
        self._cells[CELLS * worker - 1] = 0
        self._cells[CELLS * worker - 2] = 0

    def reported_ms(self, worker: int) -> int:
        """When a worker last reported; 0 for one that does not run."""
        return self._cells[CELLS * worker - 1]

    @property
    def viewers(self) -> int:
        """The viewers of all workers; of the others as they last reported."""
        return sum(self._cells[0::CELLS])

    @property
    def others(self) -> int:
        """Viewers of the other workers."""
        return self.viewers - self._cells[CELLS * self.own - 2]

    @property
    def live(self) -> int:
        """How many workers work."""
        since_ms = self._now_ms() - LIVE_LIMIT_S * 1000
        return sum(reported_ms > max(since_ms, 0) for reported_ms in self._cells[1::CELLS])

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)
