"""One subject by core NATS and by JetStream, on a real nats-server."""

import asyncio
import json
from collections.abc import AsyncIterator

import nats
import pytest
from nats.aio.client import Client
from nats.js.api import StreamConfig

from src.common.arrivals import PUBLICATION, Publication
from src.common.bus import NATSBus
from src.common.subjects import LEVELS_SIGNALS, MARKET_FLOW
from src.common.subscription import Subscription
from src.common.tasks import end
from src.demo.nats_server import NatsServer
from tests.waiting import Inbox, until


@pytest.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[Client]:
    client = await nats.connect(nats_server.url)
    yield client
    await client.close()


async def plainly(client: Client, subject: str, number: int, at_ms: int | None = None) -> None:
    """Publish to whoever listens, without waiting for a stream."""
    publisher = f"life of {number}"  # each is of another one, so that only their clocks order them
    headers = None if at_ms is None else {PUBLICATION: str(Publication(publisher.replace(" ", "_"), 1, at_ms))}
    await client.publish(subject, b'{"n":%d}' % number, headers=headers)
    await client.flush()


async def test_each_message_comes_once_though_it_comes_by_both_paths(bus: NATSBus) -> None:
    inbox = Inbox()
    subscription = await bus.subscribe(MARKET_FLOW, inbox)
    for number in range(50):
        await bus.publish(MARKET_FLOW, {"n": number % 5})
    await until(lambda: subscription.copies == 50, "a copy of each")
    assert [message["n"] for message in inbox.received] == [number % 5 for number in range(50)]
    assert (subscription.received, subscription.delivered, subscription.repeated) == (50, 50, 0)


async def test_core_nats_brings_what_no_stream_can_store(nats_server: NatsServer) -> None:
    nats_server.stop()
    with NatsServer(config="jetstream: disabled") as plain:
        bus, inbox = NATSBus(plain.url, connect_timeout_s=2), Inbox()
        await bus.connect()
        subscription = await bus.subscribe(MARKET_FLOW, inbox)
        client = await nats.connect(plain.url)
        await plainly(client, MARKET_FLOW, 1)
        await inbox.until_newest({"n": 1})
        assert (subscription.path, subscription.is_live) == ("core", True)
        await client.close()
        await bus.close()


async def test_once_jetstream_was_lost_core_nats_counts_only_while_it_brings_something(
    bus: NATSBus, nats_server: NatsServer
) -> None:
    """Else a gateway whose server is cut off from the others would be called live."""
    inbox = Inbox()
    subscription, other = [await bus.subscribe(subject, inbox) for subject in (MARKET_FLOW, LEVELS_SIGNALS)]
    nats_server.stop()
    nats_server.config = "jetstream: disabled"
    nats_server.start()
    await until(lambda: subscription.trouble is not None and subscription.core_trouble is None, "core NATS alone")
    await until(lambda: not subscription.is_live and not other.is_live, "nothing has come")
    client = await nats.connect(nats_server.url)
    await plainly(client, MARKET_FLOW, 1)
    await inbox.until_newest({"n": 1})
    assert subscription.is_live
    assert other.is_live, "a server that brings one subject is not cut off"
    await client.close()


async def test_a_stream_that_is_deleted_costs_no_message(bus: NATSBus, client: Client) -> None:
    inbox = Inbox()
    subscription = await bus.subscribe(LEVELS_SIGNALS, inbox)
    await bus.publish(LEVELS_SIGNALS, {"n": 1})
    await client.jetstream().delete_stream("LEVEL_SIGNALS")
    for number in range(2, 20):
        await plainly(client, LEVELS_SIGNALS, number)
    await inbox.until_newest({"n": 19})
    assert [message["n"] for message in inbox.received] == list(range(1, 20))
    await until(lambda: subscription.rebinds == 1, "a new binding")


