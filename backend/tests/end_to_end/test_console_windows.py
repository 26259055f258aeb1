"""Panels of the console in windows of their own, in a real Chromium: there and back, together with the first window.

`SCREENSHOTS=folder` keeps pictures of both windows.
"""

import asyncio
import itertools
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nats.js.api import StreamConfig
from playwright.async_api import Browser, BrowserContext, Error, Page, WebSocket, expect

from src.common.subjects import STREAMS
from src.common.tasks import end
from src.demo.nats_server import HOST, NatsServer, free_port
from tests.browser import Complaints, keep_picture
from tests.conftest import LaunchGateway
from tests.end_to_end.crafted_gateway import now_ms
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.proxy_process import nginx
from tests.end_to_end.publisher import Publisher
from tests.end_to_end.test_console import CALL, DESK, ON_ITS_SIDE, PHONE, PUT, level, row, serious_faults
from tests.end_to_end.test_console_alerts import CHOICE, WATCH, gateway, market, until_history
from tests.end_to_end.test_console_behind_proxy import SERVER
from tests.end_to_end.test_console_timeline import GAP_MS, PAST, is_live, is_past, levels_of, present
from tests.waiting import until

__all__ = ["gateway"]  # a fixture
# One loop for all of them: the browser is started once.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

LARGE = (2560, 1440)
PARTS = {"levels": "#levels-part", "chart": "#chart-part", "flow": "#flow-part", "changes": "#side-part"}
MOVE = {
    "levels": "Move the levels to another window",
    "chart": "Move the chart to another window",
    "flow": "Move the option flow to another window",
    "changes": "Move the list of changes to another window",
}
LEVELS = [level("LOW", 687.0, "BREAK", confidence="HIGH"), level("VWAP", 687.25), level("HIGH", 688.0, "REJECT")]


class Desk:
    """The windows of one user. None of them may have had anything to complain of."""

    def __init__(self, context: BrowserContext, origin: str) -> None:
        self.context = context
        self.origin = origin
        self._complaints: list[Complaints] = []
        context.on("page", lambda page: self._complaints.append(Complaints(page, origin)))

    async def open(self, path: str = "/") -> Page:
        page = await self.context.new_page()
        await page.goto(f"{self.origin}{path}")
        return page

    async def move(self, page: Page, panel: str) -> Page:
        """Press the button in the head of a panel; the window that opens."""
        async with page.expect_popup() as opened:
            await page.get_by_role("button", name=MOVE[panel]).click()
        window = await opened.value
        await expect(window.locator("html")).to_have_attribute("data-panel", panel)
        await expect(page.locator(PARTS[panel])).to_be_hidden()
        return window

    @property
    def complaints(self) -> list[str]:
        return [each for of_page in self._complaints for each in of_page.all]


@asynccontextmanager
async def desk(
    browser: Browser, gateway: GatewayProcess, scheme: Any = "dark", size: tuple[int, int] = DESK, origin: str = ""
) -> AsyncIterator[Desk]:
    context = await browser.new_context(color_scheme=scheme, viewport={"width": size[0], "height": size[1]})
    origin = origin or f"http://127.0.0.1:{gateway.port}"
    await context.grant_permissions(["notifications"], origin=origin)
    await context.add_init_script(WATCH)
    opened = Desk(context, origin)
    try:
        yield opened
        assert opened.complaints == []
    finally:
        await context.close()


async def height_of(page: Page, selector: str) -> float:
    box = await page.locator(selector).bounding_box()
    assert box is not None, f"{selector} is on the page"
    return box["height"]


async def visible_parts(page: Page) -> list[str]:
    return list(await page.locator("main > section:visible").evaluate_all("all => all.map(each => each.id)"))


