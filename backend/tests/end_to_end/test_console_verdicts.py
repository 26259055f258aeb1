"""What the console says of its data, in a real Chromium: each state with its cause and age, none too loud.

`SCREENSHOTS=folder` keeps a picture of each.
"""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser import Complaints, keep_picture
from tests.end_to_end.crafted_gateway import CraftedGateway, market_now, now_ms, section, status

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

DESK = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
DAY_MS = 86_400_000
THANKSGIVING = "Closed for Thanksgiving; opens Fri 09:30, closes 13:00; last data Wed 15:59:58."
CLOSED = {
    "name": "XNYS",
    "open": False,
    "sentence": THANKSGIVING,
    "opens_ms": now_ms() + 22 * 3_600_000,
    "closes_ms": now_ms() + 26 * 3_600_000,
}


@asynccontextmanager
async def console(browser: Browser, gateway: CraftedGateway, size: Any = DESK) -> AsyncIterator[Page]:
    page = await browser.new_page(color_scheme="dark", viewport=size)
    origin = f"http://127.0.0.1:{gateway.port}"
    complaints = Complaints(page, origin)
    await page.goto(f"{origin}/")
    yield page
    await page.close()
    assert complaints.all == []


class State(NamedTuple):
    """What is sent, and what the page says.

    Attributes:
        status: of the section `status`, beside what is live.
        look: of the whole page.
        word: in the strip.
        over: over the whole page.
        reason: in the strip, in sentences.
        sent: whether the frame has sections.
    """

    status: Mapping[str, Any]
    look: str
    word: str
    over: str
    reason: str
    sent: bool = True


STATES = {
    "live": State({}, "live", "LIVE", "", r"^$"),
    "a slow producer": State({"levels": section(age_ms=3_000)}, "live", "LIVE", "", r"^$"),
    "late": State(
        {
            "levels": section("late", 1_900),
            "flow": section("late", 1_900),
            "cause": "core_silent",
            "explanation": "Core publishes nothing, though the market is open.",
        },
        "late",
        "LATE",
        "",
        r"^What you see is [\d.]+ s old\. Core publishes nothing, though the market is open\.$",
    ),
    "stale": State(
        {
            "levels": section("stale", 150_000),
            "flow": section("stale", 150_000),
            "cause": "nats_down",
            "explanation": "The gateway is not connected to NATS.",
        },
        "stale",
        "STALE",
        "STALE",
        r"^What you see is [23] min old\. Do not trade on it\. The gateway is not connected to NATS\.$",
    ),
    "Core is behind": State(
        {
            "levels": section("stale", 200, 42_000),
            "flow": section("live", 200, 42_000),
            "cause": "core_behind",
            "explanation": "Core's own time is behind the present.",
        },
        "stale",
        "STALE",
        "STALE",
        r"^Levels are 4\d s old, option flow is live\. Do not trade on the levels\. Core's own time is behind",
    ),
    "replay": State(
        {
            "levels": section("replay", core_lag_ms=345 * DAY_MS),
            "flow": section("replay", core_lag_ms=345 * DAY_MS),
            "cause": "replay",
            "explanation": "Core publishes a recorded day, not the present.",
        },
        "replay",
        "CORE REPLAYS",
        r"^CORE REPLAYS\n\d+ \w{3} 20\d\d$",
        r"^What you see is of \w{3} \d+ \w{3} 20\d\d\. Do not trade on it\. Core publishes a recorded day",
    ),
    "market closed": State(
        {
            "levels": section("closed", 70_000_000),
            "flow": section("closed", 70_000_000),
            "cause": "market_closed",
            "explanation": "The market is closed, and nothing new comes.",
            "market": CLOSED,
        },
        "market_closed",
        "MARKET CLOSED",
        "",
        f"^{re.escape(THANKSGIVING)}$",
    ),
    "spot missing": State(
        {"cause": "spot_missing", "explanation": "Core sends no spot price, so the levels have no place."},
        "late",
        "NO SPOT",
        "",
        r"^Core sends no spot price, so the levels have no place\.$",
    ),
    "flow is dead": State(
        {
            "flow": section("stale", 43_000),
            "cause": "flow_silent",
            "explanation": "Core publishes no flow; levels are not overdue.",
        },
        "late",
        "FLOW STALE",
        "",
        r"^Levels are live, option flow is 4\d s old\. Do not trade on it\. Core publishes no flow",
    ),
    "levels are dead": State(
        {
            "levels": section("stale", 43_000),
            "cause": "levels_silent",
            "explanation": "Core publishes no levels; flow is not overdue.",
        },
        "stale",
        "STALE",
        "STALE",
        r"^Levels are 4\d s old, option flow is live\. Do not trade on the levels\. Core publishes no levels",
    ),
    "no message yet": State(
        {"levels": None, "flow": None, "cause": "no_message", "explanation": "No message has ever come."},
        "empty",
        "NO DATA YET",
        "",
        r"^Connected; no message has come yet\.$",
        sent=False,
    ),
}


