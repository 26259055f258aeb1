"""`python -m tests.screenshots`, or `make images`: pictures of the console for the README, of a simulated market."""

import asyncio
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Browser, Page, expect

from src.demo.nats_server import NatsServer
from tests.browser import chromium, what_is_missing
from tests.documents import ROOT
from tests.end_to_end.gateway_process import BACKEND, GatewayProcess

IMAGES: Final = ROOT / "docs" / "images"
DESK: Final = (1440, 900)
PHONE: Final = (390, 844)
# A session so far, as `make demo` begins.
MARKET: Final = ("--rate", "4", "--seed", "3", "--clock", "present", "--start", "09:30", "--past", "300")
PAST_IS_PUBLISHED: Final = "publishing levels.signals"  # the simulator's line when its live part begins
ENOUGH_POINTS: Final = re.compile(r"^\d{3,}$")  # of the session, on the chart
LIMIT_MS: Final = 180_000
MOST_BYTES: Final = 400_000


async def main() -> int:
    """Write the pictures; 1 when something that they need is missing, or one is too large."""
    if missing := what_is_missing():
        print(missing, file=sys.stderr)
        return 1
    IMAGES.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=LIMIT_MS)
    with tempfile.TemporaryDirectory() as folder, NatsServer(store=Path(folder) / "jetstream") as nats:
        simulator = start_simulator(nats)
        gateway = GatewayProcess(Path(folder), nats.url, GATEWAY_MARKET="24x7", GATEWAY_HISTORY="on").start()
        try:
            async with chromium() as browser:
                await take(browser, gateway, nats)
        finally:
            simulator.kill()
            simulator.wait()
            gateway.kill()
    too_large = [path.name for path in IMAGES.glob("console-*.png") if path.stat().st_size > MOST_BYTES]
    print(f"too large: {too_large}" if too_large else f"written to {IMAGES.relative_to(ROOT)}")
    return 1 if too_large else 0


def start_simulator(nats: NatsServer) -> "subprocess.Popen[str]":
    """Return when the session so far is published: a gateway that runs before would show the past as live."""
    command = [sys.executable, "-m", "src.simulator.main", "--nats-url", nats.url, *MARKET]
    simulator = subprocess.Popen(command, cwd=BACKEND, stderr=subprocess.PIPE, text=True)
    assert simulator.stderr is not None, "it is piped"
    for line in simulator.stderr:
        if PAST_IS_PUBLISHED in line:
            return simulator
    raise RuntimeError("the simulator ended before its past was published")


async def take(browser: Browser, gateway: GatewayProcess, nats: NatsServer) -> None:
    """All of them at the same moment of the market; the stale one when NATS has gone."""
    dark = await open_page(browser, gateway, "dark", DESK)
    light = await open_page(browser, gateway, "light", DESK)
    phone = await open_page(browser, gateway, "dark", PHONE)
    await expect(dark.locator("#chart")).to_have_attribute("data-points", ENOUGH_POINTS)
    await expect(dark.locator(".row[data-signal=BREAK], .row[data-signal=BOUNCE]").first).to_be_visible()
    await light.locator(".row[data-model=some]").first.click()
    for page, name in ((dark, "dark"), (light, "light"), (phone, "phone")):
        await expect(page.locator("#state")).to_have_text("LIVE")
        await save(page, name)
    nats.kill()
    await expect(dark.locator("#state")).to_have_text("STALE")
    await expect(dark.locator("#reason")).to_contain_text("not connected to NATS")
    await save(dark, "stale")


async def open_page(browser: Browser, gateway: GatewayProcess, scheme: str, size: tuple[int, int]) -> Page:
    colours: Any = {"color_scheme": scheme, "viewport": {"width": size[0], "height": size[1]}}
    page = await browser.new_page(**colours)
    await page.goto(f"http://127.0.0.1:{gateway.port}/")
    return page


async def save(page: Page, name: str) -> None:
    await page.screenshot(path=IMAGES / f"console-{name}.png")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
