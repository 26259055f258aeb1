"""The console in a real Chromium: what a trader sees of the real gateway, nats-server and simulator."""

import asyncio
import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, WebSocket, expect

from benchmarks.proxies import behind
from src.common.tasks import end
from src.demo.nats_server import NatsServer
from src.gateway.signals.contract import LevelSignal, MlPredictions, Retrieval
from tests.browser import Complaints, keep_picture
from tests.conftest import LaunchGateway
from tests.documents import ROOT
from tests.end_to_end.crafted_gateway import now_ms
from tests.end_to_end.gateway_process import BACKEND, GatewayProcess
from tests.end_to_end.publisher import FLOW, LEVELS, Publisher
from tests.waiting import LIMIT_S, until

# One loop for all of them: the browser is started once.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

AXE = ROOT / "console" / "node_modules" / "axe-core" / "axe.min.js"
DESK = (1440, 900)
PHONE = (390, 844)
ON_ITS_SIDE = (844, 390)
LIMIT_MS = LIMIT_S * 1000

PREDICTION = {
    "level_id": "VWAP",
    "p_tradeable_2": 0.7,
    "p_break": 0.33,
    "p_bounce": 0.67,
    "strength_signed": -1.5,
    "utility_score": 0.2,
    "stage": "stage_b",
    "time_to_threshold": {"t1": {"60": 0.5, "120": 0.75}},
    "retrieval": {"p_break": 0.25, "similarity": 0.81, "entropy": 0.4, "n_neighbors": 24},
}
CALL, PUT = "O:SPY251216C00688000", "O:SPY251216P00688000"


def level(kind: str, price: float, signal: str = "NEUTRAL", **further: Any) -> dict[str, Any]:
    side = "SUPPORT" if price < 687.5 else "RESISTANCE"
    return {"id": kind, "kind": kind, "price": price, "signal": signal, "direction": side, **further}


@pytest.fixture
def gateway(make_gateway: LaunchGateway) -> GatewayProcess:
    """One whose market never closes, so that the hour of the test does not matter."""
    return make_gateway(GATEWAY_MARKET="24x7").start()


OpenConsole = Callable[..., Awaitable[Page]]


@pytest_asyncio.fixture(loop_scope="module")
async def open_console(browser: Browser) -> AsyncIterator[OpenConsole]:
    """Opens the console of a gateway. None of its pages may have had anything to complain of."""
    opened: list[tuple[Page, Complaints]] = []

    async def open_page(
        gateway: GatewayProcess, scheme: str = "dark", size: tuple[int, int] = DESK, port: int | None = None
    ) -> Page:
        colours: Any = {"color_scheme": scheme, "viewport": {"width": size[0], "height": size[1]}}
        page = await browser.new_page(**colours)
        origin = f"http://127.0.0.1:{port or gateway.port}"
        opened.append((page, Complaints(page, origin)))
        await page.goto(f"{origin}/")
        return page

    yield open_page
    complaints = [each for _, page in opened for each in page.all]
    for page, _ in opened:
        await page.context.close()
    assert complaints == []


@asynccontextmanager
async def alive(core: Publisher, page: Page, **levels: Any) -> AsyncIterator[None]:
    """Levels and flow again and again, as Core sends them, until the page is live."""
    async with publishing(core, **levels):
        await expect(page.locator("html")).to_have_attribute("data-state", "live")
    yield


@asynccontextmanager
async def publishing(core: Publisher, **levels: Any) -> AsyncIterator[None]:
    """Levels and flow ten times a second, with the time of now, as long as this lasts."""

    async def publish() -> None:
        for number in itertools.count(1):
            await core.levels(number, **{"ts": now_ms(), **levels})
            await core.flow(number)
            await asyncio.sleep(0.1)

    task = asyncio.create_task(publish())
    try:
        yield
    finally:
        await end(task)  # a frame may come with the answer of the stream, and a cancellation with both
    if not task.cancelled():
        task.result()


def row(page: Page, kind: str) -> Locator:
    return page.locator(f"[id='level-{kind}']")


async def top_of(locator: Locator) -> float:
    box = await locator.bounding_box()
    assert box is not None, "it is on the page"
    return box["y"]


SETTLED = """
new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))
    .then(() => Promise.all(document.getAnimations().map(each => each.finished.catch(() => {}))))
"""


async def settled(page: Page) -> None:
    """Return when what was told is drawn and nothing moves."""
    await page.evaluate(SETTLED)


# -- the ladder --------------------------------------------------------------------------------------------------------


async def test_a_level_shows_what_core_says_of_it(
    gateway: GatewayProcess, core: Publisher, open_console: OpenConsole
) -> None:
    vwap = level("VWAP", 687.25, "REJECT", distance=0.25, break_score_smooth=72.4, confidence="HIGH")
    vwap |= {"confluence_count": 3, "confluence_level_name": "STRONG", "tape": {"sweep": {"detected": True}}}
    await core.levels(1, levels=[vwap], viewport={"targets": [PREDICTION]})
    page = await open_console(gateway)
    for name, shown in {
        "price": "687.25",
        "kind": "VWAP",
        "side": "▼ SUP",
        "distance": "−0.25",  # noqa: RUF001
        "score": "72",
        "signal": "BOUNCE",
        "confidence": "HIGH",
        "confluence": "STRONG ×3",  # noqa: RUF001
        "left": "33",
        "right": "67",
        "sample": "0.81 · 24",
        "sweep": "SWEEP",
    }.items():
        await expect(row(page, "VWAP").locator(f".{name}")).to_have_text(shown)


