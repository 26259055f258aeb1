"""The terminal view: what a frame says, how a view looks, and a real socket that comes and goes."""

import asyncio
import io
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from spymaster_client import ConnectionState, SectionFreshness, stream
from src.watch import NEW_YORK, FlowTotals, Market, View, read_market, render, session_phase, view_of
from tests.waiting import until

BACKEND = Path(__file__).parents[1]
COMMAND = [sys.executable, "-m", "src.watch"]
URL = "ws://gateway/ws/stream"


def level(name: str, price: float, **fields: Any) -> dict[str, Any]:
    return {
        "id": name,
        "level_kind_name": name,
        "level_price": price,
        "direction": "UP",
        "distance": abs(price - 6900.0),
        "barrier_state": "WALL",
        "sweep_detected": False,
        "break_score_raw": 50.0,
        "break_score_smooth": 50.0,
        "signal": "NO_TRADE",
        "confidence": "LOW",
        "note": None,
        "confluence_count": 0,
        "confluence_level_name": "UNDEFINED",
        **fields,
    }


def payload() -> dict[str, Any]:
    prediction = {"p_break": 0.345, "p_bounce": 0.655}
    return {
        "levels": {
            "ts": 1_765_896_227_005,  # 2025-12-16 09:43:47 in New York
            "spy": {"spot": 6900.0, "bid": 6899.75, "ask": 6900.0},
            "levels": [
                level("VWAP", 6897.5, direction="DOWN", signal="BOUNCE", break_score_smooth=12.0, confidence="MEDIUM"),
                level("PM_HIGH", 6906.5, sweep_detected=True, ml_predictions=prediction),
                level("OR_HIGH", 6901.0, signal="BREAK", break_score_smooth=88.0, confidence="HIGH"),
            ],
        },
        "viewport": {"ts": 1_765_896_227_005, "targets": [{"level_id": "PM_HIGH", "p_break": 0.345}]},
        "flow": {
            "O:ES251216C06895000": {"type": "C", "cumulative_volume": 3000, "cumulative_premium": 1_500_000.0},
            "O:ES251216P06895000": {"type": "P", "cumulative_volume": 1000, "cumulative_premium": 250_000.0},
            "note": "not a contract",
        },
    }


def a_view(**changes: Any) -> View:
    seen = View(
        url=URL,
        state="live",
        connection="connected",
        connected=True,
        market=read_market(payload()),
        levels=SectionFreshness("live", 0.1, 0.25),
        flow=SectionFreshness("live", 1.5, 0.25),
        frames_per_s=8.0,
    )
    return replace(seen, **changes)


