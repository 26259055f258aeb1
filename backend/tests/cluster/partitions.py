"""A part of the cluster is cut off, on networks of our own. Run under `ALONE`; it writes rows as JSON lines.

Each server of NATS and each gateway is a machine. What is cut off reaches nobody, and nobody reaches it, except that
viewers go on to reach their gateway.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from soak.nats_cluster import REPLICAS, Node, Place
from src.common.subjects import LEVELS_SIGNALS, STREAMS
from tests.cluster.balancer import balancer
from tests.cluster.messages import SUBJECTS
from tests.cluster.network import ALONE, Machine, Networks
from tests.cluster.stage import AGREE_LIMIT_S, CALM_S, GATEWAYS, Gap, PlacedGateway, Row, Stage, Watch, stage, start
from tests.cluster.traffic import Client
from tests.end_to_end.gateway_process import BACKEND
from tests.waiting import until

LEFT_S: Final = 8.0  # a server that answers, but brings nothing, is left within this time
LEVELS_STREAM: Final = STREAMS[LEVELS_SIGNALS].name


class Map(NamedTuple):
    """What runs, and on which networks."""

    found: Stage
    networks: Networks

    def machine_of(self, node: Node) -> Machine:
        return self.networks.machines[node.name]

    async def heal(self, cut_s: float, lasts_s: float) -> None:
        """When what was cut at `cut_s`, monotonic seconds, has been so for `lasts_s`; returns when all is calm."""
        await asyncio.sleep(max(0.0, lasts_s - (time.monotonic() - cut_s)))
        self.networks.heal()
        await self.found.cluster.until_healthy()
        await asyncio.sleep(self.found.calm_s)

    async def gateway_and_server(self) -> tuple[PlacedGateway, Node]:
        """A gateway and the server that it uses, which is not Core's: gateways that start are spread over all."""
        for gateway in self.found.gateways:
            gateway.kill()
        await start(self.found.gateways)
        of_core = self.found.cluster.node_of(self.found.core.server)
        for gateway in self.found.gateways:
            server = self.found.cluster.node_of((await asyncio.to_thread(gateway.health))["nats_server"])
            if server is not of_core:
                return gateway, server
        raise AssertionError("three gateways are on three servers")


@asynccontextmanager
async def spread(folder: Path, calm_s: float) -> AsyncIterator[Map]:
    """A stage on machines of its own."""
    with Networks() as networks:
        servers = [networks.add(f"n{number + 1}", ("nats", "routes", "open")) for number in range(REPLICAS)]
        places = [
            Place(server.address("nats"), server.address("routes"), server.address("open"), server.under)
            for server in servers
        ]
        machines = [networks.add(f"g{number + 1}", ("nats", "open")) for number in range(GATEWAYS)]
        async with stage(folder, calm_s, places, machines) as found:
            yield Map(found, networks)


async def node_cut(all_of_it: Map, viewers: int, lasts_s: float) -> Row:
    found, networks = all_of_it
    async with found.viewers(found.urls_of(viewers)) as people:
        await found.cluster.until_healthy()
        watch = Watch(found, people)
        await asyncio.sleep(found.calm_s)
        networks.cut([all_of_it.machine_of(await found.cluster.leader_of(LEVELS_STREAM))])
        cut_s = time.monotonic()
        await all_of_it.heal(cut_s, lasts_s)
        return await watch.end("the leader of the levels' stream is cut off, then reached again")


async def routes_cut(all_of_it: Map, viewers: int, lasts_s: float) -> Row:
    found, networks = all_of_it
    async with found.viewers(found.urls_of(viewers)) as people:
        await found.cluster.until_healthy()
        _, server = await all_of_it.gateway_and_server()
        await found.until_all_have_a_new_message(people)
        watch = Watch(found, people)
        await asyncio.sleep(found.calm_s)
        networks.cut([all_of_it.machine_of(server)], ("routes",))
        cut_s = time.monotonic()
        await found.until_all_have_a_new_message(people)
        await all_of_it.heal(cut_s, lasts_s)
        row = await watch.end("a server loses the other two, and keeps its gateways", allowed_s=LEFT_S)
        plain = max(row.plain.values())
        return row._replace(plain=row.sent, remark=f"the plain subscriber, which may stay there, had {plain} s")


async def server_of_core_cut(all_of_it: Map, viewers: int, lasts_s: float) -> Row:
    """Until Core uses another server its messages reach nobody but the viewers of gateways that use the same one."""
    found, networks = all_of_it
    async with found.viewers(found.urls_of(viewers)) as people:
        await found.cluster.until_healthy()
        server = found.core.server
        watch = Watch(found, people)
        await asyncio.sleep(found.calm_s)
        networks.cut([all_of_it.machine_of(found.cluster.node_of(server))], ("routes",))
        cut_s = time.monotonic()
        await until(lambda: found.core.bus.server not in {None, server}, "Core uses another server", AGREE_LIMIT_S)
        left_s = time.monotonic()
        await found.until_all_have_a_new_message(people)
        await all_of_it.heal(cut_s, lasts_s)
        row = await watch.end("the server that Core uses loses the other two")
        back_s = {subject: found.core.sent.first_s(subject, left_s) - cut_s for subject in SUBJECTS}
        gaps = {subject: Gap(gap_s, gap_s) for subject, gap_s in back_s.items()}
        return row._replace(sent=gaps, plain=gaps, remark=f"Core left it after {left_s - cut_s:.1f} s")