def frame_of(state: State) -> dict[str, Any]:
    said = status(**{"levels": section(), "flow": section(), **state.status})
    said = {name: value for name, value in said.items() if value is not None or name in ("cause", "explanation")}
    sections = market_now() if state.sent else {}
    if said["cause"] == "spot_missing":
        sections["levels"]["spy"] = {"spot": None, "bid": None, "ask": None}
        sections["levels"].pop("es", None)
    if said["cause"] == "replay":
        sections["levels"]["ts"] -= 345 * DAY_MS
    return {**sections, "status": said}


@pytest.mark.parametrize("name", STATES)
async def test_the_page_says_what_is_so(browser: Browser, name: str) -> None:
    state = STATES[name]
    async with CraftedGateway(frame_of(state)) as gateway, console(browser, gateway) as page:
        await expect(page.locator("html")).to_have_attribute("data-state", state.look)
        await expect(page.locator("#state")).to_have_text(state.word)
        assert re.search(state.over or "^$", await page.locator("#frame-word").inner_text())
        await expect(page.locator("#reason")).to_have_text(re.compile(state.reason))
        title = "Spymaster" if state.look == "live" else f"{state.word} – Spymaster"  # noqa: RUF001
        await expect(page).to_have_title(title)
        await keep_picture(page, name)


SHOWN: dict[str, dict[str, Any]] = {
    "replay": {"#since-core": "345 d", "#feed-clock .number": re.compile(r"^\w{3} \d+ \w{3} 20\d\d \d\d:\d\d:\d\d$")},
    "Core is behind": {"#since-core": "42 s"},
    "market closed": {"#wall-clock .phase": re.compile(r"^closed, opens in 2[12] h \d+ min$")},
    "spot missing": {"#spot": "–"},  # noqa: RUF001
    "flow is dead": {"#flow-note": re.compile(r"^4\d s old$"), "#levels-age": re.compile(r"^\d\.\d s$")},
    "live": {"#since-core": "12 ms", "#flow-note": ""},
}


@pytest.mark.parametrize("name", SHOWN)
async def test_the_page_shows_what_belongs_to_it(browser: Browser, name: str) -> None:
    async with CraftedGateway(frame_of(STATES[name])) as gateway, console(browser, gateway) as page:
        for place, text in SHOWN[name].items():
            await expect(page.locator(place)).to_have_text(text)
        spot_is_drawn = page.locator(".spot-tag")
        await (
            expect(spot_is_drawn).to_be_hidden() if name == "spot missing" else expect(spot_is_drawn).to_be_visible()
        )


@pytest.mark.parametrize("name", ["live", "spot missing"])
async def test_the_first_frame_names_the_instrument_by_its_flow(browser: Browser, name: str) -> None:
    async with CraftedGateway(frame_of(STATES[name])) as gateway, console(browser, gateway) as page:
        await expect(page.locator("#instrument")).to_have_text("ES")
        await expect(page.locator("#chart-title")).to_have_text("ES and levels")


async def test_a_verdict_that_changes_in_silence_is_told_by_a_heartbeat(browser: Browser) -> None:
    async with CraftedGateway(frame_of(STATES["live"])) as gateway, console(browser, gateway) as page:
        await expect(page.locator("#state")).to_have_text("LIVE")
        await gateway.say(status=frame_of(STATES["stale"])["status"])
        await expect(page.locator("#state")).to_have_text("STALE")
        await expect(page.locator("#announcer")).to_have_text("Data is stale, do not trade on it")
        assert await page.locator(".row").count() > 0, "the last levels stay"
        await gateway.say(status=frame_of(STATES["market closed"])["status"])
        await expect(page.locator("#state")).to_have_text("MARKET CLOSED")


async def test_a_gateway_that_is_gone_is_no_alarm_at_first_and_then_as_strong_as_stale(browser: Browser) -> None:
    async with CraftedGateway(frame_of(STATES["live"])) as gateway, console(browser, gateway) as page:
        await expect(page.locator("#state")).to_have_text("LIVE")
        seen: list[str] = []
        await page.expose_function("keep", lambda state: seen.append(state))
        watch = "new MutationObserver(() => keep(document.documentElement.dataset.state))"
        await page.evaluate(f"{watch}.observe(document.documentElement, {{attributeFilter: ['data-state']}})")
        gateway.stop()
        await expect(page.locator("html")).to_have_attribute("data-state", "gone")
        await expect(page.locator("#state")).to_have_text("GATEWAY GONE")
        await expect(page.locator("#frame-word")).to_have_text("NO GATEWAY")
        old = r"^Prices are [3-9]\.\d s old\. Do not trade on them\. (The gateway does not answer\. )?Connecting"
        await expect(page.locator("#reason")).to_have_text(re.compile(old))
        assert seen == ["connecting", "gone"]
        await keep_picture(page, "gateway gone")


@pytest.mark.parametrize("name", ["replay", "stale", "flow is dead", "market closed"])
async def test_a_phone_says_it_too(browser: Browser, name: str) -> None:
    async with CraftedGateway(frame_of(STATES[name])) as gateway, console(browser, gateway, PHONE) as page:
        await expect(page.locator("#state")).to_have_text(STATES[name].word)
        wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not await page.evaluate(wide)
        await keep_picture(page, f"phone {name}")
