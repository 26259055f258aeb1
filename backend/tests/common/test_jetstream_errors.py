"""What JetStream refuses: each error comes from a real nats-server, and one line says what to do."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

import nats
import pytest
from nats.js.api import ConsumerConfig, StreamConfig
from nats.js.errors import APIError

from soak.nats_cluster import NatsCluster
from src.common.access import Access
from src.common.bus import BusError, NATSBus
from src.common.connection import API_ERRORS, reason
from src.common.subjects import LEVELS_SIGNALS, MARKET_FLOW, STREAMS, JetStreamOptions, StreamLimits
from src.common.subscription import Subscription
from src.demo.nats_server import NatsServer
from tests.leaf_node import make_stream
from tests.nats_operator import JETSTREAM_LIMITS, Operator
from tests.waiting import Inbox, until

MakeBus = Callable[..., NATSBus]

MB = 1 << 20
UNBOUND = StreamLimits()
NAME = "LEVEL_SIGNALS"
SUBJECTS = ["levels.*"]


@pytest.fixture
async def make_bus() -> AsyncIterator[MakeBus]:
    """Makes buses, and closes them when the test is over."""
    made: list[NATSBus] = []

    def make(server: NatsServer, login: str = "", limits: StreamLimits = UNBOUND, **access: Any) -> NATSBus:
        made.append(
            NATSBus(
                server.url.replace("://", f"://{login}"),
                connect_timeout_s=2.0,
                access=Access(**access),
                jetstream=JetStreamOptions(new_streams=limits),
            )
        )
        return made[-1]

    yield make
    for bus in made:
        await bus.close()


async def subscribed(bus: NATSBus, subject: str = LEVELS_SIGNALS) -> Subscription:
    """A subscription that core NATS keeps live, whatever JetStream says."""
    await bus.connect()
    return await bus.subscribe(subject, Inbox(), "gateway_levels")


def of_account(limits: str) -> str:
    """A server whose user `ann` has an account with these limits of JetStream."""
    return f"accounts {{ A {{ jetstream {{ {limits} }}, users: [{{ user: ann, password: ann }}] }} }}"


class Refused(NamedTuple):
    """A request that JetStream refuses.

    Attributes:
        code: its `err_code`.
        description: the server's.
        config: of the server; `$STORE` stands for a folder.
        stream: configuration of a stream that is there before, beside its name and subjects; None: there is none.
        consumed: whether somebody else has a consumer of it.
        limits: of the stream that the bus makes.
        published: bytes of each body that the bus publishes until it is refused; 0: it subscribes.
    """

    code: int
    description: str
    config: str = ""
    stream: dict[str, Any] | None = None
    consumed: bool = False
    limits: StreamLimits = UNBOUND
    published: int = 0


FULL = {"storage": "file"}
OTHER = {"name": "OTHER", "subjects": ["other"]}
SMALL_SERVER = "jetstream { store_dir: $STORE, max_file_store: 1MB }"

REFUSED = [
    Refused(10026, "maximum consumers limit reached", stream={"max_consumers": 1}, consumed=True),
    Refused(10026, "maximum consumers limit reached", of_account("max_consumers: 1"), {}, consumed=True),
    Refused(10027, "maximum number of streams reached", of_account("max_streams: 1"), OTHER),
    Refused(10039, "JetStream not enabled for account", "accounts { A { users: [{ user: ann, password: ann }] } }"),
    Refused(10047, "insufficient storage resources available", SMALL_SERVER, limits=StreamLimits(1, 2 * MB)),
    Refused(
        10047, "insufficient storage resources available", of_account("max_file: 1MB"), limits=StreamLimits(1, 2 * MB)
    ),
    Refused(10074, "replicas > 1 not supported in non-clustered mode", limits=StreamLimits(3)),
    Refused(10098, "workqueue stream requires explicit ack", stream={"retention": "workqueue"}),
    Refused(
        10113,
        "account requires a stream config to have max bytes set",
        of_account("max_file: 1MB, max_bytes_required: true"),
    ),
    Refused(
        10122,
        "stream max bytes exceeds account limit max stream bytes",
        of_account("max_file: 9MB, store_max_stream_bytes: 1MB"),
        limits=StreamLimits(1, 2 * MB),
    ),
    Refused(10002, "resource limits exceeded for account", of_account("max_file: 1MB"), FULL, published=MB // 8),
    Refused(10023, "insufficient resources", SMALL_SERVER, FULL, published=MB // 8),
    Refused(10054, "message size exceeds maximum allowed", stream={"max_msg_size": 10}, published=11),
    Refused(10077, "maximum bytes exceeded", stream={"max_bytes": 1000, "discard": "new"}, published=800),
    Refused(10077, "maximum messages exceeded", stream={"max_msgs": 1, "discard": "new"}, published=1),
]
ELSEWHERE = {10005, 10008, 10120}  # in the tests below


@pytest.mark.parametrize("refused", REFUSED, ids=[f"{refused.code}-{number}" for number, refused in enumerate(REFUSED)])
async def test_an_error_of_jetstream_says_in_one_line_what_to_do(
    make_bus: MakeBus, tmp_path: Path, refused: Refused
) -> None:
    with NatsServer(store=tmp_path, config=refused.config.replace("$STORE", json.dumps(str(tmp_path)))) as server:
        login = "ann:ann@" if "ann" in refused.config else ""
        core = await nats.connect(server.url.replace("://", f"://{login}"))
        if refused.stream is not None:
            await make_stream(core, **{"name": NAME, "subjects": SUBJECTS, **refused.stream})
        if refused.consumed:
            await core.jetstream().add_consumer(NAME, ConsumerConfig(durable_name="somebody"))
        await core.close()
        said = await refusal(make_bus(server, login, refused.limits), refused.published)
        assert said.endswith(f"{refused.description}: {API_ERRORS[refused.code]}")
        assert "\n" not in said


async def refusal(bus: NATSBus, published: int) -> str:
    if not published:
        return str((await subscribed(bus)).trouble)
    await bus.connect()
    with pytest.raises(BusError) as told:
        for _ in range(20):
            await bus.publish(LEVELS_SIGNALS, b" " * published)
    return str(told.value)


def test_each_error_that_has_a_remedy_was_seen() -> None:
    assert {refused.code for refused in REFUSED} | ELSEWHERE == API_ERRORS.keys()


async def test_an_account_with_limits_for_another_number_of_replicas_is_told(make_bus: MakeBus, tmp_path: Path) -> None:
    operator, path = Operator({"tiered_limits": {"R3": dict(JETSTREAM_LIMITS)}}), tmp_path / "user.creds"
    operator.write_creds(path)
    with NatsServer(config=operator.server_config()) as server:
        subscription = await subscribed(make_bus(server, creds_file=str(path)))
        assert str(subscription.trouble).endswith(
            f"no JetStream default or applicable tiered limit present: {API_ERRORS[10120]}"
        )


async def test_a_stream_in_the_way_is_told_with_what_to_add(make_bus: MakeBus, nats_server: NatsServer) -> None:
    core = await nats.connect(nats_server.url)
    await make_stream(core, "X", subjects=["levels.other"])
    await core.close()
    subscription = await subscribed(make_bus(nats_server))
    assert subscription.trouble == (
        "another stream holds part of LEVEL_SIGNALS's subjects; add levels.signals to that stream"
    )


async def test_an_error_without_a_remedy_is_told_in_the_servers_words_with_its_number() -> None:
    assert reason(APIError(400, "bad request", 10003)) == "bad request (JetStream error 10003)"


async def test_what_a_cluster_cannot_do_is_told(make_bus: MakeBus, tmp_path: Path) -> None:
    """Too few servers; then the one that has the stream is gone; then the majority is."""
    async with NatsCluster(tmp_path) as cluster:
        core = await nats.connect(cluster.url.split(","))
        jetstream = core.jetstream(timeout=10)
        for stream in STREAMS.values():
            await jetstream.delete_stream(stream.name)
        too_many = await subscribed(make_bus(cluster.nodes["n1"], limits=StreamLimits(5)))
        assert too_many.trouble == (
            f"cannot make stream LEVEL_SIGNALS: no suitable peers for placement: {API_ERRORS[10005]}"
        )
        await jetstream.add_stream(StreamConfig(name="MARKET_DATA", subjects=[MARKET_FLOW], num_replicas=1))
        holder = await cluster.leader_of("MARKET_DATA")
        await core.close()
        holder.kill()
        alive, next_one = (node for node in cluster.nodes.values() if node is not holder)
        subscription = await subscribed(make_bus(alive), MARKET_FLOW)
        await until(lambda: cluster.meta_leader() not in (None, holder), "a leader of the cluster")
        said = (
            "JetStream does not answer: is a server up that has the stream, and is a majority of the NATS servers up?"
        )
        await until(lambda: subscription.trouble == said, "the stream has no server")
        next_one.kill()
        said = f"JetStream system temporarily unavailable: {API_ERRORS[10008]}"
        await until(lambda: subscription.trouble == said, "there is no majority", 40)
