"""The bus at a leaf node, whose JetStream is another one than the hub's."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from src.common.bus import BusError, NATSBus
from src.common.subjects import LEVELS_SIGNALS, MARKET_FLOW, JetStreamOptions
from src.demo.nats_server import NatsServer, free_port
from tests.end_to_end.black_hole import Line
from tests.leaf_node import EDGE, HUB, HubAndLeaf, ask, make_stream
from tests.waiting import LIMIT_S, Inbox, until

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


GATEWAY = "gateway:s3cret@"


def allow(server: NatsServer, *publish: str) -> None:
    """Give the user of `GATEWAY` these rights, and those to subscribe."""
    server.reload(
        f"""{server.config}
authorization {{ users: [
  {{ user: core, password: core }}
  {{ user: gateway, password: s3cret,
     permissions: {{ publish: {json.dumps(publish)}, subscribe: [{LEVELS_SIGNALS}, "_INBOX.>"] }} }}
] }}
"""
    )


# -- the domain --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("domain", [HUB, EDGE])
async def test_streams_and_consumers_are_those_of_the_domain(nodes: HubAndLeaf, make_bus: MakeBus, domain: str) -> None:
    bus, inbox = make_bus(nodes.leaf, domain=domain), Inbox()
    await bus.connect()
    subscription = await bus.subscribe(LEVELS_SIGNALS, inbox, "gateway_levels")
    assert subscription.trouble is None
    async with asyncio.timeout(LIMIT_S):
        while not inbox.received:  # the hub may not know yet that the leaf node wants the subject
            await nodes.core.publish(LEVELS_SIGNALS, b'{"n":1}')
            await asyncio.sleep(0.05)
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


async def test_a_hub_that_goes_is_told_and_its_streams_are_read_again_when_it_is_back(
    nodes: HubAndLeaf, make_bus: MakeBus
) -> None:
    bus, inbox = make_bus(nodes.leaf, domain=HUB), Inbox()
    await bus.connect()
    subscription = await bus.subscribe(LEVELS_SIGNALS, inbox, "gateway_levels")
    nodes.hub.stop()
    await until(lambda: "no JetStream of domain hub answers" in str(subscription.trouble), "the loss is told")
    nodes.hub.start()
    await until(lambda: subscription.trouble is None, "it is bound again")
    await nodes.core.jetstream().publish(LEVELS_SIGNALS, b'{"n":1}')
    await inbox.until_newest({"n": 1})


async def test_a_right_that_is_missing_is_told_as_it_has_to_be_granted(nodes: HubAndLeaf, make_bus: MakeBus) -> None:
    allow(nodes.leaf, f"$JS.{HUB}.API.STREAM.NAMES")
    bus = make_bus(nodes.leaf, GATEWAY, domain=HUB)
    await bus.connect()
    subscription = await bus.subscribe(LEVELS_SIGNALS, Inbox(), "gateway_levels")
    assert f"publish on $JS.{HUB}.API.STREAM.CREATE.LEVEL_SIGNALS" in str(subscription.trouble)


# -- a stream that is named --------------------------------------------------------------------------------------------

OF_HUB = {"name": "LEVEL_SIGNALS", "external": {"api": f"$JS.{HUB}.API"}}
NAMED = {LEVELS_SIGNALS: "EDGE_LEVELS"}


def transform(src: str, dest: str) -> dict[str, Any]:
    """A mirror or source of the hub's stream that keeps `src` as `dest`."""
    return {**OF_HUB, "subject_transforms": [{"src": src, "dest": dest}]}


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({"mirror": OF_HUB}, LEVELS_SIGNALS),
        ({"mirror": transform("levels.*", "edge.levels.{{wildcard(1)}}")}, "edge.levels.signals"),
        ({"sources": [transform("levels.>", "edge.>")]}, "edge.signals"),
        ({"mirror": transform("levels.signals", "edge.{{partition(2,1)}}")}, None),
    ],
    ids=["mirror", "transformed mirror", "transformed source", "not told"],
)
async def test_a_mirror_at_the_leaf_node_is_read_by_its_name(
    nodes: HubAndLeaf, make_bus: MakeBus, config: dict[str, Any], wanted: str | None
) -> None:
    """It has the newest good message at the start, and what comes by core NATS is recognized as its copy."""
    await make_stream(nodes.core, "LEVEL_SIGNALS", subjects=["levels.*"])
    jetstream, places = nodes.core.jetstream(), []
    for body in (b'{"n":1}', b"bad"):
        await jetstream.publish(LEVELS_SIGNALS, body)
    await make_stream(nodes.edge, "EDGE_LEVELS", **config)
    while (await ask(nodes.edge, "STREAM.INFO.EDGE_LEVELS"))["state"]["messages"] < 2:
        pass
    bus, inbox = make_bus(nodes.leaf, streams=NAMED), Inbox()
    bus.on_copy = lambda _subject, stored: places.append(stored.seq)
    await bus.connect()
    subscription = await bus.subscribe(LEVELS_SIGNALS, inbox, "gateway_levels")
    assert (inbox.received, subscription.trouble, subscription.core_trouble) == ([{"n": 1}], None, None)
    consumer = await ask(nodes.edge, "CONSUMER.INFO.EDGE_LEVELS.gateway_levels")
    assert consumer["config"].get("filter_subject") == wanted
    newest = 1
    async with asyncio.timeout(LIMIT_S):
        while subscription.copies < 3:  # the hub may not know yet that the leaf node wants the subject
            newest += 1
            await jetstream.publish(LEVELS_SIGNALS, b'{"n":%d}' % newest)
            await asyncio.sleep(0.05)
    await inbox.until_newest({"n": newest})
    assert [message["n"] for message in inbox.received] == list(range(1, newest + 1))
    assert set(places) <= set(range(3, newest + 2))
    assert (await ask(nodes.edge, "STREAM.NAMES"))["streams"] == ["EDGE_LEVELS", "MARKET_DATA"]


