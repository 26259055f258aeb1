"""The whole product on this machine: `python -m src.demo`, or `make demo`.

A NATS server, a simulated Core and the gateway are started in this order and stopped in the opposite one, whatever ends
the demo: Ctrl-C, SIGTERM, or one of the three. Core first publishes the session so far. The gateway starts after that,
because it would show the past as live. Options that are not ours are the simulator's. With `--replay FILE` a recording
takes Core's place, over and over.
"""

import argparse
import http.client
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from src.demo.nats_server import NatsServer, NatsServerError
from src.demo.program import Program, obituary

DEFAULT_PORT = 8000
ANYWHERE = ("0.0.0.0", "::")
# Six and a half hours of a day are over, with the open and a part of the premarket; as much as a regular session. The
# simulator takes the last value of an option, so each of these may be given again.
MARKET = ("--rate", "4", "--seed", "1", "--clock", "present", "--start", "07:00", "--past", "390")
PAST_IS_PUBLISHED = "publishing levels.signals"  # the simulator's line when its live part begins
READY_LIMIT_S = 30.0
LOOK_EVERY_S = 0.1
# Together with the server's own limit this stays below ten seconds.
STOP_PATIENCE_S = {"simulator": 2.0, "replay": 2.0, "gateway": 5.0}

BANNER = """
  The demo runs; the market is {market}.

    console     http://localhost:{port}/
    stream      ws://localhost:{port}/ws/stream
    state now   http://localhost:{port}/snapshot
    health      http://localhost:{port}/health
    routes      http://localhost:{port}/docs
    NATS        {nats_url}

  {watch:<10}  in another terminal shows it as a table
  Ctrl-C      stops all of it and leaves nothing behind
"""


class DemoError(RuntimeError):
    """The demo cannot go on; the text says why and what to do."""


class StopRequested(Exception):
    """Somebody pressed Ctrl-C or sent SIGTERM."""


class StopRequests:
    """Remembers Ctrl-C, SIGTERM and a closed terminal until it suits us.

    Nothing is raised where the signal strikes: between the start of a child and the line that notes it.
    """

    def __init__(self) -> None:
        self._received = False
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, self._receive)

    def _receive(self, *_: object) -> None:
        self._received = True

    def check(self) -> None:
        """Raise when the demo has been asked to stop.

        Raises:
            StopRequested: it has.
        """
        if self._received:
            raise StopRequested


