"""`deploy/systemd`: the unit against systemd's own checks, and against what the gateway needs.

Only the folder is changed, because systemd looks for the program. No systemd has started it.
"""

import asyncio
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Final

import pytest

from src.demo.child_process import start_child
from src.demo.nats_server import NatsServer
from src.gateway.settings import Settings
from tests.documents import ROOT
from tests.end_to_end.gateway_process import BACKEND, GatewayProcess
from tests.waiting import until

UNIT: Final = ROOT / "deploy" / "systemd" / "spymaster-gateway.service"
FOLDER: Final = "/opt/spymaster-gateway/backend"
STOP_S: Final = 2.0  # of docs/configuration.md: what a stop may take beyond GATEWAY_DRAIN
WORST_RATING: Final = "20"  # of 100; systemd calls it OK below 50, and a unit without any protection has 96


def settings_of_unit() -> dict[str, str]:
    """The newest value of each key, whatever its section."""
    lines = [line for line in UNIT.read_text().splitlines() if "=" in line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


@pytest.fixture
def unit_here(tmp_path: Path) -> str:
    path = tmp_path / UNIT.name
    path.write_text(UNIT.read_text().replace(FOLDER, str(BACKEND)))
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    if not (BACKEND / ".venv" / "bin" / "python").exists():
        pytest.skip("there is no backend/.venv")
    return str(path)


@pytest.mark.parametrize(
    "check", [["verify"], ["security", "--offline=true", f"--threshold={WORST_RATING}"]], ids=["reads it", "rates it"]
)
def test_systemd(unit_here: str, check: list[str]) -> None:
    told = subprocess.run(["systemd-analyze", *check, unit_here], capture_output=True, check=False, text=True)
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stderr == ""


def test_the_time_for_a_stop_is_longer_than_the_drain() -> None:
    assert int(settings_of_unit()["TimeoutStopSec"]) > Settings().drain_s + STOP_S


async def test_its_command_runs_and_ends_well_when_the_first_process_alone_is_told(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    """As KillMode=mixed does, with two workers."""
    unit = settings_of_unit()
    assert unit["KillMode"] == "mixed"
    gateway = GatewayProcess(tmp_path, nats_server.url, GATEWAY_WORKERS="2")
    _, *arguments = shlex.split(unit["ExecStart"])
    with (tmp_path / "log").open("wb") as log:
        gateway.process = start_child(
            [sys.executable, *arguments],
            death_signal=SIGKILL,
            output=log,
            env={**gateway.environment, "PYTHONPATH": str(BACKEND)},
        )
    try:
        await until(lambda: answers(gateway), "it answers")
        os.kill(gateway.process.pid, SIGTERM)
        assert await asyncio.to_thread(gateway.wait) == 0
    finally:
        gateway.kill()


def answers(gateway: GatewayProcess) -> bool:
    assert gateway.running
    try:
        return gateway.ready
    except OSError:
        return False
