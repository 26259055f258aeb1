"""A running gateway as a table in the terminal: `python -m src.demo.watch`, or `make watch`.

It is a viewer like any other: it knows the stream's address and what a payload looks like, and nothing of the gateway.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

DEFAULT_PORT = 8000
REDRAW_EVERY_S = 0.25
OPEN_LIMIT_S = 5.0
RECONNECT_AFTER_S = 1.0
STALE_AFTER_S = 2.0  # eight messages at the usual four a second

COLUMNS = (
    "level",
    "price",
    "distance",
    "direction",
    "signal",
    "confidence",
    "score",
    "p(break)",
    "barrier",
    "confluence",
)
NUMBERS = ("price", "distance", "score", "p(break)")
SIGNAL_STYLE = {"BREAK": "bold red", "BOUNCE": "bold green", "NO_TRADE": "dim"}


@dataclass
class View:
    """What the terminal shows."""

    url: str
    connection: str = "connecting"
    connected: bool = False
    frames: int = 0
    payload: dict[str, Any] = field(default_factory=dict)
    received_s: float | None = None  # when the last frame came, by the monotonic clock

    def show(self, frame: str | bytes, now_s: float) -> None:
        """Take a frame; each is the whole state."""
        self.payload = json.loads(frame)
        self.received_s = now_s
        self.frames += 1


def screen(view: View, now_s: float) -> RenderableType:
    """The view as it looks at this moment.

    Args:
        now_s: the monotonic clock, seconds.
    """
    levels = view.payload.get("levels")
    lines = [_connection_line(view, now_s)]
    if levels is None:
        return Group(*lines, Text("no levels yet", style="dim"))
    return Group(*lines, _market_line(view.payload), _level_table(levels))


def _connection_line(view: View, now_s: float) -> Text:
    line = Text(view.url + "   ")
    line.append(view.connection, style="green" if view.connected else "bold red")
    if view.received_s is not None:
        age_s = now_s - view.received_s
        line.append(f"   last frame {age_s:.1f} s ago", style="bold red" if age_s > STALE_AFTER_S else "")
        line.append(f"   {view.frames} frames")
    return line


def _market_line(payload: dict[str, Any]) -> Text:
    spy = payload["levels"]["spy"]
    session_time = datetime.fromtimestamp(payload["levels"]["ts"] / 1000, UTC)
    line = Text("spot ")
    line.append(_number(spy["spot"]), style="bold")
    line.append(f"   bid {_number(spy['bid'])}   ask {_number(spy['ask'])}   {session_time:%Y-%m-%d %H:%M:%S} UTC")
    line.append(f"   {len(payload.get('flow', {}))} contracts")
    return line


def _level_table(levels: dict[str, Any]) -> Table:
    """The levels from the highest price down, with a rule where spot is."""
    table = Table(expand=False)
    for name in COLUMNS:
        table.add_column(name, justify="right" if name in NUMBERS else "left", no_wrap=True)
    spot = levels["spy"]["spot"]
    ranked = sorted(levels["levels"], key=lambda level: level["level_price"], reverse=True)
    for level, below in zip_longest(ranked, ranked[1:]):
        lowest_above = below is not None and spot is not None and level["level_price"] >= spot > below["level_price"]
        table.add_row(*_cells(level), end_section=lowest_above)
    return table


def _cells(level: dict[str, Any]) -> Iterator[RenderableType]:
    yield level["level_kind_name"]
    yield _number(level["level_price"])
    yield _number(level["distance"])
    yield level["direction"]
    yield Text(level["signal"], style=SIGNAL_STYLE.get(level["signal"], ""))
    yield level["confidence"]
    yield _number(level["break_score_smooth"])
    yield _number(level.get("ml_predictions", {}).get("p_break"))
    yield level["barrier_state"]
    yield level["confluence_level_name"]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def watch(url: str) -> None:
    """Show the stream until Ctrl-C, and connect again whenever it breaks."""
    view = View(url)
    with Live(get_renderable=lambda: screen(view, time.monotonic()), refresh_per_second=1 / REDRAW_EVERY_S):
        while True:
            try:
                _follow(view)
            except (OSError, WebSocketException) as error:
                view.connected = False
                view.connection = f"not connected ({error or type(error).__name__}); trying again"
            time.sleep(RECONNECT_AFTER_S)


def _follow(view: View) -> None:
    with connect(view.url, open_timeout=OPEN_LIMIT_S, max_size=None, proxy=None) as stream:
        view.connected, view.connection = True, "connected"
        for frame in stream:
            view.show(frame, time.monotonic())
    view.connected, view.connection = False, "closed by the gateway; trying again"


def main() -> int:
    """Watch the gateway of the arguments or of GATEWAY_PORT; 0 after Ctrl-C."""
    port = os.environ.get("GATEWAY_PORT", "").strip() or DEFAULT_PORT
    parser = argparse.ArgumentParser(prog="python -m src.demo.watch", description=__doc__.partition("\n")[0])
    parser.add_argument("--url", default=f"ws://localhost:{port}/ws/stream", help="the stream (default: %(default)s)")
    try:
        watch(parser.parse_args().url)
    except KeyboardInterrupt:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
