"""All that runs while a fault happens, and what everybody had of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from soak.nats_cluster import ON_LOOPBACK, NatsCluster, Place
from tests.cluster.messages import SUBJECTS, Replicas
from tests.cluster.network import Machine
from tests.cluster.traffic import Client, Core, PlainSubscriber, Times, Viewer
from tests.end_to_end.gateway_process import GatewayProcess
from tests.waiting import until

GATEWAYS: Final = 3
AGREE_LIMIT_S: Final = 30.0
CALM_S: Final = 3.0
TOLERANCE_S: Final = 0.5
# No session of the market says that silence is none; consumers of their own, because the gateways are several.
SETTINGS: Final = {"GATEWAY_CONSUMERS": "ephemeral", "GATEWAY_MARKET": "24x7"}


class PlacedGateway(GatewayProcess):
    """A gateway that may run on a machine of its own."""

    def __init__(self, folder: Path, nats_url: str, machine: Machine | None = None, **settings: str) -> None:
        """
        Args:
            folder: see `GatewayProcess`.
            nats_url: as there.
            machine: where it runs; None for our own.
            settings: beside those of `SETTINGS`.
        """
        where = {} if machine is None else {"GATEWAY_HOST": machine.address("open")}
        super().__init__(folder, nats_url, **SETTINGS, **where, **settings)
        self.host = where.get("GATEWAY_HOST", self.host)
        self.machine = machine

    def launch_there(self) -> None:
        """Start it, and return at once."""
        self.launch(under=() if self.machine is None else self.machine.under)


class Stage(NamedTuple):
    """A cluster, Core, a plain subscriber, and gateways.

    Attributes:
        replicas: compares what the gateways show.
        folder: for further files.
        calm_s: how long all is well before a fault, and after it: stragglers come then.
    """

    cluster: NatsCluster
    core: Core
    plain: PlainSubscriber
    gateways: Sequence[PlacedGateway]
    replicas: Replicas
    folder: Path
    calm_s: float

    def urls_of(self, viewers: int) -> list[str]:
        """Viewers are spread over the gateways, and each gateway has some that ask for section `status`."""
        return [self.gateways[number // 2 % len(self.gateways)].url() for number in range(viewers)]

    @asynccontextmanager
    async def viewers(self, urls: Sequence[str], compared: bool = True) -> AsyncIterator[list[Viewer]]:
        """One for each of these addresses; every second one asks for section `status`.

        Args:
            urls: see above.
            compared: whether they are those of gateways, so that what is shown there can be compared.
        """
        replicas = self.replicas if compared else None
        people = [Viewer(url + "?status=1" * (number % 2), replicas) for number, url in enumerate(urls)]
        async with self.started(people):
            yield people

    @asynccontextmanager
    async def started(self, viewers: Sequence[Viewer | Client]) -> AsyncIterator[None]:
        """They look on until the end of the block, from when each has had a message."""
        try:
            for viewer in viewers:
                viewer.start()
            await self.until_all_have_a_new_message(viewers)
            yield
        finally:
            await asyncio.gather(*(viewer.close() for viewer in viewers))

    async def until_all_have_a_new_message(self, viewers: Sequence[Viewer | Client]) -> None:
        """Wait until Core's next messages are on every screen."""
        before = self.core.sent.newest()
        await until(
            lambda: all(viewer.shown.newest()[subject] > before[subject] for viewer in viewers for subject in SUBJECTS),
            "a new message for every viewer",
            AGREE_LIMIT_S,
        )


@asynccontextmanager
async def stage(
    folder: Path,
    calm_s: float = CALM_S,
    places: Sequence[Place] = ON_LOOPBACK,
    machines: Sequence[Machine | None] = (None,) * GATEWAYS,
) -> AsyncIterator[Stage]:
    """A cluster, Core, and running gateways.

    Args:
        folder: for their files.
        calm_s: see `Stage`.
        places: of the servers.
        machines: of the gateways, one each.
    """
    async with NatsCluster(folder, places) as cluster:
        core, plain = Core(cluster.url), PlainSubscriber(cluster.url)
        urls = [node.url for node in cluster.nodes.values()]  # one each: so they are spread, and the others are told
        gateways = [PlacedGateway(folder, url, machine) for url, machine in zip(urls, machines, strict=True)]
        try:
            await core.start()
            await plain.start()
            await start(gateways)
            yield Stage(cluster, core, plain, gateways, Replicas(), folder, calm_s)
        finally:
            for gateway in gateways:
                gateway.kill()
            await plain.close()
            await core.close()


async def start(gateways: Sequence[PlacedGateway]) -> None:
    """All at once; returns when they take viewers."""
    for gateway in gateways:
        gateway.launch_there()
    for gateway in gateways:
        await asyncio.to_thread(gateway.until_it_answers)
        await until(partial(_is_ready, gateway), "it takes viewers")


