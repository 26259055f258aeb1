"""NATSBus against a real nats-server."""

import asyncio
import contextlib
import dataclasses
import enum
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import nats
import pytest
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, DeliverPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from src.common.bus import BusError, NATSBus
from src.common.connection import StrictClient
from src.common.subjects import LEVELS_SIGNALS, MARKET_FLOW
from src.demo.nats_server import HOST, NatsServer
from tests.waiting import LIMIT_S, Inbox, until

MakeBus = Callable[..., NATSBus]


@pytest.fixture
async def make_bus(nats_server: NatsServer) -> AsyncIterator[MakeBus]:
    """Makes buses, of `nats_server` where no URL is given, and closes them when the test is over."""
    made = []

    def make(url: str = nats_server.url, **options: Any) -> NATSBus:
        made.append(NATSBus(url, **options))
        return made[-1]

    yield make
    for bus in made:
        await bus.close()


@pytest.fixture
async def bus(make_bus: MakeBus) -> NATSBus:
    bus = make_bus()
    await bus.connect()
    return bus


@pytest.fixture
async def jetstream(nats_server: NatsServer) -> AsyncIterator[JetStreamContext]:
    """Somebody else on the same server, who comes back when it does."""

    async def expected_while_down(_error: Exception) -> None:
        return

    client = await nats.connect(
        nats_server.url, error_cb=expected_while_down, max_reconnect_attempts=-1, reconnect_time_wait=0.1
    )
    yield client.jetstream(timeout=2)
    await client.close()


async def publish(jetstream: JetStreamContext, subject: str, body: bytes) -> None:
    """Publish until the stream has it: a server that just came back is not ready at once."""

    async with asyncio.timeout(LIMIT_S):
        while True:
            with contextlib.suppress(nats.errors.Error, TimeoutError):
                await jetstream.publish(subject, body, timeout=0.5)
                return
            await asyncio.sleep(0.02)


async def publish_many(jetstream: JetStreamContext, count: int) -> None:
    """Publish `{"n": 0}` to `{"n": count - 1}` without a wait between, and return when all are stored."""
    stored = [await jetstream.publish_async(LEVELS_SIGNALS, b'{"n":%d}' % n) for n in range(count)]
    await asyncio.gather(*stored)


# -- publishing --------------------------------------------------------------------------------------------------------


class Side(enum.Enum):
    CALL = "C"


class Kind(enum.StrEnum):
    WALL = "WALL"


@dataclasses.dataclass
class Level:
    price: float
    kind: Kind


class Model:
    def __init__(self, **fields: Any) -> None:
        self.fields = fields

    def model_dump(self) -> dict[str, Any]:
        return self.fields


@pytest.mark.parametrize(
    ("message", "arrives"),
    [
        ({"spot": 687.5, "side": Side.CALL}, {"spot": 687.5, "side": "C"}),
        (Level(687.0, Kind.WALL), {"price": 687.0, "kind": "WALL"}),
        (
            Model(level=Level(1.0, Kind.WALL), sides=[Side.CALL]),
            {"level": {"price": 1.0, "kind": "WALL"}, "sides": ["C"]},
        ),
        ({"model": Model(x=1), "ts_ns": 2**60 + 1}, {"model": {"x": 1}, "ts_ns": 2**60 + 1}),
        ({"value": float("nan")}, {"value": None}),
    ],
)
async def test_what_is_published_arrives_as_json(bus: NATSBus, message: Any, arrives: dict[str, Any]) -> None:
    inbox = Inbox()
    await bus.subscribe(MARKET_FLOW, inbox)
    await bus.publish(MARKET_FLOW, message)
    await inbox.until_newest(arrives)


async def test_what_json_cannot_say_is_a_type_error(bus: NATSBus) -> None:
    with pytest.raises(TypeError, match="cannot publish a object"):
        await bus.publish(MARKET_FLOW, {"x": object()})


async def test_publishing_without_a_server_is_an_error_at_once(bus: NATSBus, nats_server: NatsServer) -> None:
    nats_server.kill()
    await until(lambda: not bus.is_connected, "the bus notices")
    with pytest.raises(BusError, match="not connected"):
        await bus.publish(MARKET_FLOW, {})


async def test_publishing_makes_a_stream_that_vanished(bus: NATSBus, jetstream: JetStreamContext) -> None:
    await jetstream.delete_stream("MARKET_DATA")
    await bus.publish(MARKET_FLOW, {"n": 1})
    assert (await jetstream.get_last_msg("MARKET_DATA", MARKET_FLOW)).data == b'{"n":1}'


