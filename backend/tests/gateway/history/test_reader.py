"""Parts of a stream, read by a real consumer."""

import asyncio
from contextlib import aclosing

import pytest

from src.common import ordered_consumer
from src.common.bus import NATSBus
from src.common.subjects import LEVELS_SIGNALS
from src.demo.nats_server import NatsServer
from src.gateway.history.reader import life_of, span
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