async def test_levels_move_and_stand_at_their_prices_around_spot(
    gateway: GatewayProcess, core: Publisher, open_console: OpenConsole
) -> None:
    page = await open_console(gateway)
    await core.levels(1, spy={"spot": 687.5}, levels=[level("LOW", 687.0), level("HIGH", 688.0)])
    await expect(page.locator("#spot")).to_have_text("687.50")
    await settled(page)
    assert (
        await top_of(row(page, "HIGH"))
        < await top_of(page.locator("#ladder .spot-line"))
        < await top_of(row(page, "LOW"))
    )
    before = await top_of(row(page, "LOW"))
    await core.levels(2, spy={"spot": 687.6}, levels=[level("LOW", 687.0), level("HIGH", 688.0)])
    await expect(page.locator(".spot-tag")).to_have_text("687.60")
    await settled(page)
    assert await top_of(row(page, "LOW")) == before, "spot moves, levels do not"
    await core.levels(3, spy={"spot": 687.6}, levels=[level("LOW", 688.5), level("HIGH", 688.0)])
    await expect(row(page, "LOW").locator(".price")).to_have_text("688.50")
    await settled(page)
    assert await top_of(row(page, "LOW")) < await top_of(row(page, "HIGH"))


async def test_a_flip_of_the_signal_shows_in_the_row_in_the_list_and_for_a_screen_reader(
    gateway: GatewayProcess, core: Publisher, open_console: OpenConsole
) -> None:
    page = await open_console(gateway)
    await core.levels(1, levels=[level("VWAP", 687.25)])
    await expect(row(page, "VWAP").locator(".signal")).to_have_text("NO TRADE")
    await expect(page.locator("#tape li")).to_have_count(0)
    await core.levels(2, levels=[level("VWAP", 687.25, "BREAK")])
    await expect(row(page, "VWAP").locator(".signal")).to_have_text("BREAK")
    await expect(row(page, "VWAP")).to_have_attribute("data-signal", "BREAK")
    await expect(row(page, "VWAP")).to_have_class(re.compile("flipped"))
    await expect(page.get_by_role("option", name=re.compile("vwap 687.25, .*signal break"))).to_be_visible()
    await expect(page.locator("#tape li").first).to_contain_text("→ BREAK")
    await expect(page.locator("#announcer")).to_have_text(re.compile("vwap 687.25: break"))


async def test_keys_choose_a_level_and_open_every_field_with_its_unit(
    gateway: GatewayProcess, core: Publisher, open_console: OpenConsole
) -> None:
    page = await open_console(gateway)
    levels = [level("LOW", 687.0), level("VWAP", 687.25), level("HIGH", 688.0)]
    await core.levels(1, levels=levels, viewport={"targets": [PREDICTION]})
    await expect(page.locator(".row")).to_have_count(3)
    await page.keyboard.press("j")
    await expect(row(page, "VWAP")).to_have_attribute("aria-selected", "true")
    await expect(page.locator("#ladder")).to_have_attribute("aria-activedescendant", "level-VWAP")
    await page.keyboard.press("Enter")
    sheet = page.locator("#sheet")
    await expect(sheet.locator("h2")).to_have_text("VWAP 687.25")
    shown = set(await sheet.locator("[data-field]").evaluate_all("all => all.map(each => each.dataset.field)"))
    fields = get_type_hints(LevelSignal) | get_type_hints(MlPredictions) | get_type_hints(Retrieval)
    assert shown == fields.keys() - {"ml_predictions", "time_to_threshold", "retrieval"} | {"60", "120"}
    assert await sheet.locator("dd", has=page.locator("[data-field=distance]")).inner_text() == "0.00\npoints"
    await page.keyboard.press("ArrowUp")
    await expect(sheet.locator("h2")).to_have_text("HIGH 688.00")
    await page.keyboard.press("Escape")
    await expect(sheet).to_be_hidden()
    await page.keyboard.press("Escape")
    await expect(row(page, "HIGH")).to_have_attribute("aria-selected", "false")
    await row(page, "LOW").click()
    await expect(sheet.locator("h2")).to_have_text("LOW 687.00")
    await page.keyboard.press("?")
    await expect(page.get_by_role("heading", name="Keys and meanings")).to_be_visible()


async def test_the_theme_is_the_systems_until_a_key_changes_it_and_stays(
    gateway: GatewayProcess, open_console: OpenConsole
) -> None:
    page = await open_console(gateway, "light")
    await expect(page.locator("html")).to_have_attribute("data-theme", "light")
    await page.keyboard.press("t")
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await page.reload()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")


