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
# Twelve times as fast, so that the chart has something to show within a minute.
MARKET: Final = ("--rate", "4", "--speed", "12", "--start", "09:50", "--seed", "3", "--clock", "present")
ENOUGH_POINTS: Final = re.compile(r"^(1[2-9]\d|[2-9]\d\d|\d{4,})$")  # on the chart, one a second
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
        gateway = GatewayProcess(Path(folder), nats.url, GATEWAY_MARKET="24x7").start()
        simulator = start_simulator(nats)
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


def start_simulator(nats: NatsServer) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "src.simulator.main", "--nats-url", nats.url, *MARKET]
    return subprocess.Popen(command, cwd=BACKEND, stderr=subprocess.DEVNULL)


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