class Gap(NamedTuple):
    """The longest time without a newer message, of several that watch; seconds."""

    worst_s: float
    median_s: float

    def __str__(self) -> str:
        return f"{self.worst_s:.2f}"


class Row(NamedTuple):
    """What a fault did.

    Attributes:
        words: what happened.
        sent: of Core, by subject.
        plain: of a plain subscriber.
        shown: of viewers, those who were cut off left out.
        allowed_s: how much longer than that of Core or the plain subscriber a viewer's gap may be.
        older_after_newer: messages that a viewer was shown after a newer one.
        refused: attempts of viewers to connect that failed.
        not_ready: gateways that said so at some time.
        remark: what else there was to see.
        is_as_meant: whether that is as it should be.
    """

    words: str
    sent: dict[str, Gap]
    plain: dict[str, Gap]
    shown: dict[str, Gap]
    allowed_s: float
    older_after_newer: int
    refused: int
    not_ready: int
    remark: str = ""
    is_as_meant: bool = True

    @property
    def is_kept(self) -> bool:
        return (
            self.is_as_meant
            and self.older_after_newer == 0
            and all(
                self.shown[subject].worst_s
                <= max(self.sent[subject].worst_s, self.plain[subject].worst_s) + self.allowed_s
                for subject in SUBJECTS
            )
        )


class Watch:
    """Looks on from its begin to its end, and tells what was had meanwhile."""

    def __init__(self, found: Stage, viewers: Sequence[Viewer], gateways: Sequence[GatewayProcess] = ()) -> None:
        """
        Args:
            found: all that runs.
            viewers: those who are asked.
            gateways: those whose readiness is looked at; by default those of the stage.
        """
        self.begin_s = time.monotonic()
        self._found = found
        self._viewers = viewers
        self._refused = self._all_refused()
        self._back = self._all_back()
        self._polling = asyncio.create_task(_not_ready(gateways or found.gateways))

    async def end(
        self, words: str, allowed_s: float = TOLERANCE_S, apart: Collection[Viewer] = (), remark: str = ""
    ) -> Row:
        """
        Args:
            words: what happened.
            allowed_s: see `Row`.
            apart: viewers whose gap does not count.
            remark: see `Row`.
        """
        end_s = time.monotonic()
        self._polling.cancel()
        (not_ready,) = await asyncio.gather(self._polling)
        return Row(
            words,
            _gaps([self._found.core.sent], self.begin_s, end_s),
            _gaps([self._found.plain.got], self.begin_s, end_s),
            _gaps([viewer.shown for viewer in self._viewers if viewer not in apart], self.begin_s, end_s),
            allowed_s,
            self._all_back() - self._back,
            self._all_refused() - self._refused,
            not_ready,
            remark,
        )

    def _all_refused(self) -> int:
        return sum(viewer.refused for viewer in self._viewers)

    def _all_back(self) -> int:
        return sum(viewer.shown.steps_back() for viewer in self._viewers)


def table(rows: Sequence[Row]) -> str:
    """As Markdown; gaps in seconds."""
    lines = [
        "| fault | levels: Core, plain, viewers (median) | flow | older after newer | refused | not ready | kept | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        gaps = [
            f"{row.sent[subject]}, {row.plain[subject]}, {row.shown[subject]} ({row.shown[subject].median_s:.2f})"
            for subject in SUBJECTS
        ]
        counts = f"{row.older_after_newer} | {row.refused} | {row.not_ready}"
        is_kept = "yes" if row.is_kept else "NO"
        lines.append(f"| {row.words} | {gaps[0]} | {gaps[1]} | {counts} | {is_kept} | {row.remark} |")
    return "\n".join(lines) + "\n"


def _gaps(times: Collection[Times], begin_s: float, end_s: float) -> dict[str, Gap]:
    found = {subject: [one.gap_s(subject, begin_s, end_s) for one in times] for subject in SUBJECTS}
    return {subject: Gap(max(gaps), median(gaps)) for subject, gaps in found.items()}


async def _not_ready(gateways: Sequence[GatewayProcess]) -> int:
    """How many gateways that answer were not ready at some time, until this is cancelled."""
    told: set[int] = set()
    try:
        while True:
            for gateway in gateways:
                if await asyncio.to_thread(_says_unready, gateway):
                    told.add(gateway.port)
            await asyncio.sleep(0.1)
    except asyncio.CancelledError:
        return len(told)


def _is_ready(gateway: GatewayProcess) -> bool:
    return gateway.ready


def _says_unready(gateway: GatewayProcess) -> bool:
    """False also where it says nothing, because it is being started again."""
    try:
        return not gateway.ready
    except OSError:
        return False
