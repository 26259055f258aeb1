"""Parts of a stream, read by a real consumer."""

import asyncio
from contextlib import aclosing

import pytest

from src.common import ordered_consumer
from src.common.bus import NATSBus
from src.common.subjects import LEVELS_SIGNALS
from src.demo.nats_server import NatsServer
from src.gateway.history.reader import READ_EVERY_S, follow, life_of, pause_s, span
from tests.end_to_end.publisher import Publisher
from tests.waiting import LIMIT_S


async def test_a_span_ends_with_the_newest_message_and_does_not_wait_for_the_next(
    bus: NATSBus, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordered_consumer, "ASK_S", 10 * LIMIT_S)
    life = await life_of(bus, LEVELS_SIGNALS)
    async with asyncio.timeout(LIMIT_S):
        assert [message.seq async for message in span(bus, LEVELS_SIGNALS, 1, 100, life)] == []
    await publisher.backlog(3)
    async with asyncio.timeout(LIMIT_S):
        assert [message.seq async for message in span(bus, LEVELS_SIGNALS, 2, 100, life)] == [2, 3]


async def test_a_span_has_no_hole_where_the_stream_could_not_be_read_for_a_while(
    bus: NATSBus, publisher: Publisher, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordered_consumer, "WAIT_FOR_US_S", 0.0)  # an outage of any length is longer
    monkeypatch.setattr(ordered_consumer, "BATCH", 1)
    await publisher.backlog(5)
    life, read = await life_of(bus, LEVELS_SIGNALS), []
    async with asyncio.timeout(LIMIT_S), aclosing(span(bus, LEVELS_SIGNALS, 1, 6, life)) as messages:
        async for message in messages:
            read.append(message.seq)
            if message.seq == 2:
                await asyncio.to_thread(nats_server.stop)
                nats_server.start()
    assert read == [1, 2, 3, 4, 5]


async def test_what_comes_after_all_was_read_is_read_too(bus: NATSBus, publisher: Publisher) -> None:
    await publisher.backlog(3)
    life, all_read, read = await life_of(bus, LEVELS_SIGNALS), asyncio.Event(), []
    async with asyncio.timeout(LIMIT_S), aclosing(follow(bus, LEVELS_SIGNALS, 2, life, all_read.set)) as messages:
        async for message in messages:
            read.append(message.seq)
            if message.seq == 3:
                publishing = asyncio.create_task(publish_once(all_read, publisher))
            if message.seq == 5:
                break
        await publishing
    assert read == [2, 3, 4, 5]


async def publish_once(all_read: asyncio.Event, publisher: Publisher) -> None:
    await all_read.wait()
    await publisher.backlog(2)


@pytest.mark.parametrize("first_s", [0.0, 0.001, 0.06, 0.124, 0.126, 0.2, 0.249])
@pytest.mark.parametrize("skew_s", [0.0, 0.02, -0.02])
def test_messages_that_come_evenly_are_read_half_way_between_two_of_them(first_s: float, skew_s: float) -> None:
    now_s = first_s
    for _ in range(5):
        age_s = now_s % READ_EVERY_S
        now_s += pause_s(age_s + skew_s)
    assert now_s % READ_EVERY_S == pytest.approx(READ_EVERY_S / 2 - skew_s)


@pytest.mark.parametrize("age_s", [-3600.0, 0.0, 0.1, 3600.0, None])
def test_whatever_the_clock_of_the_server_the_next_read_is_not_far(age_s: float | None) -> None:
    assert READ_EVERY_S / 2 <= pause_s(age_s) <= READ_EVERY_S * 3 / 2