# -- streams and consumers ---------------------------------------------------------------------------------------------


async def test_missing_streams_are_made_as_agreed(bus: NATSBus, jetstream: JetStreamContext) -> None:
    for name, subjects in (("LEVEL_SIGNALS", ["levels.*"]), ("MARKET_DATA", ["market.*", "market.*.*"])):
        config = (await jetstream.stream_info(name)).config
        assert (config.subjects, config.storage, config.retention, config.max_age) == (
            subjects,
            "file",
            "limits",
            86_400,
        )


async def test_a_stream_that_covers_the_subject_is_used_and_never_changed(
    make_bus: MakeBus, jetstream: JetStreamContext
) -> None:
    theirs = await jetstream.add_stream(
        StreamConfig(name="THEIRS", subjects=["levels.>"], storage=StorageType.MEMORY, max_msgs=7)
    )
    bus, inbox = make_bus(), Inbox()
    await bus.connect()
    await bus.subscribe(LEVELS_SIGNALS, inbox, "gateway_levels")
    await bus.publish(LEVELS_SIGNALS, {"n": 1})
    await inbox.until_newest({"n": 1})
    assert (await jetstream.stream_info("THEIRS")).config == theirs.config
    with pytest.raises(NotFoundError):
        await jetstream.stream_info("LEVEL_SIGNALS")


async def test_the_durable_is_visible_and_has_no_lag_and_stays(make_bus: MakeBus, jetstream: JetStreamContext) -> None:
    bus, inbox = make_bus(), Inbox()
    await bus.connect()
    await bus.subscribe(LEVELS_SIGNALS, inbox, "gateway_levels")
    for n in range(50):
        await bus.publish(LEVELS_SIGNALS, {"n": n})
    await inbox.until_newest({"n": 49})
    assert inbox.received == [{"n": n} for n in range(50)]
    info = await jetstream.consumer_info("LEVEL_SIGNALS", "gateway_levels")
    assert (info.num_pending, info.num_ack_pending, info.config.durable_name) == (0, 0, "gateway_levels")
    await bus.close()
    assert (await jetstream.consumer_info("LEVEL_SIGNALS", "gateway_levels")).name == "gateway_levels"


async def test_without_a_durable_the_consumer_leaves_with_its_reader(
    make_bus: MakeBus, jetstream: JetStreamContext
) -> None:
    bus = make_bus()
    await bus.connect()
    await bus.subscribe(LEVELS_SIGNALS, Inbox())
    assert [one.config.durable_name for one in await jetstream.consumers_info("LEVEL_SIGNALS")] == [None]
    await bus.close()
    assert await jetstream.consumers_info("LEVEL_SIGNALS") == []


@pytest.mark.parametrize("durable_name", ["gateway_levels", None])
async def test_two_gateways_both_see_every_message(make_bus: MakeBus, durable_name: str | None) -> None:
    buses, inboxes = [make_bus() for _ in range(2)], [Inbox(), Inbox()]
    for bus, inbox in zip(buses, inboxes, strict=True):
        await bus.connect()
        await bus.subscribe(LEVELS_SIGNALS, inbox, durable_name)
    for n in range(100):
        await buses[0].publish(LEVELS_SIGNALS, {"n": n})
    for inbox in inboxes:
        await inbox.until_newest({"n": 99})
        assert inbox.received == [{"n": n} for n in range(100)]


async def test_a_second_gateway_that_starts_and_stops_takes_nothing_from_the_first(make_bus: MakeBus) -> None:
    first, second, inbox = make_bus(), make_bus(), Inbox()
    await first.connect()
    subscription = await first.subscribe(LEVELS_SIGNALS, inbox, "gateway_levels")
    await second.connect()
    await second.subscribe(LEVELS_SIGNALS, Inbox(), "gateway_levels")
    await second.close()
    await first.publish(LEVELS_SIGNALS, {"n": 1})
    await inbox.until_newest({"n": 1})
    assert (subscription.rebinds, subscription.trouble) == (0, None)


async def test_a_consumer_of_that_name_with_other_settings_is_replaced(
    make_bus: MakeBus, jetstream: JetStreamContext
) -> None:
    await jetstream.add_stream(StreamConfig(name="LEVEL_SIGNALS", subjects=["levels.*"]))
    await jetstream.add_consumer(
        "LEVEL_SIGNALS", ConsumerConfig(durable_name="gateway_levels", deliver_policy=DeliverPolicy.ALL)
    )
    bus, inbox = make_bus(), Inbox()
    await bus.connect()
    await bus.subscribe(LEVELS_SIGNALS, inbox, "gateway_levels")
    await bus.publish(LEVELS_SIGNALS, {"n": 1})
    await inbox.until_newest({"n": 1})


