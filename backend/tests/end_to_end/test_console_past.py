"""The past on the console: the session so far, and what happened, of a gateway that keeps its history."""

import re
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import Page, Route, expect

from tests.browser import keep_picture
from tests.conftest import LaunchGateway
from tests.end_to_end.crafted_gateway import now_ms
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import FLOW, Publisher
from tests.end_to_end.test_console import SHOW, OpenConsole, level, open_console, row, serious_faults, settled
from tests.waiting import until

__all__ = ["open_console"]  # a fixture
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

STEP_MS = 10_000
GAP_FROM, GAP_TO = 60, 90  # of the messages below, those that are missing
LAST = 150


@pytest.fixture
def gateway(make_gateway: LaunchGateway) -> GatewayProcess:
    """One that keeps its history, and whose market never closes."""
    return make_gateway(GATEWAY_MARKET="24x7", GATEWAY_HISTORY="on").start()


def new_york(at_ms: int) -> str:
    """The time of day there, as the page writes it in short."""
    return datetime.fromtimestamp(at_ms / 1000, ZoneInfo("America/New_York")).strftime("%H:%M")


def begun_ms() -> int:
    """The time of the first message, so that the last one is of now."""
    return now_ms() - LAST * STEP_MS


async def publish_past(core: Publisher, from_ms: int) -> None:
    """A session with a gap of five minutes, and a level that calls for a break at message 100."""
    for number in (*range(GAP_FROM), *range(GAP_TO, LAST)):
        await core.levels(1, ts=from_ms + number * STEP_MS, **market(number))


def market(number: int) -> dict[str, Any]:
    spot = (700.0 if number < GAP_FROM else 690.0) + number / 100
    signal = "BREAK" if 100 <= number < 106 else "NEUTRAL"
    vwap = level("VWAP", 690.5, signal, break_score_smooth=72.4, confidence="HIGH", distance=1.0)
    gone = [level("GONE", 695.0)] if number < GAP_FROM else []
    return {"spy": {"spot": spot}, "levels": [vwap, *gone]}


async def publish_flow(core: Publisher, from_ms: int) -> None:
    """Beside that session, until ten minutes before its end: a flow has the time of its trades where they are old."""
    for number in (*range(GAP_FROM), *range(GAP_TO, LAST - 60)):
        await core.publish(FLOW, flow(number, last_timestamp=from_ms + number * STEP_MS))


def flow(number: int, **further: Any) -> dict[str, Any]:
    return {"O:SPY251216C00690000": {"cumulative_volume": 1_000 + number, "cumulative_premium": 7, **further}}


async def until_read(gateway: GatewayProcess) -> None:
    await until_signals(gateway, 2)


async def until_signals(gateway: GatewayProcess, count: int) -> None:
    def is_read() -> bool:
        answer = gateway.get("/events?kinds=signal")
        return answer.status == 200 and len(answer.json["events"]) == count

    await until(is_read, "the gateway has read the session")


async def bars_of(gateway: GatewayProcess) -> int:
    """How many bars the session has, as the gateway says."""
    return len([each for each in gateway.get("/history?fields=spot").json["spy"]["close"] if each is not None])


SPOT_IN_THE_MIDDLE = """
shown => {
    const canvas = document.querySelector("#chart canvas");
    const { width, height } = canvas;
    const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    copy.drawImage(canvas, 0, 0);
    const { data } = copy.getImageData(Math.round(width * shown), 0, 1, height);
    const rows = [...Array(height).keys()];
    return rows.filter(y => data[4 * y] > 200 && data[4 * y + 1] > 200 && data[4 * y + 2] > 200).length;
}
"""


