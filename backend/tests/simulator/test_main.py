"""The simulator as a process, on a real nats-server."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from nats.aio.client import Client

from src.common.bus import DEFAULT_NATS_URL
from src.common.subjects import LEVELS_SIGNALS, MARKET_FLOW
from src.demo.nats_server import NatsServer
from src.simulator.conditions import Conditions, Silence
from src.simulator.main import read_settings
from src.simulator.pacing import Pace, timestamp_ms, today

BACKEND = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "src.simulator.main"]


async def start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(*COMMAND, *arguments, cwd=BACKEND, stderr=asyncio.subprocess.PIPE)


async def line_with(text: str, process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    seen = ""
    while text not in seen:
        line = (await process.stderr.readline()).decode()
        assert line, f"ended before it said {text!r}: {seen}"
        seen += line
    return seen


def test_without_arguments_it_runs_a_day_at_four_snapshots_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NATS_URL", raising=False)
    settings = read_settings([])
    assert settings.pace == Pace(rate_hz=4.0, speed=1.0, start_s=9 * 3600 + 29 * 60)
    assert (settings.levels, settings.contracts, settings.count) == (10, 60, None)
    assert settings.nats_url == DEFAULT_NATS_URL


def test_the_environment_names_the_server_and_the_command_line_overrides_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATS_URL", "nats://one:4222")
    assert read_settings([]).nats_url == "nats://one:4222"
    assert read_settings(["--nats-url", "nats://two:4222"]).nats_url == "nats://two:4222"


@pytest.mark.parametrize(
    ("arguments", "conditions"),
    [
        ([], Conditions()),
        (["--es"], Conditions(has_es=True)),
        (["--lag", "2.5"], Conditions(lag_ms=2500)),
        (["--silence", "60:20"], Conditions(silence=Silence(60, 20, (LEVELS_SIGNALS, MARKET_FLOW)))),
        (["--silence", "0.5:20:flow"], Conditions(silence=Silence(0.5, 20, (MARKET_FLOW,)))),
        (["--silence", "60:20:levels"], Conditions(silence=Silence(60, 20, (LEVELS_SIGNALS,)))),
        (["--null-spot", "--all-no-trade"], Conditions(lacks_spot=True, lacks_signals=True)),
    ],
)
def test_an_odd_core_is_asked_for_by_arguments(arguments: list[str], conditions: Conditions) -> None:
    assert read_settings(arguments).conditions == conditions


@pytest.mark.parametrize(
    "arguments",
    [
        ["--rate", "0"],
        ["--rate", "fast"],
        ["--rate", "nan"],
        ["--speed", "-1"],
        ["--speed", "inf"],
        ["--start", "9:30"],
        ["--start", "16:00"],
        ["--start", "03:59"],
        ["--start", "noon"],
        ["--levels", "0"],
        ["--levels", "2.5"],
        ["--contracts", "1" + "0" * 5000],
        ["--seed", "x"],
        ["--count", "0"],
        ["--lag", "-1"],
        ["--past", "-1"],
        ["--past", "391"],
        ["--past", "60", "--start", "15:00"],
        ["--silence", "60"],
        ["--silence", "60:0"],
        ["--silence", "-1:20"],
        ["--silence", "60:20:viewport"],
        ["--silence", "1" + "0" * 400 + ":20"],
        ["--colour", "red"],
    ],
)
def test_a_wrong_argument_is_named_in_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        read_settings(arguments)
    assert exit_.value.code == 2
    stderr = capsys.readouterr().err
    assert stderr.count("\n") == 1
    assert arguments[0] in stderr


async def test_both_subjects_can_be_read_back(nats_server: NatsServer) -> None:
    process = await start("--nats-url", nats_server.url, "--count", "3", "--rate", "50", "--seed", "5")
    assert await process.wait() == 0
    client = Client()
    await client.connect(nats_server.url)
    stream = client.jetstream()
    levels = await stream.get_last_msg("LEVEL_SIGNALS", "levels.signals")
    flow = await stream.get_last_msg("MARKET_DATA", "market.flow")
    await client.close()
    assert (levels.seq, flow.seq) == (3, 3)
    assert len(json.loads(levels.data or b"")["levels"]) == 10
    assert len(json.loads(flow.data or b"")) == 120


class Published(NamedTuple):
    """What the streams hold of a subject, oldest first."""

    levels: list[dict[str, Any]]
    flow: list[dict[str, Any]]


async def published(nats_server: NatsServer) -> Published:
    client = Client()
    await client.connect(nats_server.url)
    jetstream, bodies = client.jetstream(), []
    for stream in ("LEVEL_SIGNALS", "MARKET_DATA"):
        last = (await jetstream.stream_info(stream)).state.last_seq
        stored = [await jetstream.get_msg(stream, seq) for seq in range(1, last + 1)]
        bodies.append([json.loads(message.data or b"") for message in stored])
    await client.close()
    return Published(*bodies)


def times(published: Published) -> tuple[list[int], list[int]]:
    """Core's time in each message, of levels and of flow: there it is that of the last trade."""
    last_trades = [max(contract["last_timestamp"] for contract in flow.values()) for flow in published.flow]
    return [levels["ts"] for levels in published.levels], last_trades


