"""What the past costs: `python -m benchmarks.past` prints memory of a day, time of an entry, and time of an answer.

Times are CPU times, the least of some rounds, so that a busy machine matters little. Beside the time of an entry stands
that of `json.loads` on the same bytes, which tells how fast the machine is.
"""

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.workload import flow_of, levels_with_viewport, levels_without_viewport
from src.gateway.history.entries import FlowEntry, FlowTotals, LevelPoint, LevelsEntry, flow_entry, levels_entry
from src.gateway.history.history_answer import history
from src.gateway.history.history_query import history_query
from src.gateway.history.store import Past
from src.gateway.signals.intake import read_levels
from src.gateway.signals.normalize import normalize_levels

OPEN_MS: Final = 1_764_167_400_000  # 2025-11-26 09:30 in New York
HOUR_MS: Final = 3_600_000
LEVELS: Final = (16, 40)
QUERIES: Final = ("", "step=10", "from=-10m&step=1", "fields=spot", "fields=levels", "fields=flow")
ROUNDS: Final = 7


def main() -> None:
    for name, body, read in (
        ("levels, 16", levels_without_viewport(16), read_levels_entry),
        ("levels, 16, with viewport", levels_with_viewport(16), read_levels_entry),
        ("flow, 40 contracts", flow_of(40), flow_entry),
    ):
        _print_entry(name, body, read)
    for count in LEVELS:
        before = _resident_mb()
        past = _filled(count, hours=24, every_ms=1000)
        print(f"24 h of {count} levels: {_resident_mb() - before:.0f} MB")
        del past
    for count in LEVELS:
        session = _filled(count, hours=6.5, every_ms=250)
        for query in QUERIES:
            _print_answer(session, query, count)


def read_levels_entry(body: bytes, *, seq: int, stored_ms: int) -> LevelsEntry:
    """As the history process does it, which also finds events in the payload."""
    levels = normalize_levels(read_levels(body).value, now_ms=stored_ms)
    return levels_entry(levels, seq=seq, stored_ms=stored_ms)


def _print_entry(name: str, body: bytes, read: Callable[..., Any]) -> None:
    read_us = _least_ms(lambda: read(body, seq=1, stored_ms=OPEN_MS), 200) * 1e3
    loads_us = _least_ms(lambda: json.loads(body), 200) * 1e3
    print(f"entry of {name}: {len(body)} bytes, {read_us:.0f} µs; json.loads {loads_us:.0f} µs")


def _print_answer(past: Past, text: str, count: int) -> None:
    newest_ms = past.newest_ms
    assert newest_ms is not None, "the past is filled"
    query = history_query(text, newest_ms)
    answer = history(past, query, complete=True)
    made_ms = _least_ms(lambda: history(past, query, complete=True))
    encoded_ms = _least_ms(lambda: msgspec.json.encode(answer))
    size = len(msgspec.json.encode(answer))
    print(
        f"6.5 h of {count} levels, ?{text}: {query.points} points, "
        f"{made_ms:.1f} ms + {encoded_ms:.1f} ms to encode, {size / 1000:.0f} KB"
    )


def _filled(count: int, hours: float, every_ms: int) -> Past:
    """A walk of spot, with levels around it whose scores wander and whose signals change now and then."""
    rng = random.Random(1)
    past = Past()
    spot, scores, signals = 6900.0, [50.0] * count, ["NO_TRADE"] * count
    for seq, ts_ms in enumerate(range(OPEN_MS, OPEN_MS + int(hours * HOUR_MS), every_ms), 1):
        spot += rng.choice((-0.25, 0, 0.25))
        levels = []
        for place in range(count):
            scores[place] = min(100.0, max(0.0, scores[place] + rng.uniform(-1, 1)))
            if rng.random() < 0.002:
                signals[place] = rng.choice(("BREAK", "BOUNCE", "NO_TRADE"))
            price = 6820.0 + 5 * place + (rng.random() if place < 2 else 0)
            name = f"STRIKE_{6820 + 5 * place}"
            distance = abs(price - spot)
            levels.append(LevelPoint(name, "STRIKE", price, scores[place], distance, signals[place], "HIGH"))
        past.add_levels(LevelsEntry(seq, ts_ms, ts_ms + 20, spot / 10, spot, levels))
        totals = FlowTotals(
            seq * 9.0, seq * 8.0, seq * 1e4, seq * 1.1e4, rng.uniform(-9e6, 9e6), rng.uniform(-9e5, 9e5)
        )
        past.add_flow(FlowEntry(seq, ts_ms, ts_ms + 25, totals))
    return past


def _least_ms(step: Callable[[], Any], calls: int = 1) -> float:
    rounds = []
    for _ in range(ROUNDS):
        begun_s = time.process_time()
        for _ in range(calls):
            step()
        rounds.append((time.process_time() - begun_s) / calls * 1e3)
    return min(rounds)


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


if __name__ == "__main__":
    main()
