"""What was seen, as text and as a picture."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from benchmarks import chart
from benchmarks.fanout import GATEWAY
from benchmarks.report import table
from soak.run import Happened, Results
from soak.samples import Sample, memory_growth

INTRODUCTION: Final = """\
Written on {day:%Y-%m-%d} by `make soak`, which ran `{command}`.

{machine}

{viewers:,} viewers for {minutes:g} minutes, {rate:g} messages a second on each subject (about 25 KB a payload) and
{faults} faults, with {stage}
{settings}.
The viewers took {frames:,} frames; {opened:,} connections became a stream.
Core stored {stored:,} messages, and could not store {lost:,} while NATS was away. {gateway} took
{share:.0%} of a core."""
ONE_SERVER: Final = "one nats-server, and one gateway with"
CLUSTER: Final = """\
three nats-servers that keep each stream on all of them, and {gateways} gateways, each with
its history process. Each connection takes one of the gateways by chance. The processes of the first gateway are paused,
and never killed: memory and the curves are those of its processes. Each gateway ran with"""
VIEWERS: Final = """\
60 % of the viewers stay and 18 % connect and leave: these are the healthy ones, and the gateway has no reason to close
them. The others stop reading for a while, read 20 KB/s, never read, break the protocol in every way of
`soak/hostile_viewers.py`, or never become a viewer. Every frame that a viewer reads has to be strict JSON, with numbers
that do not go back."""
SHAPES: Final = """\
Some of the steady viewers ask for a shape. Each of them has an inflater of its own, and reads every frame whole: it has
to be of that shape, `seq` never goes back within an `epoch`, and a heartbeat repeats the state of the frame before.
Core's number is in each levels message as the state of a barrier, so each message makes an event: where `complete` does
not say that some are missing, each event begins with the number that the one before ended with. A viewer that comes
back names its newest `cursor`, at whatever gateway, and asks `/events` where `complete` says that some are missing.
Where the stream was made anew, that does not fill the gap."""

ACCENT: Final = chart.COLORS[GATEWAY]
LEFT: Final = re.compile(r"left by \w+")
PANEL_HEIGHT: Final = 190
FIRST_PANEL: Final = 150
PLOT_HEIGHT: Final = 120
PLOT_LEFT: Final = chart.MARGIN + 130


class Curve(NamedTuple):
    """One thing over time."""

    title: str
    value: Callable[[Sample], float | None]
    form: str


CURVES: Final = (
    Curve("memory, MB", lambda one: one.resident_bytes / 1e6, "{:,.0f}"),
    Curve("viewers", lambda one: one.viewers, "{:,.0f}"),
    Curve("descriptors", lambda one: one.descriptors, "{:,.0f}"),
)


def page(results: Results, machine: Mapping[str, str], command: str, day: date, picture: str | None) -> str:
    """docs/soak/README.md, and docs/soak/cluster.md."""
    scale, samples = results.scale, results.samples
    stage = CLUSTER.format(gateways=scale.gateways) if scale.cluster else ONE_SERVER
    introduction = INTRODUCTION.format(
        stage=stage,
        gateway="The first gateway" if scale.cluster else "The gateway",
        day=day,
        command=command,
        machine="\n".join(f"- {name}: {value}" for name, value in machine.items()),
        viewers=scale.viewers,
        minutes=scale.minutes,
        rate=scale.rate_hz,
        faults=len(results.faults),
        settings=", ".join(f"`{name}={value}`" for name, value in scale.settings.items()),
        frames=results.tally.frames,
        opened=results.tally.opened,
        stored=results.stored,
        lost=results.lost,
        share=_cpu_s(samples) / (samples[-1].at_s - samples[0].at_s),
    )
    shown = (
        [] if picture is None else [f"![Memory, viewers and descriptors over time; a mark for each fault]({picture})"]
    )
    title = "# Soak of a cluster" if scale.cluster else "# Soak"
    return "\n\n".join([title, introduction, *shown, summary(results), *_details(results)])


def summary(results: Results) -> str:
    """What had to hold, and whether it did."""
    rows = [[verdict.claim, verdict.seen, "yes" if verdict.holds else "NO"] for verdict in results.verdicts]
    return "## Verdicts\n\n" + table(("what has to hold", "seen", "holds"), rows)


def _details(results: Results) -> Iterator[str]:
    yield f"## The viewers\n\n{VIEWERS}"
    for behaviour, endings in results.tally.endings.items():
        rows = [[cause, f"{count:,}"] for cause, count in sorted(_in_short(endings).items())]
        if rows:
            yield f"### {behaviour}\n\n{table(('how connections ended', 'times'), rows)}"
    rows = [
        [f"`{query}`", *(f"{count:,}" for count in msgspec.structs.astuple(one))]
        for query, one in results.tally.shapes.items()
    ]
    heads = (
        "shape",
        "frames",
        "heartbeats",
        "events of Core's number",
        "not complete",
        "filled",
        "not filled",
    )
    yield f"## Shapes\n\n{SHAPES}\n\n{table(heads, rows)}"
    rejected = {
        f"{subject}: {reason}": count
        for subject, one in results.health["subscriptions"].items()
        for reason, count in one["rejected"].items()
    }
    rows = [[what, f"{count:,}"] for what, count in sorted(rejected.items())]
    yield f"## Bad input\n\n{table(('message', 'times'), rows)}"
    yield f"## Faults\n\n{table(('fault', 'times', 'longest'), _fault_rows(results.faults))}"


def _cpu_s(samples: Sequence[Sample]) -> float:
    """A process that ends takes its seconds along."""
    return sum(max(after.cpu_s - before.cpu_s, 0) for before, after in pairwise(samples))


def _in_short(endings: Mapping[str, int]) -> Counter[str]:
    """However viewers left, they left."""
    short: Counter[str] = Counter()
    for cause, count in endings.items():
        short[LEFT.sub("left by itself", cause)] += count
    return short


def _fault_rows(faults: Sequence[Happened]) -> list[list[str]]:
    lengths_s: dict[str, list[float]] = {}
    for one in faults:
        lengths_s.setdefault(one.what, []).append(one.to_s - one.from_s)
    return [[what, str(len(lengths)), f"{max(lengths):.1f} s"] for what, lengths in sorted(lengths_s.items())]


def write_chart(results: Results, path: Path) -> bool:
    """Write the PNG; False where there is nothing to draw it with."""
    if chart.available():
        chart.drawn(lambda sheet: _draw(sheet, results), FIRST_PANEL + PANEL_HEIGHT * len(CURVES), path)
    return chart.available()


def _draw(sheet: chart.Sheet, results: Results) -> None:
    scale = results.scale
    title = f"{scale.viewers:,} viewers that come, go, stall and misbehave, for {scale.minutes:g} minutes"
    sheet.text(chart.MARGIN, 40, title, 34, chart.INK)
    growth = f"Memory {memory_growth(results.samples):+.1%} from the first sixth of the time to the last."
    sheet.text(chart.MARGIN, 90, f"{len(results.faults)} faults, each a mark below. {growth}", 18, chart.SOFT)
    for index, curve in enumerate(CURVES):
        _draw_curve(sheet, curve, results, FIRST_PANEL + index * PANEL_HEIGHT)


def _draw_curve(sheet: chart.Sheet, curve: Curve, results: Results, top: int) -> None:
    width = chart.WIDTH - chart.MARGIN - PLOT_LEFT
    points = [(one.at_s, value) for one in results.samples if (value := curve.value(one)) is not None]
    most = max((value for _, value in points), default=1) or 1
    a_second, a_unit = width / (results.scale.minutes * 60), PLOT_HEIGHT / most
    bottom = top + PLOT_HEIGHT
    sheet.bar(PLOT_LEFT, top, width, PLOT_HEIGHT, "#f6f7f9")
    for fault in results.faults:
        sheet.dashes(PLOT_LEFT + fault.from_s * a_second, bottom + 4, bottom + 12, chart.SOFT)
    sheet.text(chart.MARGIN, top, curve.title, 18, chart.INK)
    sheet.text(chart.MARGIN, top + 28, f"at most {curve.form.format(most)}", 15, chart.SOFT)
    sheet.line(_on_sheet(points, top + PLOT_HEIGHT, a_second, a_unit), ACCENT)


def _on_sheet(
    points: Sequence[tuple[float, float]], bottom: float, a_second: float, a_unit: float
) -> list[tuple[float, float]]:
    return [(PLOT_LEFT + at_s * a_second, bottom - value * a_unit) for at_s, value in points]
