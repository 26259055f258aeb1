"""Which signals ask for a stop, and which of them for an end at once."""

import signal
from typing import Final

STOPS: Final = (signal.SIGTERM, signal.SIGINT)
# A process group, a supervisor and `uv run` each pass a signal on, so one request arrives several times.
SAME_REQUEST_S: Final = 2.0


class StopRequests:
    """The requests to stop that a process has got.

    Attributes:
        requested: whether there was one.
        insisted: whether another one came more than `SAME_REQUEST_S` after the first: it ends the process at once.
    """

    def __init__(self) -> None:
        self.insisted = False
        self._first_s: float | None = None

    @property
    def requested(self) -> bool:
        return self._first_s is not None

    def arrive(self, now_s: float) -> None:
        """Take a signal that has arrived at this monotonic time."""
        if self._first_s is None:
            self._first_s = now_s
        elif now_s - self._first_s > SAME_REQUEST_S:
            self.insisted = True