# Of the page below its head, the share that panels have. 2 where they cover one another, or stand outside.
ROOM = """
() => {
    const main = document.querySelector("main").getBoundingClientRect();
    const parts = [...document.querySelectorAll("main > section")].map(each => each.getBoundingClientRect());
    const all = parts.filter(each => each.width > 0);
    const within = all.every(each => each.left >= 0 && each.right <= innerWidth
        && each.top >= main.top - 1 && each.bottom <= innerHeight);
    const apart = all.every((one, at) => all.slice(at + 1).every(other => one.right <= other.left + 1
        || other.right <= one.left + 1 || one.bottom <= other.top + 1 || other.bottom <= one.top + 1));
    const used = all.reduce((sum, each) => sum + (each.width + 6) * (each.height + 6), 0);
    return within && apart ? used / (main.width * main.height) : 2;
}
"""


async def room_used(page: Page) -> float:
    used = await page.evaluate(ROOM)
    assert used < 1.1, "the panels cover one another, or are cut off"
    return float(used)


async def is_live_now(page: Page) -> None:
    await expect(page.locator("html")).to_have_attribute("data-state", "live")
    await expect(page.locator("#spot")).to_have_text("687.50")


@asynccontextmanager
async def core_publishes(nats: NatsServer) -> AsyncIterator[Publisher]:
    """Levels and flow ten times a second, as long as this lasts."""

    async def publish() -> None:
        for number in itertools.count(1):
            await core.levels(number, ts=now_ms(), spy={"spot": 687.5}, levels=LEVELS)
            await core.flow(number, **{CALL: {"cumulative_volume": 1500}, PUT: {"cumulative_volume": 80}})
            await asyncio.sleep(0.1)

    async with Publisher(nats) as core:
        task = asyncio.create_task(publish())
        try:
            yield core
        finally:
            await end(task)


async def test_a_panel_moves_to_a_window_of_its_own_and_back(
    browser: Browser, gateway: GatewayProcess, shared_nats: NatsServer
) -> None:
    async with core_publishes(shared_nats), desk(browser, gateway) as windows:
        page = await windows.open()
        await is_live_now(page)
        before = await height_of(page, "#flow-part")
        chart = await windows.move(page, "chart")
        await is_live_now(chart)
        await expect(chart.locator("#chart")).to_have_attribute("data-points", re.compile(r"\d"))
        await expect(chart).to_have_title("Chart – Spymaster")  # noqa: RUF001
        assert chart.url == f"{windows.origin}/?panel=chart"
        assert await visible_parts(chart) == ["chart-part"]
        assert await visible_parts(page) == ["levels-part", "flow-part", "side-part"]
        assert await height_of(page, "#flow-part") > before * 1.4, "it has the room of the chart"
        await page.reload()
        await expect(page.locator("#chart-part")).to_be_hidden()  # what is moved stays moved
        await is_live_now(page)
        await page.get_by_role("button", name="Show the window of the chart").click()
        assert len(windows.context.pages) == 2, "it is the same window"
        try:
            await chart.get_by_role("button", name="Bring back the chart").click()
        except Error:  # the window may be closed before the click is acknowledged
            if not chart.is_closed():
                raise
        await until(chart.is_closed, "the window closes")
        await expect(page.locator("#chart-part")).to_be_visible()
        await expect(page.locator("#windows")).to_be_hidden()
        assert await height_of(page, "#flow-part") == before
        again = await windows.move(page, "chart")
        await page.get_by_role("button", name="Bring back the chart").click()
        await until(again.is_closed, "the window closes")
        await expect(page.locator("#chart-part")).to_be_visible()
        last = await windows.move(page, "chart")
        await last.close(run_before_unload=True)  # as a user does
        await expect(page.locator("#chart-part")).to_be_visible()


