"""The time line of the console in a real Chromium: back to a moment that the gateway kept, and to the present again.

`SCREENSHOTS=folder` keeps a picture of each state.
"""

import asyncio
import itertools
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from nats.js.api import StreamConfig
from playwright.async_api import Browser, Page, expect

from src.common.subjects import STREAMS
from src.common.tasks import end
from tests.browser import Complaints, keep_picture
from tests.conftest import LaunchGateway
from tests.documents import ROOT
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import Publisher
from tests.end_to_end.viewer import Viewer
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

AXE = ROOT / "console" / "node_modules" / "axe-core" / "axe.min.js"
DESK: Any = {"width": 1440, "height": 900}
PAST = 120  # messages, ten seconds apart: twenty minutes
GAP_MS = 10_000
OLDEST, NOW = "500.00", "700.00"  # spot; each message of the past has a point more than the one before


def levels_of(spot: float) -> dict[str, Any]:
    return {"spy": {"spot": spot}, "levels": [{"id": "VWAP", "kind": "VWAP", "price": spot - 1}]}


@pytest_asyncio.fixture(loop_scope="module")
async def past(core: Publisher) -> None:
    for stream in STREAMS.values():
        await core.jetstream.add_stream(StreamConfig(name=stream.name, subjects=list(stream.subjects)))
    now_ms = int(time.time()) * 1_000  # the bar has whole seconds
    for number in range(PAST):
        await core.levels(now_ms - (PAST - number) * GAP_MS, **levels_of(500 + number))