def text_of(view: View, width: int = 120, height: int | None = None, *, colours: bool = False) -> str:
    console = Console(width=width, record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(render(view, width, height))
    return console.export_text(styles=colours)


def test_a_frame_is_read() -> None:
    market = read_market(payload())
    assert (market.spot, market.bid, market.ask) == (6900.0, 6899.75, 6900.0)
    assert [row.p_break for row in market.levels] == [None, 0.345, None]
    assert market.flow == FlowTotals(2, 3000, 1000, 1_500_000.0, 250_000.0)


@pytest.mark.parametrize(
    "frame",
    [
        {},
        {"flow": {}},
        {"levels": None, "flow": [], "viewport": 3},
        {"levels": {"ts": "soon", "spy": None, "levels": [None, 1, {}]}},
        {"levels": {"ts": 1e300, "spy": {"spot": None}, "levels": [{"level_price": "x", "confluence_count": True}]}},
        {"levels": {"ts": -5, "spy": {"spot": 1}, "levels": [{"level_kind_name": "\x1b[2J", "signal": "NEW"}]}},
    ],
)
@pytest.mark.parametrize("width", [40, 80, 120])
def test_odd_frames_are_shown_as_far_as_they_go(frame: dict[str, Any], width: int) -> None:
    shown = text_of(a_view(market=read_market(frame)), width)
    assert "LIVE" in shown
    assert "\x1b" not in shown


def test_levels_stand_by_price_with_the_spot_between_them() -> None:
    lines = text_of(a_view()).splitlines()
    prices = [word for line in lines[4:] for word in line.split() if word.startswith("6,")]
    assert prices == ["6,906.50", "6,901.00", "6,900.00", "6,897.50"]
    assert "SPOT" in next(line for line in lines[4:] if "6,900.00" in line)


@pytest.mark.parametrize(
    "expected",
    [
        "6,900.00",
        "bid 6,899.75",
        "09:43:47 New York",
        "first 15 minutes",
        "levels 0.1 s ago, usually every 0.25 s",
        "flow 1.5 s ago",
        "8.0 frames/s",
        "connected",
        "calls 3.0k",
        "1.0k puts",
        "put/call 0.33",
        "BREAK",
        "BOUNCE",
        "NO TRADE",
        "34%",
        "◆",
        "▲ UP",
        "▼ DOWN",
    ],
)
def test_a_wide_screen_shows(expected: str) -> None:
    assert expected in text_of(a_view())


def test_signals_differ_in_colour_too() -> None:
    shown = text_of(a_view(), colours=True)
    assert "\x1b[1;33mBREAK" in shown
    assert "\x1b[1;36mBOUNCE" in shown


@pytest.mark.parametrize("width", [80, 120])
def test_nothing_in_the_table_is_cut_off(width: int) -> None:
    market = read_market(payload())
    longest = replace(market.levels[0], kind="USER_HOTZONE", barrier="ABSORPTION", confluence="CONSOLIDATION")
    shown = text_of(a_view(market=replace(market, levels=(replace(longest, confluence_count=12),))), width)
    assert "…" not in "".join(shown.splitlines()[2:])


def test_lines_fit_a_small_terminal_and_the_furthest_levels_give_way() -> None:
    many = payload()
    many["levels"]["levels"] = [level(f"L{index}", 6900.0 + index) for index in range(40)]
    shown = text_of(a_view(market=read_market(many)), 80, 24).splitlines()
    assert len(shown) <= 24
    assert any(line.strip().startswith("L1 ") for line in shown)
    assert not any(line.strip().startswith("L39 ") for line in shown)
    assert any("OPTIONS" in line for line in shown)


def test_before_the_first_frame_it_says_that_it_waits() -> None:
    shown = text_of(View(url=URL, state="connecting", connection="connecting", connected=False))
    assert "WAITING" in shown
    assert "waiting for the first frame" in shown


@pytest.mark.parametrize(
    ("state", "badge", "trusted"),
    [
        ("live", "LIVE", True),
        ("late", "LATE", True),
        ("stale", "STALE", False),
        ("connecting", "OFFLINE", False),
        ("closed", "OFFLINE", False),
        ("replay", "REPLAY", False),
    ],
)
def test_a_screen_says_how_far_to_believe_it(state: ConnectionState, badge: str, trusted: bool) -> None:
    shown = text_of(a_view(state=state))
    assert f" {badge} " in shown
    assert ("do not trade on this" in shown) is not trusted


def test_a_closed_market_is_calm() -> None:
    shown = text_of(a_view(state="market_closed"))
    assert " CLOSED " in shown
    assert "do not trade" not in shown


@pytest.mark.parametrize("width", [80, 120])
def test_a_replay_says_its_date(width: int) -> None:
    assert "Tue 16 Dec 2025  09:43:47 New York" in text_of(a_view(state="replay"), width)


def a_status(**changes: Any) -> Any:
    return {
        "seq": 1,
        "epoch": "e",
        "sent_ms": 1,
        "heartbeat_ms": 60_000,
        "skipped": {"frames": 0, "why": None},
        "levels": {"seq": 1, "age_ms": 100, "published_ms": 1, "core_lag_ms": None, "verdict": "live"},
        "flow": {"seq": 1, "age_ms": 9_000, "published_ms": 1, "core_lag_ms": None, "verdict": "stale"},
        "cause": "flow_silent",
        "explanation": "Core publishes no flow; levels are not overdue.",
        "market": {"name": "XNYS", "open": True, "sentence": "Open until 16:00", "opens_ms": None, "closes_ms": 1},
        **changes,
    }


@pytest.mark.parametrize("width", [80, 120])
def test_the_verdict_of_each_section_its_cause_and_the_market_are_shown(width: int) -> None:
    flow = SectionFreshness("stale", 9.0, 0.25)
    shown = text_of(a_view(state="stale", status=a_status(), flow=flow), width)
    for words in (
        " STALE ",
        "levels live 0.1 s ago",
        "flow stale 9.0 s ago",
        "Core publishes no flow; levels are not overdue.",
        "XNYS: Open until 16:00",
    ):
        assert words in shown


def test_while_all_is_live_there_is_no_cause() -> None:
    shown = text_of(a_view(status=a_status(cause=None, explanation=None))).splitlines()
    assert [line.strip() for line in shown[2:4]] == ["XNYS: Open until 16:00", ""]


def test_lines_of_the_status_leave_no_level_off_the_screen() -> None:
    shown = text_of(a_view(status=a_status()), 80, 14).splitlines()
    assert len(shown) <= 14
    assert any("OPTIONS" in line for line in shown)


def test_a_status_does_not_control_the_terminal() -> None:
    market = {**a_status()["market"], "sentence": "\x1b[2J"}
    assert "\x1b" not in text_of(a_view(status=a_status(explanation="\x1b[2J", market=market)))


@pytest.mark.parametrize(
    ("wall", "phase"),
    [
        ("2025-12-16 03:59", "overnight"),
        ("2025-12-16 04:00", "premarket"),
        ("2025-12-16 09:30", "first 15 minutes"),
        ("2025-12-16 09:45", "regular session"),
        ("2025-07-16 15:00", "last hour"),
        ("2025-12-16 16:00", "after hours"),
        ("2025-12-16 20:00", "overnight"),
        ("2025-12-20 12:00", "regular session"),  # a Saturday: there is no calendar
    ],
)
def test_the_phase_of_the_session_follows_new_york(wall: str, phase: str) -> None:
    moment = datetime.fromisoformat(wall).replace(tzinfo=NEW_YORK)
    assert session_phase(moment.timestamp() * 1000) == phase


@pytest.fixture
async def gateway() -> AsyncIterator[Server]:
    """Sends every viewer one frame and keeps the connection."""

    async def send_frame(socket: ServerConnection) -> None:
        await socket.send(json.dumps(payload()))
        await socket.wait_closed()

    async with serve(send_frame, "127.0.0.1", 0) as server:
        yield server


def url_of(server: Server) -> str:
    return f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


async def run(*arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, cwd=BACKEND, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    stdout, stderr = await process.communicate()
    assert process.returncode is not None
    return process.returncode, stdout.decode(), stderr.decode()


async def test_once_prints_one_plain_snapshot(gateway: Server) -> None:
    status, stdout, stderr = await run(url_of(gateway), "--once")
    assert (status, stderr) == (0, "")
    assert "PM_HIGH" in stdout
    assert "\x1b" not in stdout


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (["ws://127.0.0.1:1/ws/stream", "--once"], 1, "connection refused"),
        (["http://localhost:8000", "--once"], 2, "http://localhost:8000"),
        (["ws://127.0.0.1:1/ws/stream"], 2, "--once"),
        (["ws://127.0.0.1:1/ws/stream", "--once", "--token-file", "missing"], 2, "missing"),
        (["ws://127.0.0.1:1/ws/stream", "--once", "--token-file", os.devnull], 2, f"{os.devnull} holds no token"),
    ],
)
async def test_what_is_wrong_is_said_in_one_line(arguments: list[str], status: int, expected: str) -> None:
    ended, stdout, stderr = await run(*arguments)
    assert (ended, stdout) == (status, "")
    assert expected in stderr
    assert stderr.count("\n") == 1


