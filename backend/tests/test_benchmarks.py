"""That the benchmark runs, and counts what it says it counts. Never how fast anything is."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from benchmarks.fanout import BROADCAST, FASTAPI, FLOOR, GATEWAY
from benchmarks.handover import CHANGES
from benchmarks.load import FrameReader
from benchmarks.report import table
from benchmarks.stamps import SEARCHED_BYTES, stamp, stamp_in

BACKEND = Path(__file__).parents[1]
VIEWERS = 20
RUN_LIMIT_S = 300
SERVERS_OF = {"not compressed": {GATEWAY, BROADCAST, FASTAPI, FLOOR}, "permessage-deflate": {GATEWAY, FLOOR}}
FRAME_BYTES = {"not compressed": range(24_000, 26_000), "permessage-deflate": range(300, 2_000)}

TEXT, PING, CLOSE = b"\x81", b"\x89", b"\x88"
FRAMES = {
    "empty": (TEXT + b"\x00", [b""]),
    "short": (TEXT + b"\x05hello", [b"hello"]),
    "16 bits of length": (TEXT + b"\x7e\x01\x00" + b"x" * 256, [b"x" * 8]),
    "64 bits of length": (TEXT + b"\x7f" + (70_000).to_bytes(8) + b"y" * 70_000, [b"y" * 8]),
    "two": (TEXT + b"\x01a" + TEXT + b"\x01b", [b"a", b"b"]),
    "ping between": (TEXT + b"\x01a" + PING + b"\x02hi" + TEXT + b"\x01b", [b"a", b"b"]),
    "empty ping": (PING + b"\x00" + TEXT + b"\x01a", [b"a"]),
    "close": (CLOSE + b"\x02\x03\xe8", []),
}


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc and uses epoll")
@pytest.mark.timeout(RUN_LIMIT_S + 10)
def test_a_quick_run_measures_every_server_and_writes_its_page(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--quick", "--viewers", str(VIEWERS), "--output", str(tmp_path)]
    subprocess.run(command, cwd=BACKEND, check=True, timeout=RUN_LIMIT_S, capture_output=True)
    page = (tmp_path / "README.md").read_text()
    for heading, servers in SERVERS_OF.items():
        rows = rows_under(page, heading)
        assert set(rows) == {GATEWAY, BROADCAST, FASTAPI, FLOOR}
        for server in servers:
            assert int(rows[server]["bytes a frame"].replace(",", "")) in FRAME_BYTES[heading]
            assert 0 < int(rows[server]["delivered"].rstrip("%")) < 200
    assert set(rows_under(page, f"10 of {VIEWERS} viewers never read")) == {GATEWAY, BROADCAST, FASTAPI}
    assert "## Normalization" in page
    assert "## Frame preparation" in page


@pytest.mark.skipif(sys.platform != "linux", reason="two gateways on one port need Linux")
def test_a_handover_and_a_restart_are_measured_to_the_end() -> None:
    command = [sys.executable, "-m", "benchmarks.handover", "--viewers", "3"]
    done = subprocess.run(command, cwd=BACKEND, check=True, timeout=60, capture_output=True, text=True)
    assert re.findall(r"^(handover|stop and start) .* s +\d+$", done.stdout, re.MULTILINE) == [*CHANGES]


def rows_under(page: str, heading: str) -> dict[str, dict[str, str]]:
    """The table below a heading, by its first column."""
    section = re.split(r"\n##+ ", page.partition(heading)[2])[0]
    columns, _, *rows = [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in section.splitlines() if line.startswith("|")
    ]
    return {row[0]: dict(zip(columns, row, strict=True)) for row in rows}


@pytest.mark.parametrize("step", [1, 2, 3, 7, 10, 1000, 1 << 20])
@pytest.mark.parametrize("name", FRAMES)
def test_frames_are_found_however_they_are_cut(name: str, step: int) -> None:
    wire, expected = FRAMES[name]
    reader = FrameReader(kept_bytes=8)
    pieces = [memoryview(wire)[at : at + step] for at in range(0, len(wire), step)]
    assert [start for piece in pieces for start in reader.ended_in(piece)] == expected


def test_pings_are_kept_whole_for_their_answer() -> None:
    reader = FrameReader(kept_bytes=0)
    reader.ended_in(memoryview(PING + b"\x02hi" + TEXT + b"\x01a" + PING + b"\x00"))
    assert reader.pings == [b"hi", b""]


def test_a_stamp_is_found_in_a_payload_that_carries_it() -> None:
    payload = b'{"flow":' + stamp(1_764_000_000_123_456_789, 7) + b'"x":1}}'
    assert stamp_in(payload[:SEARCHED_BYTES]) == 1_764_000_000_123_456_789


@pytest.mark.parametrize("payload", [b"", b'{"levels":{}}', b'{"flow":{}}', b'{"flow":{"t_ns":12'])
def test_a_payload_without_a_whole_stamp_has_none(payload: bytes) -> None:
    assert stamp_in(payload) is None


def test_tables_line_up() -> None:
    expected = "| a    |   b |\n| :--- | --: |\n| long |   1 |\n| x    | 100 |"
    assert table(("a", "b"), [["long", "1"], ["x", "100"]]) == expected


def test_the_benchmark_installs_what_the_service_does_and_what_it_draws_with() -> None:
    project = tomllib.loads((BACKEND / "pyproject.toml").read_text())["project"]
    drawing = dict(pin.split("==") for pin in project["optional-dependencies"]["bench"])
    hashed = {name: _hashed_versions(name) for name in ("requirements.txt", "requirements-bench.txt")}
    assert hashed["requirements-bench.txt"] == hashed["requirements.txt"] | drawing, "`make lock`"
    assert "://" not in (BACKEND / "requirements-bench.txt").read_text()


def _hashed_versions(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", (BACKEND / name).read_text(), re.MULTILINE))
