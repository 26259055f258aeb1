"""A gateway process and its history process, over a real Unix socket."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from src.common.bus import NATSBus
from src.common.subjects import LEVELS_SIGNALS
from src.gateway.history import client as client_module
from src.gateway.history import messages
from src.gateway.history import server as server_module
from src.gateway.history.archive import Archive, StreamProgress
from src.gateway.history.client import MOST_ASKED, HistoryClient, HistoryUnavailable
from src.gateway.history.event_log import Cursor, EventLog
from src.gateway.history.messages import Progress
from src.gateway.history.reader import Life
from src.gateway.history.server import HistoryServer
from tests.gateway.history.moments import moment
from tests.waiting import until

NOWHERE = NATSBus("nats://127.0.0.1:1")


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "history")


@pytest.fixture
async def server(path: str) -> AsyncIterator[HistoryServer]:
    server = HistoryServer(path, NOWHERE, 5000.0)
    await server.open()
    yield server
    await server.close()


@pytest.fixture
async def client(path: str) -> AsyncIterator[HistoryClient]:
    client = HistoryClient(path)
    client.open()
    yield client
    await client.close()


def read_archive(server: HistoryServer, life: str = "life", seqs: range = range(1, 4)) -> Archive:
    """One that has read some messages, of which each second one ends what the one before it began."""
    archive = Archive(NOWHERE, 5000.0, server.tell)
    archive.log = EventLog(life)
    for seq in seqs:
        read(archive, seq)
    archive._progress[LEVELS_SIGNALS] = StreamProgress(Life(0, 0, seqs.stop - 1), seqs.start, seqs.start)
    archive.caught_up.set()
    return archive


def read(archive: Archive, seq: int) -> list[Any]:
    signals = ("NO_TRADE", "BREAK") if seq % 2 else ("BREAK", "NO_TRADE")
    before, now = (moment(signal, ts_ms=40_000 * seq) for signal in signals)
    found = archive.log.add_message(seq, 40_000 * seq, before, now)
    archive.cursor = Cursor(archive.log.life, seq, 40_000 * seq)
    return found


def seqs_of(client: HistoryClient, told: int = 1) -> list[int]:
    """Of the events in the ring."""
    return [event["seq"] for event in msgspec.json.decode(client.ring.section(told))["events"]]


async def test_the_ring_begins_with_what_the_history_has_and_grows_with_it(
    server: HistoryServer, client: HistoryClient
) -> None:
    archive = read_archive(server)
    server.show(archive)
    await until(lambda: seqs_of(client) == [1, 2, 3], "the events so far")
    heard: list[int] = []
    client.on_events = lambda: heard.append(client.ring.position)
    position = client.ring.position
    server.tell(read(archive, 4))
    await until(lambda: heard == [position + 1], "an event more")
    assert seqs_of(client, position) == [4]


async def test_a_question_is_answered_and_a_wrong_one_refused(server: HistoryServer, client: HistoryClient) -> None:
    server.show(read_archive(server))
    await until(lambda: seqs_of(client), "the events so far")
    status, body, _ = await client.ask("/events", "since=life-2-80000")
    assert (status, [event["seq"] for event in msgspec.json.decode(body)["events"]]) == (200, [3])
    status, body, _ = await client.ask("/events", "kinds=weather")
    assert (status, msgspec.json.decode(body)["detail"][:13]) == (400, "kinds accepts")


async def test_until_the_newest_part_is_read_the_answer_is_to_try_again(
    server: HistoryServer, client: HistoryClient
) -> None:
    await until(lambda: client.is_connected, "a connection")
    assert (await client.ask("/events", ""))[0] == 503
    archive = read_archive(server)
    archive.caught_up.clear()
    server.show(archive)
    assert (await client.ask("/events", ""))[0] == 503
    assert msgspec.json.decode(client.ring.section(1)) == {"cursor": "-0-0", "complete": False, "events": []}
    archive.caught_up.set()
    await until(lambda: seqs_of(client) == [1, 2, 3], "the events, once they are read")


async def test_a_stream_that_was_made_anew_is_told(server: HistoryServer, client: HistoryClient) -> None:
    server.show(read_archive(server))
    await until(lambda: seqs_of(client) == [1, 2, 3], "the old life")
    told = client.ring.position
    server.show(read_archive(server, "newlife", range(1, 2)))
    await until(lambda: seqs_of(client) == [1], "the new life")
    assert msgspec.json.decode(client.ring.section(told))["complete"] is False


async def test_a_verdict_comes_back_as_an_event_to_every_process_once(
    server: HistoryServer, client: HistoryClient, path: str
) -> None:
    archive = read_archive(server)
    server.show(archive)
    other = HistoryClient(path)
    other.open()
    await until(lambda: seqs_of(client) and seqs_of(other), "both processes")
    for worker in (client, other):  # each judges the same silence
        worker.note_verdict("levels", "live", "stale", 200_000)
    await until(lambda: seqs_of(client) == seqs_of(other) == [1, 2, 3, 0], "the verdict")
    client.note_verdict("levels", "stale", "live", 200_001)
    await until(lambda: seqs_of(client) == seqs_of(other) == [1, 2, 3, 0, 0], "the next one")
    assert len(archive.log.events(kinds={"verdict"})) == 2
    await other.close()


async def test_while_the_process_is_gone_questions_are_refused_and_afterwards_answered(
    client: HistoryClient, path: str
) -> None:
    with pytest.raises(HistoryUnavailable, match="has just been started"):
        await client.ask("/events", "")
    first = HistoryServer(path, NOWHERE, 5000.0)
    await first.open()
    archive = read_archive(first)
    first.show(archive)
    await until(lambda: seqs_of(client) == [1, 2, 3], "the events so far")
    await first.close()
    await until(lambda: not client.is_connected, "the loss")
    with pytest.raises(HistoryUnavailable, match="has just been started"):
        await client.ask("/events", "")
    read(archive, 4)
    second = HistoryServer(path, NOWHERE, 5000.0)  # the socket of the first is still there, as after a kill
    await second.open()
    second.show(archive)
    await until(lambda: seqs_of(client) == [1, 2, 3, 4], "what happened meanwhile, and nothing twice")
    assert (await client.ask("/events", ""))[0] == 200
    await second.close()


async def test_how_far_the_history_has_been_read_is_told_and_that_there_was_nothing_since(
    server: HistoryServer, client: HistoryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "PROGRESS_EVERY_S", 0.01)
    archive = read_archive(server)
    archive._progress[LEVELS_SIGNALS].reached_ms = 40_000
    server.show(archive)
    await until(lambda: client.progress, "what it has")
    assert client.progress == Progress("life-3-120000", 40_000, complete=False, events=3)
    archive._progress[LEVELS_SIGNALS].first, archive.cursor = 0, Cursor("life", 900, 900_000)
    await until(lambda: client.progress == Progress("life-900-900000", None, complete=True, events=3), "all of it")
    assert msgspec.json.decode(client.ring.section(client.ring.position))["cursor"] == "life-900-900000"
    await server.close()
    await until(lambda: client.progress is None, "the loss")


# -- a history process that does not answer ----------------------------------------------------------------------------


@pytest.fixture
async def silent(path: str) -> AsyncIterator[list[messages.Message]]:
    """It takes questions, which it keeps, and ends when it is told a verdict."""
    asked: list[messages.Message] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while isinstance(message := await messages.read(reader), messages.Ask):
                asked.append(message)
        except EOFError:
            pass
        writer.close()

    listening = await asyncio.start_unix_server(serve, path)
    yield asked
    listening.close()


async def test_no_more_are_asked_at_once_than_the_bound(silent: list[messages.Message], client: HistoryClient) -> None:
    await until(lambda: client.is_connected, "a connection")
    asking = [asyncio.create_task(client.ask("/events", "")) for _ in range(MOST_ASKED)]
    await until(lambda: len(silent) == MOST_ASKED, "all questions")
    asking[0].cancel()
    await asyncio.wait({asking[0]})
    with pytest.raises(HistoryUnavailable, match="too many requests for the history at once"):
        await client.ask("/events", "")  # the history process has yet to answer also what nobody waits for any more
    client.note_verdict("levels", "live", "stale", 200_000)
    await asyncio.wait(asking)
    for each in asking[1:]:
        assert str(each.exception()) == "the history process has ended; try again in a second"
    await until(lambda: client.is_connected, "another connection")
    last = asyncio.create_task(client.ask("/events", ""))
    await until(lambda: len(silent) == MOST_ASKED + 1, "one more question")
    last.cancel()


async def test_an_answer_is_not_waited_for_without_end(
    silent: list[messages.Message], client: HistoryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "ANSWER_LIMIT_S", 0.05)
    await until(lambda: client.is_connected, "a connection")
    with pytest.raises(HistoryUnavailable, match="did not answer"):
        await client.ask("/events", "")
