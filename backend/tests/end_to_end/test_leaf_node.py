"""A gateway at a leaf node, with the configuration that docs/operations.md prints."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import LaunchGateway
from tests.end_to_end.publisher import FLOW, LEVELS, Publisher
from tests.end_to_end.viewer import Viewer
from tests.leaf_node import EDGE, HUB, OPERATIONS, HubAndLeaf, ask, make_stream


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[HubAndLeaf]:
    async with HubAndLeaf(tmp_path) as nodes:
        for name, subjects in (("LEVEL_SIGNALS", ["levels.*"]), ("MARKET_DATA", ["market.*", "market.*.*"])):
            await make_stream(nodes.core, name, subjects=subjects)
        yield nodes


async def make_mirrors(nodes: HubAndLeaf) -> None:
    """As printed."""
    (levels,) = map(json.loads, OPERATIONS.code("json"))
    flow: dict[str, Any] = {
        **levels,
        "name": "EDGE_FLOW",
        "mirror": {"name": "MARKET_DATA", "external": levels["mirror"]["external"]},
    }
    for config in (levels, flow):
        await ask(nodes.edge, f"STREAM.CREATE.{config['name']}", config)


async def test_mirrors_at_the_leaf_node_are_relayed_and_outlive_the_hub(
    nodes: HubAndLeaf, make_gateway: LaunchGateway
) -> None:
    await make_mirrors(nodes)
    gateway = make_gateway(nodes.leaf.url, GATEWAY_LEVELS_STREAM="EDGE_LEVELS", GATEWAY_FLOW_STREAM="EDGE_FLOW").start()
    async with Publisher(nodes.hub) as publisher, Viewer(gateway) as viewer:
        await publisher.levels(1)
        await publisher.flow(1)
        await viewer.until_newest(levels=1, flow=1)
    assert [gateway.subscription(subject)["trouble"] for subject in (LEVELS, FLOW)] == [None, None]
    for stream, durable in (("EDGE_LEVELS", "gateway_levels"), ("EDGE_FLOW", "gateway_flow")):
        while (await ask(nodes.edge, f"CONSUMER.INFO.{stream}.{durable}"))["delivered"]["stream_seq"] < 1:
            pass
    assert gateway.stop() == 0
    assert "one replica on a cluster" not in gateway.stderr
    nodes.hub.stop()
    gateway.start()
    async with Viewer(gateway) as viewer:
        await viewer.until_newest(levels=1, flow=1)


async def test_the_hubs_streams_are_relayed_by_their_domain(nodes: HubAndLeaf, make_gateway: LaunchGateway) -> None:
    gateway = make_gateway(nodes.leaf.url, GATEWAY_NATS_DOMAIN=HUB).start()
    async with Publisher(nodes.hub) as publisher, Viewer(gateway) as viewer:
        await publisher.levels(1)
        await viewer.until_newest(levels=1)
    assert gateway.subscription(LEVELS)["trouble"] is None
    assert (await ask(nodes.core, "CONSUMER.NAMES.LEVEL_SIGNALS"))["consumers"] == ["gateway_levels"]


async def test_a_named_stream_that_is_missing_is_told_and_core_nats_is_relayed(
    nodes: HubAndLeaf, make_gateway: LaunchGateway
) -> None:
    gateway = make_gateway(
        nodes.leaf.url, GATEWAY_LEVELS_STREAM="EDGE_LEVELS", GATEWAY_NATS_DOMAIN=EDGE, GATEWAY_CONNECT_TIMEOUT="0.5"
    ).start()
    assert "stream EDGE_LEVELS is missing in domain edge: make it, or correct GATEWAY_LEVELS_STREAM" in gateway.stderr
    async with Publisher(nodes.hub) as publisher, Viewer(gateway) as viewer:
        await publisher.levels(1)
        await viewer.until_newest(levels=1)
