"""What goes wrong with NATS, one row of `docs/cluster` each: it happens, lasts, and is mended."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from src.common.subjects import LEVELS_SIGNALS, STREAMS
from tests.cluster.stage import Row, Stage, Watch
from tests.cluster.traffic import Viewer

LEVELS_STREAM: Final = STREAMS[LEVELS_SIGNALS].name


class Fault(NamedTuple):
    """One row.

    Attributes:
        words: what happens.
        happen: makes it so for some seconds, and mends it.
    """

    words: str
    happen: Callable[[Stage, float], Awaitable[None]]


async def through(found: Stage, viewers: Sequence[Viewer], fault: str, lasts_s: float) -> Row:
    """Let one fault happen, and tell what everybody had."""
    await found.cluster.until_healthy()
    await found.until_all_have_a_new_message(viewers)
    watch = Watch(found, viewers)
    await asyncio.sleep(found.calm_s)
    await FAULTS[fault].happen(found, lasts_s)
    await found.cluster.until_healthy()
    await asyncio.sleep(found.calm_s)
    row = await watch.end(FAULTS[fault].words)
    await found.until_all_have_a_new_message(viewers)
    return row


async def kill_leader_of_levels(found: Stage, lasts_s: float) -> None:
    node = await found.cluster.leader_of(LEVELS_STREAM)
    node.kill()
    await asyncio.sleep(lasts_s)
    node.start()


async def kill_meta_leader(found: Stage, lasts_s: float) -> None:
    node = found.cluster.meta_leader()
    assert node is not None, "the cluster is healthy"
    node.kill()
    await asyncio.sleep(lasts_s)
    node.start()


async def lose_quorum(found: Stage, lasts_s: float) -> None:
    """Two of three servers are gone; the one that Core uses stays."""
    used = found.cluster.node_of(found.core.server)
    gone = [node for node in found.cluster.nodes.values() if node is not used]
    for node in gone:
        node.kill()
    await asyncio.sleep(lasts_s)
    for node in gone:
        node.start()


async def freeze_leader_of_levels(found: Stage, lasts_s: float) -> None:
    node = await found.cluster.leader_of(LEVELS_STREAM)
    node.freeze()
    await asyncio.sleep(lasts_s)
    node.thaw()


async def freeze_server_of_core(found: Stage, lasts_s: float) -> None:
    node = found.cluster.node_of(found.core.server)
    node.freeze()
    await asyncio.sleep(lasts_s)
    node.thaw()


FAULTS: Final = {
    "leader-killed": Fault("the leader of the levels' stream is killed", kill_leader_of_levels),
    "meta-leader-killed": Fault("the leader of the cluster is killed", kill_meta_leader),
    "quorum-lost": Fault("two of three servers are killed", lose_quorum),
    "leader-frozen": Fault("the leader of the levels' stream hangs, then awakes", freeze_leader_of_levels),
    "core-server-frozen": Fault("the server that Core uses hangs, then awakes", freeze_server_of_core),
}
