"""What the console takes of a browser: how soon it is filled, how smoothly it draws, and whether its memory grows.

`python -m benchmarks.console` from `backend`; needs Chromium and the built page (`make console`). The demo runs beside
it, with the session so far. Heap and nodes are counted after a collection of garbage.
"""

import argparse
import asyncio
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from playwright.async_api import CDPSession, Page, ViewportSize, expect

from src.demo.nats_server import HOST, free_port
from tests.browser import chromium, what_is_missing

START_LIMIT_S: Final = 180.0  # the session so far is published first
SIZE: Final = ViewportSize(width=1440, height=900)
POINTER_STEPS: Final = 8  # a second
MANY_POINTS: Final = re.compile(r"^\d{3,}$")  # of the session, on the chart
# The times between the frames that the browser drew, for so many milliseconds.
FRAME_TIMES: Final = """(durationMs) => new Promise((resolve) => {
  const times = []; const began = performance.now(); let before = began;
  const step = (now) => {
    times.push(now - before); before = now;
    if (now - began < durationMs) requestAnimationFrame(step); else resolve(times.slice(1));
  };
  requestAnimationFrame(step);
})"""


class Memory(NamedTuple):
    """Of the page, after a collection of garbage."""

    heap_mb: float
    nodes: int
    listeners: int


@contextmanager
def demo(port: int) -> Iterator[None]:
    """The demo with its gateway on `port`; returns when the gateway is ready.

    Raises:
        RuntimeError: it ended, or was not ready in time.
    """
    environment = {**os.environ, "GATEWAY_PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "-m", "src.demo"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None, "it is piped"
    try:
        began_s = time.monotonic()
        for line in process.stdout:
            if f":{port}/health" in line:
                break
            if time.monotonic() - began_s > START_LIMIT_S:
                raise RuntimeError("the demo is not ready")
        else:
            raise RuntimeError("the demo ended")
        yield
    finally:
        process.terminate()
        process.wait()


async def opened(page: Page, port: int) -> float:
    """Seconds from the request for the page to the chart of the session."""
    began_s = time.monotonic()
    await page.goto(f"http://{HOST}:{port}/")
    await expect(page.locator("#chart")).to_have_attribute("data-points", MANY_POINTS, timeout=60_000)
    return time.monotonic() - began_s


async def frame_times(page: Page, seconds: float) -> list[float]:
    """Milliseconds between frames, while the pointer moves over the chart."""
    measuring = asyncio.create_task(page.evaluate(FRAME_TIMES, seconds * 1000))
    box = await page.locator("#chart").bounding_box()
    assert box is not None, "the chart is shown"
    turn = 0
    while not measuring.done():
        turn += 1
        share = abs(turn % 40 - 20) / 20
        await page.mouse.move(box["x"] + box["width"] * (0.1 + 0.8 * share), box["y"] + box["height"] / 2)
        await asyncio.sleep(1 / POINTER_STEPS)
    times: list[float] = await measuring
    return times


async def memory(session: CDPSession) -> Memory:
    await session.send("HeapProfiler.collectGarbage")
    answer: dict[str, Any] = await session.send("Performance.getMetrics")
    metrics = {metric["name"]: metric["value"] for metric in answer["metrics"]}
    return Memory(metrics["JSHeapUsedSize"] / 1e6, int(metrics["Nodes"]), int(metrics["JSEventListeners"]))


async def measure(port: int, minutes: float, seconds: float) -> None:
    async with chromium() as browser:
        fills = []
        for _ in range(3):
            fresh = await browser.new_page(viewport=SIZE)
            fills.append(await opened(fresh, port))
            await fresh.close()
        print(f"opening to the filled chart: {', '.join(f'{each:.2f}' for each in fills)} s")
        page = await browser.new_page(viewport=SIZE)
        await opened(page, port)
        times = sorted(await frame_times(page, seconds))
        print(
            f"frames: {len(times) / sum(times) * 1000:.1f} a second, "
            f"p99 {times[int(len(times) * 0.99)]:.1f} ms, worst {times[-1]:.1f} ms"
        )
        session = await page.context.new_cdp_session(page)
        await session.send("Performance.enable")
        seen = [await memory(session)]
        for minute in range(1, round(minutes) + 1):
            await asyncio.sleep(60)
            seen.append(await memory(session))
            print(f"{minute:4} min  heap {seen[-1].heap_mb:5.1f} MB  {seen[-1].nodes} nodes", flush=True)
        if sixth := len(seen) // 6:
            first, last = (statistics.median(each.heap_mb for each in part) for part in (seen[:sixth], seen[-sixth:]))
            print(f"heap of the first and the last sixth: {first:.1f} and {last:.1f} MB ({last / first - 1:+.0%})")


def main(arguments: Sequence[str]) -> int:
    """0 where all of it could be measured."""
    parser = argparse.ArgumentParser(prog="benchmarks.console", description="The console in a real Chromium.")
    parser.add_argument("--minutes", type=float, default=60.0, help="how long memory is watched (default 60)")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long frames are counted (default 20)")
    given = parser.parse_args(arguments)
    if missing := what_is_missing():
        print(missing, file=sys.stderr)
        return 2
    port = free_port()
    with demo(port):
        asyncio.run(measure(port, given.minutes, given.seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
