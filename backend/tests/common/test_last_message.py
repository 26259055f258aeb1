"""The last message of a subject, kept beyond the age limit of its stream, on a real nats-server."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import nats
import pytest
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg, RetentionPolicy, StreamConfig, StreamInfo
from nats.js.errors import NotFoundError

from src.common import last_message
from src.common.arrivals import PUBLICATION, Arrival, Publication, digest_of
from src.common.bus import NATSBus
from src.common.last_message import drops_by_age, follows, mirror_name
from src.common.messages import Decoded, decode_object
from src.common.subjects import LEVELS_SIGNALS, MARKET_FLOW
from src.common.subscription import Stored, Subscription, message_in_hand
from src.demo.nats_server import NatsServer
from tests.waiting import Inbox, until

STREAM, MIRROR = "LEVEL_SIGNALS", mirror_name(LEVELS_SIGNALS)
SHORTEST_AGE_S = 0.1  # that a server accepts

MakeBus = Callable[[], NATSBus]


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_message, "LOOK_INTERVAL_S", 0.05)


@pytest.fixture
async def jetstream(nats_server: NatsServer) -> AsyncIterator[JetStreamContext]:
    client = await nats.connect(nats_server.url)
    yield client.jetstream()
    await client.close()


@pytest.fixture
async def make_bus(nats_server: NatsServer) -> AsyncIterator[MakeBus]:
    """Makes what a gateway has; each is closed after the test."""
    made: list[NATSBus] = []

    def make() -> NATSBus:
        made.append(NATSBus(nats_server.url, keeps_last=True, decoders={LEVELS_SIGNALS: with_ts}))
        return made[-1]

    yield make
    for bus in made:
        await bus.close()


def with_ts(body: bytes) -> Decoded:
    """As the levels are read: a message has a time in itself."""
    decoded = decode_object(body)
    return decoded._replace(stamp_ms=decoded.value.get("ts"))


class Shown(Inbox):
    """A bus callback that also keeps where each message stood."""

    def __init__(self) -> None:
        super().__init__()
        self.stored: list[Stored | None] = []

    async def __call__(self, message: Any) -> None:
        self.stored.append(message_in_hand())
        await super().__call__(message)


async def subscribed(bus: NATSBus, inbox: Inbox) -> Subscription:
    await bus.connect()
    return await bus.subscribe(LEVELS_SIGNALS, inbox)


async def info(jetstream: JetStreamContext, name: str = MIRROR) -> StreamInfo | None:
    try:
        return await jetstream.stream_info(name)
    except NotFoundError:
        return None


async def last_in(jetstream: JetStreamContext, name: str = MIRROR, subject: str = LEVELS_SIGNALS) -> RawStreamMsg:
    return await jetstream.get_last_msg(name, subject)


async def until_mirrored(jetstream: JetStreamContext, body: bytes) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                if (await last_in(jetstream)).data == body:
                    return
            except NotFoundError:
                pass
            await asyncio.sleep(0.005)


async def drop_by_age(jetstream: JetStreamContext, name: str = STREAM) -> None:
    """What happens within 24 hours; returns when the stream is empty."""
    config = (await jetstream.stream_info(name)).config
    usual_s = config.max_age
    await jetstream.update_stream(config.evolve(max_age=SHORTEST_AGE_S, duplicate_window=SHORTEST_AGE_S))
    async with asyncio.timeout(20):
        while (await jetstream.stream_info(name)).state.messages:
            await asyncio.sleep(0.005)
    await jetstream.update_stream(config.evolve(max_age=usual_s, duplicate_window=SHORTEST_AGE_S))


async def friday(make_bus: MakeBus, jetstream: JetStreamContext, *bodies: bytes) -> RawStreamMsg:
    """A gateway runs while these are published, and ends; then the stream drops them. Returns the last of them."""
    bus = make_bus()
    await subscribed(bus, Inbox())
    for body in bodies:
        await jetstream.publish(LEVELS_SIGNALS, body)
    await until_mirrored(jetstream, bodies[-1])
    last = await last_in(jetstream, STREAM)
    await bus.close()
    await drop_by_age(jetstream)
    return last


async def test_a_subscription_after_the_weekend_begins_with_the_last_message_and_its_true_place_and_time(
    make_bus: MakeBus, jetstream: JetStreamContext, nats_server: NatsServer
) -> None:
    last = await friday(make_bus, jetstream, b'{"n":1}', b'{"n":2}')
    nats_server.restart()
    inbox = Shown()
    subscription = await subscribed(make_bus(), inbox)
    assert inbox.received == [{"n": 2}]
    [stored] = inbox.stored
    assert last.time is not None
    assert stored is not None
    assert (stored.seq, stored.stored_s, stored.is_first) == (2, last.time.timestamp(), True)
    assert (subscription.received, subscription.last_message_s, subscription.path) == (0, None, None)


async def test_the_first_message_replaces_it_at_once_though_its_time_is_earlier(
    make_bus: MakeBus, jetstream: JetStreamContext
) -> None:
    await friday(make_bus, jetstream, b'{"n":1,"ts":2000}')
    inbox = Inbox()
    subscription = await subscribed(make_bus(), inbox)
    earlier = {PUBLICATION: str(Publication("another", 1, 1_000))}
    await jetstream.publish(LEVELS_SIGNALS, b'{"n":2,"ts":1000}', headers=earlier)
    await until(lambda: subscription.copies == 1, "the message, and its copy")
    assert [message["n"] for message in inbox.received] == [1, 2]
    assert subscription.stragglers == 0


async def test_it_never_replaces_a_message_that_came(make_bus: MakeBus, jetstream: JetStreamContext) -> None:
    await friday(make_bus, jetstream, b'{"n":1}')
    let_go = asyncio.Event()

    class Slow(Inbox):
        async def __call__(self, message: Any) -> None:
            await super().__call__(message)
            await let_go.wait()

    bus, inbox = make_bus(), Slow()
    await bus.connect()
    subscribing = asyncio.create_task(bus.subscribe(LEVELS_SIGNALS, inbox))
    await until(lambda: inbox.received, "the last message is in hand")
    await jetstream.publish(LEVELS_SIGNALS, b'{"n":2}')
    let_go.set()
    subscription = await subscribing
    await inbox.until_newest({"n": 2})
    body, now_s = b'{"n":1}', time.time()
    await subscription._on_last(Arrival("jetstream", digest_of(body), now_s, None, 1, now_s, is_first=True), body)
    assert inbox.received == [{"n": 1}, {"n": 2}]


async def test_a_message_in_the_stream_comes_instead_of_it(make_bus: MakeBus, jetstream: JetStreamContext) -> None:
    await friday(make_bus, jetstream, b'{"n":1}')
    await jetstream.publish(LEVELS_SIGNALS, b'{"n":2}')
    inbox = Inbox()
    await subscribed(make_bus(), inbox)
    assert inbox.received == [{"n": 2}]


async def test_of_a_bad_last_message_the_good_one_before_it_is_kept(
    make_bus: MakeBus, jetstream: JetStreamContext
) -> None:
    await friday(make_bus, jetstream, b'{"n":1}', b'{"n":2}', b"bad", b"bad too")
    inbox = Inbox()
    subscription = await subscribed(make_bus(), inbox)
    assert inbox.received == [{"n": 2}]
    assert subscription.rejected == {"not_json": 2}


async def test_a_stream_that_was_remade_is_mirrored_anew_once_it_has_a_message(
    make_bus: MakeBus, jetstream: JetStreamContext
) -> None:
    await friday(make_bus, jetstream, b'{"n":1}', b'{"n":2}')
    await jetstream.delete_stream(STREAM)
    inbox = Inbox()
    await subscribed(make_bus(), inbox)  # makes the stream, which counts from 1
    assert inbox.received == [{"n": 2}]
    assert (await last_in(jetstream)).data == b'{"n":2}', "it is kept as long as there is no other"
    await jetstream.publish(LEVELS_SIGNALS, b'{"n":3}')
    await until_mirrored(jetstream, b'{"n":3}')
    assert (await last_in(jetstream)).seq == 1


async def test_a_mirror_follows_a_stream_of_its_name_that_is_older_and_not_behind(
    make_bus: MakeBus, jetstream: JetStreamContext
) -> None:
    await subscribed(make_bus(), Inbox())
    await jetstream.publish(LEVELS_SIGNALS, b'{"n":1}')
    await until_mirrored(jetstream, b'{"n":1}')
    mirror, stream = await jetstream.stream_info(MIRROR), await jetstream.stream_info(STREAM)
    assert stream.created is not None
    remade = replace(stream, created=stream.created + timedelta(hours=1))
    cut_back = replace(stream, state=replace(stream.state, last_seq=0))
    moved = replace(stream, config=replace(stream.config, name="MOVED"))
    assert [follows(mirror, each) for each in (stream, remade, cut_back, moved)] == [True, False, False, False]


async def test_several_gateways_that_make_it_at_once_agree(make_bus: MakeBus, jetstream: JetStreamContext) -> None:
    subscriptions = [await subscribed(make_bus(), Inbox()) for _ in range(4)]
    await jetstream.publish(LEVELS_SIGNALS, b'{"n":1}')
    await until_mirrored(jetstream, b'{"n":1}')
    await jetstream.delete_stream(MIRROR)
    await until_mirrored(jetstream, b'{"n":1}')
    assert [(one.trouble, one.rebinds) for one in subscriptions] == [(None, 0)] * 4


async def test_the_mirror_begins_near_the_last_message_and_is_bounded(
    make_bus: MakeBus, jetstream: JetStreamContext
) -> None:
    await make_bus().connect()
    for number in range(300):
        await jetstream.publish(LEVELS_SIGNALS, b'{"n":%d}' % number)
        await jetstream.publish("levels.other", b"{}")
    await subscribed(make_bus(), Inbox())
    await until_mirrored(jetstream, b'{"n":299}')
    mirror = await jetstream.stream_info(MIRROR)
    assert (mirror.state.messages, mirror.state.first_seq, mirror.state.last_seq) == (50, 501, 599)
    assert (mirror.config.max_msgs, mirror.config.max_age, mirror.config.storage) == (100, 0, "file")


@pytest.mark.parametrize(
    ("max_age_s", "retention", "is_mirrored"),
    [
        (86_400.0, RetentionPolicy.LIMITS, True),
        (0.0, RetentionPolicy.LIMITS, False),
        (86_400.0, RetentionPolicy.WORK_QUEUE, False),
        (86_400.0, RetentionPolicy.INTEREST, False),
    ],
)
async def test_only_a_stream_that_drops_by_age_and_by_limits_alone_is_mirrored(
    jetstream: JetStreamContext, max_age_s: float, retention: RetentionPolicy, *, is_mirrored: bool
) -> None:
    config = StreamConfig(name=STREAM, subjects=["levels.*"], max_age=max_age_s, retention=retention)
    assert drops_by_age(await jetstream.add_stream(config)) == is_mirrored


async def test_a_stream_that_keeps_its_messages_has_no_mirror(make_bus: MakeBus, jetstream: JetStreamContext) -> None:
    await jetstream.add_stream(StreamConfig(name=STREAM, subjects=["levels.*"]))
    bus = make_bus()
    await subscribed(bus, Inbox())
    await bus.subscribe(MARKET_FLOW, Inbox())
    async with asyncio.timeout(20):
        while await info(jetstream, mirror_name(MARKET_FLOW)) is None:
            await asyncio.sleep(0.005)
    assert await info(jetstream) is None


async def test_a_stream_of_that_name_that_is_no_mirror_is_left_alone_and_told_once(
    make_bus: MakeBus, jetstream: JetStreamContext, caplog: pytest.LogCaptureFixture
) -> None:
    await jetstream.add_stream(StreamConfig(name=MIRROR, subjects=["something.else"]))
    bus, inbox = make_bus(), Inbox()
    await subscribed(bus, inbox)
    told = f"stream {MIRROR} is there and is no mirror of it"
    await until(lambda: told in caplog.text, "it is told")
    await jetstream.publish(LEVELS_SIGNALS, b'{"n":1}')
    await inbox.until_newest({"n": 1})
    assert (await jetstream.stream_info(MIRROR)).config.subjects == ["something.else"]
    assert caplog.text.count(told) == 1


async def test_the_mirror_is_not_taken_for_the_stream_of_the_subject(
    make_bus: MakeBus, jetstream: JetStreamContext
) -> None:
    await friday(make_bus, jetstream, b'{"n":1}')
    await jetstream.delete_stream(STREAM)
    with pytest.raises(NotFoundError):
        await jetstream.find_stream_name_by_subject(LEVELS_SIGNALS)


async def test_without_it_nothing_is_made_and_nothing_is_shown(
    make_bus: MakeBus, jetstream: JetStreamContext, nats_server: NatsServer
) -> None:
    await friday(make_bus, jetstream, b'{"n":1}')
    bus, inbox = NATSBus(nats_server.url), Inbox()
    await subscribed(bus, inbox)
    await bus.close()
    assert inbox.received == []


@pytest.mark.parametrize(
    ("subject", "name"),
    [(LEVELS_SIGNALS, "LEVELS_SIGNALS_LAST"), (MARKET_FLOW, "MARKET_FLOW_LAST"), ("a-b.ß/c", "A-B_SS_C_LAST")],
)
def test_the_name_of_a_mirror_is_one_that_nats_accepts(subject: str, name: str) -> None:
    assert mirror_name(subject) == name