async def test_a_gateway_that_has_left_is_offline_and_its_market_stays_on_the_screen() -> None:
    async def greet_and_leave(socket: ServerConnection) -> None:
        await socket.send(json.dumps(payload()))
        await socket.close(1001, "going away")

    server = await serve(greet_and_leave, "127.0.0.1", 0)
    url = url_of(server)
    async with stream(url) as states:
        await until(lambda: view_of(url, states).market, "the market")
        server.close()
        await until(lambda: "connection refused" in view_of(url, states).connection, "nobody is there any more")
        shown = text_of(view_of(url, states), 200)
    for words in (" OFFLINE ", "trying again", "PM_HIGH"):
        assert words in shown


async def test_a_gateway_without_a_message_is_not_taken_for_one_that_does_not_answer() -> None:
    said = a_status(cause="no_message", explanation="No message has ever come.")
    del said["levels"], said["flow"]

    async def send_status(socket: ServerConnection) -> None:
        await socket.send(json.dumps({"status": said}))
        await socket.wait_closed()

    async with serve(send_status, "127.0.0.1", 0) as server, stream(url_of(server)) as states:
        await until(lambda: view_of("", states).status, "the status")
        shown = text_of(view_of("", states))
    for words in (" WAITING ", "No message has ever come.", "waiting for the first message of Core"):
        assert words in shown