async def test_a_page_opens_on_the_session_so_far_and_grows_without_a_seam(
    gateway: GatewayProcess, core: Publisher, open_console: OpenConsole
) -> None:
    await publish_past(core, begun_ms())
    await until_read(gateway)
    bars = await bars_of(gateway)
    page = await open_console(gateway)
    chart = page.locator("#chart")
    await expect(chart).to_have_attribute("data-points", str(bars))
    await expect(page.locator("#chart-progress")).to_be_empty()
    ts = now_ms() + 240_000  # a bar of its own: those of a day are 120 s long
    for each in (ts, ts + 1):
        await core.levels(2, ts=each, **market(LAST))
        await expect(chart).to_have_attribute("data-drawn", str(each))
        await expect(chart).to_have_attribute("data-points", str(bars + 1))
    await page.reload()
    await expect(chart).to_have_attribute("data-points", str(bars + 1))


async def test_a_gap_is_a_gap_and_hover_tells_what_was_so_then(
    gateway: GatewayProcess, core: Publisher, open_console: OpenConsole
) -> None:
    await publish_past(core, begun_ms())
    await until_read(gateway)
    page = await open_console(gateway)
    await page.keyboard.press("s")
    await expect(page.locator("#chart")).to_have_attribute("data-points", str(LAST - (GAP_TO - GAP_FROM)))
    in_gap, in_session = (GAP_FROM + GAP_TO) / 2 / LAST / 1.02, 103 / LAST / 1.02
    dotted = 2  # pixels of the line of the newest price
    await settled(page)
    assert await page.evaluate(SPOT_IN_THE_MIDDLE, in_session) > 0
    assert await page.evaluate(SPOT_IN_THE_MIDDLE, in_gap) <= dotted
    box = await page.locator("#chart canvas").first.bounding_box()
    assert box is not None
    await page.locator("#chart .plot").hover(position={"x": box["width"] * in_session, "y": box["height"] / 2})
    hover = page.locator("#chart .hover")
    await expect(hover).to_be_visible()
    prices = "".join(rf"{name} 691\.\d\d" for name in "OHLC")
    await expect(hover).to_have_text(re.compile(rf"^\d\d:\d\d:\d\d{prices}690.50VWAP72BREAK"))
    await page.locator("#chart .plot").hover(position={"x": box["width"] * in_gap, "y": box["height"] / 2})
    await expect(hover).to_have_text(re.compile(r"^\d\d:\d\d:\d\d no spot$"))


async def test_the_chart_shows_an_hour_or_candles_and_the_browser_keeps_that(
    gateway: GatewayProcess, core: Publisher, open_console: OpenConsole
) -> None:
    await publish_past(core, begun_ms())
    await until_read(gateway)
    page = await open_console(gateway)
    chart = page.locator("#chart")
    await expect(chart).to_have_attribute("data-points", str(await bars_of(gateway)))
    await page.keyboard.press("s")
    await expect(page.get_by_label("How much of the past the chart shows")).to_have_value("hour")
    await expect(chart).to_have_attribute("data-points", str(LAST - (GAP_TO - GAP_FROM)))
    await expect(chart).to_have_attribute("data-step", "5")
    await page.keyboard.press("l")
    await expect(chart).not_to_have_attribute("data-step", "5")  # longer ones, so that each is seen
    assert await serious_faults(page) == []
    await page.reload()
    await expect(page.get_by_label("How much of the past the chart shows")).to_have_value("hour")
    await expect(page.get_by_label("How the chart shows spot")).to_have_value("candles")
    await expect(chart).to_have_attribute("data-points", str(LAST - (GAP_TO - GAP_FROM)))


