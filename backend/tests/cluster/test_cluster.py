"""Each fault of a cluster, in short; `make cluster` has the long form."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import pytest
import pytest_asyncio
from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from nats.js.errors import NotFoundError

from soak.nats_cluster import NatsCluster
from src.common.jetstream_path import has_majority
from src.common.last_message import mirror_name
from src.common.subjects import STREAMS
from tests.cluster.faults import FAULTS, through
from tests.cluster.network import why_not
from tests.cluster.partitions import rows_of_partitions
from tests.cluster.restarts import RESTARTS
from tests.cluster.stage import Stage, stage
from tests.conftest import LaunchGateway
from tests.end_to_end.publisher import FLOW, Publisher
from tests.end_to_end.viewer import Viewer
from tests.waiting import LIMIT_S, until

LASTS_S = 4.0
CALM_S = 1.0
VIEWERS = 6
# `make cluster` has all of them. In the suite test_workers.py has a worker that hangs, test_process.py kills and stops,
# and the tests of the clients have a gateway whose state is older.
RESTARTS_IN_SHORT = ["rolling-haproxy"]
PARTITIONS_IN_SHORT = ["routes-cut", "server-of-core-cut", "node-and-gateway-cut"]


@pytest_asyncio.fixture
async def live_cluster(tmp_path: Path) -> AsyncIterator[NatsCluster]:
    async with NatsCluster(tmp_path) as cluster:
        yield cluster


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live_stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with stage(tmp_path_factory.mktemp("cluster"), CALM_S) as found:
        yield found


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("fault", FAULTS)
async def test_no_fault_shows_anything_old_and_every_viewer_is_live_again(live_stage: Stage, fault: str) -> None:
    """How long a gap is, `make cluster` measures; here a busy machine may take its time."""
    async with live_stage.viewers(live_stage.urls_of(VIEWERS)) as viewers:
        row = await through(live_stage, viewers, fault, LASTS_S)
    assert row.older_after_newer == 0
    assert live_stage.replicas.compared > 0
    assert live_stage.replicas.differences == []


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("event", RESTARTS_IN_SHORT)
async def test_when_gateways_restart_nobody_is_locked_out_and_nobody_is_shown_anything_old(
    live_stage: Stage, event: str
) -> None:
    await live_stage.cluster.until_healthy()
    row = await RESTARTS[event](live_stage, VIEWERS, 0.0)
    assert row.older_after_newer == 0
    assert row.refused == 0


@pytest.mark.timeout(240)
async def test_who_is_cut_off_says_so_shows_nothing_old_and_the_others_are_live_again() -> None:
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    for row in await rows_of_partitions(PARTITIONS_IN_SHORT, VIEWERS, LASTS_S, CALM_S):
        assert row.older_after_newer == 0, row
        assert row.is_as_meant, row


async def test_a_gateway_that_knows_one_server_goes_on_with_the_others_when_it_dies(
    live_cluster: NatsCluster, make_gateway: LaunchGateway
) -> None:
    known = live_cluster.nodes["n1"]
    gateway = make_gateway(known.url, GATEWAY_CONSUMERS="ephemeral").start()
    assert gateway.health()["nats_server"].startswith("n1 ")
    known.kill()
    await until(lambda: (gateway.health()["nats_server"] or "n1")[:2] in {"n2", "n3"}, "another server")
    assert "lost the connection to n1" in gateway.stderr
    known.start()
    await live_cluster.until_healthy()


async def test_a_gateway_that_starts_without_quorum_relays_tells_why_and_binds_when_there_is_one(
    live_cluster: NatsCluster, make_gateway: LaunchGateway
) -> None:
    alive, *gone = live_cluster.nodes.values()
    for node in gone:
        node.kill()
    gateway = make_gateway(alive.url, GATEWAY_CONSUMERS="ephemeral").start()
    assert gateway.ready
    trouble = gateway.subscription(FLOW)["trouble"]
    assert "is a majority of the NATS servers up?" in trouble
    async with Viewer(gateway) as viewer, Publisher(alive) as publisher:
        await publisher.client.publish(FLOW, b'{"n":1}')
        await viewer.until_newest(flow=1)
        for node in gone:
            node.start()
        await live_cluster.until_healthy()
        await until(lambda: gateway.health()["status"] == "healthy", "JetStream is bound")
        await publisher.flow(2)
        await viewer.until_newest(flow=2)


async def test_a_leader_of_a_stream_that_is_cut_off_says_so_while_it_still_leads(
    live_cluster: NatsCluster, make_gateway: LaunchGateway
) -> None:
    """For some ten seconds it answers all the rest as if nothing were wrong."""
    make_gateway(live_cluster.url, GATEWAY_STREAM_REPLICAS="3").start().kill()
    name = STREAMS[FLOW].name
    leader = await live_cluster.leader_of(name)
    client = await nats.connect(leader.url)
    jetstream = client.jetstream()
    assert has_majority((await jetstream.stream_info(name)).cluster)
    for node in live_cluster.nodes.values():
        if node is not leader:
            node.kill()
    async with asyncio.timeout(LIMIT_S):
        while has_majority(cluster := (await jetstream.stream_info(name)).cluster):
            await asyncio.sleep(0.1)
    assert cluster is not None
    assert cluster.leader == leader.name
    await client.close()


async def until_mirrored(jetstream: JetStreamContext) -> StreamConfig:
    """What keeps the last message of the flow, once it has one."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            with contextlib.suppress(NotFoundError):
                mirror = await jetstream.stream_info(mirror_name(FLOW))
                if mirror.state.messages:
                    return mirror.config
            await asyncio.sleep(0.05)


async def test_a_stream_of_one_replica_on_a_cluster_is_warned_of_and_a_setting_makes_three(
    live_cluster: NatsCluster, make_gateway: LaunchGateway
) -> None:
    client = await nats.connect(live_cluster.url.split(","))
    jetstream = client.jetstream(timeout=10)
    for name in ("LEVEL_SIGNALS", "MARKET_DATA"):
        await jetstream.delete_stream(name)
    await jetstream.add_stream(StreamConfig(name="LEVEL_SIGNALS", subjects=["levels.*"], num_replicas=1))
    gateway = make_gateway(live_cluster.url, GATEWAY_STREAM_REPLICAS="3", GATEWAY_STREAM_MAX_BYTES="1000000000").start()
    await until(lambda: gateway.health()["status"] == "healthy", "JetStream is bound")
    assert "stream LEVEL_SIGNALS has one replica on a cluster" in gateway.stderr
    assert "stream MARKET_DATA has one replica" not in gateway.stderr
    made = (await jetstream.stream_info("MARKET_DATA")).config
    assert (made.num_replicas, made.max_bytes) == (3, 1_000_000_000)
    await jetstream.publish(FLOW, b'{"n":1}')
    assert (await until_mirrored(jetstream)).num_replicas == 3
    await client.close()