async def test_a_mirror_brings_alone_what_has_another_subject_at_the_hub(nodes: HubAndLeaf, make_bus: MakeBus) -> None:
    await make_stream(nodes.core, "LEVEL_SIGNALS", subjects=["of.core"])
    await make_stream(nodes.edge, "EDGE_LEVELS", mirror=transform("of.core", "edge.levels"))
    bus, inbox = make_bus(nodes.leaf, streams=NAMED), Inbox()
    await bus.connect()
    subscription = await bus.subscribe(LEVELS_SIGNALS, inbox, "gateway_levels")
    for number in range(12):
        await nodes.core.jetstream().publish("of.core", b'{"n":%d}' % number)
    await inbox.until_newest({"n": 11})
    assert (subscription.path, subscription.is_live) == ("jetstream", True)
    assert "not published on this subject here" in str(subscription.core_trouble)


async def test_a_recording_reads_a_stream_that_is_named(nodes: HubAndLeaf, make_bus: MakeBus) -> None:
    await make_stream(nodes.core, "LEVEL_SIGNALS", subjects=["levels.*"])
    await make_stream(nodes.edge, "EDGE_LEVELS", mirror=transform("levels.*", "edge.levels.$1"))
    bus = make_bus(nodes.leaf, streams=NAMED)
    await bus.connect()
    consumer = await bus.follow(LEVELS_SIGNALS, 0)
    for subject in ("levels.other", LEVELS_SIGNALS):
        await nodes.core.jetstream().publish(subject, b'{"of":"%s"}' % subject.encode())
    while (message := await consumer.next()) is None:
        pass
    assert (message.subject, message.seq, message.body) == (LEVELS_SIGNALS, 2, b'{"of":"levels.signals"}')


@pytest.mark.parametrize("stamped", [True, False], ids=["with the header", "without"])
async def test_what_a_mirror_catches_up_with_is_not_shown_after_what_is_newer(
    tmp_path: Path, make_bus: MakeBus, stamped: bool
) -> None:
    """After a cut core NATS brings the next message at once, and the mirror those before it later."""
    port = free_port()
    async with Line(port) as line, HubAndLeaf(tmp_path, port, line.address) as nodes:
        await make_stream(nodes.core, "LEVEL_SIGNALS", subjects=["levels.*"])
        await make_stream(nodes.edge, "EDGE_LEVELS", mirror=transform("levels.*", "edge.levels.$1"))
        bus, core, inbox = make_bus(nodes.leaf, streams=NAMED), make_bus(nodes.hub), Inbox()
        await bus.connect()
        await core.connect()
        subscription = await bus.subscribe(LEVELS_SIGNALS, inbox, "gateway_levels")

        async def publish(number: int) -> None:
            if stamped:
                await core.publish(LEVELS_SIGNALS, {"n": number})
            else:
                await nodes.core.jetstream().publish(LEVELS_SIGNALS, b'{"n":%d}' % number)

        await publish(1)
        await until(lambda: subscription.copies == 1, "the copy of the first message")
        line.cut()
        for number in range(2, 6):
            await publish(number)
        line.mend()
        await nodes.until_linked()
        await publish(6)
        await until(lambda: subscription.copies == 2, "the copy of the last message")
        holding = f"hold {LEVELS_SIGNALS}"
        await until(lambda: holding not in {task.get_name() for task in asyncio.all_tasks()}, "nothing is held")
        shown = [message["n"] for message in inbox.received]
        assert (shown, shown[-1], subscription.received) == (sorted(shown), 6, 6)


