"""Fan-out: one process, many viewers, several servers side by side in one run."""

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import msgspec

from benchmarks.load import Measured, Plan
from benchmarks.processes import Cores, allow_many_sockets, cores, pinned, serving
from benchmarks.publisher import Publisher, make_streams
from benchmarks.workload import LARGE, USUAL, Bodies, Payload, bodies
from src.demo.nats_server import NatsServer, free_port

PLAIN: Final = "plain"
DEFLATE: Final = "deflate"
STALLED: Final = "stalled viewers"

GATEWAY: Final = "this gateway"
BROADCAST: Final = "websockets broadcast"
FASTAPI: Final = "FastAPI, send_text loop"
FLOOR: Final = "floor: only send()"
MODULES: Final = {
    GATEWAY: "src.gateway.main",
    BROADCAST: "benchmarks.rivals.broadcast",
    FASTAPI: "benchmarks.rivals.fastapi_loop",
    FLOOR: "benchmarks.rivals.floor",
}
SERVERS: Final = (GATEWAY, BROADCAST, FASTAPI)
CASES: Final = ((USUAL, PLAIN), (USUAL, DEFLATE), (USUAL, STALLED), (LARGE, PLAIN), (LARGE, DEFLATE))


class Scale(NamedTuple):
    """How much is measured.

    Attributes:
        never_reading: viewers that never read, in the case that has them.
        rate_hz: messages a second on each of the two subjects.
        window_s: what is measured of each run, after `warm_up_s`.
        stall_shows_s: more of that until buffers on the way to viewers that never read are full.
    """

    viewers: int = 500
    never_reading: int = 10
    rate_hz: float = 4.0
    repeats: int = 3
    warm_up_s: float = 1.0
    stall_shows_s: float = 3.0
    window_s: float = 2.0
    cases: tuple[tuple[Payload, str], ...] = CASES

    @property
    def reading(self) -> int:
        """Viewers that read, in the case where some do not."""
        return self.viewers - self.never_reading

    @property
    def tick_s(self) -> float:
        return 1 / (2 * self.rate_hz)


class Cost(NamedTuple):
    """One server in one case: a run, or the medians of several.

    Attributes:
        us_a_frame: CPU of the server for each delivered frame, in microseconds; infinite where none was delivered.
        delivered: frames that reached viewers that read, as a share of all that were due.
        frames_a_second: the same as a number.
        wire_bytes: of a frame.
        p50_ms: publish to the last byte at the viewer; infinite where nothing arrived.
        p99_ms: the same.
        server_share: of a core.
        waited_share: of the time in which it could have run, how long something else had its core.
        server_mb_s: by which the server's memory grew in each second.
        load_share: of a core, what the load client took.
        deflating: share of viewers with permessage-deflate.
        lost: viewers whose connection ended.
    """

    us_a_frame: float
    delivered: float
    frames_a_second: float
    wire_bytes: float
    p50_ms: float
    p99_ms: float
    server_share: float
    waited_share: float
    server_mb_s: float
    load_share: float
    deflating: float
    lost: float


class Case(NamedTuple):
    """What was sent, how, by whom."""

    payload: str
    mode: str
    server: str


def compare(scale: Scale, say: Callable[[str], Any]) -> dict[Case, Cost]:
    """Run every server in every case, round after round, and take medians."""
    runs: dict[Case, list[Cost]] = {}
    with _bench(scale) as bench:
        for _ in range(scale.repeats):
            for payload, mode in scale.cases:
                for server in (*SERVERS, FLOOR) if mode != STALLED else SERVERS:
                    case = Case(payload.name, mode, server)
                    wire_bytes = runs[case._replace(server=GATEWAY)][-1].wire_bytes if server == FLOOR else 0
                    cost = bench.run(payload, mode, server, round(wire_bytes))
                    runs.setdefault(case, []).append(cost)
                    say(f"{payload.name:6} {mode:16} {server:24} {cost.us_a_frame:8.1f} us a frame")
    return {case: _medians(costs) for case, costs in runs.items()}


