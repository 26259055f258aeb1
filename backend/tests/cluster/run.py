"""Three gateways on a cluster of three nats-servers, through each fault of the table: `make cluster`."""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

from src.common.subjects import LEVELS_SIGNALS, MARKET_FLOW
from tests.cluster.faults import FAULTS, Scene
from tests.cluster.nats_cluster import NatsCluster
from tests.cluster.traffic import SUBJECTS, Core, PlainSubscriber, Times, Viewer
from tests.end_to_end.gateway_process import GatewayProcess
from tests.waiting import until

GATEWAYS: Final = 3
CALM_S: Final = 3.0  # before a fault, and after it: stragglers come then
AGREE_LIMIT_S: Final = 30.0
TOLERANCE_S: Final = 0.5


class Row(NamedTuple):
    """What a fault did; seconds without anything newer, by subject.

    Attributes:
        sent_s: of Core.
        plain_s: of a plain subscriber.
        shown_s: of the viewer who had the longest.
        older_after_newer: messages that a viewer was shown after a newer one.
        refused: attempts of viewers to connect that failed.
        not_ready: gateways that said so at some time.
    """

    fault: str
    sent_s: dict[str, float]
    plain_s: dict[str, float]
    shown_s: dict[str, float]
    older_after_newer: int
    refused: int
    not_ready: int

    @property
    def is_kept(self) -> bool:
        """Whether viewers had a gap of at most that of Core, or of the plain subscriber, and half a second."""
        return self.older_after_newer == 0 and all(
            self.shown_s[subject] <= max(self.sent_s[subject], self.plain_s[subject]) + TOLERANCE_S
            for subject in SUBJECTS
        )


class Stage(NamedTuple):
    """All that runs."""

    cluster: NatsCluster
    core: Core
    plain: PlainSubscriber
    gateways: Sequence[GatewayProcess]
    viewers: Sequence[Viewer]

    async def until_all_have_a_new_message(self) -> None:
        """Wait until Core's next messages are on every screen."""
        before = self.core.sent.newest()
        await until(
            lambda: all(
                viewer.shown.newest()[subject] > before[subject] for viewer in self.viewers for subject in SUBJECTS
            ),
            "a new message for every viewer",
            AGREE_LIMIT_S,
        )


@asynccontextmanager
async def stage(folder: Path, viewers: int) -> AsyncIterator[Stage]:
    """A cluster, Core, three gateways, and viewers spread over them."""
    async with NatsCluster(folder) as cluster:
        core, plain = Core(cluster.url), PlainSubscriber(cluster.url)
        gateways = [GatewayProcess(folder, cluster.url, GATEWAY_CONSUMERS="ephemeral") for _ in range(GATEWAYS)]
        people = [Viewer(gateways[number % GATEWAYS].url) for number in range(viewers)]
        try:
            await core.start()
            await plain.start()
            for gateway in gateways:
                await asyncio.to_thread(gateway.start)
            for viewer in people:
                viewer.start()
            found = Stage(cluster, core, plain, gateways, people)
            await found.until_all_have_a_new_message()
            yield found
        finally:
            for viewer in people:
                await viewer.close()
            for gateway in gateways:
                gateway.kill()
            await plain.close()
            await core.close()


async def through(found: Stage, fault: str, lasts_s: float) -> Row:
    """Let one fault happen, and tell what everybody had."""
    await found.cluster.until_healthy()
    await found.until_all_have_a_new_message()
    refused = sum(viewer.refused for viewer in found.viewers)
    back = sum(viewer.shown.steps_back() for viewer in found.viewers)
    polling = asyncio.create_task(_not_ready(found.gateways))
    begin_s = time.monotonic()
    await asyncio.sleep(CALM_S)
    await FAULTS[fault].happen(Scene(found.cluster, found.core, lasts_s))
    await found.cluster.until_healthy()
    await asyncio.sleep(CALM_S)
    end_s = time.monotonic()
    polling.cancel()
    (not_ready,) = await asyncio.gather(polling)
    await found.until_all_have_a_new_message()
    return Row(
        fault,
        _gaps([found.core.sent], begin_s, end_s),
        _gaps([found.plain.got], begin_s, end_s),
        _gaps([viewer.shown for viewer in found.viewers], begin_s, end_s),
        sum(viewer.shown.steps_back() for viewer in found.viewers) - back,
        sum(viewer.refused for viewer in found.viewers) - refused,
        not_ready,
    )


def _gaps(times: Collection[Times], begin_s: float, end_s: float) -> dict[str, float]:
    return {subject: max(one.gap_s(subject, begin_s, end_s) for one in times) for subject in SUBJECTS}


async def _not_ready(gateways: Sequence[GatewayProcess]) -> int:
    """How many gateways were not ready at some time, until this is cancelled."""
    told: set[int] = set()
    try:
        while True:
            for gateway in gateways:
                if not await asyncio.to_thread(_is_ready, gateway):
                    told.add(gateway.port)
            await asyncio.sleep(0.1)
    except asyncio.CancelledError:
        return len(told)


def _is_ready(gateway: GatewayProcess) -> bool:
    return gateway.ready


def table(rows: Sequence[Row]) -> str:
    """As Markdown."""
    lines = [
        "| fault | levels: Core, plain, viewers | flow: the same | older after newer | refused | not ready |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        gaps = [
            f"{row.sent_s[subject]:.2f}, {row.plain_s[subject]:.2f}, {row.shown_s[subject]:.2f} s"
            for subject in (LEVELS_SIGNALS, MARKET_FLOW)
        ]
        counts = f"{row.older_after_newer} | {row.refused} | {row.not_ready} of {GATEWAYS}"
        lines.append(f"| {FAULTS[row.fault].words} | {gaps[0]} | {gaps[1]} | {counts} |")
    return "\n".join(lines) + "\n"


async def _main(arguments: argparse.Namespace) -> bool:
    with tempfile.TemporaryDirectory(prefix="spymaster-cluster-") as folder:
        async with stage(Path(folder), arguments.viewers) as found:
            rows = []
            for fault in arguments.fault or FAULTS:
                rows.append(await through(found, fault, arguments.seconds))
                print(table(rows[-1:]).splitlines()[-1], "kept" if rows[-1].is_kept else "NOT KEPT", flush=True)
    print(table(rows))
    return all(row.is_kept for row in rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each fault lasts")
    parser.add_argument("--viewers", type=int, default=60)
    parser.add_argument("--fault", action="append", choices=FAULTS, help="only this one; may be repeated")
    sys.exit(0 if asyncio.run(_main(parser.parse_args())) else 1)
