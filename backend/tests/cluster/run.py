"""Three gateways on a cluster of three nats-servers, through each fault of the table: `make cluster`."""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.cluster.faults import FAULTS, through
from tests.cluster.latency import delays, table_of
from tests.cluster.network import why_not
from tests.cluster.partitions import PARTITIONS, rows_of_partitions
from tests.cluster.restarts import RESTARTS
from tests.cluster.stage import Row, line, stage, table

LATENCY: Final = "latency"
LATENCY_S: Final = 15.0
ALL: Final = (*FAULTS, *PARTITIONS, *RESTARTS, LATENCY)


async def _on_loopback(chosen: Sequence[str], viewers: int, lasts_s: float) -> list[Row]:
    """The faults of NATS, those of the gateways, and the latency; tells each when it is there."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="spymaster-cluster-") as folder:
        async with stage(Path(folder)) as found:
            faults = [name for name in FAULTS if name in chosen]
            async with found.viewers(found.urls_of(viewers)) as people:
                for name in faults:
                    rows.append(await through(found, people, name, lasts_s))
                    print(line(rows[-1]), flush=True)
            for name in [name for name in RESTARTS if name in chosen]:
                await found.cluster.until_healthy()
                rows.append(await RESTARTS[name](found, viewers, lasts_s))
                print(line(rows[-1]), flush=True)
            if LATENCY in chosen:
                await found.cluster.until_healthy()
                print(f"\n{table_of(await delays(found, min(LATENCY_S, lasts_s)))}", flush=True)
            print(f"{found.replicas.compared} messages at several gateways, {len(found.replicas.differences)} differ")
            assert not found.replicas.differences, found.replicas.differences
    return rows


async def _main(arguments: argparse.Namespace) -> bool:
    chosen = arguments.row or ALL
    rows = []
    if set(chosen) - set(PARTITIONS):
        rows += await _on_loopback(chosen, arguments.viewers, arguments.seconds)
    if partitions := [name for name in PARTITIONS if name in chosen]:
        if (reason := why_not()) is None:
            rows += await rows_of_partitions(partitions, arguments.viewers, arguments.seconds)
        else:
            print(f"without {', '.join(partitions)}: {reason}")
    print(table(rows))
    return all(row.is_kept for row in rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each fault lasts")
    parser.add_argument("--viewers", type=int, default=30)
    parser.add_argument("--row", action="append", choices=ALL, help="only this one; may be repeated")
    sys.exit(0 if asyncio.run(_main(parser.parse_args())) else 1)