async def test_what_is_chosen_in_one_tab_is_so_in_all(
    gateway: GatewayProcess, core: Publisher, browser: Browser
) -> None:
    context = await browser.new_context(color_scheme="dark")
    page, other = await context.new_page(), await context.new_page()
    for each in (page, other):
        await each.goto(f"http://127.0.0.1:{gateway.port}/")
    await core.levels(1, levels=[level("VWAP", 687.25), level("HIGH", 688.0, "BREAK")])
    await core.publish(FLOW, {CALL: {"cumulative_volume": 1500}})
    for each in (page, other):
        await expect(each.locator(".row")).to_have_count(2)
    await page.keyboard.press("f")
    await page.get_by_label("Signals only").check()
    await page.keyboard.press("Escape")
    for key in "tlsm":
        await page.keyboard.press(key)
    await page.get_by_role("button", name="All else").click()
    await page.get_by_text("Kinds", exact=True).last.click()
    await page.get_by_label("Sweeps").uncheck()
    await expect(other.locator(".row")).to_have_count(1)
    await expect(other.locator("html")).to_have_attribute("data-theme", "light")
    chosen = {"span": "hour", "form": "candles", "measure": "premium"}
    for name, value in chosen.items():
        await expect(other.locator(f"#{name}")).to_have_value(value)
    await expect(other.get_by_role("button", name="All else")).to_have_attribute("aria-pressed", "true")
    await expect(other.locator("#tape-kinds")).to_have_attribute("data-filtered", "true")
    await page.reload()
    await expect(page.locator("#measure")).to_have_value("premium")
    await context.close()


async def test_levels_of_the_future_stand_about_its_spot_and_not_about_that_of_the_etf(
    gateway: GatewayProcess, core: Publisher, open_console: OpenConsole
) -> None:
    page = await open_console(gateway)
    levels = [level("ROUND", 6930.0), level("LOW", 6920.0, direction="SUPPORT"), level("VWAP", 691.0)]
    await core.levels(1, spy={"spot": 691.25}, es={"spot": 6926.0}, levels=levels)
    await expect(page.locator("#instrument")).to_have_text("ES")
    await expect(page.locator("#spot")).to_have_text("6926.00")
    await expect(page.locator("#other-part")).to_have_text(re.compile(r"SPY\s+691\.25"))
    await settled(page)
    marks = await page.locator("#ladder .axis span").all_inner_texts()
    assert all(6_800 < float(mark) < 7_050 for mark in marks)
    order = [await top_of(row(page, kind)) for kind in ("ROUND", "VWAP", "LOW")]
    assert order == sorted(order)
    await expect(row(page, "VWAP").locator(".kind")).to_have_text("SPY · VWAP")
    await expect(row(page, "VWAP").locator(".price")).to_have_text("691.00")
    await core.levels(2, spy=None, es={"spot": 6926.0}, levels=levels[:2])
    await expect(page.locator("#other-part")).to_be_hidden()
    await expect(page.locator("#instrument")).to_have_text("ES")
    await core.levels(3, spy={"spot": 691.25}, es={"spot": 6926.0}, levels=[level("VWAP", 691.0)])
    await expect(page.locator("#instrument")).to_have_text("SPY")
    await expect(page.locator(".spot-tag")).to_have_text("691.25")


async def test_a_pin_and_a_filter_are_kept_from_visit_to_visit(
    gateway: GatewayProcess, core: Publisher, open_console: OpenConsole
) -> None:
    page = await open_console(gateway)
    levels = [level("ROUND", 687.0), level("STRIKE", 687.0), level("VWAP", 687.25), level("HIGH", 688.0, "BREAK")]
    await core.levels(1, levels=levels)
    await expect(page.locator(".row")).to_have_count(3)
    await expect(row(page, "ROUND").locator(".kind")).to_have_text("ROUND · STRIKE")
    await page.keyboard.press("j")
    await page.keyboard.press("p")
    await expect(row(page, "VWAP").locator(".pin")).to_have_text("★")
    await page.keyboard.press("f")
    await page.get_by_label("Signals only").check()
    await expect(page.locator(".row")).to_have_count(2)
    await expect(page.locator("#levels-count")).to_have_text("2 of 4")
    assert await serious_faults(page) == []
    await page.reload()
    await expect(page.locator(".row")).to_have_count(2)
    await expect(row(page, "VWAP")).to_be_visible()
    await expect(page.locator("#filter summary")).to_have_text("Filtered (f)")
    await page.locator("#filter summary").click()
    await page.get_by_role("button", name="Show all").click()
    await page.get_by_label("Levels of one price in one row").uncheck()
    await expect(page.locator(".row")).to_have_count(4)
    await page.keyboard.press("Escape")
    await expect(page.get_by_label("Signals only")).to_be_hidden()
    await page.locator("#filter summary").press("Enter")
    await expect(page.get_by_label("Signals only")).to_be_visible()


async def test_the_names_of_forty_levels_cover_neither_the_chart_nor_one_another(
    gateway: GatewayProcess, core: Publisher, open_console: OpenConsole
) -> None:
    page = await open_console(gateway)
    forty = [level(f"SESSION_HIGH_{each}", 685 + each / 8, ["BREAK", "REJECT", ""][each % 3]) for each in range(40)]
    ts = now_ms()
    await core.levels(1, ts=ts, spy={"spot": 687.5}, levels=forty)
    await expect(page.locator("#chart")).to_have_attribute("data-drawn", str(ts))
    await core.levels(2, ts=ts + 1, spy={"spot": 687.5}, levels=forty)
    await expect(page.locator("#chart")).to_have_attribute("data-drawn", str(ts + 1))
    await expect(page.locator("#chart .names span").first).to_be_visible()
    boxes = [await each.bounding_box() for each in await page.locator("#chart .names span").all()]
    plot = await page.locator("#chart .plot").bounding_box()
    assert plot is not None
    tops = sorted(box["y"] for box in boxes if box is not None)
    assert all(box is not None and box["x"] >= plot["x"] + plot["width"] for box in boxes)
    assert all(later - earlier >= 14 for earlier, later in itertools.pairwise(tops))


