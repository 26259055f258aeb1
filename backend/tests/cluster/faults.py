"""What goes wrong on a cluster, one row of `docs/cluster` each: it happens, lasts, and is mended."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from src.common.subjects import LEVELS_SIGNALS, STREAMS
from tests.cluster.nats_cluster import NatsCluster
from tests.cluster.traffic import Core

LEVELS_STREAM: Final = STREAMS[LEVELS_SIGNALS].name


class Scene(NamedTuple):
    """What a fault happens to.

    Attributes:
        cluster: of NATS.
        core: publishes.
        lasts_s: how long the fault lasts.
    """

    cluster: NatsCluster
    core: Core
    lasts_s: float


class Fault(NamedTuple):
    """One row.

    Attributes:
        words: what happens.
        happen: makes it so, and mends it.
    """

    words: str
    happen: Callable[[Scene], Awaitable[None]]


async def kill_leader_of_levels(scene: Scene) -> None:
    node = await scene.cluster.leader_of(LEVELS_STREAM)
    node.kill()
    await asyncio.sleep(scene.lasts_s)
    node.start()


async def kill_meta_leader(scene: Scene) -> None:
    node = scene.cluster.meta_leader()
    assert node is not None, "the cluster is healthy"
    node.kill()
    await asyncio.sleep(scene.lasts_s)
    node.start()


async def lose_quorum(scene: Scene) -> None:
    """Two of three servers are gone; the one that Core uses stays."""
    used = scene.cluster.node_of(scene.core.server)
    gone = [node for node in scene.cluster.nodes.values() if node is not used]
    for node in gone:
        node.kill()
    await asyncio.sleep(scene.lasts_s)
    for node in gone:
        node.start()


async def freeze_leader_of_levels(scene: Scene) -> None:
    node = await scene.cluster.leader_of(LEVELS_STREAM)
    node.freeze()
    await asyncio.sleep(scene.lasts_s)
    node.thaw()


async def freeze_server_of_core(scene: Scene) -> None:
    node = scene.cluster.node_of(scene.core.server)
    node.freeze()
    await asyncio.sleep(scene.lasts_s)
    node.thaw()


FAULTS: Final = {
    "leader-killed": Fault("the leader of the levels' stream is killed", kill_leader_of_levels),
    "meta-leader-killed": Fault("the leader of the cluster is killed", kill_meta_leader),
    "quorum-lost": Fault("two of three servers are killed", lose_quorum),
    "leader-frozen": Fault("the leader of the levels' stream hangs, then awakes", freeze_leader_of_levels),
    "core-server-frozen": Fault("the server that Core uses hangs, then awakes", freeze_server_of_core),
}