async def test_the_flow_over_time_is_that_of_the_session_and_goes_on_with_what_the_page_sees(
    gateway: GatewayProcess, core: Publisher, open_console: OpenConsole
) -> None:
    from_ms = begun_ms()
    await publish_past(core, from_ms)
    await publish_flow(core, from_ms)
    await core.publish(FLOW, flow(5_000))
    await until_read(gateway)
    told = gateway.get("/history?fields=flow").json
    volumes = told["flow"]["call_volume"]
    first = next(at for at, volume in enumerate(volumes) if volume is not None)
    page = await open_console(gateway)
    line, words = page.locator(".over-time .line"), page.locator(".over-time")
    since = new_york(told["from_ms"] + (first + 1) * told["step_ms"] - 1)
    await expect(words).to_contain_text(f"Calls − puts\nsince {since}", use_inner_text=True)  # noqa: RUF001
    await expect(words.locator(".high")).to_have_text("6.00k")
    path = await line.get_attribute("d")
    assert path is not None
    seen = len(re.findall("[ML]", path)) - len([each for each in volumes if each is not None])
    assert seen in (0, 1), "where a step is short, what the page sees comes after the last one"
    assert path.count("M") > 1, "the gap is a gap"
    await core.levels(1, ts=now_ms() + 240_000, **market(LAST))
    await core.publish(FLOW, flow(9_000))
    await expect(words.locator(".high")).to_have_text(re.compile(r"^10\.0+k$"))
    await keep_picture(page, "past-flow")
    await page.reload()
    await expect(words).to_contain_text(f"since {since}")


async def test_a_row_says_at_once_since_when_it_has_its_signal_and_how_its_score_was(
    gateway: GatewayProcess, core: Publisher, open_console: OpenConsole
) -> None:
    from_ms = begun_ms()
    await publish_past(core, from_ms)
    await until_read(gateway)
    page = await open_console(gateway)
    vwap = row(page, "VWAP")
    await expect(vwap.locator(".since")).to_have_text(new_york(from_ms + 106 * STEP_MS))  # when BREAK ended
    await expect(vwap.locator(".spark path")).to_have_attribute("d", re.compile(r"^M[^M]*(L[^M]*){12,}"))
    await core.levels(1, **market(LAST) | {"ts": now_ms(), "levels": [level("VWAP", 690.5, "BREAK")]})
    await expect(vwap.locator(".signal")).to_have_text("BREAK")
    await until_signals(gateway, 3)
    await page.reload()
    await expect(vwap.locator(".signal")).to_have_text("BREAK")
    await expect(vwap.locator(".since")).to_have_text(re.compile(r"^\d\d:\d\d$"))


async def test_a_signal_of_the_past_says_what_became_of_it_and_is_apart_from_the_rest(
    gateway: GatewayProcess, core: Publisher, open_console: OpenConsole
) -> None:
    await publish_past(core, begun_ms())
    await until_read(gateway)
    page = await open_console(gateway)
    signals, rest = page.locator("#tape li"), page.locator("#rest li")
    await expect(signals).to_have_count(1)
    await expect(signals.locator(".what")).to_have_text("→ BREAK")
    await expect(signals.locator(".level")).to_have_text("690.50 VWAP")
    await expect(signals.locator(".facts")).to_have_text(re.compile(r"^\d\d:\d\d for 60 s · score 72 · spot 691\.00$"))
    await expect(signals.locator(".moves")).to_have_text(re.compile(r"^1 min \+0\.\d\d · 5 min \+0\.\d\d$"))
    await page.get_by_role("button", name="All else").click()
    await expect(signals).to_be_hidden()
    await expect(rest.filter(has_text="went")).to_have_count(1)
    await page.locator("#tape-kinds summary").click()
    await page.get_by_label("Levels that came or went").uncheck()
    await expect(rest.filter(has_text="went")).to_have_count(0)
    assert await serious_faults(page) == []
    await page.reload()
    await expect(page.get_by_role("button", name="All else")).to_have_attribute("aria-pressed", "true")
    await expect(page.locator("#tape li")).to_have_count(1)
    await expect(rest.filter(has_text="went")).to_have_count(0)


