"""What a viewer costs by what it asks for: bytes an hour on the wire, and CPU of the gateway.

`python -m benchmarks.viewer_cost` from `backend`, with the simulator as Core; or `--nats URL` for a market that is
published there, such as a recording that is replayed. Viewers offer permessage-deflate as browsers do.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from signal import SIGKILL
from typing import Final

from benchmarks.load import FrameReader
from benchmarks.processes import allow_many_sockets, cores, cpu_s, pinned, serving
from src.demo.child_process import start_child
from src.demo.nats_server import HOST, NatsServer, free_port

WHOLE: Final = ""
VIEWERS: Final = {  # the row's name, and the query of its shape
    "whole payload": WHOLE,
    "wall screen: sections=levels,flow": "sections=levels,flow",
    "whole payload, with status: status=1": "status=1",
    "desk: sections=levels,flow&near=25": "sections=levels,flow&near=25",
    "phone: sections=levels&near=25&rate=2": "sections=levels&near=25&rate=2",
}
SETTLE_S: Final = 5.0
HANDSHAKE: Final = (
    "GET /ws/stream?{query} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n{extensions}\r\n"
)
END_OF_HEAD: Final = b"\r\n\r\n"
DEFLATE: Final = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"


class CountingViewer(asyncio.Protocol):
    """Counts what arrives, and answers pings."""

    def __init__(self, query: str, extensions: str) -> None:
        self.received_bytes = 0
        self._reader: FrameReader | None = None
        self._request = HANDSHAKE.format(query=query, host=HOST, extensions=extensions).encode()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self.received_bytes += len(data)
        if self._reader is None:
            self._reader = FrameReader(kept_bytes=0)
            data = data[data.index(END_OF_HEAD) + len(END_OF_HEAD) :]
        self._reader.ended_in(memoryview(data))
        for pong in self._reader.pongs():
            self._transport.write(pong)


async def bytes_an_hour(port: int, seconds: float) -> dict[str, float]:
    """Of one viewer of each row, and of one that has no compression."""
    loop = asyncio.get_running_loop()
    asked = {name: (query, DEFLATE) for name, query in VIEWERS.items()} | {"whole payload, not compressed": (WHOLE, "")}
    viewers = {name: CountingViewer(*one) for name, one in asked.items()}
    for viewer in viewers.values():
        await loop.create_connection(lambda viewer=viewer: viewer, HOST, port)  # type: ignore[misc]
    await asyncio.sleep(SETTLE_S)
    before = {name: viewer.received_bytes for name, viewer in viewers.items()}
    await asyncio.sleep(seconds)
    return {name: (viewer.received_bytes - before[name]) * 3600 / seconds for name, viewer in viewers.items()}


async def cpu_share(port: int, pid: int, queries: Sequence[str], viewers: int, seconds: float) -> float:
    """Seconds of the gateway's CPU a second, with so many viewers that ask for these shapes in turn."""
    loop = asyncio.get_running_loop()
    transports = []
    for number in range(viewers):
        query = queries[number % len(queries)]
        viewer = CountingViewer(query, DEFLATE)
        transport, _ = await loop.create_connection(lambda viewer=viewer: viewer, HOST, port)  # type: ignore[misc]
        transports.append(transport)
    await asyncio.sleep(SETTLE_S)
    cpu_before_s, began_s = cpu_s(pid), time.monotonic()
    await asyncio.sleep(seconds)
    share = (cpu_s(pid) - cpu_before_s) / (time.monotonic() - began_s)
    for transport in transports:
        transport.abort()
    await asyncio.sleep(1.0)
    return share


async def measure(port: int, pid: int, viewers: int, seconds: float) -> None:
    print(f"\nMB a viewer and hour, measured over {seconds:g} s")
    for name, count in (await bytes_an_hour(port, seconds)).items():
        print(f"  {name:<40} {count / 1e6:8.1f}")
    print(f"\nCPU of the gateway with {viewers} viewers, ms a second")
    for name, queries in {
        "whole payload": [WHOLE],
        "1 shape": ["near=25"],
        "64 shapes": [f"near={20 + number / 8}" for number in range(64)],
    }.items():
        share = await cpu_share(port, pid, queries, viewers, min(seconds, 20.0))
        print(f"  {name:<40} {share * 1000:8.1f}")


@contextmanager
def _simulator(nats_url: str, folder: Path) -> Iterator[None]:
    """A market of the size that Core has: 8 levels, 40 contracts, in the morning, with viewports."""
    command = [sys.executable, "-m", "src.simulator.main", "--levels", "8", "--contracts", "20", "--start", "10:30"]
    with (folder / "simulator.log").open("wb") as log:
        process = start_child(command, death_signal=SIGKILL, output=log, env={**os.environ, "NATS_URL": nats_url})
    try:
        yield
    finally:
        process.kill()
        process.wait()


def main(arguments: Sequence[str]) -> int:
    if sys.platform != "linux":
        print("the benchmark reads /proc: it needs Linux", file=sys.stderr)
        return 2
    parser = argparse.ArgumentParser(prog="benchmarks.viewer_cost", description="What a viewer costs.")
    parser.add_argument("--nats", help="a market that is being published there (default: the simulator)")
    parser.add_argument("--viewers", type=int, default=1000, help="for the CPU (default 1000)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each measurement (default 60)")
    given = parser.parse_args(arguments)
    allow_many_sockets()
    apart = cores()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spymaster-bench-")))
        with pinned(apart.load):
            nats_url = given.nats or stack.enter_context(NatsServer()).url
            if given.nats is None:
                stack.enter_context(_simulator(nats_url, folder))
        port = free_port()
        environment = {"NATS_URL": nats_url, "GATEWAY_PORT": str(port)}
        with pinned(apart.server):
            pid = stack.enter_context(serving(["-m", "src.gateway.main"], port, environment, folder / "gateway.log"))
        stack.enter_context(pinned(apart.load))
        asyncio.run(measure(port, pid, given.viewers, given.seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
