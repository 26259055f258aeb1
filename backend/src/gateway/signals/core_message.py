"""What Core publishes on `levels.signals`, as types: every field that the payload needs, and no other.

Any field may be missing. Null is missing, and so are NaN and Infinity. A bool is not a number, and a number is not a
string. Source: the schema of Core's messages in the interface document.
"""

from collections import Counter
from typing import Annotated, Any, Final, NamedTuple

from msgspec import Meta, Struct

from src.gateway.signals.contract import EXACT

LARGEST_DOUBLE: Final = 1.7976931348623157e308

Finite = Annotated[float, Meta(ge=-LARGEST_DOUBLE, le=LARGEST_DOUBLE)]
Count = Annotated[int, Meta(ge=-EXACT, le=EXACT)] | Annotated[float, Meta(ge=-float(EXACT), le=float(EXACT))]

Faults = Counter[str]
"""How often a bad part of a good message was left out: `non_finite`, `level_left_out`, `prediction_left_out`,
`spot_left_out`, `viewport_dropped`."""


class Spot(Struct, gc=False):
    """`spy` or `es`."""

    spot: Finite | None = None
    bid: Finite | None = None
    ask: Finite | None = None


class Barrier(Struct, gc=False):
    """Resting liquidity at a level."""

    state: str | None = None
    delta_liq: Finite | None = None
    replenishment_ratio: Finite | None = None
    depth_in_zone: Finite | None = None


class Sweep(Struct, gc=False):
    """Aggressive orders through several prices at once."""

    detected: bool | None = None


class Tape(Struct, gc=False):
    """Trades near a level."""

    imbalance: Finite | None = None
    velocity: Finite | None = None
    buy_vol: Count | None = None
    sell_vol: Count | None = None
    sweep: Sweep | None = None


class Fuel(Struct, gc=False):
    """What dealers' hedging does to a move."""

    effect: str | None = None
    net_dealer_gamma: Finite | None = None


class Level(Struct, gc=False):
    """One element of `levels`."""

    id: str | None = None
    price: Finite | None = None
    kind: str | None = None
    direction: str | None = None
    distance: Finite | None = None
    barrier: Barrier | None = None
    tape: Tape | None = None
    fuel: Fuel | None = None
    wall_ratio: Finite | None = None
    approach_velocity: Finite | None = None
    approach_bars: Count | None = None
    approach_distance: Finite | None = None
    prior_touches: Count | None = None
    break_score_raw: Finite | None = None
    break_score_smooth: Finite | None = None
    signal: str | None = None
    confidence: str | None = None
    note: str | None = None
    confluence_count: Count | None = None
    confluence_pressure: Finite | None = None
    confluence_alignment: Count | None = None
    confluence_level: Count | None = None
    confluence_level_name: str | None = None


class RetrievalSummary(Struct, gc=False):
    """A target's `retrieval`, without its neighbours; what Core calls by two names is here by both."""

    p_break: Finite | None = None
    similarity: Finite | None = None
    avg_similarity: Finite | None = None
    entropy: Finite | None = None
    n_neighbors: Count | None = None
    n_retrieved: Count | None = None
    feature_set: str | None = None


class Target(Struct, gc=False):
    """One element of the viewport's `targets`. A retrieval that is there but empty is None."""

    level_id: str | None = None
    p_tradeable_2: Finite | None = None
    p_break: Finite | None = None
    p_bounce: Finite | None = None
    strength_signed: Finite | None = None
    strength_abs: Finite | None = None
    utility_score: Finite | None = None
    stage: str | None = None
    time_to_threshold: dict[str, Any] | None = None
    retrieval: RetrievalSummary | None = None


class LevelsMessage(NamedTuple):
    """A whole levels message, read.

    Attributes:
        ts_ms: Core's time, ms UTC; None where it has none that is usable.
        spy: the underlying; None where Core did not send it.
        es: the future; likewise.
        levels: in Core's order, without those that cannot be read.
        targets: the viewport's predictions by `level_id`, without those that cannot be read.
        viewport: the viewport as it came, a dict or `msgspec.Raw`; None where there is none, or none to use.
        faults: what was left out, and how often.
    """

    ts_ms: int | None
    spy: Spot | None
    es: Spot | None
    levels: list[Level]
    targets: dict[str, Target]
    viewport: Any | None
    faults: Faults