async def node_and_gateway_cut(all_of_it: Map, viewers: int, lasts_s: float) -> Row:
    """Viewers of that gateway have nothing new: nobody can bring it. They are told, and are counted apart."""
    found, networks = all_of_it
    async with found.viewers(found.urls_of(viewers)) as people:
        await found.cluster.until_healthy()
        gateway, server = await all_of_it.gateway_and_server()
        await found.until_all_have_a_new_message(people)
        assert gateway.machine is not None, "each has one here"
        apart = [viewer for viewer in people if viewer.url.startswith(gateway.url())]
        watch = Watch(found, people)
        await asyncio.sleep(found.calm_s)
        networks.cut([all_of_it.machine_of(server), gateway.machine])
        cut_s = time.monotonic()
        await until(lambda: not gateway.ready, "it is out of the balancer", AGREE_LIMIT_S)
        unready_s = time.monotonic() - cut_s
        await all_of_it.heal(cut_s, lasts_s)
        told = [age_s for viewer in apart if (age_s := viewer.told_after_s(watch.begin_s)) is not None]
        row = await watch.end("a server and its gateway are cut off, then reached again", apart=apart)
        behind = await watch.end("", apart=[viewer for viewer in people if viewer not in apart])
        asked = sum(viewer.url.endswith("status=1") for viewer in apart)
        return row._replace(
            remark=f"viewers of that gateway: {max(behind.shown.values())} s, told after "
            f"{max(told, default=0.0):.1f} s; it was unready {unready_s:.1f} s after the cut",
            is_as_meant=len(told) == asked,
        )


async def siblings_die(all_of_it: Map, viewers: int, lasts_s: float) -> Row:
    """A cut-off gateway is the only one that is left: viewers that come back to it have seen more than it knows.

    Half of the viewers use the Python client, the others only the contract. At last the other gateways are there again,
    while the cut lasts on: clients leave for them. Those who were at the cut-off gateway from the beginning stay.
    """
    found, networks = all_of_it
    gateway, server = await all_of_it.gateway_and_server()
    assert gateway.machine is not None, "each has one here"
    others = [other for other in found.gateways if other is not gateway]
    with balancer("haproxy", found.gateways, found.folder / "haproxy") as url:
        clients = [Client(url) for _ in range(viewers // 2)]
        async with found.viewers([url] * (viewers - len(clients)), compared=False) as people, found.started(clients):
            watch = Watch(found, people)
            before = sum(client.shown.steps_back() for client in clients)
            networks.cut([all_of_it.machine_of(server), gateway.machine])
            await asyncio.sleep(lasts_s / 2)
            for other in others:
                other.kill()
            await until(lambda: gateway.health()["connections"] > len(people) / 2, "viewers at the cut-off gateway")
            await asyncio.sleep(lasts_s / 4)
            await start(others)
            alive_s = time.monotonic()
            moved = [client for client in clients if client.has_reconnected]
            await found.until_all_have_a_new_message(moved)
            back_s = time.monotonic() - alive_s
            networks.heal()
            await found.cluster.until_healthy()
            await found.until_all_have_a_new_message([*people, *clients])
            row = await watch.end("a server and its gateway are cut off, then its siblings die")
            older = sum(client.shown.steps_back() for client in clients) - before
            return row._replace(
                older_after_newer=older,
                allowed_s=2 * lasts_s + AGREE_LIMIT_S,
                remark=f"older after newer: of the Python client; {row.older_after_newer} of viewers that know only "
                f"the contract. {len(moved)} clients came to the cut-off gateway, and were live {back_s:.1f} s after a "
                "sibling was there",
            )


PARTITIONS: Final = {
    "node-cut": node_cut,
    "routes-cut": routes_cut,
    "server-of-core-cut": server_of_core_cut,
    "node-and-gateway-cut": node_and_gateway_cut,
    "siblings-die": siblings_die,
}


# -- the two sides of the process --------------------------------------------------------------------------------------


async def rows_of_partitions(names: Sequence[str], viewers: int, lasts_s: float, calm_s: float = CALM_S) -> list[Row]:
    """Each row that is named, from a process on networks of its own; tells each when it is there."""
    command = [sys.executable, "-m", __name__, str(viewers), str(lasts_s), str(calm_s), *names]
    process = await asyncio.create_subprocess_exec(*ALONE, *command, cwd=BACKEND, stdout=subprocess.PIPE, limit=1 << 20)
    try:
        assert process.stdout is not None, "it is a pipe"
        rows = [_row(json.loads(text)) async for text in process.stdout]
        assert await process.wait() == 0, "the process on networks of its own failed; see above"
        return rows
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _main(viewers: int, lasts_s: float, calm_s: float, names: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="spymaster-partitions-") as folder:
        async with spread(Path(folder), calm_s) as all_of_it:
            for name in names:
                row = await PARTITIONS[name](all_of_it, viewers, lasts_s)
                print(json.dumps(row), flush=True)
            differences = all_of_it.found.replicas.differences
            assert not differences, f"gateways differ: {differences}"


def _row(fields: Sequence[Any]) -> Row:
    """As `_main` wrote it."""
    row = Row(*fields)
    sent, plain, shown = ({key: Gap(*gap) for key, gap in gaps.items()} for gaps in (row.sent, row.plain, row.shown))
    return row._replace(sent=sent, plain=plain, shown=shown)


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]))
