"""No value of a valid frame breaks the page: frames of extreme numbers, texts and counts, in a real Chromium."""

import json
import random
from typing import Any

import pytest
from jsonschema import Draft7Validator
from playwright.async_api import Browser, Page, expect

from tests.browser import Complaints
from tests.documents import ROOT
from tests.end_to_end.crafted_gateway import CraftedGateway, market_now, now_ms, section, status

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

SCHEMA = Draft7Validator(json.loads((ROOT / "docs/contract/payload.schema.json").read_text()))
PASSED_ON = {"minimum", "maximum"}  # ranges are Core's promise; the gateway passes on what Core sends
FRAMES = 25  # of each seed
NUMBERS = [0.0, -0.0, 1e-320, 1e-9, -1e-9, 0.5, 687.25, -687.25, 6926.0, 99999.995, 1e9, 1e12, -1e15, 1e15, 2.0**53]
NUMBERS += [1e21, -1e21, 1e100, 1.7976931348623157e308, -1.7976931348623157e308]
COUNTS = [0, 1, 7, 10**6, 2**53, 10**18]
TEXTS = [
    "",
    " ",
    "VWAP",
    "A B",
    "constructor",
    "__proto__",
    "toString",
    "BREAK",
    "UP",
    "é ✓",
    "\u202e\u0000\ud83d\ude00",
    "<b>",
]
TEXTS += ["x" * 5_000, "_" * 300, "9" * 400, '"\\']
SIZES = [0, 1, 2, 9, 40, 150, 600]


def number(dice: random.Random) -> float:
    return dice.choice(NUMBERS) if dice.random() < 0.6 else dice.uniform(-1, 1) * 10 ** dice.uniform(-12, 300)


def text(dice: random.Random) -> str:
    return dice.choice(TEXTS)


def anything(dice: random.Random, depth: int = 3) -> Any:
    """Any JSON, as Core may put it where the contract relays what it says."""
    if depth and dice.random() < 0.4:
        return {text(dice)[:60]: anything(dice, depth - 1) for _ in range(dice.randrange(4))}
    return dice.choice([None, True, number(dice), text(dice), [number(dice)], []])


def odd_value(usual: Any, dice: random.Random) -> Any:
    """Another value of the same type."""
    match usual:
        case bool():
            return dice.random() < 0.5
        case int():
            return dice.choice(COUNTS)
        case float():
            return number(dice)
        case _:
            return text(dice)


def odd_level(usual: dict[str, Any], dice: random.Random) -> dict[str, Any]:
    level = {name: odd_value(value, dice) for name, value in usual.items() if name != "ml_predictions"}
    if dice.random() < 0.5:
        level["ml_predictions"] = {
            **{name: number(dice) for name in ("p_tradeable_2", "p_break", "p_bounce", "strength_signed")},
            **{name: number(dice) for name in ("strength_abs", "utility_score")},
            "stage": text(dice),
            "time_to_threshold": {text(dice)[:60]: anything(dice) for _ in range(3)},
            "retrieval": {"p_break": number(dice), "similarity": number(dice), "n_neighbors": dice.choice(COUNTS)},
        }
    return level


def spots(dice: random.Random) -> dict[str, Any]:
    return {name: None if dice.random() < 0.2 else number(dice) for name in ("spot", "bid", "ask")}


def contracts(dice: random.Random) -> dict[str, Any]:
    fields = ("cumulative_volume", "cumulative_premium", "net_delta_flow", "net_gamma_flow")
    flow: dict[str, Any] = {text(dice): anything(dice)}
    for _ in range(dice.choice(SIZES)):
        ticker = f"O:{dice.choice(['ES', 'SPY'])}251216{dice.choice('CP')}{dice.randrange(10**8):08}"
        flow[ticker] = {name: number(dice) for name in fields} if dice.random() < 0.9 else anything(dice)
    return flow


def odd_frame(dice: random.Random, usual: dict[str, Any]) -> dict[str, Any]:
    levels = {
        "ts": dice.choice([1, now_ms(), 253402300799999, now_ms() + dice.randrange(-10_000, 10_000)]),
        "spy": spots(dice),
        "levels": [odd_level(dice.choice(usual["levels"]["levels"]), dice) for _ in range(dice.choice(SIZES))],
    }
    if dice.random() < 0.5:
        levels["es"] = spots(dice)
    return {"levels": levels, "flow": contracts(dice)}


def odd_history(dice: random.Random) -> dict[str, Any]:
    """An answer of `/history`, about now or about any other time."""
    count, step_ms = dice.choice([1, 7, 400]), dice.choice([1000, 30_000, 3_600_000])
    from_ms = dice.choice([0, now_ms() - count * step_ms, 253402300799999 - count * step_ms]) // step_ms * step_ms

    def column() -> list[float | None]:
        return [None if dice.random() < 0.3 else number(dice) for _ in range(count)]

    levels = [
        {"id": text(dice), "kind": text(dice), "price": number(dice), "at": 0, "first_ms": from_ms, "last_ms": from_ms}
        | {"score": column(), "distance": column(), "prices": column(), "confidence": [None] * count}
        | {"signal": [dice.choice([None, 0, 1]) for _ in range(count)]}
        for _ in range(dice.choice([0, 1, 40]))
    ]
    spot = {name: column() for name in ("open", "high", "low", "close")}
    span = {"from_ms": from_ms, "step_ms": step_ms, "count": count, "available_from_ms": from_ms}
    ends = {"available_to_ms": from_ms + count * step_ms - 1, "complete": True}
    return {**span, **ends, "spy": spot, "signals": [text(dice), "BREAK"], "confidences": [], "levels": levels}


