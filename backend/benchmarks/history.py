"""What the history costs: how long it is read after a start, beside which live latency, and how fast it answers.

`python -m benchmarks.history` from `backend`. A nats-server is filled with a session of recorded messages, whose times
are moved to end now; then Core goes on live, and gateways without and with a history are started beside it. Latency is
from the publication of a levels message to its arrival at one viewer on the same machine.
"""

import argparse
import asyncio
import gzip
import json
import os
import statistics
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from signal import SIGKILL, SIGTERM
from subprocess import Popen
from typing import Any, Final, NamedTuple

import nats
from nats.js import JetStreamContext
from websockets.asyncio.client import connect

from src.common.bus import NATSBus
from src.common.subjects import LEVELS_SIGNALS, MARKET_FLOW
from src.common.tasks import end
from src.demo.child_process import start_child
from src.demo.nats_server import HOST, NatsServer, free_port
from src.gateway.main import SUBSCRIBED

RECORDED: Final = Path(__file__).resolve().parents[3] / "shared" / "real" / "core-session.jsonl.gz"
IN_FLIGHT: Final = 200  # messages that are published before their acknowledgements are awaited
ASK_EVERY_S: Final = 0.1
START_LIMIT_S: Final = 60.0
FILL_LIMIT_S: Final = 1_800.0
TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")


class Session(NamedTuple):
    """Recorded bodies, and how they are published."""

    levels: list[bytes]
    flow: list[bytes]
    rate_hz: float

    def pair(self, number: int, ts_ms: int) -> tuple[bytes, bytes]:
        """A levels message of that time, and the flow beside it."""
        levels = self.levels[number % len(self.levels)]
        return b'{"ts":%d' % ts_ms + levels[levels.index(b",") :], self.flow[number % len(self.flow)]


class Gateway:
    """One that runs, with or without a history."""

    def __init__(self, stack: ExitStack, folder: Path, nats_url: str, history: str) -> None:
        self.port = free_port()
        self._log = folder / f"gateway-{self.port}.log"
        settings = {
            "NATS_URL": nats_url,
            "GATEWAY_PORT": str(self.port),
            "GATEWAY_HISTORY": history,
            "GATEWAY_COALESCE": "0",
        }
        with self._log.open("wb") as output:
            self.process: Popen[bytes] = start_child(
                [sys.executable, "-m", "src.gateway.main"],
                death_signal=SIGKILL,
                env={**os.environ, **settings},
                output=output,
            )
        stack.callback(self.process.wait)
        stack.callback(self.process.send_signal, SIGTERM)

    async def until_it_serves(self) -> None:
        await _until(lambda: SUBSCRIBED.encode() in self._log.read_bytes(), START_LIMIT_S)

    async def get(self, path: str) -> tuple[int, bytes, float]:
        """Status, body as it went over the wire, and seconds."""
        request = urllib.request.Request(f"http://{HOST}:{self.port}{path}", headers={"Accept-Encoding": "gzip"})

        def ask() -> tuple[int, bytes]:
            try:
                with urllib.request.urlopen(request, timeout=60) as response:
                    return response.status, response.read()
            except urllib.error.HTTPError as error:
                return error.code, b""

        began_s = time.monotonic()
        status, body = await asyncio.to_thread(ask)
        return status, body, time.monotonic() - began_s

    @property
    def history_pid(self) -> int:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return next(int(pid) for pid in children if b"gateway.history" in Path(f"/proc/{pid}/cmdline").read_bytes())


async def main() -> None:
    """Measure, and print a line for each number."""
    arguments = _arguments()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(NatsServer(store=folder / "jetstream"))
        session = _recorded(arguments.rate)
        pairs = int(arguments.hours * 3600 * arguments.rate)
        await _fill(server.url, session, pairs)
        publishing = asyncio.create_task(_publish(server.url, session, pairs))
        try:
            for history in ("off", "on"):
                with ExitStack() as of_gateway:  # one at a time: they would take processors from each other
                    gateway = Gateway(of_gateway, folder, server.url, history)
                    await gateway.until_it_serves()
                    if history == "on":
                        await _measure_filling(gateway)
                    print(f"latency with the history {history}: {await _latency(gateway, arguments.seconds)}")
                    if history == "on":
                        await _measure_answers(gateway)
        finally:
            await end(publishing)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.history", description=__doc__)
    parser.add_argument("--hours", type=float, default=6.5, help="length of the session")
    parser.add_argument("--rate", type=float, default=4.0, help="messages a second on each subject")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each latency")
    return parser.parse_args()