async def test_a_signal_that_lived_for_one_message_while_the_page_was_hidden_is_in_the_list(
    gateway: GatewayProcess, core: Publisher, open_console: OpenConsole
) -> None:
    page = await open_console(gateway)
    await core.levels(1, ts=now_ms(), levels=[level("VWAP", 690.5)])
    await expect(page.locator(".row")).to_have_count(1)
    await page.evaluate(SHOW, True)
    for signal in ("BREAK", "NEUTRAL"):
        await core.levels(1, ts=now_ms(), levels=[level("VWAP", 690.5, signal)])
    await core.levels(1, ts=now_ms(), levels=[level("VWAP", 690.75)])
    await page.evaluate(SHOW, False)
    for _ in range(50):  # frames go on
        await core.levels(1, ts=now_ms(), levels=[level("VWAP", 690.75)])
        if await page.locator("#tape li").count() > 0:
            break
        await page.evaluate("new Promise(done => setTimeout(done, 100))")
    await expect(page.locator("#tape li .what")).to_have_text("→ BREAK")


async def test_the_page_says_how_far_the_session_is_read_and_asks_until_it_is(
    gateway: GatewayProcess, core: Publisher, open_console: OpenConsole
) -> None:
    """The answers before the last are those of a gateway that has just begun to read."""
    await publish_past(core, begun_ms())
    await until_read(gateway)
    page = await open_console(gateway)
    await expect(page.locator("#chart-progress")).to_be_empty()
    answers = [503, 503, 200]

    async def begin(route: Route) -> None:
        status = answers.pop(0) if answers else None
        if status is None:
            await route.continue_()
        elif status == 503:
            await route.fulfill(status=503, json={"detail": "not yet"})
        else:
            answer = await (await route.fetch()).json()
            await route.fulfill(json={**answer, "complete": False})

    await page.route(re.compile(r"/history\?.*fields=spot%2Clevels"), begin)
    await page.reload()
    await expect(page.locator("#chart-progress")).to_have_text("the session so far is not there yet")
    read = re.compile(r"^the session is being read: back to \d\d:\d\d$")
    await expect(page.locator("#chart-progress")).to_have_text(read)
    await expect(page.locator("#chart-progress")).to_be_empty()
    assert answers == []


async def test_a_replay_shows_nothing_of_what_came_after_the_moment(
    gateway: GatewayProcess, core: Publisher, open_console: OpenConsole
) -> None:
    from_ms = begun_ms() // 1_000 * 1_000  # the time line has whole seconds
    await publish_past(core, from_ms)
    await publish_flow(core, from_ms)
    await core.publish(FLOW, flow(5_000))
    await until_read(gateway)
    page = await open_console(gateway)
    signals, chart = page.locator("#tape li"), page.locator("#chart")
    await expect(signals).to_have_count(1)
    await look_back(page)
    await expect(signals).to_have_count(0)
    await expect(page.locator("#no-signals")).to_be_visible()
    await page.get_by_role("button", name="All else").click()
    await expect(page.locator("#rest li")).to_have_count(1)  # a level went long before
    await page.get_by_role("button", name="Signals", exact=True).click()
    await expect(page.locator(".over-time .high")).to_have_text("1.06k")  # and not that of the present
    await step_to(page, 103)
    await expect(signals.locator(".facts")).to_have_text(re.compile(r"^since \d\d:\d\d · score 72 · spot 691\.00$"))
    await expect(signals.locator(".moves")).to_be_empty()
    await expect(row(page, "VWAP").locator(".since")).to_have_text(new_york(from_ms + 100 * STEP_MS))
    await settled(page)
    canvas = page.locator("#chart canvas").first
    box = await canvas.bounding_box()
    assert box is not None
    closes: list[str] = []
    for each in range(60, 100):
        await page.locator("#chart .plot").hover(position={"x": box["width"] * each / 100, "y": box["height"] / 2})
        closes += re.findall(r"C (\d+\.\d\d)", await page.locator("#chart .hover").text_content() or "")
    assert spot_of(100) <= closes[-1] <= spot_of(103), "the newest price is that of the moment, or of a bar beside it"
    await keep_picture(page, "past-replay")
    assert await serious_faults(page) == []
    await step_to(page, 107)
    await expect(signals.locator(".facts")).to_have_text(re.compile(r"^\d\d:\d\d for 60 s"))
    await expect(signals.locator(".moves")).to_have_text(re.compile(r"^1 min \+0\.\d\d$"))
    await page.keyboard.press("Shift+ArrowLeft")
    await expect(signals).to_have_count(0)
    await page.keyboard.press("n")
    await expect(page.locator("html")).not_to_have_attribute("data-state", "past")
    await expect(signals.locator(".moves")).to_have_text(re.compile(r"^1 min \+0\.\d\d · 5 min \+0\.\d\d$"))
    await expect(chart).to_have_attribute("data-points", str(await bars_of(gateway)))
    await expect(page.locator(".over-time .high")).to_have_text("6.00k")


