"""How old frames are when they arrive at a viewer on a slow line, direct and behind proxies with large buffers.

`python -m benchmarks.slow_line` from `backend`; needs nginx and haproxy. Frames are plain, so each is as long as its
payload. The bound is 1.15 times the transfer of a frame, two periods of the publisher, and one second.
"""

import argparse
import asyncio
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple, Self

import nats
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from benchmarks.processes import serving
from benchmarks.proxies import CHAINS, available, behind
from benchmarks.stamps import stamp, stamp_in
from src.common.tasks import end
from src.demo.nats_server import HOST, NatsServer, free_port

PERIOD_S: Final = 0.25
RECEIVE_BUFFER_BYTES: Final = 4096
SETTLE_S: Final = 10.0
READS_A_SECOND: Final = 20


class Arrived(NamedTuple):
    """One frame at a viewer."""

    payload: bytes
    at_s: float


class SlowViewer:
    """A viewer that takes bytes only when it is told to, and answers pings when it takes them, as every client does."""

    def __init__(self, line: socket.socket, protocol: ClientProtocol) -> None:
        self.arrived: list[Arrived] = []
        self._line = line
        self._protocol = protocol
        self._message = b""

    @classmethod
    async def connect(cls, port: int, path: str = "/ws/stream") -> Self:
        """Raises OSError where nothing listens."""
        line = socket.socket()
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        line.setblocking(False)
        await asyncio.get_running_loop().sock_connect(line, (HOST, port))
        protocol = ClientProtocol(parse_uri(f"ws://{HOST}:{port}{path}"), max_size=None)
        protocol.send_request(protocol.connect())
        viewer = cls(line, protocol)
        await viewer._answer()
        return viewer

    async def take(self, limit_bytes: int) -> int:
        """Read what is there, at most `limit_bytes`; returns how many bytes that were."""
        try:
            received = self._line.recv(limit_bytes)
        except BlockingIOError:
            return 0
        if not received:
            raise ConnectionError("the gateway or a proxy has closed the connection")
        self._protocol.receive_data(received)
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.CONT):
                self._message += event.data
                if event.fin:
                    self.arrived.append(Arrived(self._message, time.time()))
                    self._message = b""
        await self._answer()
        return len(received)

    async def _answer(self) -> None:
        for piece in self._protocol.data_to_send():
            await asyncio.get_running_loop().sock_sendall(self._line, piece)

    def close(self) -> None:
        self._line.close()


async def _read_slowly(viewer: SlowViewer, bytes_a_second: float) -> None:
    """Take that many bytes a second; what was not there is lost time, as on a line."""
    room, before_s = 0.0, time.monotonic()
    while True:
        await asyncio.sleep(1 / READS_A_SECOND)
        now_s = time.monotonic()
        room, before_s = min(room + (now_s - before_s) * bytes_a_second, bytes_a_second / 4), now_s
        while room >= 1 and (taken := await viewer.take(int(room))):
            room -= taken


async def _publish(nats_url: str, frame_bytes: int) -> None:
    """Flow and levels as a pair, four times a second."""
    client = await nats.connect(nats_url)
    jetstream = client.jetstream()
    number = 0
    try:
        while True:
            for subject in ("market.flow", "levels.signals"):
                number += 1
                body = stamp(time.time_ns(), number) + b'"pad":"%s"}' % (b"x" * frame_bytes)
                if subject == "levels.signals":
                    body = b'{"ts":%d,"levels":[]}' % number
                await jetstream.publish(subject, body)
            await asyncio.sleep(PERIOD_S)
    finally:
        await client.close()


async def _measure(ports: dict[str, int], nats_url: str, rate: float, frame_bytes: int, seconds: float) -> bool:
    publishing = asyncio.create_task(_publish(nats_url, frame_bytes))
    await asyncio.sleep(1.0)
    rates = dict.fromkeys(ports, rate) | {"healthy, beside them": 1e9}
    viewers = {name: await SlowViewer.connect(ports.get(name, ports["direct"])) for name in rates}
    tasks = [asyncio.create_task(_read_slowly(viewers[name], rates[name])) for name in viewers]
    began_s = time.time()
    await asyncio.sleep(seconds)
    await end(*tasks, publishing)
    within = True
    print(f"{'line':<22} {'frames':>6} {'median age':>11} {'worst age':>10} {'bound':>7}   in order")
    for name, viewer in viewers.items():
        ages_s, stamps = [], []
        for payload, at_s in viewer.arrived:
            t_ns = stamp_in(payload)
            assert t_ns is not None, "each payload is stamped"
            stamps.append(t_ns)
            if at_s - began_s > SETTLE_S:
                ages_s.append(at_s - t_ns / 1e9)
        bound_s = 1.15 * frame_bytes / rates[name] + 2 * PERIOD_S + 1.0
        in_order = stamps == sorted(stamps)
        worst_s = max(ages_s, default=float("inf"))
        within = within and in_order and worst_s <= bound_s
        median_s = statistics.median(ages_s) if ages_s else float("inf")
        print(
            f"{name:<22} {len(ages_s):>6} {median_s:>9.2f} s {worst_s:>8.2f} s {bound_s:>5.2f} s   "
            f"{'yes' if in_order else 'NO'}"
        )
        viewer.close()
    return within


def main(arguments: Sequence[str]) -> int:
    """0 where every frame came within its bound and in order."""
    parser = argparse.ArgumentParser(prog="benchmarks.slow_line", description="The age of frames on slow lines.")
    parser.add_argument("--rate", type=float, default=20_000, help="bytes a second of the line (default 20,000)")
    parser.add_argument("--frame", type=int, default=20_000, help="bytes of a frame (default 20,000)")
    parser.add_argument("--seconds", type=float, default=60.0, help="(default 60)")
    given = parser.parse_args(arguments)
    if not available():
        print("nginx and haproxy are needed: apt-get install nginx-light haproxy", file=sys.stderr)
        return 2
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spymaster-bench-")))
        nats_url = stack.enter_context(NatsServer()).url
        port = free_port()
        environment = {**os.environ, "NATS_URL": nats_url, "GATEWAY_PORT": str(port)}
        stack.enter_context(serving(["-m", "src.gateway.main"], port, environment, folder / "gateway.log"))
        ports = {
            name: stack.enter_context(behind(chain, port, folder / f"line-{number}"))
            for number, (name, chain) in enumerate(CHAINS.items())
        }
        within = asyncio.run(_measure(ports, nats_url, given.rate, given.frame, given.seconds))
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