async def test_a_row_says_whether_it_strengthens_since_when_and_whether_the_model_agrees(
    gateway: GatewayProcess, core: Publisher, open_console: OpenConsole
) -> None:
    page = await open_console(gateway)
    targets = {"targets": [PREDICTION | {"p_break": 0.71, "p_bounce": 0.29}]}
    ten = 1765897200000  # 10:00 in New York
    for minute, (score, signal) in enumerate([(40.0, ""), (41.0, "REJECT"), (62.0, "REJECT")]):
        vwap = level("VWAP", 687.25, signal, break_score_smooth=score)
        await core.levels(minute, ts=ten + minute * 60_000, levels=[vwap], viewport=targets)
        await expect(row(page, "VWAP").locator(".score")).to_have_text(f"{score:.0f}")
        if minute == 0:
            await expect(row(page, "VWAP").locator(".since")).to_have_text("≤10:00")
            await expect(row(page, "VWAP").locator(".differs")).to_be_empty()
    await expect(row(page, "VWAP").locator(".since")).to_have_text("10:01")
    await expect(row(page, "VWAP").locator(".differs")).to_have_text("≠")
    await expect(row(page, "VWAP").locator(".tradeable")).to_have_text("70")
    await expect(row(page, "VWAP")).to_have_attribute("data-trend", "rising")
    await expect(row(page, "VWAP").locator(".spark path")).to_have_attribute("d", re.compile("^M.*M.*M"))
    await expect(page.get_by_role("option", name=re.compile("score rising, the model disagrees"))).to_be_visible()


async def test_what_to_look_at_first_reads_where_every_row_says_no_trade_and_half_of_them_swept(
    gateway: GatewayProcess, core: Publisher, open_console: OpenConsole
) -> None:
    page = await open_console(gateway)
    rows = [
        level(f"L{away}", 6900.0 + away, distance=float(abs(away)), break_score_smooth=50.0)
        | {"tape": {"sweep": {"detected": away % 2 == 0}}}
        for away in (-20, -9, -1, 4, 12, 30)
    ]
    await core.levels(1, spy={"spot": 6900.0}, levels=rows)
    first = page.get_by_role("list", name="What to look at first").get_by_role("button")
    await expect(first).to_have_count(1)
    await expect(first).to_have_text(re.compile("^1L-1 6899.00at spot$"))
    await expect(row(page, "L-1")).to_have_attribute("data-rank", "1")
    await expect(page.locator(".row[data-rank=quiet]")).to_have_count(5)
    rows[3] |= {"signal": "BREAK", "confidence": "HIGH"}
    await core.levels(2, spy={"spot": 6900.0}, levels=rows)
    await expect(first.first).to_have_text(re.compile("^1L4 6904.00BREAK, high · just changed$"))
    await page.keyboard.press("1")
    await expect(row(page, "L4")).to_have_attribute("aria-selected", "true")
    await core.levels(3, spy={"spot": 6950.0}, levels=[rows[0]])
    await expect(page.locator("#first")).to_have_text(re.compile("Nothing stands out"))


# -- the flow ----------------------------------------------------------------------------------------------------------


async def test_the_flow_is_added_up_by_strike_calls_against_puts(
    gateway: GatewayProcess, core: Publisher, open_console: OpenConsole
) -> None:
    page = await open_console(gateway)
    flow = {
        CALL: {"cumulative_volume": 1500, "cumulative_premium": 2e6},
        CALL.replace("251216", "251217"): {"cumulative_volume": 500},
        PUT: {"cumulative_volume": 80, "net_delta_flow": -12.0},
        "O:SPY251216P00687500": {"cumulative_volume": None},
        "nonsense": 7,
    }
    await core.publish(FLOW, flow)
    await expect(page.locator(".strike")).to_have_count(1)
    assert (await page.locator(".strike").inner_text()).split() == ["80", "688", "2.00k"]
    assert (await page.locator(".totals").inner_text()).split() == ["Puts", "80", "Put/call", "0.04", "Calls", "2.00k"]
    await page.keyboard.press("m")
    await expect(page.locator("#measure")).to_have_value("premium")
    assert (await page.locator(".strike").inner_text()).split() == ["0", "688", "2.00M"]


