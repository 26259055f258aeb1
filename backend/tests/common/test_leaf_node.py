"""The bus at a leaf node, whose JetStream is another one than the hub's."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from src.common.bus import BusError, NATSBus
from src.common.subjects import LEVELS_SIGNALS, JetStreamOptions
from src.demo.nats_server import NatsServer
from tests.leaf_node import EDGE, HUB, HubAndLeaf, ask
from tests.waiting import Inbox

MakeBus = Callable[..., NATSBus]


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[HubAndLeaf]:
    async with HubAndLeaf(tmp_path) as nodes:
        yield nodes


@pytest.fixture
async def make_bus() -> AsyncIterator[MakeBus]:
    """Makes buses, and closes them when the test is over."""
    made: list[NATSBus] = []

    def make(server: NatsServer, login: str = "", **options: Any) -> NATSBus:
        url = server.url.replace("://", f"://{login}")
        made.append(NATSBus(url, connect_timeout_s=2.0, jetstream=JetStreamOptions(**options)))
        return made[-1]

    yield make
    for bus in made:
        await bus.close()


# -- the domain --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("domain", [HUB, EDGE])
async def test_streams_and_consumers_are_those_of_the_domain(nodes: HubAndLeaf, make_bus: MakeBus, domain: str) -> None:
    bus, inbox = make_bus(nodes.leaf, domain=domain), Inbox()
    await bus.connect()
    subscription = await bus.subscribe(LEVELS_SIGNALS, inbox, "gateway_levels")
    assert subscription.trouble is None
    await nodes.core.publish(LEVELS_SIGNALS, b'{"n":1}')
    await inbox.until_newest({"n": 1})
    there, elsewhere = (nodes.core, nodes.edge) if domain == HUB else (nodes.edge, nodes.core)
    assert (await ask(there, "CONSUMER.NAMES.LEVEL_SIGNALS"))["consumers"] == ["gateway_levels"]
    assert not (await ask(elsewhere, "STREAM.NAMES"))["streams"]


async def test_a_recording_reads_every_message_of_the_domain(nodes: HubAndLeaf, make_bus: MakeBus) -> None:
    bus = make_bus(nodes.leaf, domain=HUB)
    await bus.connect()
    consumer = await bus.follow(LEVELS_SIGNALS)
    jetstream = nodes.core.jetstream()
    for number in range(3):
        await jetstream.publish(LEVELS_SIGNALS, b'{"n":%d}' % number)
    read: list[bytes] = []
    while len(read) < 3:
        message = await consumer.next()
        read += [] if message is None else [message.body]
    assert read == [b'{"n":0}', b'{"n":1}', b'{"n":2}']


async def test_a_domain_that_does_not_answer_is_told_with_its_setting(nodes: HubAndLeaf, make_bus: MakeBus) -> None:
    bus = make_bus(nodes.leaf, domain="hbu")
    await bus.connect()
    subscription = await bus.subscribe(LEVELS_SIGNALS, Inbox(), "gateway_levels")
    said = "no JetStream of domain hbu answers: is GATEWAY_NATS_DOMAIN right, and its server up?"
    assert subscription.trouble == said
    with pytest.raises(BusError, match="GATEWAY_NATS_DOMAIN"):
        await bus.follow(LEVELS_SIGNALS)


async def test_a_right_that_is_missing_is_told_as_it_has_to_be_granted(nodes: HubAndLeaf, make_bus: MakeBus) -> None:
    nodes.leaf.reload(
        f"""{nodes.leaf.config}
authorization {{ users: [
  {{ user: core, password: core }}
  {{ user: gateway, password: s3cret,
     permissions: {{ publish: ["$JS.{HUB}.API.STREAM.NAMES"], subscribe: [{LEVELS_SIGNALS}, "_INBOX.>"] }} }}
] }}
"""
    )
    bus = make_bus(nodes.leaf, "gateway:s3cret@", domain=HUB)
    await bus.connect()
    subscription = await bus.subscribe(LEVELS_SIGNALS, Inbox(), "gateway_levels")
    assert f"publish on $JS.{HUB}.API.STREAM.CREATE.LEVEL_SIGNALS" in str(subscription.trouble)
