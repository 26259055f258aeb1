"""The picture of a run: three questions, three servers, drawn with Pillow."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.fanout import BROADCAST, DEFLATE, FASTAPI, FLOOR, GATEWAY, PLAIN, STALLED, Case, Cost, Scale

try:
    from PIL import Image, ImageDraw, ImageFont
except ImportError:  # `make bench` installs it; the tables do without
    Image = None

WIDTH, HEIGHT = 1500, 560
FINER: Final = 3  # drawn this much larger and then reduced, for smooth edges
MARGIN: Final = 56
GAP: Final = 56
BAR: Final = 44
ROW: Final = 92
FIRST_ROW: Final = 236
VALUE_ROOM: Final = 108  # to the right of the longest bar

INK, SOFT, FAINT, PAPER = "#1b2430", "#66717f", "#e8ebef", "#ffffff"
COLORS: Final = {GATEWAY: "#0b8f7a", BROADCAST: "#9aa5b1", FASTAPI: "#9aa5b1"}


class Panel(NamedTuple):
    """One question: a bar for each server, and where no Python server can get below."""

    title: str
    better: str
    values: Mapping[str, float]
    form: str
    floor: float | None = None


def available() -> bool:
    return Image is not None


def draw(costs: Mapping[Case, Cost], scale: Scale, caption: str, path: Path) -> None:
    """Write a PNG about the first payload that was measured."""
    drawn(lambda sheet: _draw_all(sheet, costs, scale, caption), HEIGHT, path)


def drawn(draw_on: Callable[["Sheet"], None], height: int, path: Path) -> None:
    """Write a PNG of the usual width."""
    image = Image.new("RGB", (WIDTH * FINER, height * FINER), PAPER)
    draw_on(Sheet(ImageDraw.Draw(image)))
    image.resize((WIDTH, height), Image.Resampling.LANCZOS).save(path, optimize=True)


def _draw_all(sheet: "Sheet", costs: Mapping[Case, Cost], scale: Scale, caption: str) -> None:
    payload = scale.cases[0][0].name
    title = f"One update of {payload} to {scale.viewers:,} viewers, {1 / scale.tick_s:g} times a second"
    sheet.text(MARGIN, 40, title, 34, INK)
    sheet.text(MARGIN, 90, f"The same messages, the same payload, one core for the server. {caption}", 18, SOFT)
    panels = _panels(costs, payload, scale)
    width = (WIDTH - 2 * MARGIN - GAP * (len(panels) - 1)) // len(panels)
    for index, panel in enumerate(panels):
        _draw_panel(sheet, panel, MARGIN + index * (width + GAP), width)


class Sheet:
    """Draws in points of the finished picture."""

    def __init__(self, canvas: Any) -> None:
        self._canvas = canvas

    def text(self, left: float, top: float, words: str, size: int, color: str) -> None:
        font = ImageFont.load_default(size * FINER)
        self._canvas.text((left * FINER, top * FINER), words, font=font, fill=color)

    def bar(self, left: float, top: float, width: float, height: float, color: str) -> None:
        box = [round(edge * FINER) for edge in (left, top, left + max(width, 2), top + height)]
        self._canvas.rounded_rectangle(box, radius=min(5 * FINER, (box[2] - box[0]) // 2), fill=color)

    def line(self, points: Sequence[tuple[float, float]], color: str) -> None:
        if len(points) > 1:
            self._canvas.line([(x * FINER, y * FINER) for x, y in points], color, 2 * FINER, joint="curve")

    def dashes(self, left: float, top: float, bottom: float, color: str) -> None:
        for start in range(round(top), round(bottom), 10):
            self._canvas.line([left * FINER, start * FINER, left * FINER, (start + 6) * FINER], color, 2 * FINER)


def _panels(costs: Mapping[Case, Cost], payload: str, scale: Scale) -> list[Panel]:
    def of(mode: str) -> dict[str, Cost]:
        return {case.server: cost for case, cost in costs.items() if case[:2] == (payload, mode)}

    cpu = "microseconds of CPU a frame; less is better"
    panels = []
    for mode, title in ((PLAIN, "Not compressed"), (DEFLATE, "Compressed, as browsers ask")):
        us = {server: cost.us_a_frame for server, cost in of(mode).items()}
        panels.append(Panel(title, cpu, {server: us[server] for server in COLORS}, "{:.0f}", us[FLOOR]))
    delivered = {server: 100 * of(STALLED)[server].delivered for server in COLORS}
    title = f"{scale.never_reading} viewers stop reading"
    panels.append(Panel(title, "frames that reach the others; more is better", delivered, "{:.0f} %"))
    return panels


def _draw_panel(sheet: Sheet, panel: Panel, left: int, width: int) -> None:
    sheet.text(left, 148, panel.title, 25, INK)
    sheet.text(left, 182, panel.better, 17, SOFT)
    longest = max((value for value in panel.values.values() if math.isfinite(value)), default=1) or 1
    a_unit = (width - VALUE_ROOM) / longest
    for index, (server, value) in enumerate(panel.values.items()):
        top = FIRST_ROW + index * ROW
        shown = value if math.isfinite(value) else 0.0
        ours = server == GATEWAY
        sheet.text(left, top, server, 19, INK if ours else SOFT)
        sheet.bar(left, top + 28, width - VALUE_ROOM, BAR, FAINT)
        sheet.bar(left, top + 28, shown * a_unit, BAR, COLORS[server])
        if panel.floor is not None:
            sheet.dashes(left + panel.floor * a_unit, top + 27, top + 28 + BAR + 8, INK)
        number = panel.form.format(value) if math.isfinite(value) else "none"
        sheet.text(left + width - VALUE_ROOM + 14, top + 34, number, 26, COLORS[GATEWAY] if ours else INK)
    if panel.floor is not None:
        words = f"- - -  a bare loop over send(): {panel.form.format(panel.floor)}"
        sheet.text(left, FIRST_ROW + len(panel.values) * ROW + 6, words, 17, SOFT)