async def test_net_gamma_stands_about_zero_with_its_flip_and_over_time(
    gateway: GatewayProcess, core: Publisher, open_console: OpenConsole
) -> None:
    page = await open_console(gateway)
    gamma = {690: (5.0, 4.0), 689: (3.0, -1.0), 688: (-6.0, 2.0), 687: (-2.0, -3.0)}
    flow = {
        f"O:SPY251216{side}00{strike}000": {"net_gamma_flow": net}
        for strike, nets in gamma.items()
        for side, net in zip("CP", nets, strict=True)
    }
    await core.levels(1, spy={"spot": 688.5})
    await core.publish(FLOW, flow)
    await page.get_by_label("What is compared").select_option("gamma")
    shown = [(await each.inner_text()).split() for each in await page.locator(".strike").all()]
    assert shown == [["690", "9"], ["689", "2"], ["−4", "688"], ["−5", "687"]]  # noqa: RUF001
    await expect(page.locator(".flip-tag")).to_have_text("flips at 690")  # from -7 to 2, between 689 and 690
    await expect(page.locator(".totals .ratio")).to_have_text("Net 2")
    await expect(page.locator(".over-time")).to_contain_text("Net, flips at 690")
    await expect(page.locator(".over-time .line")).to_have_attribute("d", re.compile("^M"))
    assert await serious_faults(page) == []
    await page.get_by_label("What is compared").select_option("volume")
    await expect(page.locator(".flip-line")).to_be_hidden()


# -- freshness ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def simulator(nats_server: NatsServer, gateway: GatewayProcess) -> Iterator["subprocess.Popen[bytes]"]:
    """The simulated Core of `make demo`, after the gateway."""
    options = ["--nats-url", nats_server.url, "--rate", "4", "--start", "10:00"]
    process = subprocess.Popen(
        [sys.executable, "-m", "src.simulator.main", *options], cwd=BACKEND, stderr=subprocess.DEVNULL
    )
    yield process
    process.kill()
    process.wait()


async def test_the_simulated_market_moves(
    gateway: GatewayProcess, simulator: "subprocess.Popen[bytes]", open_console: OpenConsole
) -> None:
    page = await open_console(gateway)
    await expect(page.locator("#state")).not_to_have_text("CONNECTING")
    spot = await page.locator("#spot").inner_text()
    await expect(page.locator("#spot")).not_to_have_text(spot)
    await expect(page.locator("#feed-clock .number")).to_have_text(re.compile(r"10:0\d:\d\d$"))
    await expect(page.locator(".row")).not_to_have_count(0)
    await expect(page.locator(".strike")).not_to_have_count(0)
    await expect(page.locator("#chart")).to_have_attribute("data-points", re.compile(r"\d"))
    await expect(page.locator("#round-trip")).to_have_text(re.compile(r"\d+ ms"))
    await expect(page.locator("#frame-rate")).to_have_text(re.compile(r"^[^0]\d*\.\d/s"))


async def test_nats_stopped_shows_stale_on_the_whole_page_and_recovers(
    gateway: GatewayProcess, nats_server: NatsServer, core: Publisher, open_console: OpenConsole
) -> None:
    page = await open_console(gateway)
    async with alive(core, page):
        nats_server.kill()
    await expect(page.locator("#state")).to_have_text("STALE")
    await expect(page.locator("#frame-word")).to_have_text("STALE")
    await expect(page.locator("#reason")).to_have_text(re.compile("Do not trade on it"))
    await expect(page).to_have_title(re.compile("^STALE"))
    await expect(page.locator("#announcer")).to_have_text(re.compile("stale"))
    await expect(page.locator("#reason")).to_have_text(re.compile("The gateway is not connected to NATS"))
    nats_server.start()
    async with alive(core, page):
        pass
    await expect(page.locator("#frame-word")).to_have_text("")
    await expect(page).to_have_title("Spymaster")


SHOW = """
hidden => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}
"""


async def test_a_page_asks_for_what_it_shows_and_for_less_while_it_is_hidden(
    gateway: GatewayProcess, core: Publisher, open_console: OpenConsole
) -> None:
    page = await open_console(gateway)
    async with alive(core, page, spy={"spot": 687.5}):
        pass  # the socket that is listened to is that of the reloaded page
    asked: list[str] = []

    def remember(socket: WebSocket) -> None:
        asked.append(socket.url)
        socket.on("framesent", lambda text: asked.append(str(text)))

    page.on("websocket", remember)
    await page.reload()
    async with alive(core, page, spy={"spot": 687.5}):
        assert asked == [f"ws://127.0.0.1:{gateway.port}/ws/stream?sections=levels%2Cflow&status=1&events=1"]
        await page.evaluate(SHOW, True)
        await until(lambda: len(asked) == 2, "less is asked for")
        await page.evaluate(SHOW, False)
        await until(lambda: len(asked) == 3, "all is asked for again")
        assert asked[1:] == [
            '{"subscribe":{"sections":["levels","flow"],"rate":2,"status":true,"events":true}}',
            '{"subscribe":{"sections":["levels","flow"],"status":true,"events":true}}',
        ]
    async with alive(core, page, spy={"spot": 688.5}):
        await core.levels(10_000, spy={"spot": 688.5})
        await expect(page.locator("#spot")).to_have_text("688.50")


async def test_a_restarted_gateway_is_found_again(
    gateway: GatewayProcess, make_gateway: LaunchGateway, core: Publisher, open_console: OpenConsole
) -> None:
    page = await open_console(gateway)
    async with alive(core, page, spy={"spot": 687.5}):
        assert gateway.stop() == 0
        await expect(page.locator("#state")).to_have_text("GATEWAY GONE")
        await expect(page.locator("#spot")).to_have_text("687.50")
    make_gateway(GATEWAY_PORT=str(gateway.port), GATEWAY_MARKET="24x7").start()
    async with alive(core, page, spy={"spot": 688.5}):
        await expect(page.locator("#spot")).to_have_text("688.50")