async def test_a_named_stream_that_is_missing_is_told_with_its_setting_and_not_made(
    nodes: HubAndLeaf, make_bus: MakeBus
) -> None:
    bus, inbox = make_bus(nodes.leaf, streams=NAMED, domain=EDGE), Inbox()
    await bus.connect()
    subscription = await bus.subscribe(LEVELS_SIGNALS, inbox, "gateway_levels")
    said = "stream EDGE_LEVELS is missing in domain edge: make it, or correct GATEWAY_LEVELS_STREAM"
    assert subscription.trouble == said
    with pytest.raises(BusError, match=said):
        await bus.follow(LEVELS_SIGNALS)
    assert (await ask(nodes.edge, "STREAM.NAMES"))["streams"] == ["MARKET_DATA"]
    await make_stream(nodes.edge, "EDGE_LEVELS", subjects=["edge.levels"])
    await until(lambda: subscription.trouble is None, "it is read as soon as it is there")
    await nodes.edge.jetstream().publish("edge.levels", b'{"n":1}')
    await inbox.until_newest({"n": 1})
    await ask(nodes.edge, "STREAM.DELETE.EDGE_LEVELS")
    await until(lambda: subscription.trouble == said, "its loss is told the same way")


async def test_a_stream_that_keeps_the_messages_elsewhere_from_now_on_is_read_there(
    nodes: HubAndLeaf, make_bus: MakeBus
) -> None:
    await make_stream(nodes.core, "LEVEL_SIGNALS", subjects=["levels.*"])
    await make_stream(nodes.edge, "EDGE_LEVELS", sources=[transform(LEVELS_SIGNALS, "edge.a")])
    bus, inbox = make_bus(nodes.leaf, streams=NAMED), Inbox()
    await bus.connect()
    subscription = await bus.subscribe(LEVELS_SIGNALS, inbox, "gateway_levels")
    config = (await ask(nodes.edge, "STREAM.INFO.EDGE_LEVELS"))["config"]
    await ask(nodes.edge, "STREAM.UPDATE.EDGE_LEVELS", {**config, "sources": [transform(LEVELS_SIGNALS, "edge.b")]})
    await until(lambda: subscription.rebinds == 1, "a new binding")
    consumer = await ask(nodes.edge, "CONSUMER.INFO.EDGE_LEVELS.gateway_levels")
    assert consumer["config"]["filter_subject"] == "edge.b"


async def test_two_subjects_that_one_stream_does_not_tell_apart_are_refused(
    nodes: HubAndLeaf, make_bus: MakeBus
) -> None:
    await make_stream(nodes.edge, "EVERYTHING", subjects=["edge.*"])
    bus = make_bus(nodes.leaf, streams={LEVELS_SIGNALS: "EVERYTHING", MARKET_FLOW: "EVERYTHING"})
    await bus.connect()
    subscription = await bus.subscribe(LEVELS_SIGNALS, Inbox(), "gateway_levels")
    assert subscription.trouble == (
        "GATEWAY_LEVELS_STREAM and GATEWAY_FLOW_STREAM name the stream EVERYTHING, "
        "which does not tell their subjects apart"
    )


@pytest.mark.parametrize(
    ("subject", "created"),
    [(LEVELS_SIGNALS, "gateway_levels.levels.signals"), ("edge.levels", "gateway_levels")],
    ids=["filtered", "all that the stream has"],
)
async def test_with_the_rights_that_are_documented_a_named_stream_is_read(
    nodes: HubAndLeaf, make_bus: MakeBus, subject: str, created: str
) -> None:
    await make_stream(nodes.edge, "EDGE_LEVELS", subjects=[subject])
    consumer = f"CREATE.*.{created}", "DELETE.*.gateway_levels", "INFO.*.gateway_levels"
    allow(nodes.leaf, "$JS.API.STREAM.INFO.*", *(f"$JS.API.CONSUMER.{request}" for request in consumer))
    bus = make_bus(nodes.leaf, GATEWAY, streams=NAMED)
    await bus.connect()
    subscription = await bus.subscribe(LEVELS_SIGNALS, Inbox(), "gateway_levels")
    assert subscription.trouble is None


async def test_a_publication_that_no_stream_takes_is_told_so(nodes: HubAndLeaf, make_bus: MakeBus) -> None:
    await make_stream(nodes.edge, "EDGE_LEVELS", subjects=["edge.levels"])
    bus = make_bus(nodes.leaf, streams=NAMED)
    await bus.connect()
    with pytest.raises(BusError, match=r"cannot publish on levels\.signals: no stream takes it"):
        await bus.publish(LEVELS_SIGNALS, {})
