"""Measure, print the tables, and write them with a chart: `make bench`, or `python -m benchmarks` from `backend`."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks import chart, machine
from benchmarks.fanout import CASES, Scale, compare
from benchmarks.report import Results, page, tables
from benchmarks.steps import CONTRACTS, LEVELS, frame_preparation, normalization
from benchmarks.workload import USUAL

DOCS: Final = Path(__file__).parents[2] / "docs" / "benchmarks"
CHART: Final = "fanout.png"
FULL: Final = Scale()
QUICK: Final = Scale(
    viewers=50,
    repeats=1,
    warm_up_s=0.3,
    window_s=0.5,
    stall_shows_s=1.5,
    cases=tuple(case for case in CASES if case[0] is USUAL),
)


def main(arguments: Sequence[str]) -> int:
    if sys.platform != "linux":
        print("the benchmark reads /proc and uses epoll: it needs Linux", file=sys.stderr)
        return 2
    parser = argparse.ArgumentParser(prog="benchmarks", description="What the gateway costs, beside other servers.")
    parser.add_argument("--viewers", type=int, help=f"how many (default {FULL.viewers}, quick {QUICK.viewers})")
    parser.add_argument(
        "--repeats", type=int, help=f"runs of each case (default {FULL.repeats}, quick {QUICK.repeats})"
    )
    parser.add_argument("--quick", action="store_true", help="under a minute: whether it works, not how fast it is")
    parser.add_argument("--output", type=Path, help="the folder to write to (default docs/benchmarks, quick: none)")
    given = parser.parse_args(arguments)
    scale = QUICK if given.quick else FULL
    scale = scale._replace(viewers=given.viewers or scale.viewers, repeats=given.repeats or scale.repeats)
    if scale.viewers <= scale.never_reading:
        parser.error(f"--viewers must be more than {scale.never_reading}: so many never read")
    results = _measured(scale, quick=given.quick)
    print(f"\n{tables(results)}")
    folder = given.output or (None if given.quick else DOCS)
    if folder is not None:
        _write(results, " ".join(["python -m benchmarks", *arguments]), folder)
    return 0


def _measured(scale: Scale, *, quick: bool) -> Results:
    def say(progress: str) -> None:
        print(progress, file=sys.stderr, flush=True)

    say("once a message: normalization, frame preparation")
    sections = normalization(LEVELS[:1], CONTRACTS[:1]) if quick else normalization()
    frames = frame_preparation([USUAL]) if quick else frame_preparation()
    return Results(scale, compare(scale, say), sections, frames)


def _write(results: Results, command: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    where = machine.description()
    if chart.available():
        caption = f"{where['CPU'].partition(',')[0]}, {where['Python']}"
        chart.draw(results.fanout, results.scale, caption, folder / CHART)
    else:
        print("no chart without Pillow; `make bench` installs it", file=sys.stderr)
    text = page(results, where, command, datetime.now(UTC).date(), CHART if chart.available() else None)
    (folder / "README.md").write_text(text + "\n")
    print(f"\nwritten to {folder}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