async def test_a_killed_gateway_is_gone_with_the_age_of_the_prices_until_another_is_there(
    gateway: GatewayProcess, make_gateway: LaunchGateway, core: Publisher, open_console: OpenConsole
) -> None:
    page = await open_console(gateway)
    async with alive(core, page, spy={"spot": 687.5}):
        gateway.kill()
        await expect(page.locator("html")).to_have_attribute("data-state", "gone")
    await expect(page.locator("#state")).to_have_text("GATEWAY GONE")
    await expect(page.locator("#frame-word")).to_have_text("NO GATEWAY")
    old = r"^Prices are [\d.]+ s old\. Do not trade on them\. The gateway does not answer\. Connecting to the gateway…$"
    await expect(page.locator("#reason")).to_have_text(re.compile(old))
    await expect(page).to_have_title("GATEWAY GONE – Spymaster")  # noqa: RUF001
    await expect(page.locator("#spot")).to_have_text("687.50")
    await keep_picture(page, "gateway killed")
    make_gateway(GATEWAY_PORT=str(gateway.port), GATEWAY_MARKET="24x7").start()
    async with alive(core, page, spy={"spot": 688.5}):
        await expect(page.locator("#frame-word")).to_be_empty()


async def test_a_killed_gateway_is_no_alarm_while_prices_are_as_fresh_as_they_may_be(
    gateway: GatewayProcess, core: Publisher, open_console: OpenConsole
) -> None:
    await core.levels(1, ts=now_ms())  # one alone: Core may be a slow one
    page = await open_console(gateway)
    await expect(page.locator("#state")).to_have_text("LIVE")
    gateway.kill()
    await expect(page.locator("#state")).to_have_text("CONNECTING")
    await expect(page.locator("#frame-word")).to_be_empty()
    await expect(page.locator("#reason")).to_have_text(re.compile(r"^What you see is [\d.]+ s old\. "))
    await keep_picture(page, "gateway killed, prices fresh")
    await expect(page.locator("#state")).to_have_text("GATEWAY GONE")


async def test_a_page_whose_origin_is_refused_says_so_and_names_the_setting(
    make_gateway: LaunchGateway, core: Publisher, open_console: OpenConsole, tmp_path: Path
) -> None:
    """It comes through an nginx that tells the gateway another host, as nginx does by default."""
    if shutil.which("nginx") is None and not os.environ.get("CI"):
        pytest.skip("nginx is not installed; .ci/run installs it")
    gateway = make_gateway(GATEWAY_MARKET="24x7", GATEWAY_ALLOWED_ORIGINS="https://desk.example.org").start()
    await core.levels(1, spy={"spot": 687.5})
    with behind(("nginx",), gateway.port, tmp_path / "nginx", "$proxy_host") as port:
        page = await open_console(gateway, port=port)
        await expect(page.locator("html")).to_have_attribute("data-state", "closed")
        await expect(page.locator("#state")).to_have_text("DISCONNECTED")
        await expect(page.locator("#reason")).to_contain_text(
            "A page of this origin may not connect; add the origin to GATEWAY_ALLOWED_ORIGINS."
        )
        await expect(page.locator("#spot")).to_have_text("–")  # noqa: RUF001
        await keep_picture(page, "origin refused")
    assert f"http://127.0.0.1:{port}" in gateway.stderr
    direct = await open_console(gateway)
    await expect(direct.locator("#spot")).to_have_text("687.50")


async def test_a_gateway_that_wants_a_token_is_given_the_one_that_was_typed_in(
    make_gateway: LaunchGateway, core: Publisher, open_console: OpenConsole, tmp_path: Path
) -> None:
    (tmp_path / "tokens").write_text("a-token-of-a-desk desk\n")
    gateway = make_gateway(GATEWAY_AUTH="token", GATEWAY_TOKENS_FILE=str(tmp_path / "tokens")).start()
    await core.levels(1, spy={"spot": 687.5})
    page = await open_console(gateway)
    await page.get_by_label("Token", exact=True).fill("another-token-than-that")
    await page.get_by_role("button", name="Connect").click()
    await expect(page.get_by_text("did not take that one")).to_be_visible()
    await expect(page.locator("#spot")).to_have_text("–")  # noqa: RUF001
    await page.get_by_label("Token", exact=True).fill("a-token-of-a-desk")
    await page.get_by_role("button", name="Connect").click()
    await expect(page.locator("#spot")).to_have_text("687.50")
    await page.reload()
    await expect(page.locator("#spot")).to_have_text("687.50")
    assert "a-token-of-a-desk" not in gateway.stderr + page.url


BAD = {
    "no JSON": b"{",
    "no object": b"[1]",
    "levels that are none": b'{"ts": 1, "levels": 7}',
    "nested without end": b"[" * 5000,
    "too large": b'{"ts": 1, "levels": [], "x": "' + b"x" * 900_000,
}


