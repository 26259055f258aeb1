"""The socket of the history process: answers what gateway processes ask, and tells them events."""

import asyncio
import contextlib
import gzip
import os
import socket
import struct
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from src.common.bus import NATSBus
from src.common.tasks import end, tick
from src.gateway.history import messages
from src.gateway.history.archive import Archive
from src.gateway.history.event_query import answer, event_query
from src.gateway.history.history_answer import history_in_slices
from src.gateway.history.history_query import history_query, read_time
from src.gateway.history.messages import Answer, Ask, Begin, Change, Ended, News, Play, Played, Progress, Verdict
from src.gateway.history.moments import NotKept, place_at
from src.gateway.history.playback import Playback
from src.gateway.history.reader import LifeEnded
from src.gateway.history.replay_query import replay_of_query
from src.gateway.signals.contract import Event
from src.gateway.signals.shape import WrongParameter, shape_of_query

NOT_READ_YET: Final = "the history is not read yet; try again in a second"
OK, BAD_REQUEST, NOT_FOUND, UNAVAILABLE = 200, 400, 404, 503
PROGRESS_EVERY_S: Final = 1.0
MOST_UNREAD_BYTES: Final = 64 << 20  # for a process that reads nothing; it is left then
LEAST_GZIP_BYTES: Final = 4_096
GZIP_LEVEL: Final = 3
Route = Callable[[Archive, str], Awaitable[bytes]]
_ended: Final = (EOFError, ConnectionError)


class NothingThen(Exception):
    """There is no state of that moment; the text says when the first one is."""


class HistoryServer:
    """Speaks for the archive that is read now."""

    def __init__(self, path: str, bus: NATSBus, wall_baseline: float) -> None:
        """
        Args:
            path: of the Unix socket: in a folder of this user alone, or abstract.
            bus: for what is read when somebody asks for it.
            wall_baseline: as for the payload.
        """
        self._path = path
        self._bus = bus
        self._wall_baseline = wall_baseline
        self._archive: Archive | None = None
        self._server: asyncio.Server | None = None
        self._processes: set[asyncio.StreamWriter] = set()
        self._routes: Mapping[str, Route] = {
            "/events": _events,
            "/history": _history,
            "/snapshot": self._snapshot,
        }
        self._beginning: asyncio.Task[None] | None = None
        self._has_begun = False  # each process that is connected was told what there is

    async def open(self) -> None:
        """Listen."""
        if not self._path.startswith("\0"):
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
        self._archive, self._has_begun = archive, False
        self._beginning = asyncio.create_task(self._begin(archive), name="begin")

    async def _begin(self, archive: Archive) -> None:
        """Tell the processes that are connected what there is, and from then on how far it goes."""
        await archive.caught_up.wait()
        for writer in tuple(self._processes):
            self._write(writer, _begin_of(archive))
        self._has_begun = True
        told = None
        while True:
            progress = _progress_of(archive)
            if progress != told:
                told = progress
                for writer in tuple(self._processes):
                    self._write(writer, progress)
            await tick(PROGRESS_EVERY_S)

    def tell(self, events: list[Event]) -> None:
        """Tell every process of events that are new, or count one more; before it begins, the begin will have them."""
        assert self._archive is not None, "it found them"
        if not self._has_begun:
            return
        news = News(str(self._archive.cursor), events)
        for writer in tuple(self._processes):
            self._write(writer, news)

    def _write(self, writer: asyncio.StreamWriter, message: messages.Message) -> None:
        if writer.transport.get_write_buffer_size() > MOST_UNREAD_BYTES:
            writer.transport.abort()
        messages.write(writer, message)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One process, until it is gone."""
        if not _is_ours(writer):
            writer.close()
            return
        self._processes.add(writer)
        try:
            if self._archive is not None and self._has_begun:
                messages.write(writer, _begin_of(self._archive))
                messages.write(writer, _progress_of(self._archive))
            while not isinstance(message := await messages.read(reader), Play):
                await self._take(message, writer)
            self._processes.discard(writer)
            await self._play(message, reader, writer)
        except (*_ended, asyncio.CancelledError):
            pass  # cancelled: the process ends. Python 3.11 would log a task that is, as a fault of its callback
        finally:
            self._processes.discard(writer)
            with contextlib.suppress(OSError):
                writer.close()

    async def _play(self, play: Play, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A replay, for as long as its viewer stays."""

        async def send(played: Played) -> None:
            messages.write(writer, played)
            await writer.drain()

        archive = self._archive
        if archive is None or not archive.caught_up.is_set():
            messages.write(writer, Ended(NOT_READ_YET))
            return
        playback = Playback(self._bus, archive, self._wall_baseline, play.shape, play.asked, send)
        heeding = asyncio.create_task(_heed(playback, reader), name="replay changes")
        playing = asyncio.create_task(playback.run(), name="replay")
        try:
            await asyncio.wait({heeding, playing}, return_when=asyncio.FIRST_COMPLETED)
            if playing.done():
                playing.result()
        except (NotKept, LifeEnded) as why:
            messages.write(writer, Ended(str(why)))
        finally:
            await end(heeding, playing)

    async def _take(self, message: messages.Message, writer: asyncio.StreamWriter) -> None:
        if isinstance(message, Ask):
            messages.write(writer, await self._answer(message))
            await writer.drain()
        elif isinstance(message, Verdict) and self._archive is not None and self._archive.caught_up.is_set():
            self._note(self._archive, message)

    async def _answer(self, ask: Ask) -> Answer:
        if self._archive is None or not self._archive.caught_up.is_set():
            return _refused(ask, UNAVAILABLE, NOT_READ_YET)
        try:
            body = await self._routes[ask.path](self._archive, ask.query)
            if ask.takes_gzip and len(body) > LEAST_GZIP_BYTES:
                return Answer(ask.number, OK, gzip.compress(body, GZIP_LEVEL), is_gzip=True)
            return Answer(ask.number, OK, body)
        except NothingThen as why:
            return _refused(ask, NOT_FOUND, str(why))
        except WrongParameter as wrong:
            return _refused(ask, BAD_REQUEST, str(wrong))
        except (NotKept, LifeEnded) as why:
            return _refused(ask, UNAVAILABLE, str(why))

    async def _snapshot(self, archive: Archive, query: str) -> bytes:
        """The payload of a moment."""
        asked, shape = replay_of_query(query), shape_of_query(query)
        assert asked is not None, "it is asked for here"
        assert asked.at is not None, "that is what it is"
        at_ms = read_time("at", asked.at, archive.past.newest_ms or 0)
        place = await place_at(self._bus, archive, at_ms, self._wall_baseline)
        sections = place.scene.sections(shape)
        if not sections:
            raise NothingThen(f"the streams begin at {archive.past.oldest_ms} ms since 1970")
        return msgspec.json.encode(sections)

    def _note(self, archive: Archive, verdict: Verdict) -> None:
        event = archive.note_verdict(verdict.section, verdict.before, verdict.after, verdict.now_ms)
        if event is not None:
            self.tell([event])


