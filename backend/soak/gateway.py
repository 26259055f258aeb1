"""One gateway, started, stopped and looked at from outside: its processes, its routes, its log."""

import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP
from typing import Any, Final

from benchmarks.processes import cpu_s, family, resident_bytes, until_listening
from soak.samples import Rest
from src.demo.child_process import end, start_child
from src.demo.nats_server import HOST, free_port

ASK_LIMIT_S: Final = 5.0
STOP_LIMIT_S: Final = 8.0  # the gateway promises 5 s on a machine that has time for it
CHANGE_LIMIT_S: Final = 40.0  # for a start, or for a worker that takes the place of another, on a busy machine
LOOK_EVERY_S: Final = 0.1
HISTORY: Final = b"src.gateway.history"  # in its command line
TASKS: Final = re.compile(r"^gateway_tasks\{.*\} (\d+)", re.MULTILINE)


class Gateway:
    """`python -m src.gateway.main` on a port of its own, with all its processes.

    Attributes:
        trouble: sentences about starts, stops and replacements that were not in good order.
    """

    def __init__(self, nats_url: str, folder: Path, settings: Mapping[str, str]) -> None:
        """
        Args:
            nats_url: its `NATS_URL`.
            folder: for its log, of all its starts.
            settings: further environment variables.
        """
        self.port = free_port()
        self.log = folder / f"gateway-{self.port}.log"
        self.trouble: list[str] = []
        address = {"NATS_URL": nats_url, "GATEWAY_HOST": HOST, "GATEWAY_PORT": str(self.port)}
        self._environment = {**os.environ, **settings, **address}
        self._process: subprocess.Popen[bytes] | None = None

    # -- its life --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Returns when it is ready, with all its workers.

        Raises:
            RuntimeError: it does not listen; with the end of what it said.
        """
        with self.log.open("ab") as output:
            self._process = start_child(
                [sys.executable, "-m", "src.gateway.main"],
                death_signal=SIGKILL,
                output=output,
                env=self._environment,
            )
        until_listening(self._process, self.port, self.log)
        self.wait_for(lambda: self.is_whole, "all its workers are ready")

    def stop(self) -> None:
        """In good order."""
        status = end(self._running, STOP_LIMIT_S)
        if status:
            self.trouble.append(f"the gateway on port {self.port} has ended with {status} after SIGTERM")

    def kill(self) -> None:
        """At once; idempotent."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def signal(self, number: int) -> None:
        """To the first of its processes."""
        os.kill(self.pid, number)

    def pause(self) -> None:
        """All its processes, as when the machine stands still."""
        for pid in family(self.pid):
            _send(pid, SIGSTOP)

    def resume(self) -> None:
        """The first process comes last: what it looks at has gone on before."""
        for pid in reversed(family(self.pid)):
            _send(pid, SIGCONT)

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Until it is so; noted as trouble where it is in vain."""
        deadline_s = time.monotonic() + CHANGE_LIMIT_S
        while not condition():
            if time.monotonic() > deadline_s:
                self.trouble.append(f"waited {CHANGE_LIMIT_S:g} s in vain on port {self.port}: {what}")
                return
            time.sleep(LOOK_EVERY_S)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def is_whole(self) -> bool:
        """Whether all its workers are there, and the one that answers is ready and has the past."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            health = self.health()
            workers, history = health["workers"], health["history"]
            has_all = workers["live"] == workers["configured"] and (history is None or history["connected"])
            return bool(has_all) and self.get("/ready")[0] == 200
        return False

    # -- its processes ---------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def workers(self) -> list[int]:
        """Where there are several."""
        return [pid for pid in _children(self.pid) if pid not in self._of_history]

    @property
    def history(self) -> int | None:
        """The process that reads the past."""
        return next(iter(self._of_history), None)

    def resident_bytes(self) -> tuple[int, int]:
        """Memory of its history process, and of all others."""
        history = sum(resident_bytes(pid) for pid in self._of_history)
        return history, resident_bytes(self.pid) - history

    def cpu_s(self) -> float:
        return cpu_s(self.pid)

    def descriptors(self) -> dict[str, int]:
        """Open ones of all processes by kind: file, socket, pipe, …"""
        kinds: Counter[str] = Counter()
        for pid in family(self.pid):
            with contextlib.suppress(OSError):  # ended, or closed meanwhile
                for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                    with contextlib.suppress(OSError):
                        target = str(descriptor.readlink())
                        kinds["file" if target.startswith("/") else target.partition(":[")[0]] += 1
        return dict(kinds)

    # -- what it says ----------------------------------------------------------------------------------------------

    def health(self) -> Any:
        status, body = self.get("/health")
        assert status == 200, body
        return json.loads(body)

    def tasks(self) -> int | None:
        """Of the event loops of all workers, as `/metrics` tells."""
        found = TASKS.findall(self.get("/metrics")[1])
        return sum(map(int, found)) if found else None

    def at_rest(self) -> Rest:
        return Rest(self.descriptors(), self.tasks(), self.health()["connections"])

    def get(self, path: str) -> tuple[int, str]:
        """Status and body."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=ASK_LIMIT_S)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    @property
    def _running(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, "start() first"
        return self._process

    @property
    def _of_history(self) -> list[int]:
        return [pid for pid in family(self.pid) if HISTORY in _command_line(pid)]


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _command_line(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