async def test_a_poisoned_message_changes_nothing(
    gateway: GatewayProcess, core: Publisher, open_console: OpenConsole
) -> None:
    page = await open_console(gateway)
    await core.levels(1, levels=[level("VWAP", 687.25, "BREAK"), level("HIGH", 688.0)])
    await core.publish(FLOW, {CALL: {"cumulative_volume": 1}})
    await expect(page.locator(".row")).to_have_count(2)
    await expect(page.locator(".strike")).to_have_count(1)
    await expect(page.locator("#chart")).to_have_attribute("data-points", "1")
    before = await page.locator("main").text_content()
    for poison in BAD.values():
        await core.publish(LEVELS, poison)
        await core.publish(FLOW, poison)
    await core.publish(FLOW, {CALL: {"cumulative_volume": 2}})
    await expect(page.locator(".strike .amount").last).to_have_text("2")
    await core.publish(FLOW, {CALL: {"cumulative_volume": 1}})
    await expect(page.locator(".strike .amount").last).to_have_text("1")
    assert await page.locator("main").text_content() == before


async def test_what_core_says_is_text_and_never_markup(
    gateway: GatewayProcess, core: Publisher, open_console: OpenConsole
) -> None:
    page = await open_console(gateway)
    markup = "<img src=x onerror=alert(1)>"
    await core.levels(1, levels=[level(markup, 687.0, note=markup, signal=markup, confidence=markup, direction=markup)])
    await page.locator(".row").click()
    await expect(page.locator("#sheet [data-field=note]")).to_have_text(markup)
    assert await page.locator("img").count() == 0


# -- everybody, everywhere ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["dark", "light"])
async def test_axe_finds_no_serious_fault(
    gateway: GatewayProcess, core: Publisher, open_console: OpenConsole, scheme: str
) -> None:
    levels = [level("VWAP", 687.25, "REJECT"), level("LOW", 687.0, "BREAK"), level("HIGH", 688.0)]
    page = await open_console(gateway, scheme)
    await core.levels(1, ts=now_ms(), levels=levels, viewport={"targets": [PREDICTION]})
    await core.publish(FLOW, {CALL: {"cumulative_volume": 1500}, PUT: {"cumulative_volume": 80}})
    await expect(page.locator(".row")).to_have_count(3)
    await expect(page.locator(".strike")).to_have_count(1)
    assert await serious_faults(page) == []
    await core.levels(2, ts=now_ms() - 20_000, levels=levels, viewport={"targets": [PREDICTION]})
    await expect(page.locator("#state")).to_have_text("STALE")
    assert await serious_faults(page) == []
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await expect(page.locator("#sheet h2")).to_be_visible()
    assert await serious_faults(page) == []
    await page.keyboard.press("?")
    assert await serious_faults(page) == []


async def serious_faults(page: Page, everything: bool = False) -> list[Any]:
    """Rule, and where, of each fault that axe calls serious or critical, or of all."""
    await page.evaluate(AXE.read_text())  # by the debugger, which the page's policy does not bind
    violations = (await page.evaluate("axe.run(document, {resultTypes: ['violations']})"))["violations"]
    serious = [each for each in violations if everything or each["impact"] in ("serious", "critical")]
    return [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in serious]


@pytest.mark.parametrize(
    "size", [PHONE, ON_ITS_SIDE, (768, 1024), (1280, 800), DESK, (2560, 1440)], ids=lambda size: f"{size[0]} wide"
)
async def test_nothing_is_cut_off_at_any_width(
    gateway: GatewayProcess, core: Publisher, open_console: OpenConsole, size: tuple[int, int]
) -> None:
    page = await open_console(gateway, size=size)
    long = level("VWAP", 6187.25, "NEUTRAL", confidence="MEDIUM", confluence_level_name="MODERATE", distance=12.25)
    long |= {"confluence_count": 7, "tape": {"sweep": {"detected": True}}}
    await core.levels(1, spy={"spot": 6187.5}, levels=[long], viewport={"targets": [PREDICTION]})
    await expect(row(page, "VWAP")).to_be_visible()
    wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not await page.evaluate(wide)
    cells = "[...row.querySelectorAll('[aria-hidden]')]"
    cut = f"row => {cells}.filter(each => each.scrollWidth > each.clientWidth + 1).map(each => each.className)"
    assert await row(page, "VWAP").evaluate(cut) == []


async def overlap(page: Page, one: str, other: str) -> bool:
    """Whether any pixel belongs to both elements."""
    boxes = [await page.locator(each).bounding_box() for each in (one, other)]
    first, second = boxes
    assert first is not None, f"{one} is on the page"
    assert second is not None, f"{other} is on the page"
    beside = first["x"] >= second["x"] + second["width"] or second["x"] >= first["x"] + first["width"]
    return not beside and first["y"] < second["y"] + second["height"] and second["y"] < first["y"] + first["height"]


@pytest.mark.parametrize("size", [(1280, 720), DESK, (2560, 1440)], ids=lambda size: f"{size[0]} wide")
async def test_every_field_of_a_level_is_shown_beside_everything_else(
    gateway: GatewayProcess, core: Publisher, open_console: OpenConsole, size: tuple[int, int]
) -> None:
    page = await open_console(gateway, size=size)
    await core.levels(1, levels=[level("VWAP", 687.25), level("HIGH", 688.0)], viewport={"targets": [PREDICTION]})
    await row(page, "VWAP").click()
    await settled(page)
    for part in ("#chart", "#strikes", "#tape", "#ladder"):
        assert not await overlap(page, "#sheet", part), part
    body = page.locator(".sheet-body")
    assert not await body.evaluate("each => each.scrollWidth > each.clientWidth"), "fields go on downwards"
    await expect(row(page, "VWAP")).to_be_in_viewport()
    assert await serious_faults(page) == []