async def test_the_span_that_is_chosen_is_shown_in_a_replay_too(
    gateway: GatewayProcess, core: Publisher, open_console: OpenConsole
) -> None:
    from_ms = begun_ms() // 1_000 * 1_000
    await publish_past(core, from_ms)
    await until_read(gateway)
    page = await open_console(gateway)
    chart, span = page.locator("#chart"), page.get_by_label("How much of the past the chart shows")
    await expect(chart).to_have_attribute("data-points", str(await bars_of(gateway)))
    await page.keyboard.press("s")
    await page.keyboard.press("s")
    await expect(chart).to_have_attribute("data-step", "1")
    await look_back(page)
    await step_to(page, 95)
    await expect(span).to_have_value("quarter")
    await expect(chart).to_have_attribute("data-step", "1")
    await page.keyboard.press("s")
    await expect(span).to_have_value("session")
    await expect(chart).not_to_have_attribute("data-step", "1")
    await page.keyboard.press("s")
    await expect(chart).to_have_attribute("data-step", "5")
    whole = [each for each in range(95 + 1) if not GAP_FROM <= each < GAP_TO]
    await expect(chart).to_have_attribute("data-points", str(len(whole)))
    await page.keyboard.press("s")
    await expect(chart).to_have_attribute("data-step", "1")
    quarter = [each for each in whole if each >= 95 - 90]
    await expect(chart).to_have_attribute("data-points", str(len(quarter)))


def spot_of(number: int) -> str:
    return f"{market(number)['spy']['spot']:.2f}"


async def look_back(page: Page) -> None:
    """To a replay that stands still at the first message after the gap."""
    await page.keyboard.press("Space")
    await expect(page.locator("html")).to_have_attribute("data-state", "past")
    await page.keyboard.press("Shift+ArrowLeft")
    await expect(page.locator("#spot")).to_have_text(spot_of(GAP_FROM - 1))
    await page.keyboard.press("ArrowRight")
    await expect(page.locator("#spot")).to_have_text(spot_of(GAP_TO))


async def step_to(page: Page, number: int) -> None:
    """Message by message, in a replay that stands still."""
    await page.locator(".handle").focus()
    shown = round((float(await page.locator("#spot").inner_text()) - 690) * 100)
    for each in range(shown + 1, number + 1):
        await page.keyboard.press("ArrowRight")
        await expect(page.locator("#spot")).to_have_text(spot_of(each))


async def test_without_a_history_the_page_shows_what_it_saw_itself(
    make_gateway: LaunchGateway, core: Publisher, open_console: OpenConsole
) -> None:
    gateway = make_gateway(GATEWAY_MARKET="24x7").start()
    from_ms = begun_ms()
    await core.levels(1, ts=from_ms, **market(99))
    page = await open_console(gateway)
    await expect(page.locator("#chart")).to_have_attribute("data-drawn", str(from_ms))
    for number, ts in enumerate((from_ms + 60_000, from_ms + 120_000), 100):
        await core.levels(1, ts=ts, **market(number))
        await expect(page.locator("#chart")).to_have_attribute("data-drawn", str(ts))
    await expect(page.locator("#chart")).to_have_attribute("data-points", "3")
    await expect(page.locator("#chart-progress")).to_be_empty()
    await expect(page.locator("#tape li .what")).to_have_text("→ BREAK")
    since = re.compile(r"^since \d\d:\d\d · score 72 · spot 691\.00$")
    await expect(page.locator("#tape li .facts")).to_have_text(since)