@asynccontextmanager
async def present(core: Publisher) -> AsyncIterator[None]:
    """Core goes on, at its pace."""

    async def publish() -> None:
        for number in itertools.count(1):
            await core.levels(time.time_ns() // 1_000_000, **levels_of(700))
            await core.flow(number)
            await asyncio.sleep(0.25)

    task = asyncio.create_task(publish())
    try:
        yield
    finally:
        await end(task)


@asynccontextmanager
async def console(browser: Browser, gateway: GatewayProcess, scheme: Any = "dark") -> AsyncIterator[Page]:
    page = await browser.new_page(color_scheme=scheme, viewport=DESK)
    origin = f"http://127.0.0.1:{gateway.port}"
    complaints = Complaints(page, origin)
    await page.goto(f"{origin}/")
    yield page
    await page.close()
    assert complaints.all == []


async def is_live(page: Page) -> None:
    await expect(page.locator("html")).to_have_attribute("data-state", "live")
    await expect(page.locator("#spot")).to_have_text(NOW)


async def is_past(page: Page) -> None:
    await expect(page.locator("html")).to_have_attribute("data-state", "past")
    await expect(page.locator("#frame-word")).to_have_text(re.compile(r"^REPLAY\n\d+ \w{3} 20\d\d\n\d\d:\d\d:\d\d$"))


def spot_of_past() -> re.Pattern[str]:
    return re.compile(r"^[56]\d\d\.00$")


async def drag_to(page: Page, share: float) -> None:
    """In several movements, from where the handle is."""
    handle, bar = [await page.locator(each).bounding_box() for each in (".handle", ".bar-of-time")]
    assert handle is not None
    assert bar is not None
    y = bar["y"] + bar["height"] / 2
    await page.mouse.move(handle["x"] + handle["width"] / 2, y)
    await page.mouse.down()
    await page.mouse.move(bar["x"] + bar["width"] * share, y, steps=12)
    await page.mouse.up()


async def faults(page: Page) -> list[Any]:
    await page.evaluate(AXE.read_text())
    violations = (await page.evaluate("axe.run(document, {resultTypes: ['violations']})"))["violations"]
    return [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in violations]


async def test_the_past_is_dragged_to_and_a_key_returns_to_the_present(
    browser: Browser, core: Publisher, past: None, make_gateway: LaunchGateway
) -> None:
    gateway = make_gateway(GATEWAY_HISTORY="on", GATEWAY_MARKET="24x7").start()
    async with present(core), console(browser, gateway) as page:
        await is_live(page)
        handle, told = page.get_by_role("slider", name="Moment that is shown"), page.locator("#timeline .told")
        await expect(handle).to_have_attribute("aria-valuetext", "the present")
        await drag_to(page, 0.5)
        await is_past(page)
        await expect(page.locator("#spot")).to_have_text(spot_of_past())
        await expect(page.locator("#state")).to_have_text("REPLAY")
        await expect(page.locator("#wall-clock .label")).to_have_text("Replay")
        await expect(handle).to_have_attribute("aria-valuetext", re.compile(r"^replay, \w{3} .* 1 times as fast$"))
        await keep_picture(page, "timeline-past")
        assert await faults(page) == []
        await page.keyboard.press("n")
        await is_live(page)
        await expect(told).to_have_text("This is the present again.")
        await expect(page.locator("#wall-clock .label")).to_have_text("New York")
        await drag_to(page, 0.3)
        await is_past(page)
        await drag_to(page, 1.1)
        await is_live(page)


async def test_keys_stand_still_step_and_change_the_speed(
    browser: Browser, core: Publisher, past: None, make_gateway: LaunchGateway
) -> None:
    gateway = make_gateway(GATEWAY_HISTORY="on", GATEWAY_MARKET="24x7").start()
    async with present(core), console(browser, gateway, "light") as page:
        await is_live(page)
        handle, speed = page.locator(".handle"), page.get_by_label("Speed of the replay")
        await expect(handle).to_be_visible()
        await page.keyboard.press("Space")
        await is_past(page)
        await expect(handle).to_have_attribute("aria-valuetext", re.compile("paused$"))
        await handle.focus()
        await page.keyboard.press("Home")
        await expect(page.locator("#spot")).to_have_text(OLDEST)
        await page.keyboard.press("ArrowRight")
        await expect(page.locator("#spot")).to_have_text("501.00")
        await page.keyboard.press("ArrowRight")
        await expect(page.locator("#spot")).to_have_text("502.00")
        await page.keyboard.press("ArrowLeft")
        await expect(page.locator("#spot")).to_have_text("501.00")
        await page.keyboard.press("Shift+ArrowRight")
        await expect(page.locator("#spot")).to_have_text("561.00")
        await keep_picture(page, "timeline-paused")
        assert await faults(page) == []
        for _ in range(6):
            await page.keyboard.press("]")
        await expect(speed).to_have_value("60")
        await page.keyboard.press("Space")
        await expect(page.locator("#reason")).to_contain_text("It plays at 60 times its speed.")
        await is_live(page)  # it goes over into the present by itself
        await expect(page.locator("#timeline .told")).to_have_text("This is the present again.")
        await page.keyboard.press("ArrowLeft")
        await is_past(page)
        await page.reload()
        await is_live(page)


async def test_a_replay_too_many_is_told_and_leaves_the_present(
    browser: Browser, core: Publisher, past: None, make_gateway: LaunchGateway
) -> None:
    gateway = make_gateway(GATEWAY_HISTORY="on", GATEWAY_MARKET="24x7", GATEWAY_MAX_REPLAYS="1").start()
    await until(lambda: gateway.get("/events").status == 200, "the history has been read")
    async with present(core), console(browser, gateway) as page, Viewer(gateway, path="/ws/stream?at=-10m"):
        await is_live(page)
        await expect(page.locator(".handle")).to_be_visible()
        await page.keyboard.press("ArrowLeft")
        await expect(page.locator("#timeline .told")).to_contain_text("as many replays as GATEWAY_MAX_REPLAYS allows")
        await keep_picture(page, "timeline-refused")
        await is_live(page)


async def test_without_a_history_there_is_no_bar_and_a_reason(
    browser: Browser, core: Publisher, past: None, make_gateway: LaunchGateway
) -> None:
    gateway = make_gateway(GATEWAY_HISTORY="off", GATEWAY_MARKET="24x7").start()
    async with present(core), console(browser, gateway) as page:
        await is_live(page)
        await expect(page.get_by_title("The gateway keeps no past: GATEWAY_HISTORY is off.")).to_have_text(
            "No time line"
        )
        await expect(page.locator(".handle")).to_be_hidden()
        await page.keyboard.press("ArrowLeft")
        await page.keyboard.press("Space")
        assert await faults(page) == []
        await is_live(page)
