"""Soak, judge, print, and write the report: `make soak`, or `python -m soak` from `backend`."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks import machine
from soak.report import page, summary, write_chart
from soak.run import Results, Scale, soak

DOCS: Final = Path(__file__).parents[2] / "docs" / "soak"
PAGES: Final = {False: "README.md", True: "cluster.md"}  # by whether it is on a cluster
CHARTS: Final = {False: "soak.png", True: "cluster.png"}
FULL: Final = Scale()
LEAST_MINUTES_FOR_MEMORY: Final = 10.0  # below, it measures the arrival of the viewers


def main(arguments: Sequence[str]) -> int:
    if sys.platform != "linux":
        print("the soak reads /proc and uses epoll: it needs Linux", file=sys.stderr)
        return 2
    parser = argparse.ArgumentParser(prog="soak", description="Everything that can go wrong, for half an hour.")
    option = parser.add_argument
    option("--cluster", action="store_true", help="three nats-servers, and gateways with workers")
    option("--minutes", type=float, default=FULL.minutes, help=f"how long (default {FULL.minutes:g})")
    option("--viewers", type=int, default=FULL.viewers, help=f"how many (default {FULL.viewers})")
    option("--rate", type=float, default=FULL.rate_hz, help=f"messages a second (default {FULL.rate_hz:g})")
    option("--fault-every", type=float, default=FULL.fault_every_s, help="seconds between faults")
    option("--seed", type=int, default=FULL.seed, help="another order of everything")
    option("--output", type=Path, help="the folder to write to (default docs/soak)")
    option("--logs", type=Path, help="a folder to keep the gateways' logs in")
    given = parser.parse_args(arguments)
    scale = FULL._replace(
        minutes=given.minutes,
        viewers=given.viewers,
        rate_hz=given.rate,
        fault_every_s=given.fault_every,
        sample_every_s=min(FULL.sample_every_s, given.minutes * 60 / 60),
        quiet_s=min(FULL.quiet_s, given.minutes * 60 / 6),
        seed=given.seed,
        judges_memory=given.minutes >= LEAST_MINUTES_FOR_MEMORY,
        cluster=given.cluster,
    )
    if given.logs is not None:
        given.logs.mkdir(parents=True, exist_ok=True)
    results = soak(scale, lambda line: print(line, file=sys.stderr, flush=True), given.logs)
    print(f"\n{summary(results)}")
    _write(results, " ".join(["python -m soak", *arguments]), given.output or DOCS)
    return 0 if all(verdict.holds for verdict in results.verdicts) else 1


def _write(results: Results, command: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    chart = CHARTS[results.scale.cluster]
    drawn = write_chart(results, folder / chart)
    if not drawn:
        print("no chart without Pillow; `make soak` installs it", file=sys.stderr)
    text = page(results, machine.description(), command, datetime.now(UTC).date(), chart if drawn else None)
    (folder / PAGES[results.scale.cluster]).write_text(text + "\n")
    print(f"\nwritten to {folder}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
