"""How long viewers are without a gateway when a new one takes over its port, and when it is stopped and started.

`PYTHONPATH=../client/python/src python -m benchmarks.handover` from `backend`. The viewers are the Python client, with
its random pause of up to a quarter of a second before it connects again.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from signal import SIGKILL, SIGTERM
from subprocess import Popen
from typing import Final

import nats

from benchmarks.processes import allow_many_sockets
from spymaster_client import stream
from src.common.tasks import end
from src.demo.child_process import start_child
from src.demo.nats_server import HOST, NatsServer, free_port
from src.gateway.main import SUBSCRIBED

PERIOD_S: Final = 0.25
LIMIT_S: Final = 60.0
FRAME_BYTES: Final = 20_000

Change = Callable[["Gateways"], Awaitable[None]]


class Gateways:
    """Those that run on one port."""

    def __init__(self, stack: ExitStack, folder: Path, nats_url: str, workers: int) -> None:
        self.port = free_port()
        self._stack, self._folder = stack, folder
        self._environment = {
            "NATS_URL": nats_url,
            "GATEWAY_PORT": str(self.port),
            "GATEWAY_WORKERS": str(workers),
            "GATEWAY_CONSUMERS": "ephemeral",
            "GATEWAY_HANDOVER": "on",
        }
        self._running: list[Popen[bytes]] = []
        self._started = 0

    async def start(self) -> None:
        """Return when it has written its last start-up line."""
        self._started += 1
        log = self._folder / f"gateway-{self.port}-{self._started}.log"
        with log.open("wb") as output:
            process = start_child(
                [sys.executable, "-m", "src.gateway.main"],
                death_signal=SIGKILL,
                output=output,
                env={**os.environ, **self._environment},
            )
        self._stack.callback(process.kill)
        async with asyncio.timeout(LIMIT_S):
            while SUBSCRIBED not in log.read_text():
                if process.poll() is not None:
                    raise RuntimeError(f"the gateway ended instead of starting:\n{log.read_text()}")
                await asyncio.sleep(0.01)
        self._running.append(process)

    async def stop_oldest(self) -> None:
        """Return when the one that was started first has ended."""
        process = self._running.pop(0)
        process.send_signal(SIGTERM)
        await asyncio.to_thread(process.wait)


async def hand_over(gateways: Gateways) -> None:
    await gateways.start()
    await gateways.stop_oldest()


async def restart(gateways: Gateways) -> None:
    await gateways.stop_oldest()
    await gateways.start()


CHANGES: Final[dict[str, Change]] = {"handover": hand_over, "stop and start": restart}


class Watching:
    """One viewer.

    Attributes:
        gaps_s: from each end of a connection that had frames to the next frame.
        failed: attempts to connect that failed.
        came: set with the first frame.
        came_back: set with the first frame of a later connection.
    """

    def __init__(self, url: str) -> None:
        self.gaps_s: list[float] = []
        self.failed = 0
        self.came, self.came_back = asyncio.Event(), asyncio.Event()
        self.task = asyncio.create_task(self._watch(url))

    async def _watch(self, url: str) -> None:
        lost_s, last_disconnect, has_frame = 0.0, None, False
        async for state in stream(url):
            now_s = time.monotonic()
            if state.last_disconnect is not last_disconnect:
                last_disconnect = state.last_disconnect
                if has_frame:
                    lost_s = now_s
                else:
                    self.failed += 1
                has_frame = False
            if state.connection != "connecting" and not has_frame:
                has_frame = True
                self.came.set()
                if lost_s:
                    self.gaps_s.append(now_s - lost_s)
                    self.came_back.set()


async def _publish(nats_url: str) -> None:
    client = await nats.connect(nats_url)
    jetstream = client.jetstream()
    try:
        while True:
            await jetstream.publish("market.flow", b'{"pad":"%s"}' % (b"x" * FRAME_BYTES))
            await asyncio.sleep(PERIOD_S)
    finally:
        await client.close()


async def _measure(gateways: Gateways, change: Change, nats_url: str, count: int) -> list[Watching]:
    """The viewers of one change, once all are back."""
    await gateways.start()
    publishing = asyncio.create_task(_publish(nats_url))
    viewers = [Watching(f"ws://{HOST}:{gateways.port}/ws/stream") for _ in range(count)]
    try:
        async with asyncio.timeout(LIMIT_S):
            for viewer in viewers:
                await viewer.came.wait()
            await change(gateways)
            for viewer in viewers:
                await viewer.came_back.wait()
    finally:
        for task in (publishing, *(viewer.task for viewer in viewers)):
            await end(task)
    return viewers


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.handover", description="The gap of viewers in a handover.")
    parser.add_argument("--viewers", type=int, default=100, help="(default 100)")
    parser.add_argument("--workers", type=int, default=1, help="of each gateway (default 1)")
    given = parser.parse_args(arguments)
    allow_many_sockets()
    print(f"{'change':<16} {'median gap':>10} {'worst gap':>10} {'failed attempts':>16}")
    for name, change in CHANGES.items():
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spymaster-bench-")))
            nats_url = stack.enter_context(NatsServer()).url
            gateways = Gateways(stack, folder, nats_url, given.workers)
            viewers = asyncio.run(_measure(gateways, change, nats_url, given.viewers))
        gaps_s = [gap_s for viewer in viewers for gap_s in viewer.gaps_s]
        failed = sum(viewer.failed for viewer in viewers)
        print(f"{name:<16} {statistics.median(gaps_s):>8.2f} s {max(gaps_s):>8.2f} s {failed:>16}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
