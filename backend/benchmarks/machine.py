"""Where numbers come from: the machine and the versions, in words."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Final

from benchmarks.processes import cores
from src.demo.nats_server import find_binary

PACKAGES: Final = ("uvicorn", "uvloop", "websockets", "fastapi", "msgspec", "nats-py")


def description() -> dict[str, str]:
    """What to know of it, by name."""
    return {
        "CPU": f"{_cpu_model()}, {os.cpu_count()} cores; {_apart()}",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        "NATS": _nats_version(),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or "unknown"


def _apart() -> str:
    apart = cores()
    if apart.server == apart.load:
        return "server and load share one"
    return "the server alone on one, everything else on the others"


def _nats_version() -> str:
    return subprocess.run([find_binary(), "--version"], capture_output=True, text=True, check=True).stdout.strip()
