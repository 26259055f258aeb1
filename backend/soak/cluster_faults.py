"""What is done to a cluster of nats-servers, and to gateways with workers on it: each is over before the next.

The first gateway is spared what ends a process: memory that grows shows only in processes that live long.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from signal import SIGKILL, SIGSTOP
from typing import Final

from soak.faults import (
    Fault,
    Surroundings,
    a_burst_of_garbage_is_published,
    a_gateway_is_paused,
    garbage_is_published,
    lines_are_cut,
    silent_sockets_come,
    through_jetstream,
)
from soak.gateway import Gateway
from soak.nats_cluster import NatsCluster, Node
from src.common.subjects import LEVELS_SIGNALS, MARKET_FLOW, STREAMS

Cluster = Surroundings[NatsCluster]
AWAY_S: Final = (0.5, 8.0)  # a server that was killed
FROZEN_S: Final = (1.0, 12.0)  # one that hangs
BETWEEN_S: Final = 1.0  # two restarts, as a deploy has it


def the_leader_of_levels_is_killed(around: Cluster) -> None:
    _kill(around, [_leader_of(around, LEVELS_SIGNALS)])


def the_leader_of_flow_is_killed(around: Cluster) -> None:
    _kill(around, [_leader_of(around, MARKET_FLOW)])


def the_leader_of_the_cluster_is_killed(around: Cluster) -> None:
    leader = around.nats.meta_leader()
    assert leader is not None, "the cluster is healthy"
    _kill(around, [leader])


def two_of_three_servers_are_killed(around: Cluster) -> None:
    _kill(around, _some(around, 2))


def the_leader_of_levels_hangs(around: Cluster) -> None:
    _freeze(around, _leader_of(around, LEVELS_SIGNALS))


def a_server_hangs(around: Cluster) -> None:
    _freeze(around, _some(around, 1)[0])


def the_servers_restart_one_after_the_other(around: Cluster) -> None:
    for node in around.nats.nodes.values():
        node.restart()
        asyncio.run(around.nats.until_healthy())


def a_worker_is_killed(around: Cluster) -> None:
    _lose_a_worker(around, SIGKILL)


def a_worker_hangs(around: Cluster) -> None:
    """Until its supervisor kills it."""
    _lose_a_worker(around, SIGSTOP)


def _lose_a_worker(around: Cluster, how: int) -> None:
    gateway = _not_the_first(around)
    worker = around.chance.choice(gateway.workers)
    with around.losing_viewers():
        os.kill(worker, how)
        gateway.wait_for(lambda: worker not in gateway.workers, "a worker that is lost is gone")
        gateway.wait_for(lambda: gateway.is_whole, "another worker takes its place")


def the_history_is_killed(around: Cluster) -> None:
    gateway = _not_the_first(around)
    history = gateway.history
    if history is None:
        return  # it is being started again
    os.kill(history, SIGKILL)
    gateway.wait_for(lambda: gateway.history not in (None, history), "the history is started again")


def gateways_restart_one_after_the_other(around: Cluster) -> None:
    for gateway in around.gateways[1:]:
        with around.losing_viewers():
            gateway.stop()
            gateway.start()
        time.sleep(BETWEEN_S)


def _kill(around: Cluster, nodes: Sequence[Node]) -> None:
    """They start again after a while."""
    for node in nodes:
        node.kill()
    time.sleep(around.chance.uniform(*AWAY_S))
    for node in nodes:
        node.start()
    asyncio.run(around.nats.until_healthy())


def _freeze(around: Cluster, node: Node) -> None:
    node.freeze()
    time.sleep(around.chance.uniform(*FROZEN_S))
    node.thaw()
    asyncio.run(around.nats.until_healthy())


def _leader_of(around: Cluster, subject: str) -> Node:
    return asyncio.run(around.nats.leader_of(STREAMS[subject].name))


def _some(around: Cluster, count: int) -> list[Node]:
    return around.chance.sample(list(around.nats.nodes.values()), count)


def _not_the_first(around: Cluster) -> Gateway:
    return around.chance.choice(around.gateways[1:])


FAULTS: Final[tuple[Fault[NatsCluster], ...]] = (
    the_leader_of_levels_is_killed,
    the_leader_of_flow_is_killed,
    the_leader_of_the_cluster_is_killed,
    two_of_three_servers_are_killed,
    the_leader_of_levels_hangs,
    a_server_hangs,
    the_servers_restart_one_after_the_other,
    a_worker_is_killed,
    a_worker_hangs,
    the_history_is_killed,
    gateways_restart_one_after_the_other,
    a_gateway_is_paused,
    lines_are_cut,
    silent_sockets_come,
    through_jetstream(garbage_is_published),
    through_jetstream(a_burst_of_garbage_is_published),
)
