"""What happens to the gateways themselves, one row of `docs/cluster` each; NATS is well meanwhile."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from signal import SIGSTOP, SIGTERM
from statistics import median
from typing import Final

from tests.cluster.balancer import balancer
from tests.cluster.stage import PlacedGateway, Row, Stage, Watch, start
from tests.cluster.traffic import Viewer
from tests.waiting import until

WORKERS: Final = 2
MANY: Final = 100
NOTICED_S: Final = 5.0  # a worker that hangs is noticed within this time
START_S: Final = 5.0  # a gateway takes about one; two cores that others use too took up to four
BETWEEN_S: Final = 1.0  # two restarts, as a deploy has it


async def rolling_restart(program: str, found: Stage, viewers: int, _lasts_s: float) -> Row:
    """The gateways one after the other, each when the one before takes viewers again."""
    with balancer(program, found.gateways, found.folder / program) as url:
        async with found.viewers([url] * viewers, compared=False) as people:
            before = _connections(people)
            watch = Watch(found, people)
            for gateway in found.gateways:
                await asyncio.sleep(BETWEEN_S)
                assert await asyncio.to_thread(gateway.stop) == 0
                await start([gateway])
            await asyncio.sleep(found.calm_s)
            row = await watch.end(f"rolling restart of three gateways behind {program}")
            return row._replace(
                remark=f"{_connections(people) - before} reconnects of {viewers} viewers; worst wait for a connection "
                f"{max(viewer.longest_absence_s for viewer in people):.2f} s"
            )


async def worker_hangs(found: Stage, viewers: int, lasts_s: float) -> Row:
    async with _alone(found, GATEWAY_WORKERS=str(WORKERS)) as gateway:
        gateway.until_it_says("✅")
        async with found.viewers([gateway.url()] * viewers, compared=False) as people:
            before = _connections(people)
            watch = Watch(found, people, [])
            await asyncio.sleep(found.calm_s)
            frozen = _workers(gateway)[0]
            os.kill(frozen, SIGSTOP)
            await until(lambda: frozen not in _workers(gateway), "it is killed")
            await until(lambda: len(_workers(gateway)) == WORKERS, "another one takes its place")
            await asyncio.sleep(lasts_s)
            row = await watch.end("one of two workers hangs", allowed_s=NOTICED_S)
            return row._replace(remark=f"{_connections(people) - before} of {viewers} viewers were on it, all are back")


async def restart(how: str, settings: Mapping[str, str], found: Stage, _viewers: int, _lasts_s: float) -> Row:
    """One gateway without a sibling."""
    async with _alone(found, **settings) as gateway, found.viewers([gateway.url()] * MANY, compared=False) as people:
        watch = Watch(found, people, [])
        await asyncio.sleep(found.calm_s)
        if how.startswith(SIGTERM.name):
            assert await asyncio.to_thread(gateway.stop) == 0
        else:
            gateway.kill()
        gateway.launch()
        await found.until_all_have_a_new_message(people)
        await asyncio.sleep(found.calm_s)
        row = await watch.end(f"{how} and start of one gateway, {MANY} viewers", allowed_s=START_S)
        away = [viewer.longest_absence_s for viewer in people]
        return row._replace(remark=f"no connection for {median(away):.2f} s (median), {max(away):.2f} s (worst)")


RESTARTS: Final[dict[str, Callable[[Stage, int, float], Awaitable[Row]]]] = {
    "rolling-nginx": partial(rolling_restart, "nginx"),
    "rolling-haproxy": partial(rolling_restart, "haproxy"),
    "worker-hangs": worker_hangs,
    "sigterm": partial(restart, "SIGTERM", {}),
    "sigterm-no-drain": partial(restart, "SIGTERM with GATEWAY_DRAIN=0", {"GATEWAY_DRAIN": "0"}),
    "kill": partial(restart, "kill -9", {}),
}


@asynccontextmanager
async def _alone(found: Stage, **settings: str) -> AsyncIterator[PlacedGateway]:
    """A further gateway on the cluster of a stage, started."""
    gateway = PlacedGateway(found.folder, found.cluster.url, None, **settings)
    try:
        await start([gateway])
        yield gateway
    finally:
        gateway.kill()


def _connections(viewers: Sequence[Viewer]) -> int:
    return sum(viewer.connections for viewer in viewers)


def _workers(gateway: PlacedGateway) -> list[int]:
    """Their process ids."""
    assert gateway.process is not None, "it runs"
    pid = gateway.process.pid
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
