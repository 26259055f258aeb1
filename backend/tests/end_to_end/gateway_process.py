"""The gateway as its users run it: a process of its own, looked at from outside only."""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM
from types import MappingProxyType
from typing import Any, NamedTuple, Self

from src.demo.nats_server import HOST, free_port
from tests.waiting import LIMIT_S

BACKEND = Path(__file__).parents[2]
OURS = ("NATS_URL", "PORT", "GATEWAY_")


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class GatewayProcess:
    """`python -m src.gateway.main` on a free port; what it writes goes to files, so that it never waits for us.

    Attributes:
        host: where it is reached.
    """

    host = HOST

    def __init__(self, folder: Path, nats_url: str, **settings: str) -> None:
        """
        Args:
            folder: for what it writes.
            nats_url: its `NATS_URL`.
            settings: further environment variables; none of ours is inherited from the environment of the tests.
        """
        self.port = int(settings.get("GATEWAY_PORT") or settings.get("PORT") or free_port())
        self._folder = folder / f"gateway-{self.port}"
        self._folder.mkdir(parents=True, exist_ok=True)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        port = {} if settings.keys() & {"GATEWAY_PORT", "PORT"} else {"GATEWAY_PORT": str(self.port)}
        usual = {"GATEWAY_HISTORY": "off"}  # most tests need no second process beside the gateway
        self.environment = {**inherited, **usual, "NATS_URL": nats_url, **port, **settings}
        self.process: subprocess.Popen[bytes] | None = None
        self._has_group = False

    # -- lifecycle -------------------------------------------------------------------------------------------------

    def launch(self, changed: Mapping[str, str] = MappingProxyType({}), under: Sequence[str] = ()) -> Self:
        """Start it, with this environment `changed`, and return at once.

        Args:
            changed: variables that replace those of the environment.
            under: a command that starts it as its child; both are then a process group of their own.
        """
        self._has_group = bool(under)
        with (self._folder / "stdout").open("wb") as stdout, (self._folder / "stderr").open("wb") as stderr:
            self.process = subprocess.Popen(
                [*under, sys.executable, "-m", "src.gateway.main"],
                cwd=BACKEND,
                env={**self.environment, **changed},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=self._has_group,
            )
        return self

    def start(self) -> Self:
        """Start it and return when it answers HTTP."""
        return self.launch().until_it_answers()

    def until_it_answers(self) -> Self:
        """Wait for HTTP after `launch`."""
        deadline = time.monotonic() + LIMIT_S
        while not self._answers():
            assert self.running, f"the gateway ended instead of starting:\n{self.stderr}"
            assert time.monotonic() < deadline, f"the gateway does not answer:\n{self.stderr}"
            time.sleep(0.01)
        return self

    def until_it_says(self, text: str) -> None:
        """Wait for a line on stdout."""
        deadline = time.monotonic() + LIMIT_S
        while text not in self.stdout:
            assert self.running, f"the gateway ended without saying {text!r}:\n{self.stderr}"
            assert time.monotonic() < deadline, f"the gateway does not say {text!r}:\n{self.stdout}"
            time.sleep(0.01)

    def wait(self) -> int:
        """Its exit status, once it has ended."""
        return self._started.wait(LIMIT_S)

    def signal(self, number: int) -> None:
        self._started.send_signal(number)

    def signal_group(self, number: int) -> None:
        """To it and the command that it was launched under."""
        assert self._has_group, "else it is the group of the tests"
        os.killpg(self._started.pid, number)

    def stop(self, how: int = SIGTERM) -> int:
        """Ask it to stop and return its exit status."""
        self.signal(how)
        return self.wait()

    def freeze(self) -> None:
        self.signal(SIGSTOP)

    def thaw(self) -> None:
        self.signal(SIGCONT)

    def kill(self) -> None:
        """End it at once, whatever state it is in; idempotent."""
        if self.process is not None:
            if self._has_group:
                with contextlib.suppress(ProcessLookupError):
                    self.signal_group(SIGKILL)
            self.process.send_signal(SIGKILL)
            self.process.wait()

    @property
    def running(self) -> bool:
        return self._started.poll() is None

    def kill_history(self) -> None:
        """End its history process at once."""
        pid = self._started.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        of_history = [each for each in children if b"gateway.history" in Path(f"/proc/{each}/cmdline").read_bytes()]
        os.kill(int(of_history[0]), SIGKILL)

    @property
    def descriptors(self) -> int:
        """How many files and sockets it has open."""
        return len(list(Path(f"/proc/{self._started.pid}/fd").iterdir()))

    @property
    def takes_connections(self) -> bool:
        """Whether somebody listens on its port."""
        with socket.socket() as attempt:
            return attempt.connect_ex((self.host, self.port)) == 0

    # -- what it says ----------------------------------------------------------------------------------------------

    @property
    def stdout(self) -> str:
        return (self._folder / "stdout").read_text()

    @property
    def stderr(self) -> str:
        return (self._folder / "stderr").read_text()

    def get(self, path: str, method: str = "GET", headers: Mapping[str, str] = MappingProxyType({})) -> Answer:
        """One HTTP request on a connection of its own."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=LIMIT_S)
        try:
            connection.request(method, path, headers=dict(headers))
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def upgrade(self, path: str) -> Answer:
        """A WebSocket handshake that is refused, and why."""
        handshake = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }
        return self.get(path, headers=handshake)

    def health(self) -> Any:
        return self.get("/health").json

    def subscription(self, subject: str) -> Any:
        """What `/health` says of one subject."""
        return self.health()["subscriptions"][subject]

    @property
    def ready(self) -> bool:
        return self.get("/ready").status == 200

    def url(self, path: str = "/ws/stream") -> str:
        return f"ws://{self.host}:{self.port}{path}"

    def _answers(self) -> bool:
        try:
            return self.get("/health").status == 200
        except OSError:
            return False

    @property
    def _started(self) -> "subprocess.Popen[bytes]":
        assert self.process is not None, "start() first"
        return self.process