class Bench(NamedTuple):
    """What all runs share: the bus, the cores, the messages, a folder for what servers say."""

    scale: Scale
    nats_url: str
    cores: Cores
    messages: dict[Payload, Bodies]
    folder: Path

    def run(self, payload: Payload, mode: str, server: str, wire_bytes: int) -> Cost:
        """Start the server, connect the viewers, publish, measure, stop."""
        port = free_port()
        arguments = {
            GATEWAY: [],
            FLOOR: [str(port), str(wire_bytes), str(1 / self.scale.tick_s)],
        }.get(server, [str(port), self.nats_url])
        environment = {"NATS_URL": self.nats_url, "GATEWAY_PORT": str(port), "GATEWAY_HOST": "127.0.0.1"}
        command = ["-m", MODULES[server], *arguments]
        with (
            pinned(self.cores.server),
            serving(command, port, environment, self.folder / "server.log") as pid,
            pinned(self.cores.load),
        ):
            plan = self._plan(port, pid, mode, server)
            measured = _measured(plan, Publisher(self.nats_url, self.messages[payload], self.scale.rate_hz))
        return _cost(plan, measured)

    def _plan(self, port: int, server_pid: int, mode: str, server: str) -> Plan:
        scale = self.scale
        return Plan(
            port=port,
            server_pid=server_pid,
            viewers=scale.viewers,
            never_reading=scale.never_reading if mode == STALLED else 0,
            deflate=mode == DEFLATE and server != FLOOR,
            tick_s=scale.tick_s,
            warm_up_s=scale.warm_up_s + (scale.stall_shows_s if mode == STALLED else 0),
            window_s=scale.window_s,
        )


@contextmanager
def _bench(scale: Scale) -> Iterator[Bench]:
    allow_many_sockets()
    apart = cores()
    messages = {payload: bodies(payload) for payload, _ in scale.cases}
    with tempfile.TemporaryDirectory(prefix="spymaster-bench-") as folder, pinned(apart.load), NatsServer() as nats:
        asyncio.run(make_streams(nats.url))
        yield Bench(scale, nats.url, apart, messages, Path(folder))


def _measured(plan: Plan, publisher: Publisher) -> Measured:
    """
    Raises:
        RuntimeError: the load client could not connect its viewers.
    """
    command = [sys.executable, "-m", "benchmarks.load", msgspec.json.encode(plan).decode()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as load:
        assert load.stdin is not None
        assert load.stdout is not None
        try:
            if load.stdout.readline().strip() != "connected":
                raise RuntimeError("the load client gave up; what it said stands above")
            with publisher:
                load.stdin.write("measure\n")
                load.stdin.flush()
                result = load.stdout.readline()
        finally:
            load.kill()
    return msgspec.json.decode(result, type=Measured)


def _cost(plan: Plan, measured: Measured) -> Cost:
    reading = plan.viewers - plan.never_reading
    due = round(plan.window_s / plan.tick_s) * reading
    frames, latencies_ms = measured.frames, measured.latencies_ms
    return Cost(
        us_a_frame=measured.server_cpu_s / frames * 1e6 if frames else float("inf"),
        delivered=frames / due,
        frames_a_second=frames / measured.seconds,
        wire_bytes=measured.wire_bytes / frames if frames else 0,
        p50_ms=_percentile(latencies_ms, 50),
        p99_ms=_percentile(latencies_ms, 99),
        server_share=measured.server_cpu_s / measured.seconds,
        waited_share=measured.server_waited_s / max(measured.server_waited_s + measured.server_cpu_s, 1e-9),
        server_mb_s=measured.server_grown_bytes / measured.seconds / 1e6,
        load_share=measured.load_cpu_s / measured.seconds,
        deflating=measured.deflating / plan.viewers,
        lost=measured.lost,
    )


def _percentile(ascending: list[float], percent: int) -> float:
    if not ascending:
        return float("inf")
    return ascending[min(len(ascending) * percent // 100, len(ascending) - 1)]


def _medians(costs: list[Cost]) -> Cost:
    return Cost(*(median(values) for values in zip(*costs, strict=True)))
