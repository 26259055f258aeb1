"""Three gateways on a cluster of three nats-servers, through each fault of the table: `make cluster`."""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.machine import description
from tests.cluster.faults import FAULTS, through
from tests.cluster.latency import Delay, delays, table_of
from tests.cluster.network import why_not
from tests.cluster.partitions import PARTITIONS, rows_of_partitions
from tests.cluster.restarts import RESTARTS
from tests.cluster.stage import Row, stage, table
from tests.documents import ROOT

LATENCY: Final = "latency"
LATENCY_S: Final = 15.0
ALL: Final = (*FAULTS, *PARTITIONS, *RESTARTS, LATENCY)
PAGE: Final = ROOT / "docs" / "cluster" / "measured.md"
HEADINGS: Final[dict[str, Collection[str]]] = {"NATS": FAULTS, "Partitions": PARTITIONS, "Gateways": RESTARTS}


class Measured(NamedTuple):
    """What was seen.

    Attributes:
        rows: by their names.
        latency: where it was asked for.
        compared: messages that were shown by several gateways, on loopback; all were equal there.
        missing: why there are no partitions; empty where there are.
    """

    rows: dict[str, Row]
    latency: list[Delay]
    compared: int
    missing: str

    def tables(self) -> str:
        """As Markdown."""
        parts = []
        for heading, names in HEADINGS.items():
            if rows := [self.rows[name] for name in names if name in self.rows]:
                parts.append(f"## {heading}\n\n{table(rows)}")
        if self.missing:
            parts.append(f"Without partitions: {self.missing}\n")
        if self.latency:
            parts.append(f"## Latency\n\n{table_of(self.latency)}")
        if self.compared:
            parts.append(f"{self.compared} messages were shown by several gateways, and all were equal.\n")
        return "\n".join(parts)


async def measured(chosen: Collection[str], viewers: int, lasts_s: float) -> Measured:
    """All rows that are chosen; tells each when it is there."""
    rows: dict[str, Row] = {}
    latency: list[Delay] = []
    with tempfile.TemporaryDirectory(prefix="spymaster-cluster-") as folder:
        async with stage(Path(folder)) as found:
            async with found.viewers(found.urls_of(viewers)) as people:
                for name in [name for name in FAULTS if name in chosen]:
                    rows[name] = told(await through(found, people, name, lasts_s))
            for name in [name for name in RESTARTS if name in chosen]:
                await found.cluster.until_healthy()
                rows[name] = told(await RESTARTS[name](found, viewers, lasts_s))
            if LATENCY in chosen:
                await found.cluster.until_healthy()
                latency = await delays(found, min(LATENCY_S, lasts_s))
            compared = found.replicas.compared
            assert not found.replicas.differences, found.replicas.differences
    partitions = [name for name in PARTITIONS if name in chosen]
    missing = (why_not() or "") if partitions else ""
    if partitions and not missing:
        found_rows = await rows_of_partitions(partitions, viewers, lasts_s)
        rows |= {name: told(row) for name, row in zip(partitions, found_rows, strict=True)}
    return Measured(rows, latency, compared, missing)


def told(row: Row) -> Row:
    print(f"{row.words}: {'kept' if row.is_kept else 'NOT KEPT'}", flush=True)
    return row


def page(found: Measured, command: str, loads: Sequence[float]) -> str:
    """docs/cluster/measured.md."""
    machine = "\n".join(f"- {name}: {value.partition(';')[0]}" for name, value in description().items())
    return f"""\
# Measured on the cluster

Written on {datetime.now(UTC).date()} by `make cluster`, which ran `{command}`.
[README.md](README.md) says what the rows mean.

{machine}
- load average: {loads[0]:.1f} at the start, {loads[1]:.1f} at the end

Gaps are in seconds: the longest time without a newer message, of Core, of a plain subscriber, and of the viewer who
had the longest; in brackets the median of the viewers.

{found.tables()}"""


async def _main(arguments: argparse.Namespace) -> bool:
    load = os.getloadavg()[0]
    found = await measured(arguments.row or ALL, arguments.viewers, arguments.seconds)
    print(f"\n{found.tables()}")
    if not arguments.row:
        command = " ".join(["python -m tests.cluster.run", *sys.argv[1:]])
        PAGE.write_text(page(found, command, (load, os.getloadavg()[0])))
    return all(row.is_kept for row in found.rows.values())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each fault lasts")
    parser.add_argument("--viewers", type=int, default=30)
    parser.add_argument("--row", action="append", choices=ALL, help="only this one, and no page; may be repeated")
    sys.exit(0 if asyncio.run(_main(parser.parse_args())) else 1)
