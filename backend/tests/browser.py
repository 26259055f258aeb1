"""The system's Chromium, driven by Playwright, on the console as `make console` built it."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import Browser, Page, async_playwright

from src.gateway.http.console_files import BUILT, PAGE

CHROMIUM: Final = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# As root there is no sandbox; the rest keeps it from asking hosts of its own.
ARGUMENTS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
# What the browser says when the gateway is away, refuses, or keeps no history, which some tests see to.
EXPECTED: Final = ("WebSocket connection to", "net::ERR_", "status of 401", "status of 404", "status of 503")


def what_is_missing() -> str | None:
    """What these tests need and this machine does not have, with what to do about it."""
    if CHROMIUM is None:
        return "Chromium is not installed (on Debian: apt install chromium)"
    if not (BUILT / PAGE).exists():
        return "the console is not built: make console"
    return None


def require_browser() -> None:
    """Skip where a browser is missing; in CI, fail."""
    missing = what_is_missing()
    if missing is None:
        return
    if os.environ.get("CI"):
        pytest.fail(missing, pytrace=False)
    pytest.skip(missing)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser of its own."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield browser
        finally:
            await browser.close()


async def keep_picture(page: Page, name: str) -> None:
    """In the folder that the variable SCREENSHOTS names, where somebody wants to look at it."""
    if folder := os.environ.get("SCREENSHOTS"):
        await page.wait_for_timeout(700)  # the chart draws twice a second
        await page.screenshot(path=Path(folder) / f"{name}.png")


class Complaints:
    """What a page had no reason to say or do: errors, violations of its policy, and other hosts that it asked."""

    def __init__(self, page: Page, origin: str) -> None:
        self.all: list[str] = []
        self._origin = origin
        page.on("pageerror", lambda error: self.all.append(f"error: {error}"))
        page.on("console", self._on_console)
        page.on("request", self._on_request)

    def _on_console(self, message: Any) -> None:
        if message.type in ("error", "warning") and not any(each in message.text for each in EXPECTED):
            self.all.append(f"{message.type}: {message.text}")

    def _on_request(self, request: Any) -> None:
        if not request.url.startswith((self._origin, "data:")):
            self.all.append(f"asked {request.url}")
