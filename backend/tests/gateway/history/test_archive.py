"""The events of a stream, read by a real consumer: the newest part first, then backwards in blocks."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from src.common.bus import NATSBus
from src.common.tasks import end
from src.gateway.history import archive as archive_module
from src.gateway.history.archive import Archive
from src.gateway.history.event_log import Cursor
from src.gateway.history.reader import LifeEnded
from src.gateway.signals.contract import Event
from tests.end_to_end.publisher import LEVELS, Publisher
from tests.waiting import until

SIGNALS = ("BREAK", "REJECT", "NEUTRAL", "NEUTRAL", "BREAK")
BLOCKS = (1, 7, 1_000)


@asynccontextmanager
async def reading(
    bus: NATSBus, on_events: Callable[[list[Event]], None] = lambda _: None
) -> AsyncIterator[tuple[Archive, "asyncio.Task[None]"]]:
    archive = Archive(bus, 5000.0, on_events)
    task = asyncio.create_task(archive.run())
    yield archive, task
    await end(task)


async def all_events(bus: NATSBus) -> list[Event]:
    async with reading(bus) as (archive, _):
        await until(lambda: archive.is_filled, "the whole stream")
        assert str(archive.since) == str(Cursor(archive.log.life, 0, 0))
        return archive.log.events()


def body(n: int) -> bytes:
    level = {"id": "VWAP", "kind": "VWAP", "price": 687.25, "signal": SIGNALS[n * n % len(SIGNALS)]}
    return json.dumps({"ts": n + 1, "spy": {"spot": 687.5}, "levels": [level]}).encode()


async def publish(publisher: Publisher, *messages: tuple[str, bytes]) -> None:
    """In order, and without a wait between them."""
    stored = [await publisher.jetstream.publish_async(subject, body) for subject, body in messages]
    await asyncio.gather(*stored)


async def make_stream(bus: NATSBus) -> None:
    await bus.leave(await bus.follow(LEVELS))


async def test_the_events_are_the_same_however_the_stream_is_divided_into_blocks(
    bus: NATSBus, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_stream(bus)
    await publish(publisher, *((LEVELS, body(n)) for n in range(40)))
    monkeypatch.setattr(archive_module, "BEFORE", 2)
    read = []
    for block in BLOCKS:
        monkeypatch.setattr(archive_module, "BLOCK", block)
        read.append(await all_events(bus))
    assert read[0] == read[1] == read[2]
    assert sum(event["count"] for event in read[0]) > 20


async def test_other_messages_of_the_stream_and_bad_ones_hide_no_event(
    bus: NATSBus, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two messages there are more of them than are read before a block."""
    await make_stream(bus)
    noise = [("levels.other", b"{}"), (LEVELS, b"bad")] * 3
    await publish(publisher, *(each for n in range(12) for each in [*noise, (LEVELS, body(n))]))
    monkeypatch.setattr(archive_module, "BEFORE", 2)
    read = []
    for block in BLOCKS:
        monkeypatch.setattr(archive_module, "BLOCK", block)
        read.append(await all_events(bus))
    assert read[0] == read[1] == read[2]
    assert sum(event["count"] for event in read[0]) > 5


async def test_what_happens_now_is_told_with_a_cursor_that_never_goes_back(bus: NATSBus, publisher: Publisher) -> None:
    await make_stream(bus)
    told: list[tuple[Any, ...]] = []
    async with reading(bus, lambda events: told.extend((each["kind"], each["seq"]) for each in events)) as (archive, _):
        await until(archive.caught_up.is_set, "the empty stream")
        await publish(publisher, (LEVELS, body(0)), (LEVELS, body(1)))
        await until(lambda: told == [("signal", 2)], "a signal")
        ahead_ms = archive.cursor.server_ms + 60_000  # the clock of the gateway process is another one
        assert archive.note_verdict("levels", "live", "stale", ahead_ms) is not None
        assert archive.note_verdict("levels", "live", "stale", ahead_ms) is None
        verdict = archive.cursor
        await publish(publisher, (LEVELS, body(0)))
        await until(lambda: told[1:] == [("signal", 3)], "another signal")
        assert (archive.cursor.seq, archive.cursor.server_ms) >= (3, verdict.server_ms)
        assert archive.cursor.server_ms >= verdict.server_ms
        assert archive.log.events(since=archive.cursor) == []


async def test_what_the_stream_has_dropped_is_forgotten_also_where_it_has_other_messages(
    bus: NATSBus, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_module, "FORGET_EVERY", 2)
    monkeypatch.setattr(archive_module, "RETENTION_S", -1)
    await make_stream(bus)
    async with reading(bus) as (archive, _):
        await until(archive.caught_up.is_set, "the empty stream")
        for n in range(4):  # at odd places in the stream
            await publish(publisher, (LEVELS, body(n)), ("levels.other", b"{}"))
        await until(lambda: archive.cursor.seq == 7, "the last message")
        assert archive.log.events() == []


@pytest.mark.parametrize("short", [True, False])
async def test_a_stream_that_was_made_anew_ends_the_archive_and_none_of_it_is_taken_for_the_old_one(
    bus: NATSBus, publisher: Publisher, short: bool
) -> None:
    await make_stream(bus)
    await publish(publisher, *[(LEVELS, body(2)) for _ in range(1 if short else 10)])
    told: list[Event] = []
    async with reading(bus, told.extend) as (archive, task):
        await until(lambda: archive.is_filled, "the old life")
        await publisher.jetstream.delete_stream("LEVEL_SIGNALS")
        await make_stream(bus)
        await publish(publisher, *((LEVELS, body(n)) for n in range(1, 6)))
        await asyncio.wait({task})
        assert isinstance(task.exception(), LifeEnded)
        assert (told, archive.log.events()) == ([], [])
