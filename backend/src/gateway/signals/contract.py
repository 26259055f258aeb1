"""What viewers receive: the payload's types, with unit, range and meaning beside each field.

Strings that name a kind of something (`direction`, `signal`, …) list the values that the frontend knows. A value that
Core invents is passed on as it is, so their type is `str`, and a viewer must expect others.

Prices are points of the underlying. Every number is finite; integers are exact in JavaScript (at most 2^53 in size).
"""

from typing import Any, NotRequired, TypedDict


class SpotSnapshot(TypedDict):
    """The underlying's price; null where Core had none."""

    spot: float | None  # last price
    bid: float | None  # best bid
    ask: float | None  # best ask


class Retrieval(TypedDict, total=False):
    """What the nearest neighbours in trajectory shape did; empty, or what Core gave, with `feature_set`."""

    p_break: float  # 0..1, of a break, among the neighbours
    similarity: float  # to the neighbours, in the 32-dimensional space of shapes
    entropy: float  # of the neighbours' outcomes
    n_neighbors: int  # sample size
    feature_set: str  # "geometry_only": shape alone, no physics


class MlPredictions(TypedDict):
    """Core's predictions for one level, from the viewport's target of the same id."""

    p_tradeable_2: float  # 0..1, probability that the level is tradeable
    p_break: float  # 0..1, of a break, given that it is tradeable
    p_bounce: float  # 0..1, of a bounce, given that it is tradeable
    strength_signed: float  # predicted strength, with its sign
    strength_abs: float  # predicted strength, without
    utility_score: float  # overall score for ranking
    stage: str  # "stage_a" or "stage_b"
    time_to_threshold: dict[str, Any]  # {"t1": {"60": float, "120": float}, "t2": …}, as Core has it
    retrieval: Retrieval


class LevelSignal(TypedDict):
    """One price level, as the frontend understands it."""

    id: str  # unique in a payload unless Core repeats itself; "" when Core sent none
    level_price: float
    level_kind_name: str  # STRIKE, VWAP, SESSION_HIGH, …; "UNKNOWN"
    direction: str  # UP (a resistance) or DOWN (a support)
    distance: float  # points from spot
    is_first_15m: bool  # 09:30 to 09:45 New York
    barrier_state: str  # VACUUM, WALL, ABSORPTION, WEAK, NEUTRAL, …
    barrier_delta_liq: float  # change of resting liquidity
    barrier_replenishment_ratio: float  # 0..1e9
    wall_ratio: float  # depth in the zone / baseline depth
    tape_imbalance: float  # -1 (all sold) .. 1 (all bought)
    tape_velocity: float  # signed, in Core's unit
    tape_buy_vol: int  # volume bought near the level
    tape_sell_vol: int  # volume sold near the level
    sweep_detected: bool
    gamma_exposure: float  # net gamma of dealers
    fuel_effect: str  # AMPLIFY, DAMPEN, NEUTRAL
    approach_velocity: float  # signed, in Core's unit
    approach_bars: int  # bars that the approach took
    approach_distance: float  # points that it covered
    prior_touches: int  # 0 or more
    bars_since_open: int  # whole minutes since 09:30 New York, 0 before, 869 at most
    break_score_raw: float  # 0..100
    break_score_smooth: float  # 0..100
    signal: str  # BREAK, BOUNCE, NO_TRADE
    confidence: str  # HIGH, MEDIUM, LOW
    note: str | None  # for people
    confluence_count: int  # key levels nearby
    confluence_pressure: float  # 0..1, weighted
    confluence_alignment: int  # -1 opposed, 0 neutral, 1 aligned
    confluence_level: int  # 0..10
    confluence_level_name: str  # ULTRA_PREMIUM, PREMIUM, STRONG, MODERATE, CONSOLIDATION; "UNDEFINED"
    ml_predictions: NotRequired[MlPredictions]  # absent unless the viewport has a target of this id


class LevelsPayload(TypedDict):
    """The section `levels`."""

    ts: int  # ms since 1970 UTC, Core's; may repeat and may jump back
    spy: SpotSnapshot  # always; a copy of `es` when Core sent only that
    es: NotRequired[SpotSnapshot]  # when Core sent it
    levels: list[LevelSignal]  # in Core's order


class Payload(TypedDict):
    """One frame. A section that was never seen is absent; `viewport` also when the newest levels came without one."""

    flow: NotRequired[dict[str, Any]]  # option ticker → its volume, premium, greeks, …, as published
    levels: NotRequired[LevelsPayload]
    viewport: NotRequired[dict[str, Any]]  # as published; may hold integers beyond 2^53
