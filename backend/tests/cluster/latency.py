"""From publication to viewer: with streams of one and of three replicas, by both paths and by JetStream alone."""

import asyncio
import time
from collections.abc import Sequence
from statistics import median, quantiles
from typing import Final, NamedTuple

from tests.cluster.stage import PlacedGateway, Stage, start
from tests.cluster.traffic import RATE_HZ, Times, Viewer

REPLICAS: Final = (1, 3)
VIEWERS: Final = 6  # of each gateway: few, because those who measure share the processor
MEASURED_HZ: Final = 20.0
PERCENT: Final = 100


class Delay(NamedTuple):
    """From the moment in which Core had a message for NATS to that in which a viewer had read it.

    Attributes:
        replicas: of the streams.
        paths: by which the gateway is brought the messages.
        viewings: how many messages were timed, each once a viewer.
    """

    replicas: int
    paths: str
    p50_ms: float
    p99_ms: float
    viewings: int


async def delays(found: Stage, lasts_s: float) -> list[Delay]:
    """Both kinds of gateways see the same messages at the same time, so a busy machine troubles both."""
    alone = PlacedGateway(found.folder, found.cluster.url_of_streams_only)
    measured = []
    found.core.rate_hz = MEASURED_HZ
    try:
        await start([alone])
        for replicas in REPLICAS:
            await found.cluster.replicate(replicas)
            for paths, gateway in {"both": found.gateways[0], "JetStream alone": alone}.items():
                _require_path(gateway, paths)
            urls = [found.gateways[0].url()] * VIEWERS + [alone.url()] * VIEWERS
            async with found.viewers(urls, compared=False) as people:
                begin_s = time.monotonic()
                await asyncio.sleep(lasts_s)
                measured.append(_delay(replicas, "both", people[:VIEWERS], found.core.sent, begin_s))
                measured.append(_delay(replicas, "JetStream alone", people[VIEWERS:], found.core.sent, begin_s))
    finally:
        found.core.rate_hz = RATE_HZ
        alone.kill()
        await found.cluster.replicate(REPLICAS[-1])
    return measured


def table_of(measured: Sequence[Delay]) -> str:
    """As Markdown."""
    lines = ["| replicas | paths | p50 | p99 | messages at viewers |", "|---|---|---|---|---|"]
    lines += [
        f"| {one.replicas} | {one.paths} | {one.p50_ms:.1f} ms | {one.p99_ms:.1f} ms | {one.viewings} |"
        for one in measured
    ]
    return "\n".join(lines) + "\n"


def _delay(replicas: int, paths: str, viewers: Sequence[Viewer], sent: Times, begin_s: float) -> Delay:
    found_ms = [1000 * delay_s for viewer in viewers for delay_s in viewer.shown.delays_s(sent, begin_s)]
    return Delay(replicas, paths, median(found_ms), quantiles(found_ms, n=PERCENT)[-1], len(found_ms))


def _require_path(gateway: PlacedGateway, paths: str) -> None:
    """What is measured is what the row says."""
    for subject, subscription in gateway.health()["subscriptions"].items():
        has_core = subscription["core_trouble"] is None
        assert has_core == (paths == "both"), f"{subject} comes by {subscription}"
