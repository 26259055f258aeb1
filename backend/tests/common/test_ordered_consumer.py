"""OrderedConsumer against a real nats-server: every message, in order, once."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from nats.js.api import StorageType, StreamConfig

from src.common import ordered_consumer
from src.common.bus import BusError, NATSBus
from src.common.ordered_consumer import BATCH, OrderedConsumer, StoredMessage
from src.common.subjects import LEVELS_SIGNALS, MARKET_FLOW
from src.common.tasks import end
from src.demo.nats_server import NatsServer
from tests.end_to_end.publisher import Publisher
from tests.waiting import LIMIT_S, until

STREAM = "LEVEL_SIGNALS"


class Reading:
    """Keeps what a consumer brings."""

    def __init__(self, consumer: OrderedConsumer) -> None:
        self.messages: list[StoredMessage] = []
        self._consumer = consumer
        self.task = asyncio.create_task(self._read())

    @property
    def numbers(self) -> list[int]:
        return [json.loads(message.body)["ts"] for message in self.messages]

    async def until_last(self, number: int) -> None:
        await until(lambda: self.numbers[-1:] == [number], f"{number} after {self.numbers[-3:]}")

    async def _read(self) -> None:
        while True:
            if (message := await self._consumer.next()) is not None:
                self.messages.append(message)


Read = Callable[..., Awaitable[Reading]]


@pytest.fixture
async def read(bus: NATSBus) -> AsyncIterator[Read]:
    readings = []

    async def begin(since_ms: int | None = None) -> Reading:
        readings.append(Reading(await bus.follow(LEVELS_SIGNALS, since_ms)))
        return readings[-1]

    yield begin
    for reading in readings:
        await end(reading.task)


async def test_it_begins_with_the_next_message(read: Read, publisher: Publisher) -> None:
    await publisher.levels(1)
    reading = await read()
    await publisher.levels(2)
    await publisher.levels(3)
    await reading.until_last(3)
    assert reading.numbers == [2, 3]


async def test_a_burst_of_many_batches_comes_whole_and_in_order(read: Read, publisher: Publisher) -> None:
    reading = await read()
    await publisher.backlog(10 * BATCH)
    await reading.until_last(10 * BATCH)
    assert reading.numbers == list(range(1, 10 * BATCH + 1))


async def test_it_may_begin_in_the_past(read: Read, publisher: Publisher) -> None:
    await publisher.levels(1)
    between_ms = round(time.time() * 1000) + 1
    await until(lambda: time.time() * 1000 > between_ms + 1, "the next moment")
    for number in (2, 3):
        await publisher.levels(number)
    reading = await read(since_ms=between_ms)
    await reading.until_last(3)
    assert reading.numbers == [2, 3]
    everything = await read(since_ms=0)
    await everything.until_last(3)
    assert everything.numbers == [1, 2, 3]


async def test_a_message_says_when_it_was_stored(read: Read, publisher: Publisher) -> None:
    reading = await read()
    before_us = time.time_ns() // 1000
    await publisher.levels(1)
    after_us = time.time_ns() // 1000
    await reading.until_last(1)
    assert before_us <= reading.messages[0].stored_us <= after_us
    assert reading.messages[0].subject == LEVELS_SIGNALS


async def test_what_comes_while_the_line_is_cut_is_not_lost(
    read: Read, bus: NATSBus, publisher: Publisher, nats_server: NatsServer
) -> None:
    reading = await read()
    await publisher.levels(1)
    await reading.until_last(1)
    await asyncio.to_thread(nats_server.stop)
    await until(lambda: not bus.is_connected, "the loss")
    await asyncio.to_thread(nats_server.start)
    for number in range(2, 300):
        await publisher.levels(number)
    await reading.until_last(299)
    assert reading.numbers == list(range(1, 300))


async def test_a_stream_that_is_made_again_is_read_from_its_beginning(read: Read, publisher: Publisher) -> None:
    reading = await read()
    await publisher.levels(1)
    await reading.until_last(1)
    await publisher.jetstream.delete_stream(STREAM)
    await publisher.jetstream.add_stream(StreamConfig(name="OTHER", subjects=["levels.*"], storage=StorageType.MEMORY))
    for number in (2, 3):
        await publisher.levels(number)
    await reading.until_last(3)
    assert reading.numbers == [1, 2, 3]


async def test_a_consumer_that_is_deleted_is_recreated_at_its_place(read: Read, publisher: Publisher) -> None:
    reading = await read()
    await publisher.levels(1)
    await reading.until_last(1)
    (consumer,) = await publisher.jetstream.consumers_info(STREAM)
    await publisher.jetstream.delete_consumer(STREAM, consumer.name)
    for number in (2, 3):
        await publisher.levels(number)
    await reading.until_last(3)
    assert reading.numbers == [1, 2, 3]


async def test_a_message_that_is_lost_on_its_way_is_read_again(bus: NATSBus, publisher: Publisher) -> None:
    """As where the routes between two servers break: nobody acknowledges, so nobody sends it again."""
    for number in range(1, 6):
        await publisher.levels(number)
    consumer = await bus.follow(LEVELS_SIGNALS, since_seq=1)
    read = [await consumer.next()]
    await until(lambda: consumer._arrived.qsize() == 4, "the rest of the batch")
    consumer._arrived.get_nowait()
    while len(read) < 5:
        if (message := await consumer.next()) is not None:
            read.append(message)
    assert [message.seq for message in read if message is not None] == [1, 2, 3, 4, 5]


async def test_other_subjects_of_the_stream_are_not_read(read: Read, publisher: Publisher) -> None:
    reading = await read()
    await publisher.publish("levels.other", {"ts": 1})
    await publisher.levels(2)
    await reading.until_last(2)
    assert reading.numbers == [2]


async def test_it_knows_whether_it_is_behind(bus: NATSBus, publisher: Publisher) -> None:
    await publisher.backlog(3)
    consumer = await bus.follow(MARKET_FLOW, since_ms=0)
    seen = []
    for _ in range(3):
        seen.append(consumer.behind)
        assert await consumer.next() is not None
    assert seen == [True, True, True]
    assert not consumer.behind
    assert await consumer.next() is None


async def test_one_that_does_not_wait_says_at_once_that_nothing_is_there(
    bus: NATSBus, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordered_consumer, "ASK_S", 10 * LIMIT_S)
    monkeypatch.setattr(ordered_consumer, "BATCH", 2)
    consumer = await bus.follow(MARKET_FLOW, since_seq=1, waits=False)
    async with asyncio.timeout(LIMIT_S):
        assert (await consumer.next(), consumer.has_read_all) == (None, True)
        for first in (1, 5):
            await publisher.backlog(4)
            read = [await consumer.next() for _ in range(5)]
            assert [message and message.seq for message in read] == [*range(first, first + 4), None]
            assert consumer.has_read_all


async def test_leaving_takes_its_consumer_along(bus: NATSBus, publisher: Publisher) -> None:
    consumer = await bus.follow(LEVELS_SIGNALS)
    assert len(await publisher.jetstream.consumers_info(STREAM)) == 1
    await consumer.close()
    await consumer.close()
    assert await publisher.jetstream.consumers_info(STREAM) == []


async def test_a_subject_that_no_stream_covers_is_told(nats_server: NatsServer) -> None:
    bus = NATSBus(nats_server.url, connect_timeout_s=0.5)
    await bus.connect()
    with pytest.raises(BusError, match="no stream covers other"):
        await bus.follow("other")
    await bus.close()