async def test_leaving_closes_the_connection_as_normal() -> None:
    left: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    async def note_how_it_ends(socket: ServerConnection) -> None:
        await socket.send(json.dumps(payload()))
        await socket.wait_closed()
        left.set_result(socket.close_code)

    async with serve(note_how_it_ends, "127.0.0.1", 0) as server:
        assert (await run(url_of(server), "--once"))[0] == 0
        assert await left == 1000


async def test_an_unreadable_frame_leaves_the_last_market_and_is_reported() -> None:
    async def send_nonsense(socket: ServerConnection) -> None:
        await socket.send(json.dumps(payload()))
        await socket.send("nonsense")
        await socket.wait_closed()

    async with serve(send_nonsense, "127.0.0.1", 0) as server, stream(url_of(server)) as states:
        await until(lambda: states.state().invalid_frames, "the nonsense")
        view = view_of(url_of(server), states)
    assert isinstance(view.market, Market)
    assert "connected; unreadable frames: 1" in view.connection


async def test_a_token_is_read_from_its_file(tmp_path: Path) -> None:
    def refuse_others(connection: ServerConnection, request: Request) -> Response | None:
        known = request.headers.get("Authorization") == "Bearer secret"
        return None if known else connection.respond(HTTPStatus.UNAUTHORIZED, "")

    async def send_frame(socket: ServerConnection) -> None:
        await socket.send(json.dumps(payload()))
        await socket.wait_closed()

    (tmp_path / "token").write_text("secret the desk\n")
    async with serve(send_frame, "127.0.0.1", 0, process_request=refuse_others) as server:
        assert (await run(url_of(server), "--once", "--token-file", str(tmp_path / "token")))[0] == 0
        status, _, stderr = await run(url_of(server), "--once")
    assert (status, "refused: HTTP 401" in stderr) == (1, True)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_leaves_a_clean_terminal(gateway: Server, stop: signal.Signals) -> None:
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        url_of(gateway),
        cwd=BACKEND,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color"},
    )
    os.close(theirs)
    shown = await _read_until(ours, b"PM_HIGH")
    process.send_signal(stop)
    shown += await _read_until(ours, None)
    os.close(ours)
    assert await process.wait() == 0
    assert shown.count(b"\x1b[?1049h") == shown.count(b"\x1b[?1049l") == 1  # the other screen, and back
    assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l")  # the cursor is back


async def _read_until(terminal: int, text: bytes | None) -> bytes:
    """What the terminal shows until `text` has come, or until its process has left it."""
    shown = b""
    while text is None or text not in shown:
        try:
            part = await asyncio.to_thread(os.read, terminal, 65536)
        except OSError:  # Linux: EIO when the other side is closed
            break
        if not part:
            break
        shown += part
    assert text is None or text in shown
    return shown