def _recorded(rate_hz: float) -> Session:
    bodies: dict[str, list[bytes]] = {LEVELS_SIGNALS: [], MARKET_FLOW: []}
    with gzip.open(RECORDED) as lines:
        for line in lines:
            message = json.loads(line)
            bodies[message["subject"]].append(json.dumps(message["data"], separators=(",", ":")).encode())
    return Session(bodies[LEVELS_SIGNALS], bodies[MARKET_FLOW], rate_hz)


async def _fill(url: str, session: Session, pairs: int) -> None:
    bus = NATSBus(url)
    await bus.connect()  # makes the streams
    await bus.close()
    client = await nats.connect(url)
    jetstream: JetStreamContext = client.jetstream(publish_async_max_pending=2 * IN_FLIGHT)
    began_s, begin_ms = time.monotonic(), time.time() * 1000 - pairs / session.rate_hz * 1000
    size = 0
    for first in range(0, pairs, IN_FLIGHT):
        stored: list[Any] = []
        for number in range(first, min(first + IN_FLIGHT, pairs)):
            levels, flow = session.pair(number, int(begin_ms + number / session.rate_hz * 1000))
            size += len(levels) + len(flow)
            stored.append(await jetstream.publish_async(LEVELS_SIGNALS, levels))
            stored.append(await jetstream.publish_async(MARKET_FLOW, flow))
        await asyncio.gather(*stored)
    await client.close()
    took_s = time.monotonic() - began_s
    print(f"stored: {pairs} messages on each subject, {size / 1e9:.2f} GB, in {took_s:.0f} s")


async def _publish(url: str, session: Session, number: int) -> None:
    client = await nats.connect(url)
    try:
        while True:
            levels, flow = session.pair(number, time.time_ns() // 1_000_000)
            await client.publish(LEVELS_SIGNALS, levels)
            await client.publish(MARKET_FLOW, flow)
            number += 1
            await asyncio.sleep(1 / session.rate_hz)
    finally:
        await client.close()


async def _latency(gateway: Gateway, seconds: float, filling: asyncio.Event | None = None) -> str:
    """Of the levels, at a viewer that is sent nothing else."""
    seen_ms: list[float] = []
    last, until_s = 0, time.monotonic() + seconds
    async with connect(f"ws://{HOST}:{gateway.port}/ws/stream?sections=levels", max_size=None) as viewer:
        await viewer.recv()
        while time.monotonic() < until_s and not (filling is not None and filling.is_set()):
            ts = json.loads(await viewer.recv())["levels"]["ts"]
            if ts != last:
                seen_ms.append(time.time() * 1000 - ts)
            last = ts
    seen_ms.sort()
    p99 = seen_ms[int(len(seen_ms) * 0.99)]
    return f"p50 {statistics.median(seen_ms):.1f} ms, p99 {p99:.1f} ms, of {len(seen_ms)}"


async def _measure_filling(gateway: Gateway) -> None:
    began_s, filled = time.monotonic(), asyncio.Event()
    await _until_answered(gateway, "/history?from=-5m", lambda status, _body: status == 200)
    print(f"the last minutes are there after {time.monotonic() - began_s:.1f} s")
    measuring = asyncio.create_task(_latency(gateway, FILL_LIMIT_S, filled))
    await _until_answered(gateway, "/events?kinds=replay", lambda _status, body: json.loads(body)["complete"])
    took_s = time.monotonic() - began_s
    filled.set()
    print(f"all of it after {took_s:.0f} s, {_cost(gateway.history_pid)}")
    print(f"latency while it is read: {await measuring}")


def _cost(pid: int) -> str:
    """Of a process so far."""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    cpu_s = (int(stat[11]) + int(stat[12])) / TICKS_A_SECOND
    resident_mb = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    return f"{cpu_s:.0f} s of CPU; the process has {resident_mb:.0f} MB"


async def _until_answered(gateway: Gateway, path: str, is_it: Callable[[int, bytes], bool]) -> None:
    async with asyncio.timeout(FILL_LIMIT_S):
        answered = False
        while not answered:
            status, body, _ = await gateway.get(path)
            answered = is_it(status, body)
            await asyncio.sleep(ASK_EVERY_S)


async def _until(condition: Callable[[], bool], limit_s: float) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - what is waited for is of another process
            await asyncio.sleep(0.01)


async def _measure_answers(gateway: Gateway) -> None:
    for path in ("/history?from=-390m&step=30s", "/history?from=-390m&fields=spot", "/events", "/snapshot?at=-3h"):
        answers = [await gateway.get(path) for _ in range(7)]
        status, body, _ = answers[0]
        took_ms = statistics.median(took_s for *_, took_s in answers) * 1000
        print(f"{path}: {status}, {len(body) / 1000:.0f} KB compressed, {took_ms:.0f} ms")


if __name__ == "__main__":
    asyncio.run(main())
