"""Three real nats-servers that are one JetStream cluster, on loopback."""

import asyncio
import contextlib
import http.client
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import nats
from nats.js.api import StreamConfig

from src.common.subjects import STREAMS
from src.demo.nats_server import HOST, NatsServer, NatsServerError, free_port

REPLICAS: Final = 3
HEALTH_LIMIT_S: Final = 60.0  # for an election and for a replica to catch up, on a busy machine
ASK_LIMIT_S: Final = 2.0
LOOK_EVERY_S: Final = 0.05


# Whoever does not log in may do all; STREAMS_ONLY reads what is published by JetStream alone.
STREAMS_ONLY: Final = "streams-only"
USERS: Final = f"""
no_auth_user: anybody
authorization {{ users: [
    {{ user: anybody, password: x }},
    {{ user: {STREAMS_ONLY}, password: x, permissions: {{ subscribe: {{ deny: ["levels.>", "market.>"] }} }} }}
] }}
"""


class Place(NamedTuple):
    """Where a server runs.

    Attributes:
        clients: its address for clients.
        routes: that for the other servers.
        monitor: that of its monitoring port.
        under: a command that becomes the server there.
    """

    clients: str = HOST
    routes: str = HOST
    monitor: str = HOST
    under: Sequence[str] = ()


ON_LOOPBACK: Final = (Place(),) * REPLICAS


class Node(NatsServer):
    """One server of the cluster."""

    def __init__(self, name: str, store: Path, place: Place, route_port: int, routes: Sequence[str]) -> None:
        self.name = name
        self.monitor_port = free_port()
        self._monitor_host = place.monitor
        peers = ", ".join(f'"nats-route://{route}"' for route in routes)
        super().__init__(
            store=store,
            host=place.clients,
            under=place.under,
            config=f"""\
server_name: {name}
http: "{place.monitor}:{self.monitor_port}"
cluster {{ name: spymaster, listen: "{place.routes}:{route_port}", routes: [{peers}] }}
{USERS}
""",
        )

    def ask(self, path: str) -> Any:
        """What its monitoring port says at `path`; None where it says nothing."""
        connection = http.client.HTTPConnection(self._monitor_host, self.monitor_port, timeout=ASK_LIMIT_S)
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()


class NatsCluster:
    """The three of them, with both streams, each on all servers.

    Attributes:
        nodes: by name.
    """

    def __init__(self, folder: Path, places: Sequence[Place] = ON_LOOPBACK) -> None:
        ports: list[int] = []
        while len(ports) < REPLICAS:
            if (port := free_port()) not in ports:
                ports.append(port)
        routes = [f"{place.routes}:{port}" for place, port in zip(places, ports, strict=True)]
        self.nodes = {
            f"n{number}": Node(f"n{number}", folder / f"n{number}", place, port, routes)
            for number, (place, port) in enumerate(zip(places, ports, strict=True), start=1)
        }

    @property
    def url(self) -> str:
        """All servers."""
        return ",".join(node.url for node in self.nodes.values())

    @property
    def url_of_streams_only(self) -> str:
        """The same, for somebody who may not subscribe to the plain subjects."""
        return self.url.replace("//", f"//{STREAMS_ONLY}:x@")

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def start(self) -> None:
        """All servers, and both streams.

        Raises:
            NatsServerError: they do not become a cluster.
        """
        try:
            for node in self.nodes.values():
                node.start()
            await _until(self.meta_leader, "a leader of the cluster")
            client = await nats.connect(self.url.split(","))
            await _until(self._all_are_known, "all servers in the cluster")
            for stream in STREAMS.values():
                config = StreamConfig(name=stream.name, subjects=list(stream.subjects), num_replicas=REPLICAS)
                await client.jetstream(timeout=10).add_stream(config)
            await client.close()
        except BaseException:
            self.close()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        for node in self.nodes.values():
            with contextlib.suppress(NatsServerError):
                node.thaw()
            node.kill()
            node.close()

    def meta_leader(self) -> Node | None:
        """The server that leads the cluster; None while there is none."""
        for node in self._answering():
            leader = ((node.ask("/jsz") or {}).get("meta_cluster") or {}).get("leader")
            if leader in self.nodes and self.nodes[leader].running:
                return self.nodes[leader]
        return None

    async def leader_of(self, stream: str) -> Node:
        """The server that leads a stream; waits for one."""
        await _until(lambda: self._leaders(stream), f"a leader of {stream}")
        return self._leaders(stream)[0]

    async def replicate(self, replicas: int) -> None:
        """Keep each stream on so many servers from now on; returns when they do."""
        client = await nats.connect(self.url.split(","))
        for stream in STREAMS.values():
            config = StreamConfig(name=stream.name, subjects=list(stream.subjects), num_replicas=replicas)
            await client.jetstream(timeout=10).update_stream(config)
            await _until(partial(self._is_on, stream.name, replicas), "the replicas")
        await client.close()

    async def until_healthy(self) -> None:
        """Wait until all servers run and hold all of each stream."""
        await _until(self._is_healthy, "a healthy cluster")

    def node_of(self, server: str) -> Node:
        """The server that a bus calls so."""
        return self.nodes[server.split()[0]]

    def _all_are_known(self) -> bool:
        """Whether the leader has heard of every other server; streams are placed only on those."""
        leader = self.meta_leader()
        page = {} if leader is None else leader.ask("/jsz") or {}
        others = page.get("meta_cluster", {}).get("replicas") or []
        return len(others) == REPLICAS - 1 and all(other["current"] and not other.get("offline") for other in others)

    def _answering(self) -> list[Node]:
        return [node for node in self.nodes.values() if node.running and not node.is_frozen]

    def _leaders(self, stream: str) -> list[Node]:
        return [
            self.nodes[info["cluster"]["leader"]]
            for info in self._streams(stream)
            if info["cluster"].get("leader") in self.nodes
        ]

    def _streams(self, stream: str) -> list[Any]:
        said = [node.ask("/jsz?accounts=true&streams=true") or {} for node in self._answering()]
        return [
            info
            for page in said
            for account in page.get("account_details", [])
            for info in account.get("stream_detail", [])
            if info["name"] == stream and "cluster" in info
        ]

    def _is_healthy(self) -> bool:
        if len(self._answering()) < REPLICAS or self.meta_leader() is None:
            return False
        return all(self._is_on(stream.name, REPLICAS) for stream in STREAMS.values())

    def _is_on(self, stream: str, replicas: int) -> bool:
        """Whether so many servers hold all of the stream."""
        return any(
            len(others := info["cluster"].get("replicas") or []) == replicas - 1
            and all(replica["current"] for replica in others)
            for info in self._streams(stream)
        )


async def _until(condition: Callable[[], object], what: str) -> None:
    """Wait for it.

    Raises:
        NatsServerError: in vain.
    """
    try:
        async with asyncio.timeout(HEALTH_LIMIT_S):
            while not condition():
                await asyncio.sleep(LOOK_EVERY_S)
    except TimeoutError:
        raise NatsServerError(f"waited {HEALTH_LIMIT_S:g} s in vain: {what}") from None