@pytest.mark.parametrize("size", [(1280, 800), DESK, LARGE], ids=lambda size: f"{size[0]} wide")
async def test_the_panels_that_stay_share_the_room(
    browser: Browser, gateway: GatewayProcess, shared_nats: NatsServer, size: tuple[int, int]
) -> None:
    async with core_publishes(shared_nats), desk(browser, gateway, size=size) as windows:
        page = await windows.open()
        await is_live_now(page)
        assert await room_used(page) > 0.95
        for order in (["chart", "flow", "changes"], ["levels", "changes", "flow"]):
            moved = []
            for panel in order:
                moved.append(await windows.move(page, panel))
                assert await room_used(page) > 0.95, order[: len(moved)]
            for window, panel in zip(moved, order, strict=True):
                await window.close(run_before_unload=True)
                await expect(page.locator(PARTS[panel])).to_be_visible()


async def test_a_window_asks_for_the_sections_that_it_shows(
    browser: Browser, gateway: GatewayProcess, shared_nats: NatsServer
) -> None:
    asked: list[tuple[str | None, str]] = []

    def remember(socket: WebSocket, page: Page) -> None:
        panel = page.url.partition("=")[2]
        socket.on("framesent", lambda text: asked.append((panel, str(text))))

    def listen(page: Page) -> None:
        page.on("websocket", lambda socket: remember(socket, page))

    async with core_publishes(shared_nats), desk(browser, gateway) as windows:
        windows.context.on("page", listen)
        page = await windows.open()
        await is_live_now(page)
        for panel in PARTS:
            await is_live_now(await windows.move(page, panel))
        sections = {"levels": ["levels"], "chart": ["levels"], "changes": ["levels"]}
        await until(lambda: {panel for panel, _ in asked} >= sections.keys(), "they ask for less than for all")
        told = {panel: json.loads(text)["subscribe"]["sections"] for panel, text in asked}
        assert told | sections == told
        assert told.get("flow", ["levels", "flow"]) == ["levels", "flow"]
        await expect(page.locator("#flow-age")).not_to_have_text("–")  # noqa: RUF001


async def test_the_selected_level_follows_from_window_to_window(
    browser: Browser, gateway: GatewayProcess, shared_nats: NatsServer
) -> None:
    async with core_publishes(shared_nats), desk(browser, gateway) as windows:
        page = await windows.open()
        await is_live_now(page)
        await page.keyboard.press("j")
        await expect(row(page, "VWAP")).to_have_attribute("aria-selected", "true")
        chart = await windows.move(page, "chart")
        name = chart.locator("#chart .names [data-selected=true]")
        await expect(name).to_have_text("VWAP")  # also of a window that was opened later
        await row(page, "LOW").click()
        await expect(name).to_have_text("LOW")
        await chart.bring_to_front()
        await chart.keyboard.press("k")
        await chart.keyboard.press("k")
        await expect(row(page, "HIGH")).to_have_attribute("aria-selected", "true")
        levels = await windows.move(page, "levels")
        await expect(row(levels, "HIGH")).to_have_attribute("aria-selected", "true")
        await expect(levels.locator("#centre")).to_be_hidden()  # it follows spot
        await chart.keyboard.press("Escape")
        await expect(row(levels, "HIGH")).to_have_attribute("aria-selected", "false")
        await levels.keyboard.press("f")
        await levels.get_by_label("Signals only").check()
        await expect(page.locator("#levels-count")).to_have_text("2 of 3")
        await expect(chart.locator("#levels-count")).to_have_text("2 of 3")  # so the chart has the same ones
        await levels.keyboard.press("Escape")
        await levels.keyboard.press("t")
        await expect(chart.locator("html")).to_have_attribute("data-theme", "light")


async def test_old_data_is_old_in_each_window(
    browser: Browser, gateway: GatewayProcess, shared_nats: NatsServer
) -> None:
    async with desk(browser, gateway) as windows:
        page = await windows.open()
        async with core_publishes(shared_nats):
            await is_live_now(page)
            flow = await windows.move(page, "flow")
            await is_live_now(flow)
        for window in (page, flow):
            await expect(window.locator("html")).to_have_attribute("data-state", "stale")
            await expect(window.locator("#frame-word")).to_have_text("STALE")
            await expect(window.locator("#reason")).to_have_text(re.compile("Do not trade on it"))
        await expect(flow).to_have_title("STALE – Option flow – Spymaster")  # noqa: RUF001
        await keep_picture(flow, "window-stale")