# -- newest first ------------------------------------------------------------------------------------------------------


async def test_of_a_backlog_only_the_newest_is_delivered(make_bus: MakeBus, jetstream: JetStreamContext) -> None:
    """Also a durable that stopped long ago starts at the newest, and the producer is silent by then."""
    old, inbox = make_bus(), Inbox()
    await old.connect()
    await old.subscribe(LEVELS_SIGNALS, inbox, "gateway_levels")
    await old.close()
    await publish_many(jetstream, 3000)
    bus, inbox = make_bus(), Inbox()
    await bus.connect()
    await bus.subscribe(LEVELS_SIGNALS, inbox, "gateway_levels")
    assert inbox.received == [{"n": 2999}], "there when subscribe() returns, and alone"
    info = await jetstream.consumer_info("LEVEL_SIGNALS", "gateway_levels")
    assert (info.num_pending, info.num_ack_pending) == (0, 0)


async def test_after_a_partition_the_backlog_is_skipped(
    make_bus: MakeBus, nats_server: NatsServer, jetstream: JetStreamContext
) -> None:
    """The gateway alone loses the server; meanwhile others publish."""
    bus, inbox = make_bus(), Inbox()
    await bus.connect()
    await bus.subscribe(LEVELS_SIGNALS, inbox, "gateway_levels")
    bus._connection._servers[:] = ["nats://127.0.0.1:1"]
    await bus._connection.link_nowait().client.close()
    await publish_many(jetstream, 1000)
    bus._connection._servers[:] = [nats_server.url]
    await inbox.until_newest({"n": 999})
    assert inbox.received == [{"n": 999}]


async def test_a_bad_newest_message_at_start_does_not_hide_the_good_one_before_it(
    make_bus: MakeBus, jetstream: JetStreamContext
) -> None:
    await jetstream.add_stream(StreamConfig(name="LEVEL_SIGNALS", subjects=["levels.*"]))
    for subject, body in (
        (LEVELS_SIGNALS, b'{"n":1}'),
        (LEVELS_SIGNALS, b'{"n":2}'),
        ("levels.other", b'{"n":3}'),
        (LEVELS_SIGNALS, b"[]"),
        (LEVELS_SIGNALS, b"not json"),
    ):
        await jetstream.publish(subject, body)
    bus, inbox = make_bus(), Inbox()
    await bus.connect()
    subscription = await bus.subscribe(LEVELS_SIGNALS, inbox, "gateway_levels")
    assert inbox.received == [{"n": 2}]
    assert subscription.rejected == {"not_json": 1, "not_an_object": 1}


async def test_a_bad_message_is_counted_logged_and_passed_over(
    make_bus: MakeBus, caplog: pytest.LogCaptureFixture
) -> None:
    bus, inbox = make_bus(max_message_bytes=1024), Inbox()
    await bus.connect()
    subscription = await bus.subscribe(LEVELS_SIGNALS, inbox, "gateway_levels")
    for body in (b"{}", b"", b"[1]", b"{" * 10_000, b'{"a":"%s"}' % (b"x" * 2000), b'{"n":1}'):
        await bus.publish(LEVELS_SIGNALS, body)
    await inbox.until_newest({"n": 1})
    assert inbox.received == [{}, {"n": 1}]
    assert subscription.rejected == {"not_json": 1, "not_an_object": 1, "too_large": 2}
    lines = [record.message for record in caplog.records if "is bad" in record.message]
    assert lines == ["levels.signals: message 2 is bad: not_json"], "one line a second at most"


async def test_a_failing_callback_costs_one_message(bus: NATSBus, caplog: pytest.LogCaptureFixture) -> None:
    received = []

    async def callback(message: dict[str, int]) -> None:
        received.append(message["n"])
        if message["n"] == 1:
            raise KeyError("a bug")

    subscription = await bus.subscribe(MARKET_FLOW, callback)
    for n in range(3):
        await bus.publish(MARKET_FLOW, {"n": n})
    await until(lambda: received == [0, 1, 2], "all three")
    assert subscription.rejected == {"callback_failed": 1}
    assert "the callback failed on" in caplog.text


# -- outages -----------------------------------------------------------------------------------------------------------

