"""A hub and a leaf node of it: two real nats-servers, each with a JetStream domain of its own."""

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from src.common.tasks import unless
from src.demo.nats_server import HOST, NatsServer, free_port
from tests.documents import ROOT, Document
from tests.waiting import LIMIT_S

OPERATIONS: Final = Document(ROOT / "docs" / "operations.md")
HUB: Final = "hub"
EDGE: Final = "edge"


class HubAndLeaf:
    """As a context manager they run, and are linked.

    Attributes:
        hub: has the domain `HUB`.
        leaf: has the domain `EDGE`.
        core: a client at the hub.
        edge: a client at the leaf node.
    """

    core: Client
    edge: Client

    def __init__(self, folder: Path, port: int | None = None, by: str = "") -> None:
        """As docs/operations.md prints their configuration.

        Args:
            folder: for their stores.
            port: at which the hub listens for leaf nodes; by default a free one.
            by: the address by which the leaf node reaches it; by default that port.
        """
        (hub, leaf), address = OPERATIONS.code("conf"), f"{HOST}:{port or free_port()}"
        self.hub = _server(folder / HUB, hub.replace("0.0.0.0:7422", address))
        self.leaf = _server(folder / EDGE, leaf.replace("hub:7422", by or address))

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as running:
            for server in (self.hub, self.leaf):
                running.enter_context(server)
            self.core, self.edge = await nats.connect(self.hub.url), await nats.connect(self.leaf.url)
            for client in (self.core, self.edge):
                running.push_async_callback(client.close)
            await self.until_linked()
            self._running = running.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._running.aclose()

    async def until_linked(self) -> None:
        """Wait until what is published at the hub reaches the leaf node."""
        arrived = asyncio.Event()

        async def note(_message: Msg) -> None:
            arrived.set()

        probe = await self.edge.subscribe("probe", cb=note)
        async with asyncio.timeout(LIMIT_S):
            while not arrived.is_set():
                await self.core.publish("probe")
                await unless(arrived, asyncio.sleep(0.05))
        await probe.unsubscribe()


async def ask(client: Client, request: str, body: Any = None) -> Any:
    """The answer of JetStream to a request, such as `STREAM.INFO.X`, that it takes."""
    answer = await client.request(f"$JS.API.{request}", b"" if body is None else json.dumps(body).encode(), timeout=5)
    said = json.loads(answer.data)
    assert "error" not in said, said["error"]
    return said


async def make_stream(client: Client, name: str, **config: Any) -> None:
    """One in memory."""
    await ask(client, f"STREAM.CREATE.{name}", {"name": name, "storage": "memory", **config})


def _server(store: Path, config: str) -> NatsServer:
    return NatsServer(store=store, config=config.replace('"/data"', json.dumps(str(store))))