# -- alerts ------------------------------------------------------------------------------------------------------------


async def tones(*pages: Page) -> list[int]:
    return [await page.evaluate("tones") for page in pages]


async def test_one_window_calls_and_a_panel_does_when_the_page_is_closed(
    browser: Browser, gateway: GatewayProcess, shared_nats: NatsServer
) -> None:
    async with Publisher(shared_nats) as core, desk(browser, gateway) as windows:
        rules = json.dumps(json.dumps(CHOICE))
        await windows.context.add_init_script(f"if (origin !== 'null') localStorage['spymaster.alerts'] ??= {rules}")
        page = await windows.open()
        await core.levels(0, **market())
        await until_history(gateway)
        await expect(row(page, "VWAP")).to_be_visible()
        chart = await windows.move(page, "chart")
        changes = await windows.move(page, "changes")
        for window in (page, chart, changes):
            await window.mouse.click(5, 5)  # it may sound from now on
            await expect(window.locator("#levels-count")).to_have_text("2")
        await expect(chart.get_by_role("button", name="Alerts")).to_be_hidden()
        await core.levels(0, **market(VWAP="BREAK"))
        await expect(page.locator("#calls button")).to_contain_text("VWAP 687.25: BREAK")
        await expect(changes.locator("#tape li").first).to_contain_text("→ BREAK")
        await expect(chart.locator(".row[data-signal=BREAK]")).to_have_count(1)
        assert await tones(page, chart, changes) == [2, 0, 0]
        await page.close(run_before_unload=True)
        alone = "The page that this panel came from is closed."
        await expect(chart.locator("#windows")).to_have_text(f"{alone} Alerts call in this window now.")
        await expect(changes.locator("#windows")).to_have_text(alone)
        await expect(chart.get_by_role("button", name="Alerts")).to_be_visible()
        await core.levels(0, **market(LOW="REJECT"))
        await expect(chart.locator("#calls button")).to_contain_text("LOW 687.00: BOUNCE")
        await expect(changes.locator("#tape li").first).to_contain_text("→ BOUNCE")
        assert await tones(chart, changes) == [2, 0]
        await chart.get_by_role("button", name="Show the whole page in this window").click()
        await expect(chart.locator("#levels-part")).to_be_visible()
        await expect(chart.locator("#side-part")).to_be_hidden()  # its window is still there
        await expect(changes.locator("#windows")).to_be_hidden()


# -- the moment of a replay --------------------------------------------------------------------------------------------


@asynccontextmanager
async def a_past_and_a_present(core: Publisher, make_gateway: LaunchGateway) -> AsyncIterator[GatewayProcess]:
    for stream in STREAMS.values():
        await core.jetstream.add_stream(StreamConfig(name=stream.name, subjects=list(stream.subjects)))
    begin_ms = int(time.time()) * 1_000 - PAST * GAP_MS
    for number in range(PAST):
        await core.levels(begin_ms + number * GAP_MS, **levels_of(500 + number))
    gateway = make_gateway(GATEWAY_HISTORY="on", GATEWAY_MARKET="24x7").start()
    async with present(core):
        yield gateway


async def page_and_chart(windows: Desk) -> tuple[Page, Page]:
    """Both live, with a time line."""
    page = await windows.open()
    await is_live(page)
    await expect(page.locator(".handle")).to_be_visible()
    chart = await windows.move(page, "chart")
    await is_live(chart)
    await expect(chart.locator(".handle")).to_be_visible()
    return page, chart