async def test_the_past_comes_before_the_live_part_and_in_order(nats_server: NatsServer) -> None:
    before_ms = time.time_ns() // 1_000_000
    arguments = ("--past", "20", "--clock", "present", "--count", "3", "--contracts", "8", "--rate", "20")
    process = await start("--nats-url", nats_server.url, *arguments)
    said = await line_with("publishing", process)
    assert "published 160 messages of the past" in said
    assert await process.wait() == 0
    after_ms = time.time_ns() // 1_000_000
    there = await published(nats_server)
    assert (len(there.levels), len(there.flow)) == (120 + 3, 40 + 3)
    levels_ms, flow_ms = times(there)
    assert levels_ms == sorted(levels_ms)
    assert flow_ms[:40] == sorted(flow_ms[:40])
    assert max(flow_ms[:40]) <= min(flow_ms[40:])
    assert {later - earlier for earlier, later in pairwise(levels_ms[:120])} == {10_000}
    begun_ms = levels_ms[0] + 20 * 60_000  # when the past was told
    assert before_ms <= begun_ms <= levels_ms[120] <= levels_ms[-1] <= after_ms


async def test_the_past_of_a_session_has_its_times_and_the_oddities_asked_for(nats_server: NatsServer) -> None:
    odd = ("--es", "--null-spot", "--lag", "2", "--silence", "300:60")
    arguments = ("--start", "10:00", "--past", "12", "--count", "1", "--contracts", "4", *odd)
    process = await start("--nats-url", nats_server.url, *arguments)
    assert await process.wait() == 0
    there = await published(nats_server)
    levels_ms, _ = times(there)
    gaps = Counter(later - earlier for earlier, later in pairwise(levels_ms))
    assert gaps == {10_000: 58, 70_000: 2}
    begins = timestamp_ms(today(datetime.now(UTC)), 10 * 3600.0)
    assert (levels_ms[0], levels_ms[-1]) == (begins - 2000, begins + 12 * 60_000 - 2000)
    spots = [levels["es"]["spot"] for levels in there.levels]
    assert None not in spots[:-1]
    assert spots[-1] is None


async def test_a_past_that_nats_does_not_take_is_told_and_left(nats_server: NatsServer) -> None:
    nats_server.stop()
    nats_server.config = "max_payload: 1KB"
    nats_server.start()
    process = await start("--nats-url", nats_server.url, "--past", "20", "--count", "1")
    said = await line_with("publishing", process)
    assert said.count("the past ends early") == 1
    assert await process.wait() == 0


async def test_a_silent_core_publishes_the_rest(nats_server: NatsServer) -> None:
    arguments = ("--count", "10", "--rate", "50", "--silence", "0.1:86400:flow", "--es")
    process = await start("--nats-url", nats_server.url, *arguments)
    assert await process.wait() == 0
    client = Client()
    await client.connect(nats_server.url)
    levels = await client.jetstream().get_last_msg("LEVEL_SIGNALS", "levels.signals")
    flow = await client.jetstream().get_last_msg("MARKET_DATA", "market.flow")
    await client.close()
    assert json.loads(levels.data or b"").keys() >= {"spy", "es"}
    assert 1 <= (flow.seq or 0) <= 5 < (levels.seq or 0)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_cleanly(nats_server: NatsServer, stop: signal.Signals) -> None:
    process = await start("--nats-url", nats_server.url)
    await line_with("publishing", process)
    process.send_signal(stop)
    assert "stopped" in await line_with("stopped", process)
    assert await process.wait() == 0


async def test_it_outlives_a_restart_of_the_server(nats_server: NatsServer) -> None:
    process = await start("--nats-url", nats_server.url, "--rate", "50")
    await line_with("publishing", process)
    await asyncio.to_thread(nats_server.stop)
    said = await line_with("dropping snapshots", process)
    assert said.count("dropping") == 1
    nats_server.start()
    await line_with("publishing again", process)
    process.terminate()
    assert await process.wait() == 0


def test_an_unreachable_server_ends_the_start_with_one_line() -> None:
    impatient = "import sys; from src.simulator import main; main.CONNECT_LIMIT_S = 0.3; sys.exit(main.main())"
    command = [sys.executable, "-c", impatient, "--nats-url", "nats://127.0.0.1:1"]
    ended = subprocess.run(command, cwd=BACKEND, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "nats://127.0.0.1:1" in ended.stderr


async def test_a_signal_while_it_connects_ends_it_cleanly() -> None:
    connected, left = asyncio.Event(), asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await reader.read()
        writer.close()
        left.set()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    process = await start("--nats-url", f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    await connected.wait()
    process.terminate()
    assert await process.wait() == 0
    await left.wait()
    server.close()
