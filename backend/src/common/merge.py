"""Several subjects merged into the order in which NATS stored their messages."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

from src.common.ordered_consumer import OrderedConsumer, StoredMessage

AHEAD: Final = 64  # messages of a subject that may wait for the other one
SETTLE_S: Final = 0.2  # how long a message waits for an older one of the other subject, which took another way


class Track:
    """One subject on its way into the order."""

    def __init__(self, consumer: OrderedConsumer) -> None:
        self.consumer = consumer
        self._waiting: deque[tuple[float, StoredMessage]] = deque()
        self._has_room = asyncio.Event()

    async def fill(self, news: asyncio.Event) -> None:
        """Owner of what waits; bounded, so that a backlog stays on the server."""
        while True:
            message = await self.consumer.next()
            if message is not None:
                self._waiting.append((time.monotonic(), message))
            news.set()
            while self.is_full:
                self._has_room.clear()
                await self._has_room.wait()

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= AHEAD

    def head(self) -> tuple[float, StoredMessage] | None:
        """When the next message arrived, and the message."""
        return self._waiting[0] if self._waiting else None

    def take(self) -> StoredMessage:
        self._has_room.set()
        return self._waiting.popleft()[1]


def next_of(tracks: Sequence[Track], now_s: float, *, last: bool = False) -> Track | None:
    """The source of the next message: the oldest, unless another source may still have an older one.

    Args:
        last: no source delivers more messages.
    """
    heads = [(head[1].stored_us, number) for number, track in enumerate(tracks) if (head := track.head()) is not None]
    if not heads:
        return None
    track = tracks[min(heads)[1]]
    silent = [other for other in tracks if other.head() is None]
    return track if last or all(_had_its_time(track, other, now_s) for other in silent) else None


def _had_its_time(track: Track, silent: Track, now_s: float) -> bool:
    """Whether `silent` has had its time to bring something older than the head of `track`."""
    head = track.head()
    assert head is not None, "it has a message"
    return not silent.consumer.behind and (track.is_full or now_s - head[0] >= SETTLE_S)
