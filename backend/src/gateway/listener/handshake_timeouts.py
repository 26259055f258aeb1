"""Handshake timeouts: how long a socket that is not a viewer yet may take for what comes next.

What comes next is a TLS handshake, a request, the rest of a request, or the reading of a response; the connection
knows. One table and one sweep serve all connections, so none needs a timer: a client that sends a byte a second, a
client that sends nothing and a client that is gone are found alike.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from src.common.tasks import end, guarded, tick

SWEEP_INTERVAL_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class HandshakeLimits:
    """What a connection may use before it is a viewer.

    Attributes:
        handshake_timeout_s: how long each step may take.
        response_timeout_s: how long a response may wait for a client that reads it slowly.
        max_head_bytes: the largest request line and headers together.
    """

    handshake_timeout_s: float = 10.0
    response_timeout_s: float = 60.0
    max_head_bytes: int = 16384


class PendingConnection(Protocol):
    """A socket that is not a viewer."""

    def timed_out(self) -> None:
        """Close the connection, or start another timeout; otherwise the next sweep calls again."""


class HandshakeTimeouts:
    """The deadlines of all pending connections of this process.

    Attributes:
        limits: see there.
        refused: how many sockets were answered with an error or dropped, by the name of the reason.
    """

    def __init__(
        self, limits: HandshakeLimits, refused: Counter[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """
        Args:
            limits: see there.
            refused: where connections count their refusals.
            clock: monotonic seconds.
        """
        self.limits = limits
        self.refused = refused
        self._clock = clock
        self._deadline_s: dict[PendingConnection, float] = {}
        self._sweeping: asyncio.Task[None] | None = None

    @property
    def now_s(self) -> float:
        """Monotonic seconds."""
        return self._clock()

    def start(self, connection: PendingConnection, within_s: float | None = None) -> None:
        """Give the connection this long from now, by default the handshake timeout; an earlier deadline is replaced."""
        self._deadline_s[connection] = self._clock() + (
            self.limits.handshake_timeout_s if within_s is None else within_s
        )

    def cancel(self, connection: PendingConnection) -> None:
        """The connection became a viewer, or is lost; idempotent."""
        self._deadline_s.pop(connection, None)

    def sweep(self) -> None:
        """Tell each connection whose deadline has passed."""
        now_s = self._clock()
        for connection in [connection for connection, deadline_s in self._deadline_s.items() if deadline_s <= now_s]:
            guarded(connection.timed_out)

    # -- lifecycle -------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Start the sweep."""
        if self._sweeping is None:
            self._sweeping = asyncio.create_task(self._sweep_periodically(), name="handshake timeouts")

    async def close(self) -> None:
        """Stop the sweep; idempotent."""
        await end(self._sweeping)
        self._sweeping = None

    async def _sweep_periodically(self) -> None:
        while True:
            await tick(SWEEP_INTERVAL_S)
            self.sweep()
