"""The console calls its trader: in the page, in its title, by a notification and by sound."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from src.demo.nats_server import NatsServer
from tests.browser import Complaints, keep_picture
from tests.conftest import LaunchGateway
from tests.end_to_end.crafted_gateway import now_ms
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import Publisher
from tests.end_to_end.test_console import DESK, PHONE, SHOW, level, row, serious_faults

# One loop for all of them: the browser and the gateway are started once.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

RULE = {"active": True, "by": "any", "name": "", "signal": "any", "least": "LOW", "within": 1, "verdict": "stale"}
CHOICE = {"rules": [RULE | {"on": "signal"}], "sound": True, "notification": True, "silenced": False, "cooldownS": 60}
# Remembers what is asked of the browser, and asks it.
WATCH = """
(() => {
    window.notified = [];
    window.tones = 0;
    const Real = window.Notification;
    window.Notification = class extends Real {
        constructor(title, options) {
            super(title, options);
            window.notified.push([title, Real.permission]);
        }
    };
    const start = OscillatorNode.prototype.start;
    OscillatorNode.prototype.start = function (...at) {
        window.tones += 1;
        return start.apply(this, at);
    };
})();
"""
CALLED = "687.25: BREAK, high, spot 687.50"


@pytest.fixture(scope="module")
def gateway(shared_nats: NatsServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """One that keeps what happened, of a market that never closes."""
    settings = {"GATEWAY_HISTORY": "on", "GATEWAY_MARKET": "24x7"}
    gateway = GatewayProcess(tmp_path_factory.mktemp("gateway"), shared_nats.url, **settings).start()
    yield gateway
    gateway.kill()


@asynccontextmanager
async def console(
    browser: Browser,
    gateway: GatewayProcess,
    choice: dict[str, Any] | None,
    size: tuple[int, int] = DESK,
    scheme: str = "dark",
) -> AsyncIterator[Page]:
    """A page that may notify, with the alerts that somebody chose on another day."""
    colours: Any = {"color_scheme": scheme, "viewport": {"width": size[0], "height": size[1]}}
    context = await browser.new_context(**colours)
    origin = f"http://127.0.0.1:{gateway.port}"
    await context.grant_permissions(["notifications"], origin=origin)
    page = await context.new_page()
    complaints = Complaints(page, origin)
    await page.add_init_script(WATCH)
    if choice is not None:
        await page.add_init_script(f"localStorage['spymaster.alerts'] ??= {json.dumps(json.dumps(choice))}")
    try:
        await page.goto(f"{origin}/")
        yield page
        assert complaints.all == []
    finally:
        await context.close()


def market(**signals: str) -> dict[str, Any]:
    """A message of now, with these signals."""
    prices = {"VWAP": 687.25, "LOW": 687.0}
    levels = [level(kind, price, signals.get(kind, "NEUTRAL"), confidence="HIGH") for kind, price in prices.items()]
    return {"ts": now_ms(), "spy": {"spot": 687.5}, "levels": levels}


async def until_history(gateway: GatewayProcess) -> None:
    """Wait until the gateway tells what happens."""
    while (await asyncio.to_thread(gateway.get, "/events")).status != HTTPStatus.OK:
        await asyncio.sleep(0.05)


async def test_a_break_of_one_message_calls_a_trader_who_looks_elsewhere(
    browser: Browser, gateway: GatewayProcess, shared_nats: NatsServer
) -> None:
    async with Publisher(shared_nats) as core, console(browser, gateway, CHOICE) as page:
        await core.levels(0, **market())
        await until_history(gateway)
        await expect(row(page, "VWAP").locator(".signal")).to_have_text("NO TRADE")
        await expect(page.get_by_role("button", name="Click for sound")).to_be_visible()
        await page.mouse.click(5, 5)
        await expect(page.get_by_role("button", name="Alerts", exact=True)).to_be_visible()
        await page.evaluate(SHOW, True)
        await core.levels(0, **market(VWAP="BREAK"))
        await core.levels(0, **market())
        await expect(page).to_have_title(re.compile(r"^\(1\)"))
        await expect(page.locator("#calls button")).to_contain_text(f"VWAP {CALLED}")
        await expect(page.locator("#announcer")).to_contain_text(f"Alert: VWAP {CALLED}")
        assert await page.evaluate("[notified, tones]") == [[[f"VWAP {CALLED}", "granted"]], 2]
        # The same again within the cooldown, and then another level.
        await core.levels(0, **market(VWAP="BREAK"))
        await core.levels(0, **market(LOW="REJECT"))
        await expect(page.locator("#calls button")).to_have_count(2)
        await page.evaluate(SHOW, False)
        await keep_picture(page, "alerts-called")
        await page.get_by_role("button", name="VWAP 687.25: BREAK").click()
        await expect(row(page, "VWAP")).to_have_attribute("aria-selected", "true")
        await expect(page.locator("#calls")).to_be_hidden()
        await expect(page).to_have_title(re.compile("^[^(]"))
        titles = [f"VWAP {CALLED}", "LOW 687.00: BOUNCE, high, spot 687.50"]
        assert await page.evaluate("[notified.map(([title]) => title), tones]") == [titles, 4]


async def test_one_key_silences_and_the_page_says_so_also_the_next_time(
    browser: Browser, gateway: GatewayProcess, shared_nats: NatsServer
) -> None:
    async with Publisher(shared_nats) as core, console(browser, gateway, CHOICE) as page:
        await core.levels(0, **market())
        await until_history(gateway)
        await expect(row(page, "VWAP")).to_be_visible()
        await page.keyboard.press("q")
        silenced = page.get_by_role("button", name="Silenced", exact=True)
        await expect(silenced).to_be_visible()
        await page.reload()
        await expect(silenced).to_be_visible()
        await expect(row(page, "VWAP")).to_be_visible()
        await page.evaluate(SHOW, True)
        await core.levels(0, **market(VWAP="BREAK"))
        await expect(page.get_by_role("button", name="Silenced 1")).to_be_visible()
        await expect(page).to_have_title(re.compile(r"^\(1\)"))
        await page.evaluate(SHOW, False)
        await page.keyboard.press("a")
        await expect(page.get_by_role("list", name="Calls, newest first")).to_contain_text(
            "high, spot 687.50 (silenced)"
        )
        await page.get_by_role("button", name="Silenced: let it sound (q)").click()
        await expect(page.get_by_role("button", name="Silence (q)")).to_have_attribute("aria-pressed", "false")
        assert await page.evaluate("[notified.length, tones]") == [0, 0]


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=lambda size: f"{size[0]} wide")
async def test_rules_are_made_in_a_dialog_and_kept(
    browser: Browser, gateway: GatewayProcess, shared_nats: NatsServer, size: tuple[int, int], scheme: str
) -> None:
    async with Publisher(shared_nats) as core, console(browser, gateway, None, size, scheme) as page:
        await core.levels(0, **market())
        await expect(row(page, "VWAP")).to_be_visible()
        await page.keyboard.press("a")
        rules = page.get_by_role("list", name="Rules").locator("label")
        await expect(rules).to_have_text(["BREAK or BOUNCE at any level, high only", "The data is STALE or worse"])
        await page.get_by_role("combobox", name="When").select_option(label="Spot comes near a level")
        await expect(page.get_by_role("combobox", name="Confidence")).to_be_hidden()
        await page.get_by_role("combobox", name="Where").select_option(label="VWAP 687.25 (VWAP)")
        await page.get_by_role("spinbutton", name="Points").fill("0.1")
        await page.get_by_role("spinbutton", name="Points").press("Enter")
        await page.get_by_label("The data is STALE or worse", exact=True).uncheck()
        await page.get_by_role("button", name="Delete: BREAK or BOUNCE").click()
        await page.get_by_label("Notification while you look elsewhere").check()
        await page.get_by_label("Sound", exact=True).check()
        await page.get_by_label("again after").fill("5")
        await page.get_by_label("again after").press("Tab")
        await keep_picture(page, f"alerts-{size[0]}-{scheme}")
        assert await serious_faults(page) == []
        assert not await page.locator("dialog[open]").evaluate("each => each.scrollWidth > each.clientWidth")
        await page.reload()
        await expect(row(page, "VWAP")).to_be_visible()
        await page.keyboard.press("a")
        await expect(rules).to_have_text(["The data is STALE or worse", "Spot within 0.1 points of the level VWAP"])
        await expect(page.get_by_label("The data is STALE or worse", exact=True)).not_to_be_checked()
        await expect(page.get_by_label("again after")).to_have_value("5")
        await expect(page.get_by_label("Sound", exact=True)).to_be_checked()
        await expect(page.get_by_label("Notification while you look elsewhere")).to_be_checked()
        await page.keyboard.press("Escape")
        await core.levels(0, **market() | {"spy": {"spot": 687.3}})
        near = page.get_by_role("button", name="VWAP 687.25: spot 0.05 points away, spot 687.30")
        await expect(near).to_be_visible()
        assert await serious_faults(page) == []


async def test_without_a_history_a_signal_that_a_frame_shows_calls_and_the_dialog_says_what_is_missed(
    browser: Browser, make_gateway: LaunchGateway, nats_server: NatsServer
) -> None:
    gateway = make_gateway(GATEWAY_MARKET="24x7").start()
    rules = [RULE | {"on": "signal"}, RULE | {"on": "cross"}]
    async with Publisher(nats_server) as core, console(browser, gateway, CHOICE | {"rules": rules}) as page:
        await core.levels(0, **market())
        await expect(row(page, "VWAP")).to_be_visible()
        await page.keyboard.press("a")
        limits = page.locator("dialog.alerts .limits")
        await expect(limits).to_contain_text("This gateway keeps no events (GATEWAY_HISTORY=off)")
        await keep_picture(page, "alerts-alone")
        assert await serious_faults(page) == []
        await page.keyboard.press("Escape")
        await page.evaluate(SHOW, True)
        await core.levels(0, **market(VWAP="BREAK"))
        await expect(page.locator("#calls button")).to_contain_text(f"VWAP {CALLED}")
        await core.levels(0, **market(VWAP="BREAK") | {"spy": {"spot": 687.1}})
        await expect(page.locator("#calls")).to_contain_text("VWAP 687.25: spot crossed, now below, spot 687.10")
        await page.evaluate(SHOW, False)


async def test_who_looks_back_is_told_that_nothing_calls(
    browser: Browser, make_gateway: LaunchGateway, nats_server: NatsServer
) -> None:
    gateway = make_gateway(GATEWAY_MARKET="24x7", GATEWAY_HISTORY="on").start()
    async with Publisher(nats_server) as core, console(browser, gateway, CHOICE) as page:
        for age_ms in (60_000, 0):
            await core.levels(0, **market() | {"ts": now_ms() - age_ms})
        await until_history(gateway)
        await expect(page.locator(".handle")).to_be_visible()
        await page.evaluate(SHOW, True)
        await core.levels(0, **market(VWAP="BREAK"))
        await expect(page.locator("#calls button")).to_contain_text(f"VWAP {CALLED}")
        await page.evaluate(SHOW, False)
        await page.keyboard.press("Space")
        await expect(page.locator("html")).to_have_attribute("data-state", "past")
        await page.keyboard.press("a")
        dialog, calls = page.locator("dialog.alerts"), page.get_by_role("list", name="Calls, newest first")
        await expect(dialog.locator(".limits")).to_have_text(re.compile("^You look back: nothing calls"))
        await expect(dialog).to_contain_text("Not listed while you look back.")
        await expect(calls).to_be_hidden()
        await keep_picture(page, "alerts-past")
        assert await serious_faults(page) == []
        await page.keyboard.press("Escape")
        await page.keyboard.press("n")
        await expect(page.locator("html")).not_to_have_attribute("data-state", "past")
        await page.keyboard.press("a")
        await expect(dialog.locator(".limits")).to_be_empty()
        await expect(calls).to_contain_text(CALLED)
