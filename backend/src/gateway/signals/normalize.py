"""From a levels message to the payload's section `levels`: every mapping and every default in one place.

`intake.py` has read the message into typed values; what is None here was missing.
"""

from typing import Final

from src.gateway.signals.contract import (
    LevelSignal,
    LevelsPayload,
    MlPredictions,
    Retrieval,
    SpotSnapshot,
)
from src.gateway.signals.core_message import (
    Barrier,
    Fuel,
    Level,
    LevelsMessage,
    RetrievalSummary,
    Spot,
    Sweep,
    Tape,
    Target,
)
from src.gateway.signals.session_clock import SessionContext, session_context

WALL_BASELINE: Final = 5000.0  # depth that counts as a wall of ratio 1

# What is not in a table, already a frontend value or unknown to us, passes unchanged.
DIRECTION: Final[dict[str | None, str]] = {"SUPPORT": "DOWN", "RESISTANCE": "UP", None: "UP"}
SIGNAL: Final[dict[str | None, str]] = {
    "REJECT": "BOUNCE",
    "CONTESTED": "NO_TRADE",
    "NEUTRAL": "NO_TRADE",
    None: "NO_TRADE",
}
NO_BARRIER: Final = Barrier()
NO_TAPE: Final = Tape()
NO_SWEEP: Final = Sweep()
NO_FUEL: Final = Fuel()
NO_SPOT: Final = Spot()


def normalize_levels(message: LevelsMessage, *, now_ms: int, wall_baseline: float = WALL_BASELINE) -> LevelsPayload:
    """The payload's section `levels`.

    Args:
        message: from `intake.py`.
        now_ms: the gateway's clock, ms UTC, for a message without a time of its own.
        wall_baseline: depth that counts as a wall of ratio 1; at least 1.
    """
    ts_ms = now_ms if message.ts_ms is None else message.ts_ms
    context = session_context(ts_ms)
    targets = message.targets
    signals = [
        normalize_level(level, targets.get(level.id or ""), context, wall_baseline=wall_baseline)
        for level in message.levels
    ]
    spy = _snapshot(message.spy or message.es or NO_SPOT)
    if message.es is None:
        return {"ts": ts_ms, "spy": spy, "levels": signals}
    return {"ts": ts_ms, "spy": spy, "es": _snapshot(message.es), "levels": signals}


def normalize_level(
    level: Level, target: Target | None, context: SessionContext, *, wall_baseline: float = WALL_BASELINE
) -> LevelSignal:
    """One level, with the viewport's prediction for it, if there is one."""
    signal = _signal(level, context, wall_baseline)
    if target is not None:
        signal["ml_predictions"] = _predictions(target)
    return signal


def _snapshot(prices: Spot) -> SpotSnapshot:
    return {"spot": prices.spot, "bid": prices.bid, "ask": prices.ask}


def _signal(level: Level, context: SessionContext, wall_baseline: float) -> LevelSignal:
    """One level, field by field, with the value of each that is missing."""
    barrier = level.barrier or NO_BARRIER
    tape = level.tape or NO_TAPE
    sweep = tape.sweep or NO_SWEEP
    fuel = level.fuel or NO_FUEL
    raw, smooth, wall_ratio = level.break_score_raw, level.break_score_smooth, level.wall_ratio
    return {
        "id": level.id or "",
        "level_price": level.price or 0.0,
        "level_kind_name": "UNKNOWN" if level.kind is None else level.kind,
        "direction": DIRECTION.get(level.direction, level.direction),  # type: ignore[typeddict-item]
        "distance": level.distance or 0.0,
        "is_first_15m": context.is_first_15m,
        "barrier_state": "NEUTRAL" if barrier.state is None else barrier.state,
        "barrier_delta_liq": barrier.delta_liq or 0.0,
        "barrier_replenishment_ratio": barrier.replenishment_ratio or 0.0,
        "wall_ratio": (barrier.depth_in_zone or 0.0) / wall_baseline if wall_ratio is None else wall_ratio,
        "tape_imbalance": tape.imbalance or 0.0,
        "tape_velocity": tape.velocity or 0.0,
        "tape_buy_vol": int(tape.buy_vol or 0),
        "tape_sell_vol": int(tape.sell_vol or 0),
        "sweep_detected": sweep.detected or False,
        "gamma_exposure": fuel.net_dealer_gamma or 0.0,
        "fuel_effect": "NEUTRAL" if fuel.effect is None else fuel.effect,
        "approach_velocity": level.approach_velocity or 0.0,
        "approach_bars": int(level.approach_bars or 0),
        "approach_distance": level.approach_distance or 0.0,
        "prior_touches": int(level.prior_touches or 0),
        "bars_since_open": context.bars_since_open,
        "break_score_raw": raw or 0.0,
        "break_score_smooth": (raw or 0.0) if smooth is None else smooth,
        "signal": SIGNAL.get(level.signal, level.signal),  # type: ignore[typeddict-item]
        "confidence": "LOW" if level.confidence is None else level.confidence,
        "note": level.note,
        "confluence_count": int(level.confluence_count or 0),
        "confluence_pressure": level.confluence_pressure or 0.0,
        "confluence_alignment": int(level.confluence_alignment or 0),
        "confluence_level": int(level.confluence_level or 0),
        "confluence_level_name": "UNDEFINED" if level.confluence_level_name is None else level.confluence_level_name,
    }


def _predictions(target: Target) -> MlPredictions:
    signed = target.strength_signed or 0.0
    return {
        "p_tradeable_2": target.p_tradeable_2 or 0.0,
        "p_break": target.p_break or 0.0,
        "p_bounce": target.p_bounce or 0.0,
        "strength_signed": signed,
        "strength_abs": abs(signed) if target.strength_abs is None else target.strength_abs,
        "utility_score": target.utility_score or 0.0,
        "stage": "stage_a" if target.stage is None else target.stage,
        "time_to_threshold": target.time_to_threshold or {},
        "retrieval": {} if target.retrieval is None else _retrieval(target.retrieval),
    }


def _retrieval(summary: RetrievalSummary) -> Retrieval:
    """Those of the document's fields that Core has."""
    similarity = summary.avg_similarity if summary.similarity is None else summary.similarity
    n_neighbors = summary.n_retrieved if summary.n_neighbors is None else summary.n_neighbors
    retrieval: Retrieval = {}
    if summary.p_break is not None:
        retrieval["p_break"] = summary.p_break
    if similarity is not None:
        retrieval["similarity"] = similarity
    if summary.entropy is not None:
        retrieval["entropy"] = summary.entropy
    if n_neighbors is not None:
        retrieval["n_neighbors"] = int(n_neighbors)
    retrieval["feature_set"] = "geometry_only" if summary.feature_set is None else summary.feature_set
    return retrieval