async def test_all_windows_show_the_moment_of_a_replay(
    browser: Browser, core: Publisher, make_gateway: LaunchGateway
) -> None:
    async with a_past_and_a_present(core, make_gateway) as gateway, desk(browser, gateway) as windows:
        page, chart = await page_and_chart(windows)
        await chart.locator(".handle").focus()
        await chart.keyboard.press("Space")
        await chart.keyboard.press("Home")
        for window in (chart, page):
            await is_past(window)
            await expect(window.locator("#spot")).to_have_text("500.00")
        await page.keyboard.press("ArrowRight")  # there is no time line in this window, and its keys work
        for window in (page, chart):
            await expect(window.locator("#spot")).to_have_text("501.00")
        levels = await windows.move(page, "levels")
        await is_past(levels)  # also in a window that is opened meanwhile
        await expect(levels.locator("#spot")).to_have_text("501.00")
        await keep_picture(chart, "window-replay")
        await levels.keyboard.press("Space")
        for window in (levels, page, chart):
            await expect(window.locator("#reason")).to_contain_text("It plays.")
        flow = await windows.move(page, "flow")
        await is_past(flow)
        await page.reload()
        await is_past(page)
        await flow.keyboard.press("n")
        for window in (flow, levels, page, chart):
            await is_live(window)


# Keeps what the windows of the desk say of a replay, and says the first of it again.
LISTEN = """
() => {
    window.said = [];
    window.desk = new BroadcastChannel(`spymaster ${location.pathname}`);
    desk.addEventListener("message", ({ data }) => data.says === "replay" && said.push(data));
}
"""
AGAIN = "() => desk.postMessage({ ...said[0], isAgain: true })"
HAS_HEARD = "() => said.some(({ isAgain }) => isAgain)"


async def test_a_window_that_has_not_heard_yet_takes_nobody_back_to_the_past(
    browser: Browser, core: Publisher, make_gateway: LaunchGateway
) -> None:
    """It says where it is, while somebody returns to the present in another window."""
    async with a_past_and_a_present(core, make_gateway) as gateway, desk(browser, gateway) as windows:
        page, chart = await page_and_chart(windows)
        for window in (page, chart):
            await window.evaluate(LISTEN)
        await chart.keyboard.press("Space")
        for window in (chart, page):
            await is_past(window)
        await page.wait_for_function("said.length > 0")
        await page.keyboard.press("n")
        for window in (chart, page):
            await is_live(window)
        await page.evaluate(AGAIN)
        await chart.wait_for_function(HAS_HEARD)
        for window in (chart, page):
            assert await window.locator("#timeline").get_attribute("data-moment") == "now"
            await is_live(window)


# -- where there is no window, or a gateway that asks ------------------------------------------------------------------


async def test_a_blocked_window_is_told_with_what_to_do(
    browser: Browser, gateway: GatewayProcess, shared_nats: NatsServer
) -> None:
    async with core_publishes(shared_nats), desk(browser, gateway) as windows:
        page = await windows.open()
        await is_live_now(page)
        await page.evaluate("window.open = () => null")  # what a browser answers that blocks it
        await page.get_by_role("button", name=MOVE["flow"]).click()
        note = page.locator("#windows").get_by_text("The browser has blocked the window. Allow pop-ups for this page")
        await expect(note).to_be_visible()
        await expect(page.locator("#announcer")).to_contain_text("Allow pop-ups")
        await keep_picture(page, "window-blocked")
        await expect(page.locator("#flow-part")).to_be_visible()
        await page.get_by_role("button", name="OK").click()
        await expect(note).to_be_hidden()


@pytest.mark.parametrize("size", [PHONE, ON_ITS_SIDE], ids=lambda size: f"{size[0]} wide")
async def test_a_phone_has_no_button_for_windows(
    browser: Browser, gateway: GatewayProcess, size: tuple[int, int]
) -> None:
    async with desk(browser, gateway, size=size) as windows:
        page = await windows.open()
        await expect(page.locator("#chart-part")).to_be_visible()
        for name in MOVE.values():
            await expect(page.get_by_role("button", name=name)).to_be_hidden()