async def test_what_jetstream_alone_brings_is_relayed_and_core_nats_is_called_deaf(
    bus: NATSBus, client: Client
) -> None:
    """A stream that mirrors another one, as on a leaf node, is fed without the subject."""
    jetstream = client.jetstream()
    await jetstream.delete_stream("MARKET_DATA")
    await jetstream.add_stream(StreamConfig(name="ORIGIN", subjects=["flow.of.core"]))
    source = {"name": "ORIGIN", "subject_transforms": [{"src": "flow.of.core", "dest": MARKET_FLOW}]}
    config = {"name": "COPY", "subjects": ["market.flow"], "sources": [source], "retention": "limits"}
    await client.request("$JS.API.STREAM.CREATE.COPY", json.dumps(config).encode(), timeout=2)
    inbox = Inbox()
    subscription = await bus.subscribe(MARKET_FLOW, inbox)
    assert subscription.core_trouble is None
    for number in range(12):
        await client.jetstream().publish("flow.of.core", b'{"n":%d}' % number)
    await inbox.until_newest({"n": 11})
    assert subscription.path == "jetstream"
    assert "not published on this subject here" in str(subscription.core_trouble)
    assert subscription.is_live


# -- older after newer -------------------------------------------------------------------------------------------------


async def test_a_late_message_is_dropped_when_a_newer_one_comes(bus: NATSBus, client: Client) -> None:
    inbox = Inbox()
    subscription = await bus.subscribe(MARKET_FLOW, inbox)
    for number, at_ms in ((1, 10_000), (2, 4_000), (3, 4_250), (4, 10_250)):
        await plainly(client, MARKET_FLOW, number, at_ms)
    await inbox.until_newest({"n": 4})
    assert [message["n"] for message in inbox.received] == [1, 4]
    assert subscription.stragglers == 2


async def test_a_clock_that_was_set_back_is_believed_when_nothing_newer_comes(bus: NATSBus, client: Client) -> None:
    inbox = Inbox()
    subscription = await bus.subscribe(MARKET_FLOW, inbox)
    for number, at_ms in ((1, 10_000), (2, 4_000), (3, 4_250)):
        await plainly(client, MARKET_FLOW, number, at_ms)
    await inbox.until_newest({"n": 3})
    await plainly(client, MARKET_FLOW, 4, 4_500)
    await inbox.until_newest({"n": 4})
    assert [message["n"] for message in inbox.received] == [1, 3, 4]
    assert subscription.stragglers == 1


async def test_a_late_message_of_the_same_publisher_is_dropped_though_nothing_newer_comes(
    bus: NATSBus, client: Client
) -> None:
    inbox = Inbox()
    subscription = await bus.subscribe(MARKET_FLOW, inbox)
    for number in (2, 1):
        headers = {PUBLICATION: str(Publication("core", number, 10_000))}
        await client.publish(MARKET_FLOW, b'{"n":%d}' % number, headers=headers)
    await until(lambda: subscription.received == 2, "both")
    assert (inbox.received, subscription.stragglers) == ([{"n": 2}], 1)


async def test_a_bus_can_be_closed_while_a_message_is_held(nats_server: NatsServer, client: Client) -> None:
    bus = NATSBus(nats_server.url)
    await bus.connect()
    inbox = Inbox()
    subscription = await bus.subscribe(MARKET_FLOW, inbox)
    await plainly(client, MARKET_FLOW, 1, 10_000)
    await plainly(client, MARKET_FLOW, 2, 4_000)
    await until(lambda: subscription.received == 2, "both")
    await bus.close()
    assert [message["n"] for message in inbox.received] == [1]
    assert len([task for task in asyncio.all_tasks() if "hold" in task.get_name()]) == 0


async def test_a_start_that_is_cancelled_leaves_no_task(nats_server: NatsServer) -> None:
    nats_server.stop()
    with NatsServer(config="jetstream: disabled") as plain:
        bus = NATSBus(plain.url)
        await bus.connect()
        starting = asyncio.create_task(bus.subscribe(MARKET_FLOW, Inbox()))
        await until(lambda: any(task.get_name() == f"core {MARKET_FLOW}" for task in asyncio.all_tasks()), "it starts")
        await end(starting)
        assert starting.cancelled()
        left = {task.get_name() for task in asyncio.all_tasks()}
        await bus.close()
    assert not {f"core {MARKET_FLOW}", f"jetstream {MARKET_FLOW}"} & left


async def test_the_place_in_the_stream_is_told_after_core_nats_was_first(bus: NATSBus) -> None:
    places = []
    bus.on_copy = lambda subject, stored: places.append((subject, stored.seq))
    subscription: Subscription = await bus.subscribe(MARKET_FLOW, Inbox())
    await bus.publish(MARKET_FLOW, {"n": 1})
    await until(lambda: subscription.copies == 1, "the copy")
    if subscription.path == "core":
        assert places == [(MARKET_FLOW, 1)]
