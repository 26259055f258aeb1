"""What the console decides without a document: compiled as it is, and asked by Node."""

import json
import re
import shutil
import subprocess
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.documents import ROOT

CONSOLE = ROOT / "console"
TSC = CONSOLE / "node_modules" / ".bin" / "tsc"


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rules as JavaScript."""
    if shutil.which("node") is None:
        pytest.skip("Node is not installed")
    if not TSC.exists():
        pytest.skip("the console's packages are not installed: make console")
    compiled = tmp_path_factory.mktemp("rules")
    (compiled / "package.json").write_text('{"type": "module"}')
    emitted = ["--noEmit", "false", "--rewriteRelativeImportExtensions", "--rootDir", str(ROOT)]
    command = [str(TSC), "--project", "tsconfig.json", *emitted, "--outDir", str(compiled)]
    subprocess.run(command, cwd=CONSOLE, check=True)
    return compiled / "console" / "src" / "market"


def ask(rules: Path, module: str, expression: str) -> Any:
    """What an expression over the exports of a module, `m`, gives."""
    script = f"import * as m from {json.dumps(str(rules / module))}; console.log(JSON.stringify({expression}))"
    command = ["node", "--input-type=module", "--eval", script]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def new_york(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("America/New_York")).timestamp() * 1000)


# A Tuesday in winter and one in summer, then a weekend.
PHASES = [
    ("2025-12-16 03:59:59", "closed", None),
    ("2025-12-16 04:00:00", "pre-market", 330),
    ("2025-12-16 09:29:59", "pre-market", 1),
    ("2025-12-16 09:30:00", "first 15 min", 15),
    ("2025-12-16 09:44:59", "first 15 min", 1),
    ("2025-12-16 09:45:00", "regular", 375),
    ("2025-07-15 15:59:59", "regular", 1),
    ("2025-07-15 16:00:00", "after hours", 240),
    ("2025-07-15 20:00:00", "closed", None),
    ("2025-07-15 23:59:59", "closed", None),
    ("2025-12-20 12:00:00", "closed", None),
    ("2025-12-21 09:35:00", "closed", None),
]


def test_the_session_has_the_phases_of_new_york(rules: Path) -> None:
    asked = ask(rules, "clock.js", f"{[new_york(text) for text, *_ in PHASES]}.map(m.newYork)")
    told = [(each["time"], each["phase"], each.get("minutesLeft")) for each in asked]
    assert told == [(text.split()[1], phase, left) for text, phase, left in PHASES]


def test_a_clock_has_the_date_of_new_york(rules: Path) -> None:
    moments = [new_york("2025-12-16 23:59:59"), new_york("2026-07-04 00:00:00")]
    asked = ask(rules, "clock.js", f"{moments}.map(m.newYork).map((at) => at.date)")
    assert asked == ["Tue 16 Dec 2025", "Sat 4 Jul 2026"]


HALF_DAY = {"open": True, "opens_ms": None, "closes_ms": new_york("2026-11-27 13:00:00")}
SESSIONS = [
    ("2025-12-16 12:00:00", None, "regular, 4 h 0 min left"),
    ("2025-12-20 12:00:00", None, "closed"),
    (
        "2026-11-26 11:00:00",
        {"open": False, "opens_ms": new_york("2026-11-27 09:30:00")},
        "closed, opens in 22 h 30 min",
    ),
    ("2026-11-27 12:59:30", HALF_DAY, "regular, 1 min left"),
    ("2026-11-27 09:40:00", HALF_DAY, "first 15 min, 5 min left"),
    ("2026-11-27 13:30:00", {"open": False, "opens_ms": new_york("2026-11-30 09:30:00")}, "closed"),
    ("2026-11-29 19:00:00", {"open": True, "closes_ms": new_york("2026-11-30 17:00:00")}, "open, 22 h 0 min left"),
    ("2026-11-29 19:00:00", {"open": True, "closes_ms": None}, "open"),
]


def test_the_calendar_of_the_gateway_rules_the_words_of_the_clock(rules: Path) -> None:
    moments = [[new_york(text), market] for text, market, _ in SESSIONS]
    words = "([at, market]) => m.sessionWords(m.newYork(at), market ?? undefined, at)"
    assert ask(rules, "clock.js", f"{json.dumps(moments)}.map({words})") == [words for *_, words in SESSIONS]


AGES = {200: "0.2 s", 42_000: "42 s", 180_000: "3 min", 7_200_000: "2 h", 230_000_000: "64 h", 29_808_000_000: "345 d"}
LAGS = {12: "12 ms", -12: "−12 ms", 9_999: "9999 ms", 42_000: "42 s", -60_000: "−60 s", 29_808_000_000: "345 d"}  # noqa: RUF001


def test_an_age_and_a_lag_are_short_however_long_they_are(rules: Path) -> None:
    assert ask(rules, "words.js", f"{list(AGES)}.map(m.age)") == list(AGES.values())
    assert ask(rules, "words.js", f"{list(LAGS)}.map(m.lag)") == list(LAGS.values())
    assert ask(rules, "words.js", "m.lag(null)") == "–"  # noqa: RUF001


def part(state: str, age_ms: int = 200) -> dict[str, Any]:
    return {"state": state, "ageMs": age_ms}


def said(cause: str | None = None, explanation: str | None = None, **further: Any) -> dict[str, Any]:
    market = {"open": True, "sentence": "Open; closes 16:00.", **further.pop("market", {})}
    return {"cause": cause, "explanation": explanation, "market": market, **further}


def lag_of(core_lag_ms: int | None, verdict: str) -> dict[str, Any]:
    return {"published_ms": new_york("2026-11-27 12:00:00"), "core_lag_ms": core_lag_ms, "verdict": verdict}


SLOW_LINE = "The line to this page is slow: the newest frame took 41 s longer than the quickest."
TRYING = "Connecting to the gateway…"
SILENT = said("core_silent", "Core publishes nothing.")
WEDNESDAY = {"published_ms": new_york("2026-11-25 15:59:58"), "core_lag_ms": 0, "verdict": "closed"}
SHUT = {"open": False, "sentence": "Closed for Thanksgiving."}
# The state, the two sections, what is said, of /health, the delay of the line; then look, word, over and reason.
VERDICTS: list[tuple[Any, ...]] = [
    ("live", part("live"), part("live"), said(), "", 0, "live", "LIVE", "", ""),
    ("live", part("live", 3_000), part("live", 4_900), said(), "", 0, "live", "LIVE", "", ""),
    ("live", part("live"), part("stale"), None, "", 0, "live", "LIVE", "", "Levels are live, option flow is stale."),
    (
        "late",
        part("late", 2_000),
        part("late"),
        SILENT,
        "x",
        0,
        "late",
        "LATE",
        "",
        "What you see is 2.0 s old. Core publishes nothing.",
    ),
    ("late", part("late", 2_000), None, None, "NATS", 0, "late", "LATE", "", "What you see is 2.0 s old. NATS."),
    (
        "late",
        part("live"),
        part("stale", 43_000),
        said("flow_silent", "No flow."),
        "",
        0,
        "late",
        "FLOW STALE",
        "",
        "Levels are live, option flow is 43 s old. Do not trade on it. No flow.",
    ),
    (
        "late",
        part("live"),
        part("late", 3_000),
        said("flow_silent", "No flow."),
        "",
        0,
        "late",
        "FLOW LATE",
        "",
        "Levels are live, option flow is 3.0 s old. No flow.",
    ),
    ("late", part("live"), part("live"), said("spot_missing", "No spot."), "", 0, "late", "NO SPOT", "", "No spot."),
    ("late", part("live"), None, said("spot_missing", "No spot."), "", 0, "late", "NO SPOT", "", "No spot."),
    (
        "stale",
        part("stale", 150_000),
        part("stale"),
        SILENT,
        "",
        0,
        "stale",
        "STALE",
        "STALE",
        "What you see is 3 min old. Do not trade on it. Core publishes nothing.",
    ),
    (
        "stale",
        part("stale", 9_000),
        part("live"),
        said("levels_silent", "No levels."),
        "",
        0,
        "stale",
        "STALE",
        "STALE",
        "Levels are 9.0 s old, option flow is live. Do not trade on the levels. No levels.",
    ),
    (
        "stale",
        part("stale", 41_000),
        part("stale"),
        said(),
        "",
        41_000,
        "stale",
        "STALE",
        "STALE",
        f"What you see is 41 s old. Do not trade on it. {SLOW_LINE}",
    ),
    (
        "stale",
        part("stale"),
        part("stale"),
        said("core_behind", "Behind.", levels=lag_of(42_000, "stale")),
        "",
        0,
        "stale",
        "STALE",
        "STALE",
        "What you see is 42 s old. Do not trade on it. Behind.",
    ),
    (
        "replay",
        part("replay"),
        part("live"),
        said("replay", "A recorded day.", levels=lag_of(345 * 86_400_000, "replay")),
        "",
        0,
        "replay",
        "CORE REPLAYS",
        "CORE REPLAYS\n17 Dec 2025",
        "What you see is of Wed 17 Dec 2025. Do not trade on it. A recorded day.",
    ),
    (
        "replay",
        part("replay"),
        None,
        said("replay", "A recorded day.", levels=lag_of(None, "replay")),
        "",
        0,
        "replay",
        "CORE REPLAYS",
        "CORE REPLAYS",
        "What you see is of another time. Do not trade on it. A recorded day.",
    ),
    (
        "replay",
        part("replay"),
        part("replay"),
        said("past", "Asked for.", replay={"at_ms": new_york("2026-11-25 10:31:04"), "speed": 8, "paused": False}),
        "",
        0,
        "past",
        "REPLAY",
        "REPLAY\n25 Nov 2026\n10:31:04",
        "You see Wed 25 Nov 2026, 10:31:04. It plays at 8 times its speed. Press n for the present.",
    ),
    (
        "replay",
        part("replay"),
        part("replay"),
        said("past", "Asked for.", replay={"at_ms": new_york("2026-11-25 10:31:04"), "speed": 8, "paused": True}),
        "",
        0,
        "past",
        "REPLAY",
        "REPLAY\n25 Nov 2026\n10:31:04",
        "You see Wed 25 Nov 2026, 10:31:04. It stands still. Press n for the present.",
    ),
    (
        "connecting",
        part("replay"),
        part("replay"),
        said("past", "Asked for.", replay={"at_ms": new_york("2026-11-25 10:31:04"), "speed": 8, "paused": True}),
        "",
        0,
        "past",
        "REPLAY",
        "REPLAY\n25 Nov 2026\n10:31:04",
        "You see Wed 25 Nov 2026, 10:31:04. Connecting to the gateway, to go on there.",
    ),
    (
        "replay",
        None,
        None,
        said("past", "Asked for.", replay={"at_ms": 0, "speed": 1, "paused": False}),
        "",
        0,
        "past",
        "REPLAY",
        "REPLAY",
        "The moment is being looked up.",
    ),
    (
        "market_closed",
        part("market_closed", 70_000_000),
        None,
        said("market_closed", "Closed.", levels=WEDNESDAY, market=SHUT),
        "",
        0,
        "market_closed",
        "MARKET CLOSED",
        "",
        "Closed for Thanksgiving. Last data Wed 25 Nov 2026, 15:59:58.",
    ),
    (
        "late",
        None,
        None,
        said("no_message", "None."),
        "",
        0,
        "empty",
        "NO DATA YET",
        "",
        "Connected; no message has come yet.",
    ),
    (
        "market_closed",
        None,
        None,
        said("no_message", "None.", market=SHUT),
        "",
        0,
        "empty",
        "NO DATA YET",
        "",
        "Connected; no message has come yet. Closed for Thanksgiving.",
    ),
    ("connecting", None, None, None, "", 0, "connecting", "CONNECTING", "", f"Nothing has arrived yet. {TRYING}"),
    (
        "connecting",
        part("live", 900),
        part("live"),
        said(),
        "",
        0,
        "connecting",
        "CONNECTING",
        "",
        f"What you see is 0.9 s old. {TRYING}",
    ),
    (
        "connecting",
        part("market_closed", 70_000_000),
        None,
        said(),
        "",
        0,
        "connecting",
        "CONNECTING",
        "",
        f"What you see is 19 h old. {TRYING}",
    ),
    (
        "connecting",
        part("stale", 43_000),
        part("stale"),
        said(),
        "The gateway does not answer",
        0,
        "gone",
        "GATEWAY GONE",
        "NO GATEWAY",
        f"Prices are 43 s old. Do not trade on them. The gateway does not answer. {TRYING}",
    ),
    (
        "connecting",
        part("late", 3_000),
        None,
        None,
        "",
        0,
        "gone",
        "GATEWAY GONE",
        "NO GATEWAY",
        f"Prices are 3.0 s old. Do not trade on them. {TRYING}",
    ),
    (
        "connecting",
        part("replay"),
        None,
        said(levels=lag_of(None, "replay")),
        "",
        0,
        "replay",
        "CORE REPLAYS",
        "CORE REPLAYS",
        f"What you see is of another time. Do not trade on it. {TRYING}",
    ),
    (
        "closed",
        part("stale", 43_000),
        None,
        said(),
        "",
        0,
        "closed",
        "DISCONNECTED",
        "DISCONNECTED",
        "What you see is 43 s old. The connection is closed for good; reload the page to try again.",
    ),
]


def test_the_page_is_never_louder_than_it_is_true_and_never_calmer(rules: Path) -> None:
    seen = [
        {
            "state": state,
            "freshness": {"levels": levels, "flow": flow, "framesPerSecond": 4, "lineDelayMs": delay_ms},
            "status": status,
            "trouble": trouble,
            "ended": "",
            "refused": False,
        }
        for state, levels, flow, status, trouble, delay_ms, *_ in VERDICTS
    ]
    without_nulls = "(name, value) => name === 'cause' || name.endsWith('_ms') ? value : value ?? undefined"
    asked = ask(rules, "verdict.js", f"JSON.parse({json.dumps(json.dumps(seen))}, {without_nulls}).map(m.verdictOf)")
    told = [(each["look"], each["word"], each["over"], each["reason"]) for each in asked]
    for found, (*case, look, word, over, reason) in zip(told, VERDICTS, strict=True):
        assert found == (look, word, over, reason), case


def test_a_page_says_why_its_connection_is_closed_for_good(rules: Path) -> None:
    seen = "{state: 'closed', freshness: {}, trouble: '', ended: 'a page of this origin may not connect'}"
    reason = ask(rules, "verdict.js", f"m.verdictOf({seen})")["reason"]
    assert reason.startswith("Nothing has arrived yet. A page of this origin may not connect. The connection is closed")


def test_a_page_that_needs_a_token_says_so(rules: Path) -> None:
    asked = ask(rules, "verdict.js", "m.verdictOf({state: 'closed', freshness: {}, trouble: '', refused: true})")
    assert asked["reason"] == "The gateway wants a token."


TICKERS = {
    "O:ES251216C06895000": {"underlying": "ES", "side": "call", "strike": 6895},
    "O:SPY251216P00687500": {"underlying": "SPY", "side": "put", "strike": 687.5},
    "O:BRK.B251216C00500000": {"underlying": "BRK.B", "side": "call", "strike": 500},
    "ES251216P06900000": {"underlying": "ES", "side": "put", "strike": 6900},
    "O:ES251216X06895000": None,
    "O:ES251216C6895": None,
    "": None,
    "nonsense": None,
}


def test_a_ticker_tells_side_and_strike_or_nothing(rules: Path) -> None:
    asked = ask(rules, "flow.js", f"{json.dumps(list(TICKERS))}.map((ticker) => m.readTicker(ticker) ?? null)")
    assert dict(zip(TICKERS, asked, strict=True)) == TICKERS


SPREADS = [
    ([], []),
    ([100], [100]),
    ([100, 200], [100, 200]),
    ([100, 100], [85, 115]),
    ([100, 110, 120], [80, 110, 140]),
    ([100, 100, 300], [85, 115, 300]),
    ([-900, 100], [-30, 100]),
    ([-900, -800, 10], [-60, -30, 10]),
    ([100, 900, 5000], [100, 530, 560]),
]


def test_rows_stand_at_their_prices_or_as_near_as_their_neighbours_let_them(rules: Path) -> None:
    asked = ask(
        rules, "scale.js", f"{json.dumps([wanted for wanted, _ in SPREADS])}.map((w) => m.spread(w, 30, 0, 500))"
    )
    assert asked == [rows for _, rows in SPREADS]


def test_rows_close_together_keep_their_order_and_their_distance(rules: Path) -> None:
    wanted = [index * index % 37 + index * 3 for index in range(60)]
    rows = ask(rules, "scale.js", f"m.spread({sorted(wanted)}, 36, -1000, 1000)")
    gaps = {later - earlier for earlier, later in pairwise(rows)}
    assert min(gaps) >= 35, "a pixel is lost to rounding at most"


SHORT = {
    0: "0",
    7: "7",
    999: "999",
    1500: "1.50k",
    99_949: "99.9k",
    999_600: "1.00M",
    7_505_710: "7.51M",
    2.5e9: "2.50B",
}


def test_amounts_are_short_and_of_one_width(rules: Path) -> None:
    assert ask(rules, "words.js", f"{list(SHORT)}.map(m.short)") == list(SHORT.values())
    assert ask(rules, "words.js", "[m.short(-1500), m.fixed(-0.001, 2), m.fixed(null, 2), m.signed(0.25, 2)]") == [
        "−1.50k",  # noqa: RUF001
        "0.00",
        "–",  # noqa: RUF001
        "+0.25",
    ]


def test_a_bar_takes_all_spots_of_its_step_and_another_clock_begins_again(rules: Path) -> None:
    said = [[1000, 1], [1400, 3], [1400, 3], [2000, 2], [1900, 4], [500000, 5], [3000, 6]]
    add = f"{said}.map(([ts, spot]) => s.add(ts, spot, []))"
    asked = ask(rules, "session.js", f"((s) => [{add}, s.bars])(new m.Session(1000, 900))")
    assert asked[0] == ["all", "last", "none", "last", "last", "last", "all"]
    assert asked[1] == [bar(3, 6)]


def bar(time: int, *prices: float) -> Any:
    """Its open, high, low and close; one price stands for all."""
    open_, high, low, close = prices if len(prices) == 4 else prices * 4
    return {"time": time, "open": open_, "high": high, "low": low, "close": close}


def told(bars: list[tuple[float, float, float, float] | None], to_ms: int, **further: Any) -> dict[str, Any]:
    """An answer of `/history` from 60 s on, in points of 10 s."""
    names = ("open", "high", "low", "close")
    spot = {name: [None if each is None else each[at] for each in bars] for at, name in enumerate(names)}
    span = {"from_ms": 60_000, "step_ms": 10_000, "count": len(bars), "available_from_ms": 0, "available_to_ms": to_ms}
    return {**span, "complete": True, "spy": spot, **further}


# What the page saw, as time and spot; the answer; then the bars. The seam is the bar of 80 s, of which both tell.
SEAMS: list[tuple[list[list[float]], dict[str, Any], list[dict[str, Any]]]] = [
    ([], told([(1, 2, 0, 1), None, (3, 3, 3, 3)], 85_000), [bar(60, 1, 2, 0, 1), bar(80, 3)]),
    (
        [[84_000, 5], [86_000, 4], [91_000, 6]],
        told([(1, 2, 0, 1), None, (3, 5, 3, 5)], 85_000),
        [bar(60, 1, 2, 0, 1), bar(80, 3, 5, 3, 4), bar(90, 6)],
    ),
    # What was seen of a bar that the answer has to its end does not count; what it lacks altogether does.
    (
        [[50_000, 9], [61_000, 1.5], [72_000, 7], [80_000, 3]],
        told([(1, 2, 0, 1), None, (3, 3, 3, 3)], 85_000),
        [bar(60, 1, 2, 0, 1), bar(70, 7), bar(80, 3)],
    ),
    ([[84_000, 5]], told([None, None, None], 85_000) | {"available_to_ms": None}, [bar(80, 5)]),
]


def test_a_filled_session_and_live_frames_have_neither_a_seam_nor_a_point_twice(rules: Path) -> None:
    for seen, answer, bars in SEAMS:
        add = f"{seen}.forEach(([ts, spot]) => s.add(ts, spot, []))"
        run = f"((s) => {{ {add}; s.fill({json.dumps(answer)}, 'spy'); return s.bars; }})(new m.Session(1000, 900))"
        assert ask(rules, "session.js", run) == bars, seen


def test_a_session_that_is_filled_first_grows_from_there(rules: Path) -> None:
    answer = json.dumps(told([(1, 2, 0, 1), None, (3, 3, 3, 3)], 85_000))
    run = f"((s) => {{ s.fill({answer}, 'spy'); s.add(86000, 4, []); s.add(97000, 5, []); return s.bars; }})"
    asked = ask(rules, "session.js", f"{run}(new m.Session(30000, 900))")
    assert asked == [bar(60, 1, 2, 0, 1), bar(80, 3, 4, 3, 4), bar(90, 5)]


def test_a_bar_that_is_longer_than_those_of_the_answer_is_not_drawn_where_it_began(rules: Path) -> None:
    """As after the open: the session is short, and so are its steps."""
    answer = json.dumps(told([None, None, (3, 3, 3, 3)], 85_000))
    run = f"((s) => {{ s.add(85000, 3, []); s.fill({answer}, 'spy'); s.add(86000, 4, []); return s.bars; }})"
    assert ask(rules, "session.js", f"{run}(new m.Session(30000, 900))") == [bar(80, 3, 4, 3, 4)]


def test_a_level_lives_from_the_past_into_the_present_and_has_runs_of_one_signal(rules: Path) -> None:
    level = {"id": "VWAP", "kind": "VWAP", "price": 7.0, "at": 0, "score": [50, 60, None], "signal": [0, 1, None]}
    answer = told([(1, 1, 1, 1)] * 3, 85_000, signals=["NO_TRADE", "BREAK"], levels=[level])
    now = json.dumps([{"id": "VWAP", "kind": "VWAP", "price": 7.5, "signal": "BREAK", "score": 70}])
    run = f"s.fill({json.dumps(answer)}, 'spy'); s.add(120000, 2, {now}); s.add(130000, 2, {now});"
    states = "[...s.lives].flatMap(({states}) => m.runsOf(states, s.stepS, s.gapS))"
    run = f"((s) => {{ {run} return [{states}, s.levelsAt(70)]; }})"
    asked = ask(rules, "session.js", f"{run}(new m.Session(1000, 900))")
    assert asked[0] == [
        {"from": 60, "to": 70, "price": 7, "signal": "NO_TRADE"},
        {"from": 70, "to": 80, "price": 7, "signal": "BREAK"},
        {"from": 120, "to": 140, "price": 7.5, "signal": "BREAK"},
    ]
    assert asked[1] == [{"id": "VWAP", "kind": "VWAP", "time": 70, "price": 7, "signal": "BREAK", "score": 60}]


def test_a_gap_is_kept_as_empty_steps_and_longer_candles_are_made_of_bars(rules: Path) -> None:
    bars = json.dumps([bar(60, 1), bar(90, 2, 4, 1, 3), bar(120, 5)])
    asked = ask(rules, "session.js", f"m.plotted({bars}, 30, Infinity)")
    assert asked["slots"] == json.loads(bars)
    asked = ask(rules, "session.js", f"m.plotted({bars}, 30, 2)")
    assert asked == {"stepS": 60, "slots": [bar(60, 1, 4, 1, 3), bar(120, 5)]}
    gap = json.dumps([bar(60, 1), bar(150, 5)])
    asked = ask(rules, "session.js", f"m.plotted({gap}, 30, Infinity).slots")
    assert asked == [bar(60, 1), {"time": 90}, {"time": 120}, bar(150, 5)]
    far = json.dumps([bar(60, 1), bar(1_000_000, 5)])
    assert ask(rules, "session.js", f"m.plotted({far}, 30, Infinity).slots") == [bar(1_000_000 // 30 * 30, 5)]


def test_spot_at_a_moment_is_known_in_a_bar_and_nowhere_else(rules: Path) -> None:
    answer = json.dumps(told([(1, 2, 0, 2), None, (3, 3, 3, 3)], 85_000))
    moments = [60_000, 65_000, 75_000, 85_000, 90_000]
    run = f"((s) => {{ s.fill({answer}, 'spy'); return {moments}.map((at) => s.spotAt(at)); }})"
    asked = ask(rules, "session.js", f"{run}(new m.Session(1000, 900)).map((spot) => spot ?? null)")
    assert asked == [1, 1.5, None, 3, None]


def test_a_session_forgets_what_came_after_the_moment_that_is_shown(rules: Path) -> None:
    level = {"id": "VWAP", "kind": "VWAP", "price": 7.0, "at": 1, "score": [50, 60], "signal": [0, 0]}
    late = {**level, "id": "late", "at": 2, "score": [50], "signal": [0]}
    answer = told([(1, 2, 0, 1), (2, 3, 1, 2), (9, 9, 9, 9)], 89_000, signals=["NO_TRADE"], levels=[level, late])
    for at_ms, bars, lives in [(78_000, 1, {}), (79_999, 2, {"VWAP": 1}), (88_000, 2, {"VWAP": 1})]:
        run = f"s.fill({json.dumps(answer)}, 'spy'); s.cut({at_ms});"
        kept = "[s.bars.length, [...s.lives].map(({id, states}) => [id, states.length]), s.spotAt(85000) ?? null]"
        asked = ask(rules, "session.js", f"((s) => {{ {run} return {kept}; }})(new m.Session(1000, 900))")
        assert asked == [bars, [list(each) for each in lives.items()], None], at_ms
    add = "s.cut(78000); s.add(81000, 5, []); s.add(85000, 6, []);"
    run = f"((s) => {{ s.fill({json.dumps(answer)}, 'spy'); {add} return [s.bars, s.spotAt(84000)]; }})"
    asked = ask(rules, "session.js", f"{run}(new m.Session(1000, 900))")
    assert asked == [[bar(60, 1, 2, 0, 1), bar(80, 5, 6, 5, 6)], 5.8]


ASKED_FOR = [
    ("session", None, {}),
    ("hour", None, {"from": "-3600s", "step": "5s"}),
    ("session", 7_200_000, {"to": 7_200_001}),
    ("quarter", 7_200_000, {"from": 6_300_001, "to": 7_200_001, "step": "1s"}),
    ("hour", 1_000, {"from": 0, "to": 1_001, "step": "5s"}),
]


def test_of_the_past_what_ends_with_the_moment_that_is_shown_is_asked_for(rules: Path) -> None:
    for span, at_ms, asked in ASKED_FOR:
        run = f"m.askedOf(m.SPANS[{json.dumps(span)}], {json.dumps(at_ms)} ?? undefined)"
        assert ask(rules, "spans.js", run) == asked, (span, at_ms)


# The status, whether all is there, failures before; then the pause in ms.
PAUSES: list[tuple[int | None, bool, int, float | None]] = [
    (200, True, 0, None),
    (200, False, 0, 1000),
    (404, False, 0, None),
    (401, False, 0, None),
    (503, False, 0, 500),
    (503, False, 3, 4000),
    (None, False, 20, 30_000),
]


def test_the_past_is_asked_for_again_until_it_is_there_or_will_not_be(rules: Path) -> None:
    for status, complete, failures, pause in PAUSES:
        outcome = json.dumps({"status": status, "complete": complete}).replace("null", "undefined")
        assert ask(rules, "asking.js", f"m.pauseMs({outcome}, {failures}, 1) ?? null") == pause, status
    read_to = new_york("2025-12-16 10:12:59")
    said = f"[m.progress(200, false, {read_to}), m.progress(200, true, 0), m.progress(404, false, null)]"
    assert ask(rules, "asking.js", said) == ["the session is being read: back to 10:12", "", ""]


def event(id_: str, minute: float, kind: str, before: str, after: str, **further: Any) -> dict[str, Any]:
    ts = new_york("2025-12-16 09:41:00") + round(minute * 60_000)
    facts = {"level": "VWAP", "level_kind": "VWAP", "price": 687.25, "spot": 687.4, "score": 72.4, "confidence": "HIGH"}
    place = {"id": id_, "kind": kind, "seq": 1, "ts": ts, "server_ms": ts, "count": 1, "first_ts": ts}
    return {**place, **facts, "before": before, "after": after, **further}


def test_an_event_is_told_once_and_again_when_it_counts_one_more(rules: Path) -> None:
    first, second = event("a", 0, "signal", "NO_TRADE", "BREAK"), event("b", -1, "signal", "NO_TRADE", "BOUNCE")
    more = first | {"count": 2, "server_ms": first["server_ms"] + 1}
    told = [([first], False), ([second, first], True), ([more], False)]
    adds = "".join(f"f.add({json.dumps(events)}, {json.dumps(past)});" for events, past in told)
    run = f"((f, told) => {{ f.subscribe((news) => told.push(news)); {adds} return [told, f.all]; }})"
    news, all_ = ask(rules, "event_feed.js", f"{run}(new m.EventFeed(), [])")
    found = [([each["id"] for each in one["events"]], one["past"]) for one in news]
    assert found == [(["a"], False), (["b"], True), (["a"], False)]
    assert [(each["id"], each["count"]) for each in all_] == [("b", 1), ("a", 2)]


def test_a_signal_says_since_when_it_stands_how_often_it_came_and_what_became_of_it(rules: Path) -> None:
    begun = event("a", 0, "signal", "NO_TRADE", "BREAK", count=3, first_ts=new_york("2025-12-16 09:40:00"))
    ended = event("b", 3, "signal", "BREAK", "NO_TRADE")
    stands = event("c", 20, "signal", "NO_TRADE", "BOUNCE", score=None)
    swept = event("d", 21, "sweep_detected", "false", "true", count=2)
    over = event("e", 22, "sweep_detected", "true", "false")
    verdict = event("f", 23, "verdict", "live", "stale", level="flow", level_kind=None, price=None)
    events = json.dumps([begun, ended, stands, swept, over, verdict])
    spot = f"(at) => at < {begun['ts'] + 6 * 60_000} ? 687.4 + (at - {begun['ts']}) / 60000 : undefined"
    lines = ask(rules, "tape.js", f"m.signalLines({events}, {spot})")
    assert [(each["time"], each["what"], each["name"], each["facts"]) for each in lines] == [
        ("10:01:00", "→ BOUNCE", "687.25 VWAP", "since 10:01 · spot 687.40"),
        ("09:41:00", "→ BREAK", "687.25 VWAP", "09:40 for 4 min ×3 · score 72 · spot 687.40"),  # noqa: RUF001
    ]
    assert lines[1]["moves"] == [{"after": "1 min", "points": "+1.00"}, {"after": "5 min", "points": "+5.00"}]
    rest = ask(rules, "tape.js", f"m.restLines({events}, {{part: 'rest', hidden: []}})")
    assert [(each["what"], each["name"], each["facts"]) for each in rest] == [
        ("flow: live → stale", "", ""),
        ("SWEEP", "687.25 VWAP", "×2 since 10:02"),  # noqa: RUF001
    ]
    hidden = ask(
        rules, "tape.js", f"m.restLines({events}, m.readTapeChoice('rest verdict nonsense')).map((l) => l.kind)"
    )
    assert hidden == ["sweep_detected"]


def test_what_the_page_sees_without_a_gateway_that_keeps_events_is_counted_as_there(rules: Path) -> None:
    def level(signal: str) -> dict[str, Any]:
        facts = {"level_kind_name": "VWAP", "level_price": 687.25, "break_score_smooth": 72.4, "confidence": "LOW"}
        return {"id": "VWAP", "signal": signal, "sweep_detected": False, "barrier_state": "WALL", **facts}

    frames = {0: ["NO_TRADE"], 1000: ["BREAK"], 2000: ["NO_TRADE"], 3000: ["BREAK"], 90000: [], 91000: ["BREAK"]}
    moments = json.dumps([[ts, [["VWAP", level(each)] for each in signals]] for ts, signals in frames.items()])
    run = f"((s) => {moments}.map(([ts, levels]) => s.next(new Map(levels), ts, () => 687.4)))"
    asked = ask(rules, "seen_events.js", f"{run}(new m.SeenEvents())")
    assert [[(each["kind"], each["after"], each["count"], each["first_ts"]) for each in found] for found in asked] == [
        [],
        [("signal", "BREAK", 1, 1000)],
        [("signal", "NO_TRADE", 1, 2000)],
        [("signal", "BREAK", 2, 1000)],
        [("level", "absent", 1, 90000)],
        [],
    ]


EXTREMES = [0, -0.0, 5e-324, 0.5, 687.25, -6926, 1e9, 1e15, -1e15, 1.7976931348623157e308, -1.7976931348623157e308]


def test_the_axis_has_a_bounded_number_of_marks_at_any_scale(rules: Path) -> None:
    scales = [1e-9, 1e-7, 1e-3, 1, 600, 1e4]
    axes = f"{scales}.flatMap((pixelsPerPoint) => {EXTREMES}.map((anchor) => ({{anchor, pixelsPerPoint}})))"
    asked = ask(
        rules, "scale.js", f"{axes}.map((axis) => m.ticks(axis, axis.anchor - 1e9, axis.anchor + 1e9, 40).prices)"
    )
    assert max(map(len, asked)) <= 400
    assert all(isinstance(price, int | float) for prices in asked for price in prices)


def test_any_price_has_a_place(rules: Path) -> None:
    placed = ask(rules, "bounds.js", f"{EXTREMES}.map(m.placed)")
    assert placed == [max(-1e9, min(1e9, price)) for price in EXTREMES]
    scales = ask(rules, "scale.js", f"{placed}.map((spot) => m.pixelsPerPoint({placed}, spot, 400, 36))")
    assert all(0 < scale < 10_000 for scale in scales)


def test_of_too_many_levels_those_nearest_to_spot_are_shown(rules: Path) -> None:
    levels = "Array.from({length: 5000}, (_, index) => ({level_price: index === 7 ? 1e308 : index}))"
    scale = "({main: {spot}, place: m.placed})"
    shown = ask(
        rules, "bounds.js", f"((spot) => m.nearestLevels({levels}, {scale}))(2000).map((each) => each.level_price)"
    )
    assert len(shown) == 100
    assert (shown[0], shown[-1]) == (1950, 2049)
    assert len(ask(rules, "bounds.js", f"((spot) => m.nearestLevels({levels}, {scale}))(null)")) == 100


NUMBERS = {1e9: "1.00e9", -1e15: "−1.00e15", 1.7976931348623157e308: "1.80e308", 999_999_999.0: "999999999.00"}  # noqa: RUF001


def test_a_number_of_any_size_is_short(rules: Path) -> None:
    assert ask(rules, "words.js", f"{list(NUMBERS)}.map(m.price)") == list(NUMBERS.values())
    assert ask(rules, "words.js", "[m.short(1e15), m.percent(1e300), m.price('x'), m.price({})]") == [
        "1.00e15",
        "1.00e302",
        "–",  # noqa: RUF001
        "–",  # noqa: RUF001
    ]
    assert max(map(len, ask(rules, "words.js", "['_'.repeat(9999), 'x'.repeat(41)].map(m.spaced)"))) == 40


def test_a_time_that_no_calendar_has_is_a_dash(rules: Path) -> None:
    assert ask(rules, "clock.js", "[1e300, -1e300, NaN].map((at) => m.newYork(at).time)") == ["–"] * 3  # noqa: RUF001


ETF, FUTURE = {"spot": 691.0, "bid": 690.99, "ask": 691.01}, {"spot": 6926.5, "bid": 6926.25, "ask": 6926.5}
NO_SPOT = {"spot": None, "bid": None, "ask": None}
ES_FLOW: dict[str, Any] = {"O:ES251216C06930000": {}, "nonsense": {}}
SPY_FLOW: dict[str, Any] = {"O:SPY251216C00693000": {}}
# The spots, prices of levels and flow; then the names of the instrument and of the other, and where the levels stand.
INSTRUMENTS: list[tuple[Any, ...]] = [
    (ETF, None, [690.0], {}, "SPY", None, [690.0]),
    (ETF, None, [690.0], SPY_FLOW, "SPY", None, [690.0]),
    (FUTURE, None, [6930.0], ES_FLOW, "ES", None, [6930.0]),
    (ETF, None, [690.0], ES_FLOW, "SPY", None, [690.0]),
    (FUTURE, FUTURE, [6930.0], {}, "ES", None, [6930.0]),
    (ETF, FUTURE, [690.0, 692.0], ES_FLOW, "SPY", "ES", [690.0, 692.0]),
    (ETF, FUTURE, [6930.0, 6920.0, 691.0], {}, "ES", "SPY", [6930.0, 6920.0, 6926.5]),
    (ETF, FUTURE, [690.0, 691.5, 6926.5], {}, "SPY", "ES", [690.0, 691.5, 691.0]),
    (ETF, FUTURE, [], {}, "SPY", "ES", []),
    (ETF, FUTURE, [-5.0, 0.0, 1e308, 691.0], {}, "SPY", "ES", [-5.0, 0.0, 1e9, 691.0]),
    (NO_SPOT, FUTURE, [6930.0], {}, "ES", "SPY", [6930.0]),
    (NO_SPOT, FUTURE, [691.0], {}, "SPY", "ES", [691.0]),
    (NO_SPOT, None, [691.0], {}, "SPY", None, [691.0]),
]


def test_a_level_belongs_to_the_instrument_whose_spot_is_near_it(rules: Path) -> None:
    for spy, es, prices, flow, *expected in INSTRUMENTS:
        payload = {"spy": spy, "levels": [{"level_price": price} for price in prices]} | ({"es": es} if es else {})
        found = (
            f"((found) => [found.main.name, found.other?.name ?? null, {prices}.map((price) => found.place(price))])"
        )
        asked = ask(rules, "instruments.js", f"{found}(m.instruments({json.dumps(payload)}, {json.dumps(flow)}))")
        assert asked == expected, (spy, es, prices)


def kept(rules: Path, levels: list[dict[str, Any]], **choice: Any) -> list[tuple[str, list[str], str, bool]]:
    """Key, kinds, signal and pin of each row of levels about a spot of 100."""
    usual = {"direction": "UP", "signal": "NO_TRADE", "distance": 1.0}
    full = [{**usual, "id": level["level_kind_name"], **level} for level in levels]
    script = f"new Map({json.dumps(full)}.map((level) => [level.id, level]))"
    main = {"name": "SPY", "spot": 100.0}
    scale = f"(() => {{ const main = {json.dumps(main)}; return {{main, of: () => main, place: (price) => price}} }})()"
    rows = ask(
        rules, "choice.js", f"[...m.rowsOf({script}, {{...m.EVERYTHING, ...{json.dumps(choice)}}}, {scale}).values()]"
    )
    return [(row["key"], row["kinds"], row["level"]["signal"], row["pinned"]) for row in rows]


def kind(name: str, price: float, signal: str = "NO_TRADE", distance: float = 1.0) -> dict[str, Any]:
    return {"level_kind_name": name, "level_price": price, "signal": signal, "distance": distance}


AT_ONE_PRICE = [kind("ROUND", 101), kind("STRIKE", 101, "BREAK"), kind("VWAP", 99), kind("WALL", 101, "BOUNCE")]


def test_levels_of_one_price_are_one_row_with_the_signal_that_one_has(rules: Path) -> None:
    assert kept(rules, AT_ONE_PRICE) == [
        ("ROUND", ["STRIKE", "ROUND"], "BREAK", False),
        ("WALL", ["WALL"], "BOUNCE", False),
        ("VWAP", ["VWAP"], "NO_TRADE", False),
    ]
    assert len(kept(rules, AT_ONE_PRICE, merged=False)) == 4


CHOICES: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["ROUND", "WALL", "VWAP", "FAR"]),
    ({"signalsOnly": True}, ["ROUND", "WALL"]),
    ({"signalsOnly": True, "pinned": ["VWAP"]}, ["ROUND", "WALL", "VWAP"]),
    ({"hidden": ["ROUND"]}, ["ROUND", "WALL", "VWAP", "FAR"]),
    ({"hidden": ["ROUND", "STRIKE"]}, ["WALL", "VWAP", "FAR"]),
    ({"within": 5}, ["ROUND", "WALL", "VWAP"]),
    ({"within": 0.5, "pinned": ["STRIKE"]}, ["ROUND"]),
]


def test_a_pinned_level_passes_every_filter(rules: Path) -> None:
    for choice, keys in CHOICES:
        rows = kept(rules, [*AT_ONE_PRICE, kind("FAR", 130, distance=30.0)], **choice)
        assert [key for key, *_ in rows] == keys, choice


STORED = {
    "": [[], True],
    "7": [[], True],
    '{"pinned": ["A", 7, null], "merged": false}': [["A"], False],
    '{"pinned": {"length": 1e9}, "within": "x", "merged": 0}': [[], True],
}


def test_a_choice_that_cannot_be_read_is_none(rules: Path) -> None:
    read = "((kept) => { const {pinned, merged} = m.readChoice(kept); return [pinned, merged]; })"
    assert ask(rules, "choice.js", f"{json.dumps(list(STORED))}.map({read})") == list(STORED.values())


def test_no_label_stands_over_another_and_the_heaviest_is_there(rules: Path) -> None:
    at = {f"{index}": index * index % 311 for index in range(40)}
    labels = [{"key": key, "y": y, "weight": int(key) % 7} for key, y in at.items()]
    fit = ask(rules, "labels.js", f"m.fitting({json.dumps(labels)}, 300, 15, [150])")
    ys = sorted([150, *(at[key] for key in fit)])
    assert min(later - earlier for earlier, later in pairwise(ys)) >= 15
    assert fit[0] == "6"
    assert len(fit) > 5


def test_a_series_is_bounded_and_begins_again_with_another_clock(rules: Path) -> None:
    add = "[[0, 1], [500, 2], [1000, 3], [2000, 4], [3000, 5], [-9000, 6]].map(([atMs, value]) => s.add({atMs, value}))"
    asked = ask(rules, "series.js", f"((s) => [{add}, s.samples, s.before(0) ?? null])(new m.Series(1000, 3))")
    assert asked == [[True, False, True, True, True, True], [{"atMs": -9000, "value": 6}], 6]
    many = "for (let each = 0; each < 100; each += 1) s.add({atMs: each * 1000, value: each});"
    kept = ask(
        rules, "series.js", f"((s) => {{ {many} return s.samples.map((each) => each.value) }})(new m.Series(1000, 3))"
    )
    assert kept == [97, 98, 99]


def test_a_sparkline_has_gaps_where_nothing_was_seen_and_no_value_breaks_it(rules: Path) -> None:
    line = (
        "(values) => m.sparkline(values.map(([atMs, value]) => ({atMs, value})), {width: 60, height: 16}, 60, 20, 20)"
    )
    drawn = ask(rules, "series.js", f"({line})([[0, 50], [10, 60], [60, 40]])")
    assert drawn == "M0.0 8.0L10.0 1.0M60.0 15.0"
    assert ask(rules, "series.js", f"({line})([])") == ""
    series = [[[0, one], [1, other]] for one in EXTREMES for other in EXTREMES]
    drawn = ask(rules, "series.js", f"{series}.map({line})")
    assert all(re.fullmatch(r"(?:[ML]-?[\d.]+ -?[\d.]+)+", each) for each in drawn), "neither NaN nor Infinity"


POINT = {"key": "VWAP", "id": "VWAP", "signal": "NO_TRADE", "score": 50, "swept": False}
PAST: list[tuple[dict[str, Any], float, dict[str, Any], dict[str, Any] | None]] = [
    ({"atMs": 0}, 0, {"atMs": 0, "exact": False}, None),
    ({"atMs": 10_000, "signal": "BREAK", "score": 58}, 8, {"atMs": 10_000, "exact": True}, None),
    (
        {"atMs": 20_000, "signal": "BREAK", "score": 70, "swept": True},
        20,
        {"atMs": 10_000, "exact": True},
        {"atMs": 20_000, "exact": True},
    ),
    (
        {"atMs": 80_000, "signal": "BREAK", "score": 71, "swept": True},
        1,
        {"atMs": 10_000, "exact": True},
        {"atMs": 20_000, "exact": True},
    ),
    ({"atMs": 81_000}, -20, {"atMs": 81_000, "exact": True}, None),
    ({"atMs": 5_000, "swept": True}, 0, {"atMs": 5_000, "exact": False}, {"atMs": 5_000, "exact": False}),
]


def test_a_level_has_its_signal_since_a_moment_that_was_seen_or_since_before(rules: Path) -> None:
    points = [POINT | point for point, *_ in PAST]
    told = "points.map((point) => { p.add(point); const {rise, signalSince, sweepSince} = p.of('VWAP'); "
    told += "return [rise, signalSince, sweepSince ?? null]; })"
    asked = ask(rules, "level_past.js", f"((p, points) => {told})(new m.LevelPasts(), {json.dumps(points)})")
    assert asked == [list(expected) for _, *expected in PAST]
    many = "for (let each = 0; each < 5000; each += 1) p.add({...point, key: `${each}`, atMs: each});"
    ask_kept = "['0', '4999'].map((key) => p.of(key) !== undefined)"
    asked = ask(
        rules,
        "level_past.js",
        f"((p, point) => {{ {many} return {ask_kept} }})(new m.LevelPasts(), {json.dumps(POINT)})",
    )
    assert asked == [False, True]


def since(at_ms: int, exact: bool = True) -> dict[str, Any]:
    return {"atMs": at_ms, "exact": exact}


BEGAN = event("a", 0, "signal", "NO_TRADE", "BREAK")
SWEPT = event("b", 1, "sweep_detected", "false", "true")
CAME = event("c", -5, "level", "absent", "present")
WENT = event("d", 2, "level", "present", "absent")
OPENED_MS = BEGAN["ts"] + 30 * 60_000
# What the gateway tells, what the page sees from its opening on; then since when the signal and the sweep are there.
TOLD: list[tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any], dict[str, Any] | None]] = [
    ([BEGAN, SWEPT], [{"signal": "BREAK", "swept": True}], since(BEGAN["ts"]), since(SWEPT["ts"])),
    ([BEGAN], [{"signal": "BOUNCE", "swept": True}], since(OPENED_MS, False), since(OPENED_MS, False)),
    ([CAME], [{}], since(CAME["ts"]), None),
    ([CAME, BEGAN, WENT], [{"signal": "BREAK"}], since(OPENED_MS, False), None),
    ([BEGAN | {"level": "LOW"}, BEGAN | {"level": None}], [{"signal": "BREAK"}], since(OPENED_MS, False), None),
    # The last BREAK but one is no past of a break that the page saw begin.
    ([BEGAN], [{}, {"signal": "BREAK", "atMs": OPENED_MS + 250}], since(OPENED_MS + 250), None),
    # A hidden page saw nothing: the events know when it was.
    ([], [{}, {"signal": "BREAK", "atMs": OPENED_MS + 60_000}], since(OPENED_MS + 60_000, False), None),
    (
        [BEGAN | {"ts": OPENED_MS + 20_000}],
        [{}, {"signal": "BREAK", "atMs": OPENED_MS + 60_000}],
        since(OPENED_MS + 20_000),
        None,
    ),
    # The row shows another of its levels, which has had its signal for long.
    ([], [{}, {"id": "LOW", "signal": "BREAK", "atMs": OPENED_MS + 250}], since(OPENED_MS + 250, False), None),
]


@pytest.mark.parametrize("told_first", [True, False], ids=["told first", "seen first"])
def test_what_the_gateway_tells_is_since_when_a_level_has_its_signal_and_its_sweep(
    rules: Path, told_first: bool
) -> None:
    cases = [[told, [POINT | {"atMs": OPENED_MS} | point for point in seen]] for told, seen, *_ in TOLD]
    tell, see = "p.tell(told)", "seen.forEach((point) => p.add(point))"
    run = f"{tell}; {see}" if told_first else f"{see}; {tell}"
    told = "const {signalSince, sweepSince} = p.of('VWAP'); return [signalSince, sweepSince ?? null];"
    asked = ask(
        rules,
        "level_past.js",
        f"{json.dumps(cases)}.map(([told, seen]) => ((p) => {{ {run}; {told} }})(new m.LevelPasts()))",
    )
    assert asked == [[signal, sweep] for *_, signal, sweep in TOLD]


def test_the_scores_of_the_last_minutes_come_before_those_that_are_seen(rules: Path) -> None:
    levels = [{"id": "VWAP", "at": 1, "score": [40, None, 44, 45]}]
    answer = json.dumps({"from_ms": 100_000, "step_ms": 2_000, "count": 5, "levels": levels})
    point = json.dumps(POINT | {"atMs": 107_000})
    other = json.dumps(POINT | {"atMs": 107_000, "key": "late"})
    run = f"p.add({point}); p.fill({answer}); p.add({other}); "
    run += f"p.add({json.dumps(POINT | {'atMs': 166_500})}); return ['VWAP', 'late'].map((key) => p.of(key))"
    first, late = ask(rules, "level_past.js", f"((p) => {{ {run} }})(new m.LevelPasts())")
    seen = [[102_000, 40], [107_000, 50], [166_500, 50]]
    assert [[each["atMs"], each["value"]] for each in first["scores"]] == seen, "108 and 106 s are too near to 107"
    assert first["rise"] == 10, "since the last score that is a minute old"
    assert [each["value"] for each in late["scores"]] == [40, 44, 45]


def test_of_an_event_that_counts_on_only_the_beginning_is_known_before(rules: Path) -> None:
    flapping = event("a", 5, "signal", "NO_TRADE", "BREAK", count=3, first_ts=BEGAN["ts"])
    events, at_ms = [BEGAN | {"id": "b"}, SWEPT, flapping], SWEPT["ts"]
    told = ask(rules, "as_of.js", f"m.eventsAsOf({json.dumps(events)}, {at_ms})")
    assert [each["id"] for each in told] == ["b", "a", "b"]
    assert told[1] == flapping | {
        "ts": BEGAN["ts"],
        "server_ms": BEGAN["ts"],
        "count": 1,
        "spot": None,
        "score": None,
        "confidence": None,
    }
    assert ask(rules, "as_of.js", f"m.eventsAsOf({json.dumps(events)}, {BEGAN['ts'] - 1})") == []


MODEL: list[tuple[str, tuple[float, float] | None, bool]] = [
    ("BOUNCE", (0.71, 0.29), True),
    ("BREAK", (0.29, 0.71), True),
    ("BREAK", (0.71, 0.29), False),
    ("BREAK", (0.48, 0.52), False),
    ("NO_TRADE", (0.9, 0.1), False),
    ("BREAK", None, False),
]


def test_signal_and_model_disagree_only_where_the_model_has_a_clear_view(rules: Path) -> None:
    levels = [
        {"signal": signal} | ({"ml_predictions": {"p_break": p[0], "p_bounce": p[1]}} if p else {})
        for signal, p, _ in MODEL
    ]
    assert ask(rules, "model.js", f"{json.dumps(levels)}.map(m.disagrees)") == [differs for *_, differs in MODEL]


NOW_MS = 1_000_000
QUIET_LEVEL = {"signal": "NO_TRADE", "confidence": "LOW", "break_score_smooth": 45.0, "sweep_detected": True}
QUIET_PAST = {"rise": 0, "signalSince": {"atMs": 0, "exact": False}, "sweepSince": {"atMs": 0, "exact": False}}
BREAKS = {"p_tradeable_2": 0.7, "p_break": 0.8, "p_bounce": 0.2}
# Points from a spot of 6900, what of the level and of its past is not quiet, and the reasons.
LOOKS: list[tuple[float, dict[str, Any], dict[str, Any], set[str]]] = [
    (0.5, {}, {}, {"near"}),
    (30.0, {}, {}, set()),
    (30.0, {"signal": "BREAK", "confidence": "HIGH"}, {}, {"signal"}),
    (1.0, {"break_score_smooth": 75.0}, {"rise": 6}, {"near", "score", "rising"}),
    (1.0, {"break_score_smooth": 75.0, "ml_predictions": BREAKS}, {}, {"near", "score", "agreed", "tradeable"}),
    (1.0, {"signal": "BOUNCE", "ml_predictions": BREAKS}, {}, {"near", "signal", "disagreed", "tradeable"}),
    (
        1.0,
        {"signal": "BREAK"},
        {"signalSince": {"atMs": NOW_MS - 60_000, "exact": True}},
        {"near", "signal", "changed"},
    ),
    (1.0, {}, {"sweepSince": {"atMs": NOW_MS - 10_000, "exact": True}}, {"near", "sweep"}),
    (1.0, {}, {"sweepSince": {"atMs": NOW_MS - 40_000, "exact": True}}, {"near"}),
]


def attentions(rules: Path, looks: list[tuple[float, dict[str, Any], dict[str, Any]]]) -> list[dict[str, Any]]:
    rows = [
        [{"key": f"{at}", "distance": distance, "pinned": False, "level": QUIET_LEVEL | level}, QUIET_PAST | past]
        for at, (distance, level, past) in enumerate(looks)
    ]
    asked = f"{json.dumps(rows)}.map(([row, past]) => m.attention(row, past, 6900, {NOW_MS}))"
    return list(ask(rules, "attention.js", asked))


def test_a_level_is_looked_at_for_what_is_near_strong_changed_or_agreed(rules: Path) -> None:
    found = attentions(rules, [(distance, level, past) for distance, level, past, _ in LOOKS])
    assert [set(each["reasons"]) for each in found] == [reasons for *_, reasons in LOOKS]


def test_where_every_level_says_no_trade_and_half_of_them_swept_the_near_ones_come_first(rules: Path) -> None:
    found = attentions(rules, [(float(away), {"sweep_detected": away % 2 == 0}, {}) for away in (9, 1, 30, 2, 0, 5)])
    first = ask(rules, "attention.js", f"m.first({json.dumps(found)}, []).map((each) => each.key)")
    assert first == ["4", "1"], "at spot, and a point away; two points away nothing speaks for it"
    far = attentions(rules, [(float(away), {}, {}) for away in (20, 30)])
    assert ask(rules, "attention.js", f"m.first({json.dumps(far)}, [])") == []


ORDERS: list[tuple[dict[str, float], list[str], list[str]]] = [
    ({"a": 1.0, "b": 2.0, "c": 0.5}, [], ["b", "a"]),
    ({"a": 1.0, "b": 1.1}, ["a", "b"], ["a", "b"]),
    ({"a": 1.0, "b": 1.3}, ["a", "b"], ["b", "a"]),
    ({"a": 0.7, "b": 1.0}, ["a"], ["b", "a"]),
    ({"a": 0.5, "b": 1.0}, ["a"], ["b"]),
    ({"a": 1.0, "b": 1.0, "c": 0.9, "d": 1.0}, ["a", "b", "c"], ["a", "b", "c"]),
    ({"a": 1.0, "b": 1.0, "c": 0.9, "d": 1.2}, ["a", "b", "c"], ["a", "b", "d"]),
]


def test_the_order_changes_only_for_a_clear_gain(rules: Path) -> None:
    for weights, before, after in ORDERS:
        all_ = [{"key": key, "weight": weight, "reasons": []} for key, weight in weights.items()]
        asked = ask(rules, "attention.js", f"m.first({json.dumps(all_)}, {before}).map((each) => each.key)")
        assert asked == after, (weights, before)


# Nets of strikes from 100 down, a spot, and where their sum from below changes its sign.
FLIPS: list[tuple[list[float], float, float | None]] = [
    ([], 100, None),
    ([5, 3, 1], 100, None),
    ([3, 0, -1], 99, 99 + 1 / 3),
    ([-1, 2, 0, -1], 99, 98.5),
    ([-9, 4, -4, 2], 99.8, 99 + 2 / 9),
    ([1e308, 1e308, -1e308], 99, 99.0),
]


def test_the_flip_is_where_the_sum_of_all_strikes_below_changes_its_sign_nearest_to_spot(rules: Path) -> None:
    asked = []
    for nets, spot, _ in FLIPS:
        strikes = [{"strike": 100 - at, "call": net, "put": 0} for at, net in enumerate(nets)]
        asked.append(ask(rules, "flow.js", f"m.flip({json.dumps(strikes)}, {spot}) ?? null"))
    assert asked == [pytest.approx(at) if at is not None else None for *_, at in FLIPS]


ROWS = {103: -0.5, 102: 0, 101.5: 0.25, 100: 1, 99: 1.5}


def test_spot_stands_between_the_strikes(rules: Path) -> None:
    strikes = "[{strike: 102}, {strike: 100}]"
    assert ask(rules, "flow.js", f"{list(ROWS)}.map((spot) => m.rowOf({strikes}, spot))") == list(ROWS.values())


def test_flow_over_time_is_calls_less_puts_or_the_net_of_what_has_a_sign(rules: Path) -> None:
    flow = {
        "O:ES251216C06895000": {"cumulative_volume": 5, "cumulative_premium": 1e308, "net_gamma_flow": -2.0},
        "O:ES251216P06895000": {"cumulative_volume": 3, "cumulative_premium": -1e308, "net_gamma_flow": -3.0},
    }
    point = ask(rules, "flow_past.js", f"m.flowPoint({json.dumps(flow)}, 7)")
    assert point["nets"] == {"volume": 2, "premium": 1.7976931348623157e308, "delta": 0, "gamma": -5}
    add = "for (const atMs of [0, 1000, 5000]) { due.push(p.isDue(atMs)); p.add({...point, atMs}); }"
    kept = "p.of('gamma').map((each) => each.value)"
    asked = ask(
        rules,
        "flow_past.js",
        f"((p, point, due) => {{ {add} return [due, {kept}] }})(new m.FlowPast(), {json.dumps(point)}, [])",
    )
    assert asked == [[True, False, True], [-5, -5]]


def flow_told(*nets: float | None, to_ms: int, **further: Any) -> dict[str, Any]:
    """An answer of `/history` from 60 s on, in points of 30 s; of the net delta, and twice as many calls as puts."""
    columns: dict[str, Any] = {"net_delta": list(nets), "net_gamma": [None] * len(nets)}
    for side, factor in (("call", 2), ("put", 1)):
        columns[f"{side}_volume"] = [each and factor * each for each in nets]
        columns[f"{side}_premium"] = [None] * len(nets)
    place = {"from_ms": 60_000, "step_ms": 30_000, "count": len(nets), "available_from_ms": 60_000}
    return {**place, "available_to_ms": to_ms, "complete": True, "flow": columns, **further}


FLOW_PAST = """
((p, {told, seen}) => {
    const add = (atMs) => p.add({atMs, nets: {volume: 1, premium: 1, delta: -1, gamma: 1}});
    seen.forEach(add);
    p.fill(told);
    add(175_000);
    const of = (measure) => p.of(measure).map(({atMs, value}) => [atMs, value]);
    const all = [of('delta'), of('volume'), of('premium'), p.gapMs];
    p.cut(119_999);
    return [...all, of('delta')];
})
"""


def test_flow_over_time_is_the_gateways_and_then_what_the_page_sees(rules: Path) -> None:
    told = flow_told(5, None, 7, 9, to_ms=170_000)
    seen = [40_000, 65_000, 140_000, 160_000, 169_000]  # of another session, and in the middle of what is told
    run = f"{FLOW_PAST}(new m.FlowPast(), {json.dumps({'told': told, 'seen': seen})})"
    delta, volume, premium, gap_ms, cut = ask(rules, "flow_past.js", run)
    assert delta == [[65_000, -1], [89_999, 5], [149_999, 7], [170_000, 9], [175_000, -1]]
    assert volume == [[65_000, 1], [89_999, 5], [149_999, 7], [170_000, 9], [175_000, 1]]
    assert premium == [[65_000, 1], [175_000, 1]]
    assert gap_ms == 45_000, "a point that is missing is a gap"
    assert cut == [[65_000, -1], [89_999, 5]]


def test_a_flow_of_another_time_is_no_past_of_what_is_seen_now(rules: Path) -> None:
    add = "(atMs) => p.add({atMs, nets: {volume: atMs}})"
    run = f"((p) => {{ [90_000, 100_000, 98_000, 10_000].forEach({add}); return p.of('volume'); }})"
    assert ask(rules, "flow_past.js", f"{run}(new m.FlowPast())") == [{"atMs": 10_000, "value": 10_000}]


def test_what_ends_after_a_moment_is_not_known_there(rules: Path) -> None:
    level = {"id": "V", "kind": "VWAP", "price": 7.5, "prices": [7.0, None, 7.5], "at": 1, "score": [50, None, 60]}
    late = {**level, "id": "late", "at": 3}
    spot = {name: [1, 2, 3, 4] for name in ("open", "high", "low", "close")}
    history = flow_told(1, 2, 3, 4, to_ms=179_000, spy=spot, levels=[level, late])
    for at_ms, count in {59_000: 0, 119_998: 1, 119_999: 2, 149_998: 2, 179_999: 4, 10**12: 4}.items():
        told = ask(rules, "as_of.js", f"m.historyAsOf({json.dumps(history)}, {at_ms})")
        assert told["count"] == len(told["spy"]["close"]) == len(told["flow"]["net_delta"]) == count, at_ms
        assert told["available_to_ms"] == min(at_ms, 179_000)
    told = ask(rules, "as_of.js", f"m.historyAsOf({json.dumps(history)}, 149_999)")
    assert [(each["id"], each["price"], each["score"]) for each in told["levels"]] == [("V", 7.0, [50, None])]


RANGES = {(5, 9): [5, 9], (4, 9): [0, 9], (95, 99): [95, 99], (-3, 4): [-3, 4], (10, 10): [9, 11], (0, 0): [-0.1, 0.1]}


def test_zero_is_in_the_range_where_it_is_near(rules: Path) -> None:
    samples = [[{"atMs": 0, "value": one}, {"atMs": 1, "value": other}] for one, other in RANGES]
    asked = ask(rules, "series.js", f"{json.dumps(samples)}.map(m.rangeWithZero)")
    assert [[each["low"], each["high"]] for each in asked] == [pytest.approx(each) for each in RANGES.values()]


BEFORE_ES = {"name": "ES", "spot": 6926.0}
# The spot, the price of a level, flow, and what the instrument was; then what it is.
NAMES: list[tuple[float | None, float, dict[str, Any], dict[str, Any] | None, str]] = [
    (None, 6930.0, ES_FLOW, None, "ES"),
    (None, 6930.0, {}, BEFORE_ES, "ES"),
    (6926.0, 6930.0, {}, BEFORE_ES, "ES"),
    (691.0, 690.0, {}, BEFORE_ES, "SPY"),
    (691.0, 690.0, ES_FLOW, BEFORE_ES, "SPY"),
    (6926.0, 6930.0, SPY_FLOW, None, "SPY"),
]


def test_a_name_is_kept_while_nothing_tells_another(rules: Path) -> None:
    for spot, price, flow, before, name in NAMES:
        payload = {"spy": {**NO_SPOT, "spot": spot}, "levels": [{"level_price": price}]}
        asked = f"m.instruments({json.dumps(payload)}, {json.dumps(flow)}, {json.dumps(before)} ?? undefined).main.name"
        assert ask(rules, "instruments.js", asked) == name, (spot, price, before)


# -- alerts ------------------------------------------------------------------------------------------------------------

RULE: dict[str, Any] = {
    "on": "signal",
    "active": True,
    "by": "any",
    "name": "",
    "signal": "any",
    "least": "LOW",
    "within": 1,
    "verdict": "stale",
}
EVENT: dict[str, Any] = {
    "id": "1",
    "kind": "signal",
    "seq": 1,
    "ts": 1_000,
    "server_ms": 1_000,
    "level": "V",
    "level_kind": "VWAP",
    "price": 687.25,
    "before": "NO_TRADE",
    "after": "BREAK",
    "spot": 687.4,
    "score": 61.0,
    "confidence": "HIGH",
    "count": 1,
    "first_ts": 1_000,
}
SWEEP = {"kind": "sweep_detected", "before": "false", "after": "true"}
CROSS = {"kind": "spot_side", "before": "below", "after": "above"}
# A rule and an event, as far as they are other than usual, and whether the one calls for the other.
MATCHES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({}, {}, True),
    ({}, {"after": "NO_TRADE"}, False),
    ({}, SWEEP, False),
    ({"signal": "BREAK"}, {}, True),
    ({"signal": "BOUNCE"}, {}, False),
    ({"signal": "BOUNCE"}, {"after": "BOUNCE"}, True),
    ({"least": "HIGH"}, {}, True),
    ({"least": "HIGH"}, {"confidence": "MEDIUM"}, False),
    ({"least": "MEDIUM"}, {"confidence": "MEDIUM"}, True),
    ({"least": "MEDIUM"}, {"confidence": "SURE"}, False),
    ({"least": "LOW"}, {"confidence": None}, True),
    ({"by": "kind", "name": "VWAP"}, {}, True),
    ({"by": "kind", "name": "V"}, {}, False),
    ({"by": "level", "name": "V"}, {}, True),
    ({"by": "level", "name": "VWAP"}, {}, False),
    ({"active": False}, {}, False),
    ({"on": "sweep"}, SWEEP, True),
    ({"on": "sweep"}, SWEEP | {"before": "true", "after": "false"}, False),
    ({"on": "sweep"}, {}, False),
    ({"on": "cross"}, CROSS, True),
    ({"on": "cross", "by": "kind", "name": "STRIKE"}, CROSS, False),
    ({"on": "near"}, CROSS, False),
    ({}, {"kind": "verdict", "level": "levels", "level_kind": None, "after": "stale"}, False),
    ({"on": "verdict"}, {"kind": "replay", "level": None, "level_kind": None, "after": "true"}, False),
]


def chosen(*rules: dict[str, Any], **further: Any) -> str:
    choice = {"rules": [RULE | each for each in rules], "sound": True, "notification": True, "silenced": False}
    return json.dumps(choice | {"cooldownS": 60} | further)


def moment(now_s: float = 100, **further: Any) -> dict[str, Any]:
    """One at which the event has just happened, on a page that nobody looks at."""
    return {"nowMs": now_s * 1000, "serverMs": 1_200, "wallMs": 5, "isReplay": False, "isAway": True, **further}


def test_a_rule_calls_for_what_it_says(rules: Path) -> None:
    cases = [[json.loads(chosen(rule)), EVENT | event] for rule, event, _ in MATCHES]
    add = f"([choice, event]) => new m.Alerts(choice).add([event], {json.dumps(moment())}).length > 0"
    asked = ask(rules, "alerts.js", f"{json.dumps(cases)}.map({add})")
    assert asked == [calls for *_, calls in MATCHES]


def test_a_call_says_what_happened_where_and_where_spot_was(rules: Path) -> None:
    events = [EVENT, EVENT | SWEEP, EVENT | CROSS | {"spot": None}]
    choice = chosen({}, {"on": "sweep"}, {"on": "cross"})
    asked = ask(rules, "alerts.js", f"new m.Alerts({choice}).add({json.dumps(events)}, {json.dumps(moment())})")
    assert [each["words"] for each in asked] == [
        "VWAP 687.25: BREAK, high, spot 687.40",
        "VWAP 687.25: SWEEP, spot 687.40",
        "VWAP 687.25: spot crossed, now above",
    ]
    assert [(each["level"], each["signal"]) for each in asked] == [("V", "BREAK"), ("V", ""), ("V", "")]


# Seconds, the level, and whether it calls: with a cooldown of 60 s, and with none.
COOLDOWN = [
    (100, "V", True, True),
    (100, "V", False, True),
    (130, "W", True, True),
    (159.9, "V", False, True),
    (160, "V", True, True),
    (189, "W", False, True),
    (219, "V", False, True),
    (220, "V", True, True),
]


def test_a_rule_calls_for_a_level_once_in_its_cooldown(rules: Path) -> None:
    told = json.dumps([[EVENT | {"level": level}, moment(now_s)] for now_s, level, *_ in COOLDOWN])
    for index, cooldown_s in ((2, 60), (3, 0)):
        run = f"((a) => {told}.map(([event, at]) => a.add([event], at).length > 0))"
        asked = ask(rules, "alerts.js", f"{run}(new m.Alerts({chosen({}, cooldownS=cooldown_s)}))")
        assert asked == [each[index] for each in COOLDOWN], cooldown_s


def test_two_rules_have_a_cooldown_each_and_call_once_for_one_event(rules: Path) -> None:
    events = [EVENT, EVENT | {"confidence": "LOW"}]
    run = f"{json.dumps(events)}.map((event) => a.add([event], {json.dumps(moment())}).length)"
    asked = ask(rules, "alerts.js", f"((a) => {run})(new m.Alerts({chosen({'least': 'HIGH'}, {'signal': 'BREAK'})}))")
    assert asked == [1, 1]


ALL = {"mark": True, "title": True, "sound": True, "notification": True}
NONE = dict.fromkeys(ALL, False)
# What is so, and how old the event is, then the ways that call, and why not all.
WAYS: list[tuple[dict[str, Any], dict[str, Any], int, dict[str, bool], str]] = [
    ({}, {}, 200, ALL, ""),
    ({}, {}, 30_000, ALL, ""),
    ({}, {}, -4_000, ALL, ""),
    ({}, {}, 30_001, NONE, "30 s old when it came"),
    ({}, {"isReplay": True}, 86_400_000, NONE, "24 h old when it came"),
    ({}, {"isAway": False}, 200, ALL | {"notification": False}, ""),
    ({"sound": False}, {}, 200, ALL | {"sound": False}, ""),
    ({"notification": False}, {}, 200, ALL | {"notification": False}, ""),
    ({"silenced": True}, {}, 200, ALL | {"sound": False, "notification": False}, "silenced"),
    ({"silenced": True}, {"isReplay": True}, 200, NONE | {"mark": True}, "replay"),
    ({}, {"isReplay": True}, 200, NONE | {"mark": True}, "replay"),
]


def test_what_is_old_silenced_or_not_the_present_calls_in_fewer_ways(rules: Path) -> None:
    for choice, at, age_ms, ways, why in WAYS:
        told = json.dumps(moment(serverMs=1_000 + age_ms, **at))
        run = f"new m.Alerts({chosen({}, **choice)}).add([{json.dumps(EVENT)}], {told})"
        asked = ask(rules, "alerts.js", run)
        assert [(each["ways"], each["why"]) for each in asked] == [(ways, why)], (choice, at, age_ms)


def test_what_is_old_keeps_nobody_from_being_called(rules: Path) -> None:
    told = json.dumps([moment(serverMs=90_000), moment()])
    run = f"((a) => {told}.map((at) => a.add([{json.dumps(EVENT)}], at)[0].ways.sound))"
    assert ask(rules, "alerts.js", f"{run}(new m.Alerts({chosen({})}))") == [False, True]


def seen(*levels: tuple[str, float, str, str], spot: float | None = 687.5) -> list[Any]:
    """A payload of levels by id, points above a spot, signal and confidence, and its instruments."""
    made = [
        {
            "id": name,
            "level_kind_name": "VWAP",
            "level_price": 687.5 + points,
            "signal": signal,
            "confidence": confidence,
        }
        for name, points, signal, confidence in levels
    ]
    return [{"ts": 7, "spy": {"spot": spot}, "levels": made}, spot]


QUIET = ("NO_TRADE", "LOW")
SEES: list[tuple[dict[str, Any], list[Any], list[list[str]]]] = [
    # Spot comes near, stays, goes and comes again; what was near at first is known.
    (
        {"on": "near", "within": 0.5},
        [
            seen(("V", 0.25, *QUIET), ("W", 2.0, *QUIET)),
            seen(("V", 0.25, *QUIET), ("W", 0.5, *QUIET)),
            seen(("V", 0.75, *QUIET), ("W", -0.125, *QUIET)),
            seen(("V", 0.5, *QUIET), ("W", -0.125, *QUIET)),
            seen(("X", -0.125, *QUIET)),
        ],
        [[], ["W"], [], ["V"], ["X"]],
    ),
    # A spot that is missing for a while is no change.
    (
        {"on": "near", "within": 0.5, "by": "level", "name": "V"},
        [
            seen(("V", 0.25, *QUIET)),
            seen(("V", 0.0, *QUIET), spot=None),
            seen(("V", 0.25, *QUIET), ("W", -0.125, *QUIET)),
        ],
        [[], [], []],
    ),
    # The confidence of a signal grows: no event says so. A signal that begins is an event.
    (
        {"least": "HIGH", "signal": "BREAK"},
        [
            seen(("V", 1.0, "BREAK", "LOW")),
            seen(("V", 1.0, "BREAK", "MEDIUM")),
            seen(("V", 1.0, "BREAK", "HIGH")),
            seen(("V", 1.0, "BREAK", "HIGH")),
            seen(("V", 1.0, "NO_TRADE", "HIGH")),
            seen(("V", 1.0, "BREAK", "HIGH")),
        ],
        [[], [], ["V"], [], [], []],
    ),
    ({"on": "sweep"}, [seen(("V", -0.125, *QUIET)), seen(("V", 0.1, "BREAK", "HIGH"))], [[], []]),
]


def test_spot_that_comes_near_and_a_signal_that_grows_sure_call_once(rules: Path) -> None:
    for rule, payloads, found in SEES:
        see = f"([p, spot]) => a.see(p, {{of: () => ({{spot}})}}, {json.dumps(moment())}).map((each) => each.level)"
        run = f"((a) => {json.dumps(payloads)}.map({see}))(new m.Alerts({chosen(rule, cooldownS=0)}))"
        assert ask(rules, "alerts.js", run) == found, rule


def frame(signal: str, *, swept: bool = False, spot: float | None = 687.5, ts: int = 1_000) -> list[Any]:
    """A payload of Core's clock, which is another than the gateway's, with its spot."""
    facts = {"level_kind_name": "VWAP", "level_price": 687.25, "break_score_smooth": 72.4, "confidence": "HIGH"}
    level = {"id": "V", "signal": signal, "sweep_detected": swept, "barrier_state": "WALL", **facts}
    return [{"ts": ts, "levels": [level]}, spot]


# Frames, whether the gateway keeps no events, and what is called.
ALONE: list[tuple[list[list[Any]], list[bool], list[str]]] = [
    ([frame("NO_TRADE"), frame("BREAK")], [True, True], ["VWAP 687.25: BREAK, high, spot 687.50"]),
    ([frame("NO_TRADE"), frame("BREAK")], [False, False], []),
    ([frame("NO_TRADE"), frame("BREAK")], [False, True], ["VWAP 687.25: BREAK, high, spot 687.50"]),
    ([frame("BREAK"), frame("BREAK")], [True, True], []),
    ([frame("NO_TRADE"), frame("NO_TRADE", swept=True)], [True, True], ["VWAP 687.25: SWEEP, spot 687.50"]),
    (
        [frame("NO_TRADE", spot=spot) for spot in (687.5, 687.25, None, 687.0)],
        [True] * 4,
        ["VWAP 687.25: spot crossed, now below, spot 687.00"],
    ),
]


def test_without_events_what_happens_is_found_between_one_frame_and_the_next(rules: Path) -> None:
    for frames, alone, words in ALONE:
        pairs = json.dumps(list(zip(frames, alone, strict=True)))
        told = json.dumps(moment(serverMs=1_700_000_000_000))
        see = f"([[p, spot], isAlone]) => a.see(p, {{of: () => ({{spot}})}}, {{...{told}, isAlone}})"
        run = f"((a) => {pairs}.flatMap({see}).map(({{words, ways}}) => [words, ways.sound]))"
        choice = chosen({}, {"on": "sweep"}, {"on": "cross"})
        asked = ask(rules, "alerts.js", f"{run}(new m.Alerts({choice}))")
        assert asked == [[each, True] for each in words], (words, alone)


def test_the_present_after_the_past_is_compared_with_nothing(rules: Path) -> None:
    frames = json.dumps([frame("NO_TRADE"), frame("BREAK")])
    see = f"a.see(p, {{of: () => ({{spot}})}}, {json.dumps(moment(isAlone=True))}).length"
    see = f"([p, spot]) => {{ a.begin(); return {see}; }}"
    assert ask(rules, "alerts.js", f"((a) => {frames}.map({see}))(new m.Alerts({chosen({})}))") == [0, 0]


# No events kept, the past is shown, it is no present; then the first words of what limits the alerts.
LIMITS = [
    (False, False, False, []),
    (True, False, False, ["This gateway keeps no events"]),
    (False, True, True, ["You look back: nothing calls"]),
    (True, False, True, ["Core replays another day", "This gateway keeps no events"]),
]


def test_what_limits_the_alerts_is_said(rules: Path) -> None:
    for alone, past, replay, begins in LIMITS:
        situation = json.dumps({"isAlone": alone, "isPast": past, "isReplay": replay})
        said = ask(rules, "alert_rules.js", f"m.limitsOf({situation})")
        assert len(said) == len(begins)
        assert all(each.startswith(words) for each, words in zip(said, begins, strict=True)), said


SHOWN_AS = ["connecting", "stale", "live", "connecting", "live", "late", "stale", "gone", "live", "connecting", "gone"]
LOOKED = {
    "stale": ["stale", "gone"],
    "late": ["late", "gone"],
    "live": ["live", "live"],
}


def test_a_verdict_calls_when_it_becomes_worse_and_not_for_a_short_reconnect(rules: Path) -> None:
    for verdict, found in LOOKED.items():
        judge = f"(look) => a.judge({{look, spoken: look}}, {json.dumps(moment())})"
        run = f"((a) => {json.dumps(SHOWN_AS)}.flatMap({judge}))"
        asked = ask(
            rules, "alerts.js", f"{run}(new m.Alerts({chosen({'on': 'verdict', 'verdict': verdict}, cooldownS=0)}))"
        )
        assert [each["words"] for each in asked] == found, verdict
        assert all(each["ways"] == ALL | {"title": False} for each in asked), "the title says the verdict itself"


def test_the_present_after_a_replay_calls_nobody_for_what_was_other_in_the_past(rules: Path) -> None:
    told = [
        (False, 2.0, "live"),
        (True, 2.0, "replay"),
        (True, 0.25, "replay"),
        (False, 0.25, "live"),
        (False, 2.0, "late"),
    ]
    told += [(False, 0.25, "live")]
    moments = [[*seen(("V", points, *QUIET)), moment(isReplay=is_replay), look] for is_replay, points, look in told]
    see = "a.see(p, {of: () => ({spot})}, at).map((each) => each.why)"
    judge = "a.judge({look, spoken: look}, at).map((each) => each.words)"
    run = f"((a) => {json.dumps(moments)}.map(([p, spot, at, look]) => [...{see}, ...{judge}]))"
    choice = chosen({"on": "near", "within": 0.5}, {"on": "verdict", "verdict": "live"}, cooldownS=0)
    asked = ask(rules, "alerts.js", f"{run}(new m.Alerts({choice}))")
    assert asked == [[], [], ["replay"], [], [], ["", "live"]]


def test_who_looked_back_is_not_called_for_the_return(rules: Path) -> None:
    looks = ["live", "past", "live", "late", "past", "late", "live"]
    judge = f"((a) => {json.dumps(looks)}.flatMap((look) => a.judge({{look, spoken: look}}, {json.dumps(moment())})))"
    choice = chosen({"on": "verdict", "verdict": "live"}, {"on": "verdict", "verdict": "late"}, cooldownS=0)
    asked = ask(rules, "alerts.js", f"{judge}(new m.Alerts({choice}))")
    assert [each["words"] for each in asked] == ["late", "live"]
    points = [2.0, None, 0.25, 2.0, 0.25]
    payloads = [each and seen(("V", each, *QUIET)) for each in points]
    see = f"a.see(told[0], {{of: () => ({{spot: told[1]}})}}, {json.dumps(moment())}).length"
    run = f"((a) => {json.dumps(payloads)}.map((told) => told === null ? a.begin() ?? 0 : {see}))"
    choice = chosen({"on": "near", "within": 0.5}, cooldownS=0)
    assert ask(rules, "alerts.js", f"{run}(new m.Alerts({choice}))") == [0, 0, 0, 0, 1]


FIRST: dict[str, Any] = {
    "rules": [RULE | {"least": "HIGH"}, RULE | {"on": "verdict", "least": "HIGH"}],
    "sound": False,
    "notification": False,
    "silenced": False,
    "cooldownS": 60,
}
KEPT_ALERTS: list[tuple[str | None, dict[str, Any]]] = [
    (None, FIRST),
    ("", FIRST),
    ("{", FIRST),
    ("[1]", FIRST),
    ("null", FIRST),
    ("{}", FIRST),
    ('{"rules": "all", "sound": 1, "silenced": true, "cooldownS": -1}', FIRST | {"silenced": True}),
    ('{"rules": [], "cooldownS": 5, "sound": true}', FIRST | {"rules": [], "cooldownS": 5, "sound": True}),
    ('{"rules": [], "cooldownS": 1e9}', FIRST | {"rules": []}),
    # One bad rule costs no other.
    (
        json.dumps({"rules": [1, RULE | {"on": "toString"}, RULE, RULE | {"within": None}, RULE | {"name": 1}]}),
        FIRST | {"rules": [RULE]},
    ),
    (json.dumps({"rules": [RULE | {"further": 1}]}), FIRST | {"rules": [RULE]}),
]


def test_alerts_are_kept_and_what_is_wrong_with_them_costs_nothing_else(rules: Path) -> None:
    texts = [text for text, _ in KEPT_ALERTS]
    assert ask(rules, "alert_rules.js", f"{json.dumps(texts)}.map(m.readAlerts)") == [kept for _, kept in KEPT_ALERTS]
    choice = ask(rules, "alert_rules.js", f"m.readAlerts(JSON.stringify({chosen(RULE, cooldownS=3)}))")
    assert choice == json.loads(chosen(RULE, cooldownS=3))


def test_rules_are_in_words_and_none_is_there_twice_or_beyond_twenty(rules: Path) -> None:
    said: list[tuple[dict[str, Any], str]] = [
        ({}, "BREAK or BOUNCE at any level, any confidence"),
        (
            {"signal": "BREAK", "least": "HIGH", "by": "kind", "name": "GAMMA_FLIP"},
            "BREAK at any GAMMA FLIP, high only",
        ),
        (
            {"on": "near", "within": 0.5, "by": "level", "name": "PM_HIGH"},
            "Spot within 0.5 points of the level PM_HIGH",
        ),
        ({"on": "cross"}, "Spot crosses any level"),
        ({"on": "sweep"}, "A sweep at any level"),
        ({"on": "verdict", "verdict": "late"}, "The data is LATE or worse"),
    ]
    made = json.dumps([RULE | each for each, _ in said])
    assert ask(rules, "alert_rules.js", f"{made}.map(m.ruleWords)") == [words for _, words in said]
    many = f"Array.from({{length: 25}}, (_, within) => ({{...{json.dumps(RULE)}, within}}))"
    twice = f"[...{many}, {{...{json.dumps(RULE)}, within: 3, active: false}}]"
    asked = ask(rules, "alert_rules.js", f"{twice}.reduce(m.addRule, m.FIRST_CHOICE).rules.map(({{within}}) => within)")
    assert asked == [1, 1, 0, 1, 2, *range(4, 18), 3]


# -- the time line -----------------------------------------------------------------------------------------------------

SPAN = {"fromMs": 1_000_000, "toMs": 5_000_000}
PLACES: list[tuple[float, Any, float]] = [  # of 400 pixels; the moment there; where its handle stands
    (-7, 1_000_000, 0),
    (0, 1_000_000, 0),
    (100, 2_000_000, 0.25),
    (100.04, 2_000_000, 0.25),
    (395, 4_950_000, 0.9875),
    (396, "live", 1),
    (480, "live", 1),
]


def test_a_place_on_the_time_line_is_a_moment_and_back(rules: Path) -> None:
    span = json.dumps(SPAN)
    asked = ask(rules, "timeline.js", f"{[place for place, *_ in PLACES]}.map((px) => m.momentAt(px, 400, {span}))")
    assert asked == [moment for _, moment, _ in PLACES]
    back = ask(rules, "timeline.js", f"{json.dumps(asked)}.map((moment) => m.shareOf(moment, {span}))")
    assert back == [share for *_, share in PLACES]
    outside = f"[0, 9_000_000].map((moment) => m.shareOf(moment, {span}))"
    assert ask(rules, "timeline.js", outside) == [0, 1]
    assert ask(rules, "timeline.js", "m.shareOf(7, {fromMs: 7, toMs: 7})") == 1


MOVES: list[tuple[Any, int, Any]] = [
    ("live", -60_000, 4_940_000),
    ("live", 60_000, "live"),
    (2_000_000, 600_000, 2_600_000),
    (1_030_000, -60_000, 1_000_000),
    (4_990_000, 60_000, "live"),
]


def test_the_present_lies_beyond_the_end_and_nothing_before_the_begin(rules: Path) -> None:
    moves = json.dumps([[moment, by_ms] for moment, by_ms, _ in MOVES])
    asked = ask(rules, "timeline.js", f"{moves}.map(([moment, by]) => m.moved(moment, by, {json.dumps(SPAN)}))")
    assert asked == [to for *_, to in MOVES]


# Moments that are wanted, and when; then those that are sent, and when: three a second and a bit, the last one always.
DRAGS: list[tuple[list[tuple[int, int]], list[tuple[int, int]]]] = [
    ([(0, 1)], [(0, 1)]),
    ([(0, 1), (10, 2), (20, 3)], [(0, 1), (300, 3)]),
    ([(0, 1), (299, 2), (300, 3)], [(0, 1), (300, 2), (600, 3)]),
    ([(0, 1), (1000, 2)], [(0, 1), (1000, 2)]),
    ([(at, at) for at in range(0, 1000, 16)], [(0, 0), (300, 288), (600, 592), (900, 896), (1200, 992)]),
]
PLAY = """
((wanted) => {
    const sent = [];
    let [jumps, timer] = [m.NO_JUMPS, undefined];
    const heed = (now, found) => {
        jumps = found.jumps;
        timer = found.againMs === undefined ? undefined : now + found.againMs;
        if (found.send !== undefined) sent.push([now, found.send]);
    };
    for (const [at, moment] of wanted) {
        if (timer !== undefined && timer <= at) heed(timer, m.due(jumps, timer));
        heed(at, m.wanted(jumps, moment, at));
    }
    while (timer !== undefined) heed(timer, m.due(jumps, timer));
    return sent;
})
"""


@pytest.mark.parametrize(("wanted", "sent"), DRAGS, ids=lambda times: f"{len(times)}")
def test_a_drag_is_a_few_jumps_and_the_last_one_always(
    rules: Path, wanted: list[tuple[int, int]], sent: list[tuple[int, int]]
) -> None:
    assert ask(rules, "timeline.js", f"{PLAY}({json.dumps(wanted)})") == [list(each) for each in sent]


MINUTE_MS = 60_000
KEYS: list[tuple[str, bool, bool, bool, Any]] = [  # the key, with shift, while paused, on the bar; what it does
    ("ArrowLeft", False, False, False, {"does": "move", "byMs": -MINUTE_MS}),
    ("ArrowRight", False, False, False, {"does": "move", "byMs": MINUTE_MS}),
    ("ArrowLeft", False, True, False, {"does": "step", "by": -1}),
    ("ArrowRight", False, True, True, {"does": "step", "by": 1}),
    ("ArrowLeft", True, True, False, {"does": "move", "byMs": -10 * MINUTE_MS}),
    ("ArrowRight", True, False, False, {"does": "move", "byMs": 10 * MINUTE_MS}),
    (" ", False, False, False, {"does": "play"}),
    ("[", False, False, False, {"does": "speed", "by": -1}),
    ("]", False, False, False, {"does": "speed", "by": 1}),
    ("n", False, False, False, {"does": "go", "to": "now"}),
    ("Home", False, False, True, {"does": "go", "to": "begin"}),
    ("End", False, False, True, {"does": "go", "to": "now"}),
    ("PageUp", False, False, True, {"does": "move", "byMs": 10 * MINUTE_MS}),
    ("Home", False, False, False, None),
    ("ArrowDown", False, False, False, None),
    ("j", False, False, True, None),
]


def test_the_keys_of_the_time_line(rules: Path) -> None:
    presses = json.dumps([[{"key": key, "shift": shift}, *where] for key, shift, *where, _ in KEYS])
    assert ask(rules, "timeline.js", f"{presses}.map((each) => m.actionOf(...each) ?? null)") == [
        does for *_, does in KEYS
    ]


def test_no_key_of_the_time_line_is_another_of_the_page() -> None:
    table = re.search(
        r"const KEYS[^{]*\{(.*?)^\};", (CONSOLE / "src" / "main.ts").read_text(), re.DOTALL | re.MULTILINE
    )
    assert table is not None
    taken = {name.strip('"') for name in re.findall(r"^  (\S+?):", table[1], re.MULTILINE)}
    assert "Escape" in taken
    assert not taken & {key for key, *_, on_the_bar, does in KEYS if does is not None and not on_the_bar}


def test_the_speed_has_steps_and_ends(rules: Path) -> None:
    faster = "[0.1, 1, 3, 30, 60].map((speed) => m.speedAfter(speed, 1))"
    assert ask(rules, "timeline.js", faster) == [0.25, 2, 4, 60, 60]
    slower = "[0.1, 1, 3, 60].map((speed) => m.speedAfter(speed, -1))"
    assert ask(rules, "timeline.js", slower) == [0.1, 0.5, 2, 30]


def test_a_moment_is_told_to_ears(rules: Path) -> None:
    then, shown = new_york("2026-11-25 10:31:04"), "{speed: 4, replay: {at_ms: 7, speed: 8, paused: %s}}"
    moments = f"m.valueText({then}, {shown % 'true'}), m.valueText({then}, {shown % 'false'})"
    assert ask(rules, "timeline.js", f"[{moments}, m.valueText('live', {{speed: 4}})]") == [
        "replay, Wed 25 Nov 2026 10:31:04, paused",
        "replay, Wed 25 Nov 2026 10:31:04, 8 times as fast",
        "the present",
    ]


def test_a_jump_is_told_from_the_pace_of_a_replay(rules: Path) -> None:
    pairs = [(None, 7), (9_000_000, 9_003_000), (9_000_000, 8_999_000), (9_000_000, 9_066_000), (9_000_000, 8_990_000)]
    asked = ask(rules, "timeline.js", f"{json.dumps(pairs)}.map(([before, ms]) => m.isJump(before ?? undefined, ms))")
    assert asked == [False, False, False, True, True]
    asked = ask(rules, "timeline.js", "[8000, 8999, 9000, 9250].map((ms) => m.isJump(9000, ms, true))")
    assert asked == [True, True, False, False], "a replay that stands still is stepped back"


def test_what_the_option_flow_compared_is_kept(rules: Path) -> None:
    assert ask(rules, "flow.js", "['gamma', 'toString', '', null].map(m.readMeasure)") == ["gamma", *3 * ["volume"]]


PANELS = {"?panel=chart": "chart", "?x=1&panel=flow": "flow", "?panel=side": None, "?panel=toString": None, "": None}


def test_the_address_of_a_window_names_its_panel(rules: Path) -> None:
    asked = f"{json.dumps(list(PANELS))}.map((search) => m.panelOf(search) ?? null)"
    assert ask(rules, "windows.js", asked) == list(PANELS.values())


# The panel, whether it calls, whether the instrument is named; what is asked for.
ASKED = [
    (None, True, True, ["levels", "flow"]),
    ("levels", False, True, ["levels"]),
    ("chart", False, True, ["levels"]),
    ("chart", False, False, ["levels", "flow"]),
    ("chart", True, True, ["levels", "flow"]),
    ("flow", False, True, ["levels", "flow"]),
]


def test_a_window_asks_for_what_it_shows_and_calls_for(rules: Path) -> None:
    windows = json.dumps([each for *each, _ in ASKED])
    asked = f"{windows}.map(([panel, ...further]) => m.sectionsOf(panel ?? undefined, ...further))"
    assert ask(rules, "windows.js", asked) == [sections for *_, sections in ASKED]


def peer(name: str, panel: str | None = None, since_ms: int = 0, desk: str = "one") -> dict[str, Any]:
    return {"id": name, "desk": desk, "sinceMs": since_ms} | ({} if panel is None else {"panel": panel})


PAGE = peer("page")
CHART, FLOW_PANEL = peer("chart", "chart", 10), peer("flow", "flow", 20)
OTHER_PAGE, OTHER_CHART = peer("other", desk="two"), peer("others", "chart", 5, desk="two")
HEAR = """
((own, said) => {
    let peers = new Map();
    for (const each of said) peers = each === "ask" ? m.asked(peers) : m.heard(peers, each);
    return [m.movedOf(own, peers), m.hasPage(own, peers), m.calls(own, peers)];
})
"""


def here(*peers: dict[str, Any]) -> list[Any]:
    return [{"says": "here", "from": each, "asks": False} for each in peers]


def gone(each: dict[str, Any]) -> Any:
    return {"says": "gone", "from": each}


# A window, what it hears, and its questions; the panels that are moved, whether its page is there, whether it calls.
WINDOWS: dict[str, tuple[dict[str, Any], list[Any], list[str], bool, bool]] = {
    "alone": (PAGE, [], [], False, True),
    "a panel comes": (PAGE, here(CHART), ["chart"], False, True),
    "two, in the order of the page": (PAGE, here(FLOW_PANEL, CHART), ["chart", "flow"], False, True),
    "a panel goes": (PAGE, [*here(CHART), gone(CHART)], [], False, True),
    "a panel of another desk": (PAGE, here(OTHER_CHART), [], False, True),
    "a panel that answers": (PAGE, [*here(CHART), *2 * ["ask", *here(CHART)], "ask"], ["chart"], False, True),
    "one that misses an answer": (PAGE, [*here(CHART), "ask", "ask"], ["chart"], False, True),
    "one that answers no longer": (PAGE, [*here(CHART), "ask", "ask", "ask"], [], False, True),
    "two pages": (PAGE, here(OTHER_PAGE), [], False, True),
    "a panel and its page": (CHART, here(PAGE), [], True, False),
    "a page that loads anew": (CHART, [*here(PAGE), gone(PAGE)], [], True, False),
    "a page that was closed": (CHART, [*here(PAGE), gone(PAGE), "ask"], [], False, True),
    "one that a panel never knew": (CHART, [gone(PAGE)], [], False, True),
    "of two panels the first": (CHART, here(FLOW_PANEL), [], False, True),
    "of two panels the second": (FLOW_PANEL, here(CHART), [], False, False),
    "the page of another desk": (CHART, here(OTHER_PAGE), [], False, False),
}


@pytest.mark.parametrize(("own", "said", "moved", "page", "call"), WINDOWS.values(), ids=WINDOWS)
def test_windows_know_what_is_moved_and_who_calls(
    rules: Path, own: dict[str, Any], said: list[Any], moved: list[str], page: bool, call: bool
) -> None:
    assert ask(rules, "windows.js", f"{HEAR}({json.dumps(own)}, {json.dumps(said)})") == [moved, page, call]


SAID: list[tuple[Any, Any]] = [
    ({"says": "here", "from": CHART, "asks": True, "of": 7}, {"says": "here", "from": CHART, "asks": True}),
    ({"says": "gone", "from": peer("x", "news")}, {"says": "gone", "from": peer("x")}),
    ({"says": "selected", "from": PAGE, "key": "VWAP"}, {"says": "selected", "from": PAGE, "key": "VWAP"}),
    ({"says": "selected", "from": PAGE, "to": "x", "key": 7}, {"says": "selected", "from": PAGE, "to": "x"}),
    (
        {"says": "replay", "from": PAGE, "replay": {"at_ms": 7, "paused": True, "speed": 2, "until": 9}, "sinceMs": 5},
        {"says": "replay", "from": PAGE, "replay": {"at_ms": 7, "paused": True, "speed": 2}, "sinceMs": 5},
    ),
    ({"says": "replay", "from": PAGE, "replay": {"at_ms": "7"}}, {"says": "replay", "from": PAGE, "sinceMs": 0}),
    ({"says": "back", "from": PAGE, "panel": "flow"}, {"says": "back", "from": PAGE, "panel": "flow"}),
    ({"says": "back", "from": PAGE, "panel": "all"}, None),
    ({"says": "else", "from": PAGE}, None),
    ({"says": "here", "from": {"id": 7}}, None),
    ("here", None),
    (None, None),
]


def test_windows_of_another_version_are_understood_or_ignored(rules: Path) -> None:
    read = f"{json.dumps([said for said, _ in SAID])}.map((said) => m.readMessage(said) ?? null)"
    assert ask(rules, "windows.js", read) == [understood for _, understood in SAID]


def played(at_ms: int, speed: float = 1, paused: bool = False) -> dict[str, Any]:
    return {"at_ms": at_ms, "speed": speed, "paused": paused}


# What was told, the ms since, and what is shown; whether the other windows have to be told again.
TOUCHED: list[tuple[Any, int, Any, bool]] = [
    (None, 0, None, False),
    (None, 0, played(1_000), True),
    (played(1_000), 0, None, True),
    (played(1_000), 5_000, played(6_900), False),
    (played(1_000), 5_000, played(9_000), True),
    (played(1_000), 5_000, played(1_000), True),
    (played(1_000, 60), 1_000, played(90_000, 60), False),
    (played(1_000), 0, played(1_000, 2), True),
    (played(1_000), 0, played(1_000, paused=True), True),
    (played(1_000, paused=True), 90_000, played(1_000, paused=True), False),
    (played(1_000, paused=True), 0, played(1_250, paused=True), True),
]


def test_the_other_windows_are_told_of_a_replay_that_somebody_touched(rules: Path) -> None:
    cases = json.dumps([[then and {"replay": then, "nowMs": 0}, now, ms] for then, ms, now, _ in TOUCHED])
    asked = f"{cases}.map(([then, now, ms]) => m.isTouched(then ?? undefined, now ?? undefined, ms))"
    assert ask(rules, "windows.js", asked) == [touched for *_, touched in TOUCHED]


def test_a_window_opens_where_it_was_last(rules: Path) -> None:
    place = {"left": -1200, "top": 30.5, "width": 900, "height": 640}
    kept = json.dumps({"chart": place, "flow": {"left": 1}, "news": place})
    assert ask(rules, "windows.js", f"m.readPlaces({json.dumps(kept)})") == {"chart": place}
    assert ask(rules, "windows.js", "['7', '{', null].map(m.readPlaces)") == [{}, {}, {}]
    there = "popup,left=-1200,top=31,width=900,height=640"
    assert ask(rules, "windows.js", f"m.featuresOf({json.dumps(place)})") == there
    assert ask(rules, "windows.js", "m.featuresOf()") == "popup,width=1100,height=720"


def test_a_screen_reader_is_told_an_alert_whatever_comes_after_it(rules: Path) -> None:
    said = [["Alert: VWAP", True], ["it is late"], ["it is stale"], ["it is live"]]
    run = f"for (const each of {json.dumps(said)}) a.say(...each); a.speak(); return e.textContent"
    told = ask(rules, "../page/announcer.js", f"((e) => {{ const a = new m.Announcer(e); {run} }})({{}})")
    assert told == "1 changes before. Alert: VWAP. it is stale. it is live"