def _is_ours(writer: asyncio.StreamWriter) -> bool:
    """Whether the other end is a process of this user; where the system does not tell, the folder is of this user."""
    if sys.platform != "linux":
        return True
    peer = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _pid, uid, _gid = struct.unpack("3i", peer)
    return bool(uid == os.getuid())


async def _heed(playback: Playback, reader: asyncio.StreamReader) -> None:
    """Until the other end is gone."""
    with contextlib.suppress(*_ended):
        while isinstance(message := await messages.read(reader), Change):
            playback.change(message.asked)


def _refused(ask: Ask, status: int, detail: str) -> Answer:
    return Answer(ask.number, status, msgspec.json.encode({"detail": detail}))


def _begin_of(archive: Archive) -> Begin:
    return Begin(str(archive.since), str(archive.cursor), archive.log.events())


def _progress_of(archive: Archive) -> Progress:
    return Progress(str(archive.cursor), archive.reached_ms, archive.is_filled, len(archive.log))


async def _events(archive: Archive, query: str) -> bytes:
    asked = event_query(query)
    return msgspec.json.encode(answer(archive.log, asked, archive.since, archive.cursor, filled=archive.is_filled))


async def _history(archive: Archive, query: str) -> bytes:
    newest_ms = archive.past.newest_ms
    asked = history_query(query, time.time_ns() // 1_000_000 if newest_ms is None else newest_ms)
    slices = history_in_slices(archive.past, asked, complete=archive.reaches(asked.from_ms))
    while True:
        try:
            next(slices)
        except StopIteration as end_of_slices:
            return msgspec.json.encode(end_of_slices.value)
        await asyncio.sleep(0)  # new messages are read in between