class Demo:
    """The three parts while they run."""

    def __init__(
        self,
        environment: Mapping[str, str],
        stop_requests: StopRequests,
        recording: Path | None = None,
        options: Sequence[str] = (),
    ) -> None:
        """
        Args:
            environment: of the demo.
            stop_requests: see there.
            recording: takes the place of the simulator.
            options: of the simulator, beside `MARKET`.
        """
        self._environment = environment
        self._recording = recording
        self._options = options
        self._stop_requests = stop_requests
        self._host = environment.get("GATEWAY_HOST") or "127.0.0.1"
        self._port = gateway_port(environment)
        self._nats = NatsServer()
        self._programs: list[Program] = []

    def run(self) -> None:
        """Start everything, say where it is, and stay until something ends it.

        Raises:
            DemoError: a port is taken, or a part did not start or ended by itself.
            StopRequested: a signal asked for the end.
        """
        self._require_free_port()
        try:
            self._start()
            self._wait_until_ready()
            market = "simulated" if self._recording is None else f"the one of {self._recording}"
            watch = watch_command(self._port)
            print(BANNER.format(market=market, port=self._port, nats_url=self._nats.url, watch=watch), flush=True)
            while True:
                self._pause()
        finally:
            self._stop()

    def _require_free_port(self) -> None:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the gateway does: TIME_WAIT is free
            try:
                probe.bind((self._host, self._port))
            except OSError as error:
                raise DemoError(
                    f"cannot listen on {self._host} port {self._port} ({error.strerror}); "
                    f"take another port: GATEWAY_PORT={self._port + 1} make demo"
                ) from None

    def _start(self) -> None:
        try:
            self._nats.start()
        except NatsServerError as error:
            raise DemoError(str(error)) from None
        if self._recording is not None:
            self._start_program("gateway", "src.gateway.main")
            self._start_program("replay", "src.gateway", "replay", str(self._recording), "--loop", "--quiet")
            return
        simulator = self._start_program(
            "simulator", "src.simulator.main", "--nats-url", self._nats.url, *MARKET, *self._options
        )
        while not simulator.has_said(PAST_IS_PUBLISHED):
            self._pause()
        self._start_program("gateway", "src.gateway.main")

    def _start_program(self, name: str, module: str, *arguments: str) -> Program:
        env = {
            "GATEWAY_MARKET": "24x7",  # the simulated one is open at all times
            **self._environment,
            "NATS_URL": self._nats.url,
            "GATEWAY_PORT": str(self._port),
            "PYTHONUNBUFFERED": "1",  # its lines reach us when they are written
        }
        self._programs.append(Program(name, [sys.executable, "-m", module, *arguments], env))
        return self._programs[-1]

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_LIMIT_S
        while (answer := ask_ready(self._reachable_host(), self._port)) is not None:
            if time.monotonic() > deadline:
                raise DemoError(f"the gateway was not ready after {READY_LIMIT_S:g} s; GET /ready: {answer}")
            self._pause()

    def _pause(self) -> None:
        """Wait a moment, and notice a signal or a program that has ended."""
        time.sleep(LOOK_EVERY_S)
        self._stop_requests.check()
        if not self._nats.running:
            raise DemoError(obituary("NATS server", "by itself", self._nats.last_log_lines()))
        for program in self._programs:
            if not program.running:
                raise DemoError(program.obituary())

    def _stop(self) -> None:
        for program in reversed(self._programs):
            program.stop(STOP_PATIENCE_S[program.name])
        self._nats.close()

    def _reachable_host(self) -> str:
        return "localhost" if self._host in ANYWHERE else self._host


def gateway_port(environment: Mapping[str, str]) -> int:
    """The gateway's port from GATEWAY_PORT, else the usual one.

    Raises:
        DemoError: GATEWAY_PORT is no port.
    """
    text = environment.get("GATEWAY_PORT", "").strip() or str(DEFAULT_PORT)
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise DemoError(f"GATEWAY_PORT={text!r} is not accepted: a whole number from 1 to 65535")
    return int(text)


def watch_command(port: int) -> str:
    """What to type to watch the gateway on this port."""
    return "make watch" if port == DEFAULT_PORT else f"GATEWAY_PORT={port} make watch"


def ask_ready(host: str, port: int) -> str | None:
    """Ask the gateway whether it is ready: None when it is, else its response."""
    connection = http.client.HTTPConnection(host, port, timeout=2.0)
    try:
        connection.request("GET", "/ready")
        response = connection.getresponse()
        body = response.read().decode(errors="replace")
        return None if response.status == http.HTTPStatus.OK else f"{response.status} {body}"
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()


def main() -> int:
    """Run the demo; returns 0 after a signal, 1 when it could not go on."""
    parser = argparse.ArgumentParser(
        prog="demo",
        description="NATS, the gateway and a market on this machine.",
        epilog="Other options are the simulator's, and count after " + " ".join(MARKET),
        allow_abbrev=False,
    )
    parser.add_argument("--replay", type=Path, metavar="FILE", help="a recording, instead of a simulated market")
    given, options = parser.parse_known_args()
    if given.replay is not None and options:
        parser.error(f"--replay has no simulator that could take {' '.join(options)}")
    try:
        Demo(os.environ, StopRequests(), given.replay, options).run()
    except StopRequested:
        print("\nthe demo has stopped", flush=True)
        return 0
    except DemoError as error:
        print(f"\ndemo: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
