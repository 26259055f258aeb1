"""A gateway process's side of the history: it asks, and keeps the newest events for its viewers."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Final, NamedTuple

from src.common.tasks import end
from src.gateway.history import messages
from src.gateway.history.event_log import NOWHERE, Cursor, cursor_of
from src.gateway.history.event_ring import EventRing
from src.gateway.history.messages import Answer, Ask, Begin, News, Progress, Verdict

AGAIN_S: Final = 0.25
ANSWER_LIMIT_S: Final = 5.0
MOST_ASKED: Final = 64  # of one process and not answered, also where nobody waits for the answer any more


class HistoryUnavailable(Exception):
    """The history cannot answer now; the text says why."""


class Answered(NamedTuple):
    """An HTTP status, and a body, which is JSON, maybe compressed by gzip."""

    status: int
    body: bytes
    is_gzip: bool


class HistoryClient:
    """Connected to the history process, and again whenever that was made anew.

    Attributes:
        ring: the newest events.
        path: of the history process's Unix socket.
        on_events: called when the ring has new ones.
        progress: how far the history has been read; None until it is told, and while the process is gone.
    """

    def __init__(self, path: str) -> None:
        """
        Args:
            path: of the history process's Unix socket.
        """
        self.ring = EventRing()
        self.on_events: Callable[[], None] = lambda: None
        self.path = path
        self.progress: Progress | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Answered]] = {}
        self._connecting: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Connect, and keep connected."""
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._keep_connected(), name="history client")

    async def close(self) -> None:
        """Idempotent."""
        await end(self._connecting)
        self._connecting = None

    @property
    def is_connected(self) -> bool:
        return self._writer is not None

    async def ask(self, path: str, query: str, *, takes_gzip: bool = False) -> Answered:
        """Pass a request on.

        Args:
            path: of the HTTP request.
            query: likewise.
            takes_gzip: whether the body may be compressed.

        Raises:
            HistoryUnavailable: there is no answer within `ANSWER_LIMIT_S`.
        """
        if self._writer is None:
            raise HistoryUnavailable("the history process has just been started; try again in a second")
        if len(self._asked) >= MOST_ASKED:
            raise HistoryUnavailable("too many requests for the history at once; try again in a second")
        number = next(self._numbers)
        answer: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            messages.write(self._writer, Ask(number, path, query, takes_gzip))
            async with asyncio.timeout(ANSWER_LIMIT_S):
                return await answer
        except TimeoutError:
            raise HistoryUnavailable(f"the history did not answer within {ANSWER_LIMIT_S:g} s") from None

    def note_verdict(self, section: str, before: str, after: str, now_ms: int) -> None:
        """The verdict of a section has changed: an event, which comes back for the ring."""
        if self._writer is not None:
            messages.write(self._writer, Verdict(section, before, after, now_ms))

    async def _keep_connected(self) -> None:
        while True:
            try:
                reader, self._writer = await messages.connect(self.path)
                while True:
                    self._take(await messages.read(reader))
            except (EOFError, OSError):
                pass
            finally:
                self._lose()
            await asyncio.sleep(AGAIN_S)

    def _lose(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = self.progress = None
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(HistoryUnavailable("the history process has ended; try again in a second"))
        self._asked.clear()

    def _take(self, message: messages.Message) -> None:
        if isinstance(message, Answer):
            answer = self._asked.pop(message.number)
            if not answer.done():
                answer.set_result(Answered(message.status, message.body, message.is_gzip))
        elif isinstance(message, Begin):
            self.ring.begin(_cursor(message.since), _cursor(message.cursor), message.events)
            self.on_events()
        elif isinstance(message, News):
            self.ring.add(_cursor(message.cursor), message.events)
            self.on_events()
        elif isinstance(message, Progress):
            self.progress = message
            self.ring.add(_cursor(message.cursor), ())  # in a quiet hour, nothing is missing after a reconnection


def _cursor(text: str) -> Cursor:
    return cursor_of(text) or NOWHERE
