"""What was measured, as tables: for the terminal and for docs/benchmarks/README.md."""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Final, NamedTuple

from benchmarks.fanout import DEFLATE, FLOOR, PLAIN, STALLED, Case, Cost, Scale
from benchmarks.steps import Step

MODES: Final = {
    PLAIN: "not compressed",
    DEFLATE: "permessage-deflate, as browsers ask for it",
    STALLED: "{never_reading} of {viewers} viewers never read",
}
FANOUT_COLUMNS: Final = (
    "server",
    "CPU a frame",
    "x floor",
    "delivered",
    "frames/s",
    "p50",
    "p99",
    "bytes a frame",
    "of a core",
    "memory",
)
INTRODUCTION: Final = """\
Written on {day:%Y-%m-%d} by `make bench`, which runs `{command}`. Run it where you are: the numbers of another
machine, or of a busy one, are others; ratios carry further.

{machine}"""
METHOD: Final = """\
{viewers} viewers, {frames:g} frames a second for each, medians of {repeats} runs of {window_s:g} s. Every server gets
the same messages from JetStream and makes the same payload with the same functions; what differs is the delivery.

- **this gateway** is the product as it is started in production: `python -m src.gateway.main`.
- **websockets broadcast** is that library's server with its `broadcast`, on uvloop.
- **FastAPI, send_text loop** is `for websocket in connections: await websocket.send_text(text)` on uvicorn and uvloop.
- **floor** is no server: a Python loop that sends one prebuilt buffer of the same size to each socket.

*CPU a frame* is the server's, user and kernel, over exactly the window, for each frame that a viewer received whole; it
includes what happens once a message, so it falls with the number of viewers. *Delivered* counts viewers that read; what
is missing was late beyond the window, skipped or never sent. *p50* and *p99* are from the publish on JetStream to the
last byte at the viewer, in one load client that reads its sockets one after the other: compare them with the floor's,
which passes no bus. *Memory* is by how much the server grew. `-`: no frame arrived. The load client used at most
{load_share:.0%} of a core. On a quiet machine no server waits for its core: here, the one that waited most did so for
{waited_share:.0%} of the time in which it had something to do."""
ROOMS: Final = """\
What happens once a message, whatever the number of viewers; medians. Beside it, how long Python's `json.loads` took to
read the same bytes in the same second: it tells how fast the machine was."""


class Results(NamedTuple):
    """All that was measured."""

    scale: Scale
    fanout: Mapping[Case, Cost]
    normalization: Sequence[Step]
    frame_preparation: Sequence[Step]


def page(results: Results, machine: Mapping[str, str], command: str, day: date, chart: str | None) -> str:
    """docs/benchmarks/README.md.

    Args:
        command: what was typed, from the folder `backend`.
        chart: the file name of the chart, if there is one.
    """
    facts = "\n".join(f"- {name}: {value}" for name, value in machine.items())
    picture = "" if chart is None else f"![CPU a frame, and what stalled viewers do to the others]({chart})\n\n"
    introduction = INTRODUCTION.format(command=command, day=day, machine=facts)
    return f"# Benchmarks\n\n{introduction}\n\n{picture}{tables(results)}"


def tables(results: Results) -> str:
    """Everything but where it was measured."""
    scale = results.scale
    method = METHOD.format(
        **scale._asdict(),
        frames=1 / scale.tick_s,
        load_share=max(cost.load_share for cost in results.fanout.values()),
        waited_share=max(cost.waited_share for cost in results.fanout.values()),
    )
    return "\n\n".join(
        [
            f"## Fan-out\n\n{method}",
            *_fanout_tables(results),
            f"## Normalization\n\n{ROOMS} From the bytes of a message to the bytes of its sections of the payload.",
            _steps_table("message", results.normalization),
            "## Frame preparation\n\nFrom a payload to the bytes on the wire, once for all viewers.",
            _steps_table("payload, frame", results.frame_preparation),
        ]
    )


def _fanout_tables(results: Results) -> Iterator[str]:
    for payload, mode in dict.fromkeys((case.payload, case.mode) for case in results.fanout):
        costs = {case.server: cost for case, cost in results.fanout.items() if case[:2] == (payload, mode)}
        floor = costs.get(FLOOR) or results.fanout[Case(payload, PLAIN, FLOOR)]
        rows = [_fanout_row(server, cost, floor) for server, cost in costs.items()]
        yield f"### {payload}, {MODES[mode].format(**results.scale._asdict())}\n\n{table(FANOUT_COLUMNS, rows)}"


def _fanout_row(server: str, cost: Cost, floor: Cost) -> list[str]:
    return [
        server,
        _us(cost.us_a_frame),
        _number(cost.us_a_frame / floor.us_a_frame, "{:.2f}"),
        f"{cost.delivered:.0%}",
        f"{cost.frames_a_second:,.0f}",
        _number(cost.p50_ms, "{:.1f} ms"),
        _number(cost.p99_ms, "{:.1f} ms"),
        f"{cost.wire_bytes:,.0f}" if cost.wire_bytes else "-",
        f"{cost.server_share:.0%}",
        f"{cost.server_mb_s:+.1f} MB/s",
    ]


def _steps_table(name: str, steps: Sequence[Step]) -> str:
    rows = [
        [step.name, f"{step.bytes_in:,}", f"{step.bytes_out:,}", *map(_us, (step.us, step.loads_us))] for step in steps
    ]
    return table((name, "bytes in", "bytes out", "time", "json.loads"), rows)


def _us(us: float) -> str:
    return _number(us, "{:,.1f} µs")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table that reads well as text, too: the first column to the left, the others to the right."""
    widths = [max(len(row[index]) for row in (columns, *rows)) for index in range(len(columns))]

    def line(cells: Sequence[str]) -> str:
        padded = [f"{cell:>{width}}" if index else f"{cell:<{width}}" for index, (cell, width) in _placed(cells)]
        return f"| {' | '.join(padded)} |"

    def _placed(cells: Sequence[str]) -> Iterator[tuple[int, tuple[str, int]]]:
        return enumerate(zip(cells, widths, strict=True))

    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(columns), line(rule), *(line(row) for row in rows)])


def _number(value: float, form: str) -> str:
    return form.format(value) if math.isfinite(value) else "-"