def odd_events(dice: random.Random) -> dict[str, Any]:
    kinds = ("signal", "sweep_detected", "barrier_state", "spot_side", "level", "replay", "verdict", "constructor")
    found = [
        {"id": str(index), "kind": dice.choice(kinds), "seq": 0, "ts": dice.choice([1, now_ms(), 253402300799999])}
        | {"server_ms": now_ms(), "first_ts": 1, "level": text(dice), "level_kind": text(dice), "price": number(dice)}
        | {"before": text(dice), "after": text(dice), "spot": number(dice), "score": number(dice)}
        | {"confidence": text(dice), "count": dice.choice([1, 2, 10**6])}
        for index in range(dice.choice(SIZES))
    ]
    return {"cursor": "life-1-1", "complete": True, "events": found}


async def drawn(page: Page, frame: dict[str, Any]) -> None:
    """Return when the chart, which is the last to draw, has drawn the levels of the frame."""
    await expect(page.locator("#chart")).to_have_attribute("data-drawn", str(frame["levels"]["ts"]))


@pytest.mark.parametrize("seed", range(4))
async def test_no_value_of_a_valid_frame_breaks_the_page(browser: Browser, seed: int) -> None:
    dice = random.Random(seed)
    usual = market_now()
    live = status(levels=section(), flow=section())
    async with CraftedGateway({**usual, "status": live}) as gateway:
        width = dice.choice([390, 1280, 2560])
        page = await browser.new_page(viewport={"width": width, "height": 900})
        complaints = Complaints(page, f"http://127.0.0.1:{gateway.port}")
        await page.goto(f"http://127.0.0.1:{gateway.port}/")
        await expect(page.locator("#state")).to_have_text("LIVE")
        for turn in range(FRAMES):
            frame = odd_frame(dice, usual)
            assert {str(each.validator) for each in SCHEMA.iter_errors(frame)} <= PASSED_ON
            await gateway.say(**frame, status=live)
            expected = len(frame["levels"]["levels"])
            await expect(page.locator("#levels-count")).to_have_attribute("data-all", str(expected))
            await page.keyboard.press(dice.choice(["j", "k", "Enter", "Escape", "m", "c", "t"]))
            if turn % 8 == 0:
                await drawn(page, frame)
            assert complaints.all == [], json.dumps(frame)[:500]
        await gateway.say(**usual, status=live)
        await expect(page.locator("#spot")).to_have_text(f"{usual['levels']['spy']['spot']:.2f}")
        await expect(page.locator(".row").first).to_be_visible()
        await drawn(page, usual)
        assert complaints.all == []
        await page.close()


@pytest.mark.parametrize("seed", range(2))
async def test_no_answer_of_the_past_breaks_the_page(browser: Browser, seed: int) -> None:
    dice = random.Random(seed)
    usual = market_now()
    async with CraftedGateway({**usual, "status": status(levels=section(), flow=section())}) as gateway:
        page = await browser.new_page(viewport={"width": dice.choice([390, 1280, 2560]), "height": 900})
        complaints = Complaints(page, f"http://127.0.0.1:{gateway.port}")
        for _ in range(10):
            gateway.past = {"/history": odd_history(dice), "/events": odd_events(dice)}
            async with page.expect_response("**/history?**"):
                await page.goto(f"http://127.0.0.1:{gateway.port}/")
            await drawn(page, usual)
            for key in "sls":
                await page.keyboard.press(key)
            await page.locator("#chart .plot").hover()
            await expect(page.locator(".row").first).to_be_visible()
            assert complaints.all == [], json.dumps(gateway.past)[:500]
        await page.close()


@pytest.mark.parametrize("spot", [1e15, -1e15, 1e308, 1e-300, 0.0])
async def test_a_spot_far_from_everything_is_shown_and_the_page_goes_on(browser: Browser, spot: float) -> None:
    usual = market_now()
    live = status(levels=section(), flow=section())
    async with CraftedGateway({**usual, "status": live}) as gateway:
        page = await browser.new_page(viewport={"width": 1440, "height": 900})
        complaints = Complaints(page, f"http://127.0.0.1:{gateway.port}")
        await page.goto(f"http://127.0.0.1:{gateway.port}/")
        far = {**usual["levels"], "ts": now_ms() + 1, "spy": {"spot": spot, "bid": spot, "ask": spot}}
        await gateway.say(levels=far, flow=usual["flow"], status=live)
        before = f"{usual['levels']['spy']['spot']:.2f}"
        await expect(page.locator("#spot")).not_to_have_text(before)
        await drawn(page, {"levels": far})
        assert await page.locator("#spot").inner_text() in {"1.00e15", "−1.00e15", "1.00e308", "0.00"}  # noqa: RUF001
        await gateway.say(**usual, status=live)
        await expect(page.locator("#spot")).to_have_text(before)
        await expect(page.locator(".spot-tag")).to_have_text(before)
        await expect(page.locator(".row").first).to_be_visible()
        assert complaints.all == []
        await page.close()
