"""`python -m src.watch [URL]`: a running gateway in the terminal, as its viewers see it.

Two parts: `read_market` turns a payload into values and `render` turns a `View` into text, both pure; the connection is
the Python client's. Payloads arrive faster than a terminal is read: only the newest is looked at, at each refresh.
"""

import argparse
import asyncio
import contextlib
import math
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from spymaster_client import ConnectionState, SectionFreshness, Status, Stream, stream

DEFAULT_URL = "ws://localhost:8000/ws/stream"
NEW_YORK = ZoneInfo("America/New_York")

Badge = Literal["WAITING", "OFFLINE", "LIVE", "LATE", "STALE", "REPLAY", "CLOSED"]

REFRESH_S = 0.25
FIRST_FRAME_LIMIT_S = 5.0

BADGES: dict[Badge, tuple[str, str]] = {
    "WAITING": ("nothing yet", "bold white on blue"),
    "OFFLINE": ("do not trade on this", "bold white on red"),
    "LIVE": ("", "bold black on green"),
    "LATE": ("", "bold black on yellow"),
    "STALE": ("do not trade on this", "bold white on red"),
    "REPLAY": ("a recorded day: do not trade on this", "bold white on magenta"),
    "CLOSED": ("", "bold white on bright_black"),
}
VERDICT_STYLES = {"live": "green", "late": "yellow", "stale": "bold red", "replay": "bold magenta"}
SIGNAL_STYLES = {"BREAK": "bold yellow", "BOUNCE": "bold cyan", "NO_TRADE": "bright_black"}
CONFIDENCE = {"HIGH": ("HIGH", "bold"), "MEDIUM": ("MED", ""), "LOW": ("LOW", "bright_black")}
DIRECTIONS = {"UP": ("▲", "UP", "green"), "DOWN": ("▼", "DOWN", "red")}
BAR_PARTS = " ▏▎▍▌▋▊▉█"
WIDE = 116  # columns that the table needs with the columns that a narrow one leaves out

# Seconds since midnight in New York at which each phase of a day begins.
PHASES = (
    (0, "overnight"),
    (4 * 3600, "premarket"),
    (9.5 * 3600, "first 15 minutes"),
    (9.75 * 3600, "regular session"),
    (15 * 3600, "last hour"),
    (16 * 3600, "after hours"),
    (20 * 3600, "overnight"),
)


@dataclass(frozen=True, slots=True)
class LevelRow:
    """One level as the table shows it. `score` 0 to 100, `p_break` 0 to 1 where the model has an opinion."""

    kind: str
    price: float
    direction: str
    distance: float
    barrier: str
    score: float
    signal: str
    confidence: str
    confluence: str
    confluence_count: int
    swept: bool
    p_break: float | None


@dataclass(frozen=True, slots=True)
class FlowTotals:
    """Sums over the option chain: contracts traded, and dollars paid for them."""

    contracts: int = 0
    call_volume: float = 0.0
    put_volume: float = 0.0
    call_premium: float = 0.0
    put_premium: float = 0.0


@dataclass(frozen=True, slots=True)
class Market:
    """What one frame says. None: the frame does not say it."""

    ts_ms: float | None
    spot: float | None
    bid: float | None
    ask: float | None
    levels: tuple[LevelRow, ...]
    flow: FlowTotals | None
    targets: int | None


@dataclass(frozen=True, slots=True)
class View:
    """All that is on the screen; `connection` in words, beside the client's word for it."""

    url: str
    state: ConnectionState
    connection: str
    connected: bool
    market: Market | None = None
    levels: SectionFreshness | None = None
    flow: SectionFreshness | None = None
    frames_per_s: float = 0.0
    status: Status | None = None


def session_phase(ts_ms: float) -> str:
    """The phase of the trading day in New York; without a calendar, so weekends and holidays have phases too."""
    moment = datetime.fromtimestamp(ts_ms / 1000, UTC).astimezone(NEW_YORK)
    second = moment.hour * 3600 + moment.minute * 60 + moment.second
    return next(name for begin, name in reversed(PHASES) if second >= begin)


def read_market(payload: Mapping[str, Any]) -> Market:
    """The market in one payload, of which nothing is taken for granted: it came over a socket."""
    levels = _mapping(payload.get("levels"))
    quote = _mapping(levels.get("spy"))
    rows = levels.get("levels")
    targets = _mapping(payload.get("viewport")).get("targets")
    return Market(
        ts_ms=_number(levels.get("ts")),
        spot=_number(quote.get("spot")),
        bid=_number(quote.get("bid")),
        ask=_number(quote.get("ask")),
        levels=tuple(_level_row(row) for row in rows if isinstance(row, dict)) if isinstance(rows, list) else (),
        flow=_flow_totals(payload["flow"]) if isinstance(payload.get("flow"), dict) else None,
        targets=len(targets) if isinstance(targets, list) else None,
    )


