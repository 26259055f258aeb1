"""Which workers hang: they run, and their event loop does not."""

from collections.abc import Mapping
from typing import Final

LOOK_INTERVAL_S: Final = 0.5
HANG_LIMIT_S: Final = 4.0  # a worker reports 16 times in it; with the two intervals it is noticed within 5 s


class HangCheck:
    """Compares reports from look to look.

    It adds up the time in which the one who looks was awake. So a pause of the whole machine, or of its container,
    counts as one interval, and no worker is blamed for it.
    """

    def __init__(self) -> None:
        self._looked_s = float("inf")
        self._newest: dict[int, int] = {}
        self._silent_s: dict[int, float] = {}

    def hanging(self, now_s: float, reports: Mapping[int, int]) -> list[int]:
        """The workers without a new report for `HANG_LIMIT_S`; each is named once.

        Args:
            now_s: monotonic.
            reports: of each worker that should report, by its number: something that changes with each report.
        """
        awake_s = min(max(0.0, now_s - self._looked_s), LOOK_INTERVAL_S)
        self._silent_s = {
            worker: self._silent_s.get(worker, 0.0) + awake_s if report == self._newest.get(worker) else 0.0
            for worker, report in reports.items()
        }
        self._looked_s, self._newest = now_s, dict(reports)
        hanging = [worker for worker, silent_s in self._silent_s.items() if silent_s >= HANG_LIMIT_S]
        for worker in hanging:
            del self._newest[worker]
        return hanging