Outage = Callable[[NatsServer, JetStreamContext], Awaitable[None]]


async def server_restarts(server: NatsServer, _jetstream: JetStreamContext) -> None:
    server.restart()


async def server_is_killed(server: NatsServer, _jetstream: JetStreamContext) -> None:
    server.kill()
    server.start()


async def server_loses_its_store(server: NatsServer, _jetstream: JetStreamContext) -> None:
    server.lose_store()
    server.start()


async def stream_is_deleted(_server: NatsServer, jetstream: JetStreamContext) -> None:
    await jetstream.delete_stream("LEVEL_SIGNALS")


async def stream_is_made_again(_server: NatsServer, jetstream: JetStreamContext) -> None:
    await jetstream.delete_stream("LEVEL_SIGNALS")
    await jetstream.add_stream(
        StreamConfig(name="LEVEL_SIGNALS", subjects=["levels.*"], storage=StorageType.MEMORY, max_msgs=50)
    )


async def stream_is_purged(_server: NatsServer, jetstream: JetStreamContext) -> None:
    await jetstream.purge_stream("LEVEL_SIGNALS")


async def subject_moves(_server: NatsServer, jetstream: JetStreamContext) -> None:
    config = (await jetstream.stream_info("LEVEL_SIGNALS")).config
    await jetstream.update_stream(config.evolve(subjects=["levels.old"]))
    await jetstream.add_stream(StreamConfig(name="MOVED", subjects=[LEVELS_SIGNALS]))


async def consumer_is_deleted(_server: NatsServer, jetstream: JetStreamContext) -> None:
    await jetstream.delete_consumer("LEVEL_SIGNALS", "gateway_levels")


OUTAGES = [
    server_restarts,
    server_is_killed,
    server_loses_its_store,
    stream_is_deleted,
    stream_is_made_again,
    stream_is_purged,
    subject_moves,
    consumer_is_deleted,
]


@pytest.mark.parametrize("storage", [StorageType.FILE, StorageType.MEMORY], ids=["file", "memory"])
@pytest.mark.parametrize("outage", OUTAGES, ids=lambda outage: outage.__name__)
async def test_relaying_resumes_by_itself(
    make_bus: MakeBus, nats_server: NatsServer, jetstream: JetStreamContext, storage: StorageType, outage: Outage
) -> None:
    await jetstream.add_stream(StreamConfig(name="LEVEL_SIGNALS", subjects=["levels.*"], storage=storage))
    bus, inbox = make_bus(), Inbox()
    await bus.connect()
    subscription = await bus.subscribe(LEVELS_SIGNALS, inbox, "gateway_levels")
    for n in range(20):
        await publish(jetstream, LEVELS_SIGNALS, b'{"n":%d}' % n)
    await inbox.until_newest({"n": 19})
    await outage(nats_server, jetstream)
    for n in range(20, 23):
        await publish(jetstream, LEVELS_SIGNALS, b'{"n":%d}' % n)
        await inbox.until_newest({"n": n})
    await until(lambda: subscription.trouble is None, "live again")
    numbers = [message["n"] for message in inbox.received]
    assert numbers == sorted(numbers), "never an older one after a newer one"


async def test_a_stream_remade_by_its_owner_keeps_the_owners_settings(
    bus: NATSBus, jetstream: JetStreamContext
) -> None:
    inbox = Inbox()
    await bus.subscribe(LEVELS_SIGNALS, inbox, "gateway_levels")
    await stream_is_made_again(None, jetstream)  # type: ignore[arg-type]
    await bus.publish(LEVELS_SIGNALS, {"n": 1})
    await inbox.until_newest({"n": 1})
    config = (await jetstream.stream_info("LEVEL_SIGNALS")).config
    assert (config.storage, config.max_msgs) == ("memory", 50)