def render(view: View, width: int, height: int | None = None) -> RenderableType:
    """The screen for a view; with a height, the levels furthest from the spot give way."""
    wide = width >= WIDE
    parts: list[RenderableType] = [_quote_line(view, wide), _state_line(view, wide)]
    if view.status is not None:
        parts += _status_lines(view.status)
    if view.market is None:
        of_whom = "frame of the gateway" if view.status is None else "message of Core"
        return Group(*parts, "", Text(f"  waiting for the first {of_whom}", style="bright_black"))
    room = len(view.market.levels) if height is None else max(1, height - len(parts) - 6)
    parts += ["", _levels_table(view, view.market, wide, room)]
    if view.market.flow is not None:
        parts += ["", _flow_line(view.market.flow, width)]
    return Group(*parts)


def view_of(url: str, states: Stream) -> View:
    """The view of this moment."""
    now = states.state()
    words = "connected" if states.is_connected else "connecting"
    if (last := now.last_disconnect) is not None and not states.is_connected:
        words = last.explanation + ("; trying again" if last.reconnect else "")
    if now.invalid_frames:
        words += f"; unreadable frames: {now.invalid_frames}"
    return View(
        url=url,
        state=now.connection,
        connection=words,
        connected=states.is_connected,
        market=read_market(now.payload) if now.payload.keys() - {"status"} else None,
        levels=now.freshness.levels,
        flow=now.freshness.flow,
        frames_per_s=now.freshness.frames_per_s,
        status=now.status,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="watch", description="Watch a running gateway in the terminal.")
    parser.add_argument("url", nargs="?", default=DEFAULT_URL, help=f"the gateway's stream (default {DEFAULT_URL})")
    parser.add_argument("--once", action="store_true", help="print one snapshot as plain text and exit")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="its first word is sent as token")
    given = parser.parse_args()
    try:
        token = given.token_file.read_text().split()[0] if given.token_file else None
        states = stream(given.url, token)
    except IndexError:
        return _fail(f"{given.token_file} holds no token", status=2)
    except (OSError, ValueError) as error:
        return _fail(str(error), status=2)
    if not given.once and not sys.stdout.isatty():
        return _fail("the output is not a terminal: use --once", status=2)
    try:
        return asyncio.run(print_once(given.url, states) if given.once else show(given.url, states))
    except KeyboardInterrupt:
        return 130


async def print_once(url: str, states: Stream) -> int:
    """Print the first payload as plain text; 1 when none comes within the limit."""
    async with states:
        try:
            async with asyncio.timeout(FIRST_FRAME_LIMIT_S):
                async for state in states:
                    if state.payload.keys() - {"status"}:
                        break
        except TimeoutError:
            pass
        view = view_of(url, states)  # before leaving, as the last state
    if view.market is None:
        why = "is up but has sent nothing: is anything published?" if view.connected else f"({view.connection})"
        return _fail(f"no frame from {url} within {FIRST_FRAME_LIMIT_S:g} s {why}")
    console = Console(width=120, color_system=None, highlight=False, force_terminal=False)
    console.print(render(view, console.width))
    return 0


async def show(url: str, states: Stream) -> int:
    """Keep the screen up to date until SIGINT or SIGTERM; 1 when the gateway wants us no more."""
    stopping = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stopping.set)
    console = Console(highlight=False)
    async with states:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while not stopping.is_set() and (view := view_of(url, states)).state != "closed":
                live.update(render(view, console.width, console.height), refresh=True)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(REFRESH_S):
                        await stopping.wait()
        return 0 if stopping.is_set() else _fail(view.connection)


def _fail(text: str, status: int = 1) -> int:
    print(f"watch: {text}", file=sys.stderr)
    return status


def _quote_line(view: View, wide: bool) -> Table:
    market = view.market
    line = Table.grid(expand=True)
    line.add_column(no_wrap=True)
    line.add_column(no_wrap=True, justify="right")
    quote, clock = Text("  SPOT ", style="bright_black"), Text()
    if market is not None:
        quote.append(_price(market.spot), style="bold")
        quote.append(f"   bid {_price(market.bid)}   ask {_price(market.ask)}")
        clock = _clock(market.ts_ms, wide, is_replay=view.state == "replay")
    line.add_row(quote, clock)
    return line