async def test_a_window_has_the_token_that_was_typed_in_the_first(
    browser: Browser, make_gateway: LaunchGateway, core: Publisher, tmp_path: Path
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("a-token-of-a-desk desk\n")
    settings = {"GATEWAY_AUTH": "token", "GATEWAY_TOKENS_FILE": str(tokens)}
    gateway = make_gateway(**settings).start()
    await core.levels(1, spy={"spot": 687.5})
    async with desk(browser, gateway) as windows:
        page = await windows.open()
        await enter_token(page, "a-token-of-a-desk")
        await expect(page.locator("#spot")).to_have_text("687.50")
        chart = await windows.move(page, "chart")
        await expect(chart.locator("#spot")).to_have_text("687.50")
        assert "token" not in chart.url
        assert gateway.stop() == 0
        tokens.write_text("another-token-of-it desk\n")
        make_gateway(GATEWAY_PORT=str(gateway.port), **settings).start()
        await core.levels(2, spy={"spot": 688.5})
        await expect(chart.get_by_label("Token", exact=True)).to_be_visible()
        await enter_token(page, "another-token-of-it")
        for window in (page, chart):  # it is typed once
            await expect(window.locator("#spot")).to_have_text("688.50")


async def enter_token(page: Page, token: str) -> None:
    await page.get_by_label("Token", exact=True).fill(token)
    await page.get_by_role("button", name="Connect").click()


async def test_windows_work_under_a_path(
    browser: Browser, gateway: GatewayProcess, shared_nats: NatsServer, tmp_path: Path
) -> None:
    port = free_port()
    server = SERVER.format(host=HOST, port=port, to=gateway.port, headers="proxy_set_header Host $http_host;")
    origin = f"http://{HOST}:{port}"
    with nginx(server, port, tmp_path / "nginx"):
        async with core_publishes(shared_nats), desk(browser, gateway, origin=origin) as windows:
            page = await windows.open("/gw/")
            await is_live_now(page)
            flow = await windows.move(page, "flow")
            await is_live_now(flow)
            assert flow.url == f"{origin}/gw/?panel=flow"
            await page.close()
            await flow.get_by_role("button", name="Show the whole page in this window").click()
            await is_live_now(flow)
            assert flow.url == f"{origin}/gw/"


# -- everybody, everywhere ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "scheme"), [(DESK, "dark"), (LARGE, "light")], ids=["dark desk", "light wall"])
@pytest.mark.parametrize("panel", PARTS)
async def test_axe_finds_nothing_in_both_windows(
    browser: Browser, gateway: GatewayProcess, shared_nats: NatsServer, panel: str, size: tuple[int, int], scheme: str
) -> None:
    async with core_publishes(shared_nats), desk(browser, gateway, scheme, size) as windows:
        page = await windows.open()
        await is_live_now(page)
        window = await windows.move(page, panel)
        await is_live_now(window)
        await keep_picture(page, f"windows-{panel}-moved-{size[0]}-{scheme}")
        assert await serious_faults(page, everything=True) == []
        for width, height in ((600, 420), size):
            await window.set_viewport_size({"width": width, "height": height})
            assert await room_used(window) > 0.9, width
            assert await serious_faults(window, everything=True) == [], width
            await keep_picture(window, f"window-{panel}-{width}-{scheme}")
        await window.keyboard.press("1")
        await window.keyboard.press("Enter")
        for each in (window, page):  # the level is selected in both, and shown in full where that was asked for
            await expect(each.locator(".row[aria-selected=true]")).to_have_count(1)
        await expect(window.locator("#sheet")).to_be_visible()
        await room_used(window)
        await keep_picture(window, f"window-{panel}-level-{size[0]}-{scheme}")
        assert await serious_faults(window, everything=True) == []
