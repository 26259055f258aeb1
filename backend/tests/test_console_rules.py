"""What the console decides without a document: compiled as it is, and asked by Node."""

import json
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


TICKERS = {
    "O:ES251216C06895000": {"side": "call", "strike": 6895},
    "O:SPY251216P00687500": {"side": "put", "strike": 687.5},
    "O:BRK.B251216C00500000": {"side": "call", "strike": 500},
    "ES251216P06900000": {"side": "put", "strike": 6900},
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


def test_history_takes_a_point_a_second_and_restarts_with_another_clock(rules: Path) -> None:
    said = "[[1000, 1], [1400, 2], [1400, 2], [2000, 3], [1900, 4], [500000, 5], [3000, 6]].map((p) => h.add(...p))"
    asked = ask(rules, "history.js", f"((h) => [{said}, h.points])(new m.SpotHistory())")
    assert asked[0] == ["all", "point", "none", "point", "point", "point", "all"]
    assert asked[1] == [{"time": 3, "value": 6}]