def _clock(ts_ms: float | None, wide: bool, is_replay: bool) -> Text:
    if ts_ms is None:
        return Text()
    try:
        moment = datetime.fromtimestamp(ts_ms / 1000, UTC).astimezone(NEW_YORK)
        phase = session_phase(ts_ms)
    except (OverflowError, ValueError, OSError):
        return Text(f"ts {ts_ms:g} ")
    day = f"{moment:%a %d %b %Y}  " if is_replay else f"{moment:%a %d %b}  " if wide else ""
    return Text.assemble(day, (f"{moment:%H:%M:%S}", "bold"), " New York  ", (f"{phase} ", "bright_black"))


def _state_line(view: View, wide: bool) -> Text:
    badge = _badge(view)
    note, style = BADGES[badge]
    line = Text("  ", no_wrap=True, overflow="ellipsis")
    line.append(f" {badge} ", style=style)
    for name, section in (("levels", view.levels), ("flow", view.flow)):
        if section is not None:
            line.append(f" {name} ")
            if view.status is not None:  # the gateway's word; without it the badge says what the client thinks
                line.append(f"{section.age} ", style=VERDICT_STYLES.get(section.age, "bright_black"))
            line.append(f"{_age(section.age_s)} ago")
            if wide and name == "levels" and section.usual_s is not None:
                line.append(f", usually every {section.usual_s:.2f} s")
            line.append(" ")
    if view.frames_per_s:
        line.append(f" {view.frames_per_s:.1f} frames/s " if wide else f" {view.frames_per_s:.1f}/s ")
    if note:
        line.append(f" {note} ", style="" if badge == "WAITING" else "bold red")
    line.append(f" {view.connection}", style="green" if view.connected else "bold red")
    line.append(f"  {view.url}", style="bright_black")
    return line


def _status_lines(status: Status) -> list[RenderableType]:
    """Why not all is live, where the gateway tells a cause, and the hours of the market."""
    lines: list[RenderableType] = []
    if status["explanation"] is not None:
        lines.append(Text(f"  {_word(status['explanation'])}", style="bold", no_wrap=True, overflow="ellipsis"))
    sentence = f"  {status['market']['name']}: {status['market']['sentence']}"
    return [*lines, Text(_word(sentence), style="bright_black", no_wrap=True, overflow="ellipsis")]


def _badge(view: View) -> Badge:
    if view.market is None:
        return "WAITING"
    if view.state in ("connecting", "closed"):
        return "OFFLINE"
    words: dict[ConnectionState, Badge] = {
        "live": "LIVE",
        "late": "LATE",
        "replay": "REPLAY",
        "market_closed": "CLOSED",
    }
    return words.get(view.state, "STALE")


def _levels_table(view: View, market: Market, wide: bool, room: int) -> Table:
    """Highest price on top, the spot between the levels above and those below it."""
    trusted = view.state in ("live", "late")
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0) if wide else 0, style="" if trusted else "dim")
    for name, justify in _columns(wide):
        table.add_column(name, justify=justify, no_wrap=True, header_style="bright_black")
    shown = sorted(sorted(market.levels, key=lambda row: row.distance)[:room], key=lambda row: -row.price)
    spot = market.spot
    above = [row for row in shown if spot is None or row.price >= spot]
    for row in above:
        table.add_row(*_cells(row, wide))
    if spot is not None:
        table.add_row(*_spot_cells(market, wide), style="bold white on blue")
    for row in shown[len(above) :]:
        table.add_row(*_cells(row, wide))
    return table


def _columns(wide: bool) -> list[tuple[str, Literal["left", "right", "center"]]]:
    names: list[tuple[str, Literal["left", "right", "center"]]] = [
        ("  level", "left"),
        ("price", "right"),
        ("dir", "left"),
        ("dist", "right"),
        ("break score", "left"),
        ("signal", "left"),
        ("conf", "left"),
    ]
    extra: list[tuple[str, Literal["left", "right", "center"]]] = [("barrier", "left"), ("confluence", "left")]
    last: list[tuple[str, Literal["left", "right", "center"]]] = [("sweep", "center"), ("ML", "right")]
    return names + (extra if wide else [("cfl", "left")]) + last


def _cells(row: LevelRow, wide: bool) -> list[Text]:
    arrow, word, colour = DIRECTIONS.get(row.direction, ("?", row.direction, ""))
    confidence, confidence_style = CONFIDENCE.get(row.confidence, (row.confidence, ""))
    gathered = f"{row.confluence.lower()} x{row.confluence_count}" if row.confluence_count else "·"
    context = [Text(row.barrier.lower(), style=_barrier_style(row.barrier)), Text(gathered)]
    return [
        Text(f"  {row.kind}"),
        Text(_price(row.price)),
        Text(f"{arrow} {word}" if wide else arrow, style=colour),
        Text(f"{row.distance:.2f}", style="bold" if row.distance <= 1 else ""),
        _score_bar(row.score, 16 if wide else 8),
        Text(row.signal.replace("_", " "), style=SIGNAL_STYLES.get(row.signal, "")),
        Text(confidence, style=confidence_style),
        *(context if wide else [Text(f"x{row.confluence_count}" if row.confluence_count else "·")]),
        Text("◆" if row.swept else "·", style="bold magenta" if row.swept else "bright_black"),
        Text("·" if row.p_break is None else f"{row.p_break:.0%}", style="bright_black" if row.p_break is None else ""),
    ]