async def test_a_server_that_says_what_the_library_cannot_read_is_no_reason_to_give_up(
    bus: NATSBus, nats_server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    calls = 0

    async def impostor(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        writer.write(b"INFO\r\n")
        writer.close()

    nats_server.kill()
    async with await asyncio.start_server(impostor, HOST, nats_server.port):
        await until(lambda: calls > 2, "it is tried again and again")
    assert not bus.is_connected
    nats_server.start()
    await until(lambda: bus.is_connected, "the bus is back")
    assert sum("the NATS library failed" in record.message for record in caplog.records) == 1


async def test_a_frozen_server_is_noticed_and_found_again(make_bus: MakeBus, nats_server: NatsServer) -> None:
    bus, inbox = make_bus(), Inbox()
    await bus.connect()
    await bus.subscribe(LEVELS_SIGNALS, inbox, "gateway_levels")
    nats_server.freeze()
    await until(lambda: not bus.is_connected, "the bus notices")
    nats_server.thaw()
    await until(lambda: bus.is_connected, "the bus is back")
    await bus.publish(LEVELS_SIGNALS, {"n": 1})
    await inbox.until_newest({"n": 1})


async def test_a_socket_that_breaks_under_what_is_being_written_is_noticed(bus: NATSBus) -> None:
    """As after a pause of the whole process, when requests, a ping and the end of the connection come in one moment."""
    await bus.subscribe(LEVELS_SIGNALS, Inbox(), "gateway_levels")
    client: Any = bus._connection.link_nowait().client
    client._transport._io_writer.transport.abort()
    client._pending_data_size = 1  # what a ping leaves until it is flushed
    while not client._transport._io_writer._protocol._connection_lost:
        await asyncio.sleep(0)
    with contextlib.suppress(OSError):
        await client._process_op_err(ConnectionResetError())
    await until(lambda: bus.reconnects == 1, "the bus is back")
    await until(lambda: bus.subscriptions[0].trouble is None, "live again")


async def test_with_several_servers_one_that_is_up_is_enough(make_bus: MakeBus, nats_server: NatsServer) -> None:
    bus = make_bus(f"nats://127.0.0.1:1, {nats_server.url}")
    await bus.connect()
    assert bus.is_connected


# -- what cannot work --------------------------------------------------------------------------------------------------


async def test_no_server_is_said_with_the_address_and_without_the_password(make_bus: MakeBus) -> None:
    bus = make_bus("nats://ann:secret@127.0.0.1:1", connect_timeout_s=0.3)
    with pytest.raises(BusError, match=r"cannot reach nats://\*\*\*@127.0.0.1:1 after 0.3 s .*NATS_URL") as said:
        await bus.connect()
    assert "secret" not in str(said.value)


async def test_a_server_without_jetstream_is_reported(make_bus: MakeBus, nats_server: NatsServer) -> None:
    nats_server.stop()
    plain = NatsServer(config="jetstream: disabled")
    with plain:
        bus = make_bus(plain.url, connect_timeout_s=1)
        await bus.connect()
        with pytest.raises(BusError, match="JetStream is not enabled"):
            await bus.publish(LEVELS_SIGNALS, {})
        subscription = await bus.subscribe(LEVELS_SIGNALS, Inbox())
        assert subscription.is_live
        assert "JetStream is not enabled" in str(subscription.trouble)
        await bus.close()


async def test_a_subject_that_no_stream_covers_is_reported(make_bus: MakeBus) -> None:
    bus = make_bus(connect_timeout_s=1)
    await bus.connect()
    subscription = await bus.subscribe("orders.new", Inbox())
    assert subscription.is_live
    assert "no stream covers orders.new; make one" in str(subscription.trouble)


async def test_a_stream_of_our_name_that_does_not_cover_the_subject_is_reported(
    make_bus: MakeBus, jetstream: JetStreamContext
) -> None:
    await jetstream.add_stream(StreamConfig(name="LEVEL_SIGNALS", subjects=["elsewhere"]))
    bus = make_bus(connect_timeout_s=1)
    await bus.connect()
    subscription = await bus.subscribe(LEVELS_SIGNALS, Inbox())
    assert "stream LEVEL_SIGNALS exists but does not cover levels.signals; add" in str(subscription.trouble)


async def test_close_is_idempotent_and_works_before_connect(make_bus: MakeBus) -> None:
    bus = make_bus("nats://127.0.0.1:1")
    await bus.close()


async def test_a_connection_that_is_reset_with_unsent_bytes_ends_its_subscriptions(nats_server: NatsServer) -> None:
    client: Any = StrictClient()
    await client.connect(nats_server.url, error_cb=Inbox().__call__, allow_reconnect=False)
    subscription = await client.subscribe(MARKET_FLOW, cb=Inbox().__call__)
    client._transport._io_reader.set_exception(ConnectionResetError("reset"))  # as asyncio does at a reset
    client._pending.append(b"PING\r\n")
    client._pending_data_size += 6
    async with asyncio.timeout(LIMIT_S):
        await asyncio.wait({client._reading_task, subscription._wait_for_msgs_task})
    assert client._reading_task.exception() is None
    assert client.ended.is_set()
