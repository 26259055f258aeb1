"""The socket of the history process: answers what gateway processes ask, and tells them events."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from src.common.tasks import end
from src.gateway.history import messages
from src.gateway.history.archive import Archive
from src.gateway.history.event_query import answer, event_query
from src.gateway.history.history_answer import history
from src.gateway.history.history_query import history_query
from src.gateway.history.messages import Answer, Ask, Begin, News, Verdict
from src.gateway.signals.contract import Event
from src.gateway.signals.shape import WrongParameter

logger = logging.getLogger("history")

OK, BAD_REQUEST, UNAVAILABLE = 200, 400, 503
MOST_UNREAD_BYTES: Final = 64 << 20  # for a process that reads nothing; it is left then


class HistoryServer:
    """Speaks for the archive that is read now."""

    def __init__(self, path: str) -> None:
        """
        Args:
            path: of the Unix socket; its folder is of this user alone.
        """
        self._path = path
        self._archive: Archive | None = None
        self._server: asyncio.Server | None = None
        self._processes: set[asyncio.StreamWriter] = set()
        self._routes: Mapping[str, Callable[[Archive, str], bytes]] = {"/events": _events, "/history": _history}
        self._beginning: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Listen."""
        await asyncio.to_thread(Path(self._path).unlink, missing_ok=True)  # of a process that was killed
        self._server = await asyncio.start_unix_server(self._serve, self._path)

    async def close(self) -> None:
        """Idempotent."""
        await end(self._beginning)
        if self._server is not None:
            self._server.close()
        for writer in self._processes:
            writer.close()

    def show(self, archive: Archive) -> None:
        """Speak for this archive from now on, once its newest part has been read."""
        if self._beginning is not None:
            self._beginning.cancel()
        self._archive = archive
        self._beginning = asyncio.create_task(self._begin(archive), name="begin")

    async def _begin(self, archive: Archive) -> None:
        await archive.caught_up.wait()
        for writer in self._processes:
            self._write(writer, _begin_of(archive))

    def tell(self, events: list[Event]) -> None:
        """Tell every process of events that are new, or count one more."""
        assert self._archive is not None, "it found them"
        news = News(str(self._archive.cursor), events)
        for writer in tuple(self._processes):
            self._write(writer, news)

    def _write(self, writer: asyncio.StreamWriter, message: messages.Message) -> None:
        if writer.transport.get_write_buffer_size() > MOST_UNREAD_BYTES:
            writer.transport.abort()
        messages.write(writer, message)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One process, until it is gone."""
        self._processes.add(writer)
        try:
            if self._archive is not None and self._archive.caught_up.is_set():
                messages.write(writer, _begin_of(self._archive))
            while True:
                await self._take(await messages.read(reader), writer)
        except (EOFError, ConnectionError):
            pass
        finally:
            self._processes.discard(writer)
            with contextlib.suppress(OSError):
                writer.close()

    async def _take(self, message: messages.Message, writer: asyncio.StreamWriter) -> None:
        if isinstance(message, Ask):
            messages.write(writer, self._answer(message))
            await writer.drain()
        elif isinstance(message, Verdict) and self._archive is not None:
            self._note(self._archive, message)

    def _answer(self, ask: Ask) -> Answer:
        if self._archive is None or not self._archive.caught_up.is_set():
            return _refused(ask, UNAVAILABLE, "the history is not read yet; try again in a second")
        try:
            return Answer(ask.number, OK, self._routes[ask.path](self._archive, ask.query))
        except WrongParameter as wrong:
            return _refused(ask, BAD_REQUEST, str(wrong))

    def _note(self, archive: Archive, verdict: Verdict) -> None:
        event = archive.note_verdict(verdict.section, verdict.before, verdict.after, verdict.now_ms)
        if event is not None:
            self.tell([event])


def _refused(ask: Ask, status: int, detail: str) -> Answer:
    return Answer(ask.number, status, msgspec.json.encode({"detail": detail}))


def _begin_of(archive: Archive) -> Begin:
    return Begin(str(archive.since), str(archive.cursor), archive.log.events())


def _events(archive: Archive, query: str) -> bytes:
    asked = event_query(query)
    return msgspec.json.encode(answer(archive.log, asked, archive.since, archive.cursor, filled=archive.is_filled))


def _history(archive: Archive, query: str) -> bytes:
    newest_ms = archive.past.newest_ms
    asked = history_query(query, time.time_ns() // 1_000_000 if newest_ms is None else newest_ms)
    reached_ms = archive.reached_ms
    complete = archive.is_filled or (reached_ms is not None and asked.from_ms >= reached_ms)
    return msgspec.json.encode(history(archive.past, asked, complete=complete))
