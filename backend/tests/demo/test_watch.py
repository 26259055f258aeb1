"""What the watching terminal shows of a payload and of a broken connection."""

import io
import json
from typing import Any

import pytest
from rich.console import Console

from src.demo.watch import STALE_AFTER_S, View, screen


def level(price: float, **fields: Any) -> dict[str, Any]:
    return {
        "level_kind_name": "STRIKE",
        "level_price": price,
        "distance": 1.0,
        "direction": "UP",
        "signal": "NO_TRADE",
        "confidence": "LOW",
        "break_score_smooth": 50.0,
        "barrier_state": "NEUTRAL",
        "confluence_level_name": "UNDEFINED",
    } | fields


def frame(*levels: dict[str, Any], spot: float | None = 687.5) -> str:
    spy = {"spot": spot, "bid": None, "ask": 687.51}
    return json.dumps({"flow": {"O:1": {}}, "levels": {"ts": 1703123456000, "spy": spy, "levels": levels}})


def shown(view: View, now_s: float = 0.0) -> list[str]:
    terminal = io.StringIO()
    Console(width=160, file=terminal).print(screen(view, now_s))
    return terminal.getvalue().splitlines()


def line_of(text: str, lines: list[str]) -> int:
    return next(number for number, line in enumerate(lines) if text in line)


def test_nothing_is_claimed_before_the_first_frame() -> None:
    assert [line.rstrip() for line in shown(View("ws://gateway"))] == ["ws://gateway   connecting", "no levels yet"]


def test_a_flow_without_levels_is_no_table() -> None:
    view = View("ws://gateway")
    view.show('{"flow": {}}', now_s=0.0)
    assert shown(view)[-1].rstrip() == "no levels yet"


def test_levels_stand_by_price_with_a_rule_at_spot() -> None:
    view = View("ws://gateway")
    view.show(frame(level(686.0), level(689.0), level(688.0)), now_s=0.0)
    lines = shown(view)
    order = [line_of(text, lines) for text in ("689.00", "688.00", "├", "686.00")]
    assert order == sorted(order)


def test_without_a_spot_there_is_no_rule() -> None:
    view = View("ws://gateway")
    view.show(frame(level(686.0), level(689.0), spot=None), now_s=0.0)
    lines = shown(view)
    assert not any("├" in line for line in lines)
    assert "spot -   bid -   ask 687.51   2023-12-21 01:50:56 UTC   1 contracts" in lines[1]


def test_predictions_are_shown_where_there_are_some() -> None:
    view = View("ws://gateway")
    view.show(frame(level(686.0, ml_predictions={"p_break": 0.37})), now_s=0.0)
    assert "0.37" in shown(view)[line_of("686.00", shown(view))]


@pytest.mark.parametrize(("age_s", "style"), [(STALE_AFTER_S, ""), (STALE_AFTER_S + 0.1, "\x1b[1;31m")])
def test_an_old_frame_is_red(age_s: float, style: str) -> None:
    view = View("ws://gateway", connection="connected", connected=True)
    view.show(frame(), now_s=10.0)
    terminal = io.StringIO()
    Console(width=160, file=terminal, force_terminal=True, color_system="standard", _environ={}).print(
        screen(view, now_s=10.0 + age_s)
    )
    assert f"{style}   last frame {age_s:.1f} s ago" in terminal.getvalue()
