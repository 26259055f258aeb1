"""The anteroom: every socket that is no viewer owes the gateway something, and has so long for it, and no longer.

What it owes, a handshake, a request, the taking of an answer, is its own affair. One table and one sweep serve all of
them: a socket that sends a byte a second, one that sends nothing and one whose other end is gone are found alike.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from src.common.tasks import end, guarded

SWEEP_INTERVAL_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class AnteroomLimits:
    """What a socket may do before it is a viewer.

    Attributes:
        handshake_timeout_s: how long it may take for whatever it owes.
        max_head_bytes: the largest request line and headers together.
    """

    handshake_timeout_s: float = 10.0
    max_head_bytes: int = 16384


class Visitor(Protocol):
    """A socket that is no viewer."""

    def overdue(self) -> None:
        """Its time is up: it ends, or is expected anew; else the next sweep asks again."""


class Anteroom:
    """What all sockets share that are no viewers.

    Attributes:
        limits: see there.
        refused: sockets that were answered with an error or dropped, by the name of why.
    """

    def __init__(
        self, limits: AnteroomLimits, refused: Counter[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """
        Args:
            limits: see there.
            refused: where they are counted.
            clock: monotonic seconds.
        """
        self.limits = limits
        self.refused = refused
        self._clock = clock
        self._due_s: dict[Visitor, float] = {}
        self._sweeping: asyncio.Task[None] | None = None

    def expect(self, visitor: Visitor, within_s: float | None = None) -> None:
        """From now on the visitor has this long, by default the handshake timeout; what it had before is void."""
        self._due_s[visitor] = self._clock() + (self.limits.handshake_timeout_s if within_s is None else within_s)

    def forget(self, visitor: Visitor) -> None:
        """It is through, or gone; idempotent."""
        self._due_s.pop(visitor, None)

    def sweep(self) -> None:
        now_s = self._clock()
        for visitor in [visitor for visitor, due_s in self._due_s.items() if due_s <= now_s]:
            guarded(visitor.overdue)

    # -- the life --------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Begin to sweep."""
        if self._sweeping is None:
            self._sweeping = asyncio.create_task(self._sweep_again_and_again(), name="anteroom")

    async def close(self) -> None:
        """Idempotent."""
        await end(self._sweeping)
        self._sweeping = None

    async def _sweep_again_and_again(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_INTERVAL_S)
            self.sweep()