@pytest.mark.parametrize("size", [(768, 1024), (1280, 800), DESK], ids=lambda size: f"{size[0]} wide")
async def test_each_column_has_its_head(
    gateway: GatewayProcess, core: Publisher, open_console: OpenConsole, size: tuple[int, int]
) -> None:
    page = await open_console(gateway, size=size)
    await core.levels(1, levels=[level("VWAP", 687.25)], viewport={"targets": [PREDICTION]})
    await expect(row(page, "VWAP")).to_be_visible()
    for name in ("distance", "score", "spark", "signal", "since", "model", "tradeable"):
        head, cell = page.locator(f".heads > .{name}"), row(page, "VWAP").locator(f".{name}").first
        await expect(head).to_be_visible()
        above, below = await head.bounding_box(), await cell.bounding_box()
        assert above is not None
        assert below is not None
        assert abs(above["x"] - below["x"]) < 2, name


async def test_a_large_window_has_larger_text(
    gateway: GatewayProcess, core: Publisher, open_console: OpenConsole
) -> None:
    page = await open_console(gateway)
    await core.levels(1, levels=[level("VWAP", 687.25), level("LOW", 687.2)])
    await expect(row(page, "VWAP")).to_be_visible()
    size = "each => parseFloat(getComputedStyle(each).fontSize)"
    assert await row(page, "VWAP").evaluate(size) == 13
    await page.set_viewport_size({"width": 2560, "height": 1440})
    await expect(row(page, "VWAP")).to_have_css("height", "40px")
    assert await row(page, "VWAP").evaluate(size) == 16.25
    await settled(page)
    assert not await overlap(page, "[id='level-VWAP']", "[id='level-LOW']"), "rows keep their distance"


async def test_a_phone_on_its_side_has_levels_beside_the_chart_and_nothing_collides(
    gateway: GatewayProcess, core: Publisher, open_console: OpenConsole
) -> None:
    page = await open_console(gateway, size=ON_ITS_SIDE)
    await core.levels(1, spy={"spot": 6900.0}, levels=[level("VWAP", 6900.25)], ts=now_ms() - 60_000)
    await expect(page.locator("#reason")).to_contain_text("old")
    for one, other in itertools.combinations(("#spot", ".tools", "#state", "#reason"), 2):
        assert not await overlap(page, one, other), (one, other)
    await expect(row(page, "VWAP").locator(".rank")).to_have_text("1")
    rank, its_row = await row(page, "VWAP").locator(".rank").bounding_box(), await row(page, "VWAP").bounding_box()
    assert rank is not None
    assert its_row is not None
    assert rank["x"] >= its_row["x"], "a row shows nothing outside of itself"
    await expect(page.locator("#ladder")).to_be_in_viewport(ratio=0.9)
    await expect(page.locator("#chart")).to_be_in_viewport(ratio=0.9)
    await row(page, "VWAP").click()
    await settled(page)
    assert not await overlap(page, "#sheet", "#ladder")


async def test_a_flash_covers_nothing_of_the_row_that_it_announces(
    gateway: GatewayProcess, core: Publisher, open_console: OpenConsole
) -> None:
    page = await open_console(gateway)
    await core.levels(1, levels=[level("VWAP", 687.25)])
    await expect(row(page, "VWAP")).to_be_visible()
    await core.levels(2, levels=[level("VWAP", 687.25, "BREAK")])
    await expect(row(page, "VWAP")).to_have_class(re.compile("flipped"))
    drawn = "each => getComputedStyle(each, '::after').backgroundColor"
    assert await row(page, "VWAP").evaluate(drawn) == "rgba(0, 0, 0, 0)"


@pytest.mark.parametrize("scheme", ["dark", "light"])
async def test_axe_finds_nothing_at_any_width_with_a_level_a_filter_or_net_gamma_shown(
    gateway: GatewayProcess, core: Publisher, open_console: OpenConsole, scheme: str
) -> None:
    page = await open_console(gateway, scheme)
    levels = [level("VWAP", 687.25, "REJECT"), level("LOW", 687.0, "BREAK"), level("HIGH", 700.0, distance=12.5)]
    await core.levels(1, ts=now_ms(), levels=levels, viewport={"targets": [PREDICTION]})
    await core.publish(FLOW, {CALL: {"net_gamma_flow": 1500}, PUT.replace("688", "687"): {"net_gamma_flow": -2000}})
    await page.get_by_label("What is compared").select_option("gamma")
    await expect(row(page, "VWAP")).to_be_visible()
    await page.keyboard.press("j")
    for width, height in (PHONE, ON_ITS_SIDE, (768, 1024), (1280, 800), (2560, 1440)):
        await page.set_viewport_size({"width": width, "height": height})
        for key in ("Enter", "f", "Escape", "Escape"):
            await page.keyboard.press(key)
            assert await serious_faults(page, everything=True) == [], (width, key)
