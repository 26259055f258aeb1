"""`python -m src.demo` as a person runs it: the real parts, started, looked at, and stopped in every way."""

import asyncio
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from websockets.sync.client import connect

from src.demo.__main__ import DemoError, gateway_port
from src.demo.nats_server import free_port
from tests.demo.processes import children, wait_until_gone

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads the children of a process from /proc")


SHORT_PAST = ("--past", "5")  # of the simulator, for tests that look at other things


class RunningDemo:
    """The demo as a child, with its own port and its own folder for temporary files."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.port = free_port()
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "src.demo", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "GATEWAY_PORT": str(self.port), "TMPDIR": str(folder)},
        )

    def until_it_says(self, text: str) -> str:
        """All lines up to the one with this text."""
        assert self.process.stdout is not None
        said = ""
        for line in self.process.stdout:
            said += line
            if text in line:
                return said
        raise AssertionError(f"the demo ended without saying {text!r}:\n{said}")

    def child(self, module: str) -> int:
        """The process id of the child that runs this module."""
        return next(pid for pid, command in children(self.process.pid).items() if module in command)

    def leaves_nothing(self, pids: list[int]) -> None:
        for pid in pids:
            wait_until_gone(pid)
        assert list(self.folder.iterdir()) == []


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Callable[..., RunningDemo]]:
    """Start a demo that has said how to stop it; whatever is left of it goes with the test."""
    started: list[RunningDemo] = []

    def start(*arguments: str) -> RunningDemo:
        started.append(RunningDemo(tmp_path, *(arguments or SHORT_PAST)))
        started[-1].until_it_says("Ctrl-C")
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.communicate()


def test_a_simulated_market_reaches_a_viewer(demo: Callable[..., RunningDemo]) -> None:
    running = demo()
    assert [answer_status(running.port, path) for path in ("/health", "/ready", "/docs")] == [200, 200, 200]
    payload: dict[str, Any] = {}
    with connect(f"ws://localhost:{running.port}/ws/stream", proxy=None) as stream:
        while not (payload.get("flow") and payload.get("levels", {}).get("levels")):
            payload = json.loads(stream.recv())


def test_the_session_so_far_is_there_before_the_gateway(tmp_path: Path) -> None:
    running = RunningDemo(tmp_path)
    try:
        said = running.until_it_says("Ctrl-C")
        past, gateway = said.index("messages of the past"), said.index("gateway   |")
        assert past < gateway
        url = re.findall(r"NATS +(nats://\S+)", said)[-1]
        oldest, second = asyncio.run(oldest_messages(url))
        assert second["ts"] - oldest["ts"] == 10_000
        live_from_ms = oldest["ts"] + 390 * 60_000
        with connect(f"ws://localhost:{running.port}/ws/stream", proxy=None) as stream:
            payload = json.loads(stream.recv())
        assert payload["levels"]["ts"] >= live_from_ms
        assert payload["flow"]
    finally:
        running.process.kill()
        running.process.communicate()


async def oldest_messages(url: str) -> list[Any]:
    client = Client()
    await client.connect(url)
    stored = [await client.jetstream().get_msg("LEVEL_SIGNALS", seq) for seq in (1, 2)]
    await client.close()
    return [json.loads(message.data or b"") for message in stored]


def test_other_options_are_those_of_the_simulator(demo: Callable[..., RunningDemo]) -> None:
    running = demo("--past", "0", "--es")
    with connect(f"ws://localhost:{running.port}/ws/stream", proxy=None) as stream:
        levels = json.loads(stream.recv())["levels"]
    assert levels["es"]["spot"] / levels["spy"]["spot"] == pytest.approx(10.02, abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--past", "400", "--start", "15:00"], 1, "simulator: argument --past: 400 minutes"),
        (["--replay", "day.jsonl", "--es"], 2, "--replay has no simulator that could take --es"),
    ],
)
def test_a_wrong_option_is_told(tmp_path: Path, arguments: list[str], status: int, said: str) -> None:
    running = RunningDemo(tmp_path, *arguments)
    _, complaints = running.process.communicate()
    assert running.process.returncode == status
    assert said in complaints
    running.leaves_nothing([])


def answer_status(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("localhost", port, timeout=10)
    connection.request("GET", path)
    with connection.getresponse() as response:
        response.read()
    connection.close()
    return response.status


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_without_a_trace(demo: Callable[..., RunningDemo], how: signal.Signals) -> None:
    running = demo()
    pids = list(children(running.process.pid))
    assert len(pids) == 3
    running.process.send_signal(how)
    said, complaints = running.process.communicate()
    assert (running.process.returncode, complaints) == (0, "")
    assert said.endswith("the demo has stopped\n")
    running.leaves_nothing(pids)


@pytest.mark.parametrize("module", ["src.gateway.main", "src.simulator.main", "nats-server"])
def test_the_death_of_a_part_is_told_and_ends_the_rest(demo: Callable[..., RunningDemo], module: str) -> None:
    running = demo()
    pids = list(children(running.process.pid))
    os.kill(running.child(module), signal.SIGKILL)
    _, complaints = running.process.communicate()
    assert running.process.returncode == 1
    name = {"src.gateway.main": "gateway", "src.simulator.main": "simulator", "nats-server": "NATS server"}[module]
    assert f"demo: the {name} ended" in complaints
    assert "its last lines were:" in complaints
    running.leaves_nothing(pids)


def test_its_parts_die_with_a_demo_that_was_killed(demo: Callable[..., RunningDemo]) -> None:
    running = demo()
    pids = list(children(running.process.pid))
    running.process.kill()
    for pid in pids:
        wait_until_gone(pid)


def test_a_busy_port_is_told_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "src.demo"],
            capture_output=True,
            text=True,
            env={**os.environ, "GATEWAY_PORT": str(port), "TMPDIR": str(tmp_path)},
        )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"port {port}" in ended.stderr
    assert f"GATEWAY_PORT={port + 1} make demo" in ended.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["http", "0", "65536", "-1", "8000.0"])
def test_a_wrong_port_is_told(text: str) -> None:
    with pytest.raises(DemoError, match="a whole number from 1 to 65535"):
        gateway_port({"GATEWAY_PORT": text})


@pytest.mark.parametrize(
    ("environment", "port"), [({}, 8000), ({"GATEWAY_PORT": ""}, 8000), ({"GATEWAY_PORT": "81"}, 81)]
)
def test_the_port_is_the_settings(environment: dict[str, str], port: int) -> None:
    assert gateway_port(environment) == port


def test_a_recording_takes_the_place_of_the_simulation(tmp_path: Path) -> None:
    recording = tmp_path / "day.jsonl"
    recording.write_text('{"subject":"levels.signals","t_ms":1,"data":{"ts":1,"spy":{"spot":687.5}}}\n')
    (tmp_path / "tmp").mkdir()
    running = RunningDemo(tmp_path / "tmp", "--replay", str(recording))
    try:
        assert f"the market is the one of {recording}" in running.until_it_says("Ctrl-C")
        with connect(f"ws://localhost:{running.port}/ws/stream", proxy=None) as stream:
            assert json.loads(stream.recv())["levels"]["spy"]["spot"] == 687.5
        assert not any("simulator" in command for command in children(running.process.pid).values())
        running.process.terminate()
        assert running.process.wait(20) == 0
        running.leaves_nothing([])
    finally:
        running.process.kill()
        running.process.communicate()