def _spot_cells(market: Market, wide: bool) -> list[str]:
    cells = ["▶ SPOT", _price(market.spot)]
    return cells + [""] * (len(_columns(wide)) - len(cells))


def _barrier_style(barrier: str) -> str:
    return {"WALL": "cyan", "ABSORPTION": "cyan", "VACUUM": "yellow", "CONSUMED": "yellow"}.get(barrier, "bright_black")


def _score_bar(score: float, width: int) -> Text:
    """The number and a bar of `width` cells; high scores speak for a break, low ones for a bounce."""
    score = min(max(score, 0.0), 100.0)
    style = "yellow" if score >= 60 else "cyan" if score <= 40 else "bright_black"
    eighths = round(score / 100 * width * 8)
    bar = "█" * (eighths // 8) + (BAR_PARTS[eighths % 8] if eighths % 8 else "")
    return Text.assemble((f"{score:3.0f} ", ""), (f"{bar:<{width}}", style))


def _flow_line(flow: FlowTotals, width: int) -> Text:
    """Calls against puts by volume."""
    total = flow.call_volume + flow.put_volume
    cells = 24 if width >= WIDE else 12
    calls = round(cells * flow.call_volume / total) if total else 0
    ratio = f"put/call {flow.put_volume / flow.call_volume:.2f}" if flow.call_volume else "no calls traded"
    line = Text("  OPTIONS ", style="bright_black", no_wrap=True, overflow="ellipsis")
    line.append(f"calls {_short(flow.call_volume)} ", style="green")
    line.append("█" * calls, style="green")
    line.append("█" * (cells - calls) if total else "·" * cells, style="red" if total else "bright_black")
    line.append(f" {_short(flow.put_volume)} puts", style="red")
    line.append(f"  {ratio}", style="default")
    line.append(f"  premium ${_short(flow.call_premium)} / ${_short(flow.put_premium)}" if width >= WIDE else "")
    line.append(f"  {flow.contracts} contracts")
    return line


def _level_row(level: Mapping[str, Any]) -> LevelRow:
    return LevelRow(
        kind=_word(level.get("level_kind_name")),
        price=_number(level.get("level_price")) or 0.0,
        direction=_word(level.get("direction")),
        distance=_number(level.get("distance")) or 0.0,
        barrier=_word(level.get("barrier_state")),
        score=_number(level.get("break_score_smooth")) or 0.0,
        signal=_word(level.get("signal")),
        confidence=_word(level.get("confidence")),
        confluence=_word(level.get("confluence_level_name")),
        confluence_count=int(_number(level.get("confluence_count")) or 0),
        swept=level.get("sweep_detected") is True,
        p_break=_number(_mapping(level.get("ml_predictions")).get("p_break")),
    )


def _flow_totals(flow: Mapping[str, Any]) -> FlowTotals:
    """Sums by the entries' `type`; the gateway relays flow unread, so entries that are no contracts are left out."""
    contracts = [entry for entry in flow.values() if isinstance(entry, dict) and entry.get("type") in ("C", "P")]

    def total(kind: str, name: str) -> float:
        return sum(_number(entry.get(name)) or 0.0 for entry in contracts if entry["type"] == kind)

    return FlowTotals(
        contracts=len(contracts),
        call_volume=total("C", "cumulative_volume"),
        put_volume=total("P", "cumulative_volume"),
        call_premium=total("C", "cumulative_premium"),
        put_premium=total("P", "cumulative_premium"),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def _word(value: Any) -> str:
    """Text without control characters: bytes from a socket must not control the terminal."""
    return "".join(letter for letter in value if letter.isprintable()) if isinstance(value, str) else "?"


def _price(price: float | None) -> str:
    return "-" if price is None else f"{price:,.2f}"


def _age(age_s: float) -> str:
    return f"{age_s:.1f} s" if age_s < 60 else f"{age_s / 60:.1f} min" if age_s < 3600 else f"{age_s / 3600:.1f} h"


def _short(amount: float) -> str:
    """A large number in a few characters: 950, 12.3k, 4.56M, 7.89B."""
    for size, letter, digits in ((1e9, "B", 2), (1e6, "M", 2), (1e3, "k", 1)):
        if abs(amount) >= size:
            return f"{amount / size:.{digits}f}{letter}"
    return f"{amount:.0f}"


if __name__ == "__main__":
    sys.exit(main())
