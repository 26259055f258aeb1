"""The payload that viewers receive: its types, with a description, unit and range of each field.

This is the source of INTERFACES.md, the JSON Schema, the AsyncAPI document and the types of both clients
(`src/gateway/descriptions`). The gateway guarantees the types. Ranges and names are Core's: it passes what Core sends.

Prices are points of the underlying. Every number is finite; integers are exact in JavaScript.
"""

from typing import Annotated, Any, Final, NamedTuple, NotRequired, TypedDict

from src.gateway.signals.causes import CAUSES
from src.gateway.signals.market_calendar import MARKETS

EXACT: Final = 2**53  # in JavaScript: the largest size of an integer in a frame, beside `flow` and `viewport`
LAST_TS_MS: Final = 253_402_300_799_999  # the end of the year 9999


class FieldDescription(NamedTuple):
    """What a type cannot express about a field.

    Attributes:
        words: what it is.
        unit: of a number that is not plain.
        least: the smallest value, included; None when there is no bound.
        most: the largest.
        known: the names that the frontend knows. Core may invent others, which pass unchanged.
    """

    words: str
    unit: str = ""
    least: float | None = None
    most: float | None = None
    known: tuple[str, ...] = ()

    def __str__(self) -> str:
        """All of it in one line, as documents write it."""
        known = [": " + ", ".join(self.known)] if self.known else []
        bounds = [", " + self._range()] if (self.least, self.most) != (None, None) else []
        unit = [f", in {self.unit}"] if self.unit else []
        return "".join([self.words, *known, *unit, *bounds])

    def _range(self) -> str:
        least, most = (_in_words(bound) for bound in (self.least, self.most))
        return f"{least} to {most}" if least and most else f"{least} or more" if least else f"{most} or less"


def _in_words(bound: float | None) -> str | None:
    return None if bound is None else str(bound) if isinstance(bound, int) else f"{bound:g}".replace("e+0", "e")


POINTS: Final = "points"
AS_CORE_HAS_IT: Final = "Core's unit"


class SpotSnapshot(TypedDict):
    """A price, of the underlying or of the future; null where Core had none."""

    spot: Annotated[float | None, FieldDescription("last price", POINTS)]
    bid: Annotated[float | None, FieldDescription("best bid", POINTS)]
    ask: Annotated[float | None, FieldDescription("best ask", POINTS)]


class Retrieval(TypedDict, total=False):
    """What the nearest neighbours in trajectory shape did: empty, or what Core gave, with `feature_set`."""

    p_break: Annotated[float, FieldDescription("probability of a break, among the neighbours", least=0, most=1)]
    similarity: Annotated[float, FieldDescription("to the neighbours, in the 32-dimensional space of shapes")]
    entropy: Annotated[float, FieldDescription("of the neighbours' outcomes")]
    n_neighbors: Annotated[int, FieldDescription("how many neighbours: the sample size", least=0)]
    feature_set: Annotated[
        str, FieldDescription("by what they were found, by shape and without physics", known=("geometry_only",))
    ]


class MlPredictions(TypedDict):
    """Core's predictions for one level, from the viewport's target of the same id."""

    p_tradeable_2: Annotated[float, FieldDescription("probability that the level is tradeable", least=0, most=1)]
    p_break: Annotated[float, FieldDescription("probability of a break, given that it is tradeable", least=0, most=1)]
    p_bounce: Annotated[float, FieldDescription("probability of a bounce, given that it is tradeable", least=0, most=1)]
    strength_signed: Annotated[float, FieldDescription("predicted strength, with its sign")]
    strength_abs: Annotated[float, FieldDescription("predicted strength, without its sign", least=0)]
    utility_score: Annotated[float, FieldDescription("overall score, for ranking")]
    stage: Annotated[str, FieldDescription("of the model", known=("stage_a", "stage_b"))]
    time_to_threshold: Annotated[
        dict[str, Any], FieldDescription('`{"t1": {"60": float, "120": float}, "t2": …}`, as Core has it')
    ]
    retrieval: Annotated[Retrieval, FieldDescription("the nearest neighbours in trajectory shape")]


class LevelSignal(TypedDict):
    """One price level, as the frontend understands it."""

    id: Annotated[str, FieldDescription("names the level; unique in a payload unless Core repeats itself")]
    level_price: Annotated[float, FieldDescription("its price", POINTS)]
    level_kind_name: Annotated[
        str, FieldDescription("what makes it a level", known=("STRIKE", "VWAP", "SESSION_HIGH", "UNKNOWN"))
    ]
    direction: Annotated[str, FieldDescription("a resistance or a support", known=("UP", "DOWN"))]
    distance: Annotated[float, FieldDescription("from spot", POINTS)]
    is_first_15m: Annotated[bool, FieldDescription("`ts` lies in 09:30:00.000 ≤ t < 09:45:00.000 New York")]
    barrier_state: Annotated[
        str, FieldDescription("of the resting orders", known=("VACUUM", "WALL", "ABSORPTION", "WEAK", "NEUTRAL"))
    ]
    barrier_delta_liq: Annotated[float, FieldDescription("change of resting liquidity", AS_CORE_HAS_IT)]
    barrier_replenishment_ratio: Annotated[float, FieldDescription("of the resting orders", least=0)]
    wall_ratio: Annotated[float, FieldDescription("depth in the zone / baseline depth")]
    tape_imbalance: Annotated[float, FieldDescription("from all sold to all bought", least=-1, most=1)]
    tape_velocity: Annotated[float, FieldDescription("of the tape, signed", AS_CORE_HAS_IT)]
    tape_buy_vol: Annotated[int, FieldDescription("volume bought near the level", AS_CORE_HAS_IT)]
    tape_sell_vol: Annotated[int, FieldDescription("volume sold near the level", AS_CORE_HAS_IT)]
    sweep_detected: Annotated[bool, FieldDescription("one order took several prices")]
    gamma_exposure: Annotated[float, FieldDescription("net gamma of dealers", AS_CORE_HAS_IT)]
    fuel_effect: Annotated[
        str, FieldDescription("what dealers' hedging does to a move", known=("AMPLIFY", "DAMPEN", "NEUTRAL"))
    ]
    approach_velocity: Annotated[float, FieldDescription("of the approach, signed", AS_CORE_HAS_IT)]
    approach_bars: Annotated[int, FieldDescription("how long the approach took", "bars", least=0)]
    approach_distance: Annotated[float, FieldDescription("how far the approach went", POINTS)]
    prior_touches: Annotated[int, FieldDescription("how often it was touched before", least=0)]
    bars_since_open: Annotated[
        int, FieldDescription("since 09:30 New York of the date of `ts`; 0 before", "whole minutes", least=0, most=869)
    ]
    break_score_raw: Annotated[float, FieldDescription("how much speaks for a break", least=0, most=100)]
    break_score_smooth: Annotated[float, FieldDescription("the same, smoothed", least=0, most=100)]
    signal: Annotated[str, FieldDescription("what is expected of it", known=("BREAK", "BOUNCE", "NO_TRADE"))]
    confidence: Annotated[str, FieldDescription("in the signal", known=("HIGH", "MEDIUM", "LOW"))]
    note: Annotated[str | None, FieldDescription("for people")]
    confluence_count: Annotated[int, FieldDescription("key levels nearby", least=0)]
    confluence_pressure: Annotated[float, FieldDescription("of the levels nearby, weighted", least=0, most=1)]
    confluence_alignment: Annotated[
        int, FieldDescription("of the levels nearby: opposed, neutral or aligned", least=-1, most=1)
    ]
    confluence_level: Annotated[int, FieldDescription("rank of the confluence", least=0, most=10)]
    confluence_level_name: Annotated[
        str,
        FieldDescription(
            "the same in a word",
            known=("ULTRA_PREMIUM", "PREMIUM", "STRONG", "MODERATE", "CONSOLIDATION", "UNDEFINED"),
        ),
    ]
    ml_predictions: NotRequired[Annotated[MlPredictions, FieldDescription("the model's view of this level")]]


class LevelsPayload(TypedDict):
    """Section `levels`: the newest `levels.signals`, normalized."""

    ts: Annotated[
        int, FieldDescription("Core's time; may repeat and jump back", "ms since 1970 UTC", least=1, most=LAST_TS_MS)
    ]
    spy: Annotated[SpotSnapshot, FieldDescription("the underlying; a copy of `es` when Core sent only that")]
    es: NotRequired[Annotated[SpotSnapshot, FieldDescription("the future, when Core sent it")]]
    levels: Annotated[list[LevelSignal], FieldDescription("in Core's order; equal ids are kept")]


VERDICTS: Final = ("live", "late", "stale", "closed", "replay")
SKIPPED_WHY: Final = ("slow", "rate", "reconnect", "busy")
UTC_MS: Final = "ms since 1970 UTC"


class Skipped(TypedDict):
    """What a viewer was not sent since its last frame, because a newer state was there."""

    frames: Annotated[int, FieldDescription("how many states; above 99 two digits, rounded down", least=0)]
    why: Annotated[
        str | None,
        FieldDescription(
            "the viewer was slow, asked for a rate, reconnected, or was not reached by an older frame; null: none",
            known=SKIPPED_WHY,
        ),
    ]


class SectionStatus(TypedDict):
    """How fresh one section is."""

    seq: Annotated[
        int,
        FieldDescription(
            "sequence of its message in the stream; 0: not known yet, because core NATS brought it first", least=0
        ),
    ]
    age_ms: Annotated[int, FieldDescription("since NATS took its message, at `sent_ms`", "ms", least=0)]
    published_ms: Annotated[int, FieldDescription("when NATS took its message", UTC_MS)]
    core_lag_ms: Annotated[
        int | None, FieldDescription("`published_ms` less Core's time in the message; null where it has none", "ms")
    ]
    verdict: Annotated[
        str,
        FieldDescription(
            "whether it comes at its own pace, is overdue, or too old to trade on; whether the market is closed, or "
            "Core's time is that of another day",
            known=VERDICTS,
        ),
    ]


class MarketStatus(TypedDict):
    """The market of `GATEWAY_MARKET`."""

    name: Annotated[str, FieldDescription("of the calendar", known=MARKETS)]
    open: Annotated[bool, FieldDescription("whether it trades now")]
    sentence: Annotated[str, FieldDescription("the same for people, in New York's time")]
    opens_ms: Annotated[int | None, FieldDescription("when it opens next; null while it is open", UTC_MS)]
    closes_ms: Annotated[int | None, FieldDescription("when this session, or the next, closes; null: never", UTC_MS)]


class ReplayStatus(TypedDict):
    """Where a replay is. Only in the frames of a viewer that asked for one by `at=`."""

    at_ms: Annotated[int, FieldDescription("Core's time that is shown", UTC_MS)]
    speed: Annotated[float, FieldDescription("times Core's own", least=0.1, most=60)]
    paused: Annotated[bool, FieldDescription("whether it stands still")]


class Status(TypedDict):
    """Section `status`: how fresh the frame is, and why. Only for viewers that ask for it by `status=1`."""

    seq: Annotated[int, FieldDescription("the number of the state in the frame; a heartbeat repeats it", least=0)]
    epoch: Annotated[str, FieldDescription("the life of the stream in which `seq` counts; another after a restart")]
    sent_ms: Annotated[int, FieldDescription("when the frame was made, by the gateway's clock", UTC_MS)]
    heartbeat_ms: Annotated[int, FieldDescription("the longest silence of the gateway", "ms", least=1)]
    skipped: Annotated[Skipped, FieldDescription("since the viewer's last frame")]
    levels: NotRequired[Annotated[SectionStatus, FieldDescription("of `levels` and `viewport`")]]
    flow: NotRequired[Annotated[SectionStatus, FieldDescription("of `flow`")]]
    cause: Annotated[
        str | None, FieldDescription("why not all is live, in a word; null when it is", known=tuple(CAUSES))
    ]
    explanation: Annotated[str | None, FieldDescription("the same in a sentence")]
    market: Annotated[MarketStatus, FieldDescription("the market's hours")]
    replay: NotRequired[Annotated[ReplayStatus, FieldDescription("of a viewer that asked for the past; else absent")]]


EVENT_KINDS: Final = ("signal", "sweep_detected", "barrier_state", "spot_side", "level", "replay", "verdict")


class Event(TypedDict):
    """What happened between two messages. A transition that repeats within 30 s is one event with a count."""

    id: Annotated[str, FieldDescription("names the event; the same one comes again when it counts one more")]
    kind: Annotated[str, FieldDescription("what changed", known=EVENT_KINDS)]
    seq: Annotated[int, FieldDescription("sequence in the stream of the message that showed it last; 0: a verdict")]
    ts: Annotated[int, FieldDescription("Core's time in that message", UTC_MS)]
    server_ms: Annotated[int, FieldDescription("when NATS took that message", UTC_MS)]
    level: Annotated[
        str | None, FieldDescription("id of the level; of a verdict, the section; null: it is of the whole stream")
    ]
    level_kind: Annotated[str | None, FieldDescription("`level_kind_name`; null where it is not of a level")]
    price: Annotated[float | None, FieldDescription("of the level; null likewise", POINTS)]
    before: Annotated[str, FieldDescription("the value that was")]
    after: Annotated[str, FieldDescription("the value that is")]
    spot: Annotated[float | None, FieldDescription("of the level's instrument, then; null: not known", POINTS)]
    score: Annotated[float | None, FieldDescription("`break_score_smooth` of the level; null: not of a level")]
    confidence: Annotated[str | None, FieldDescription("in the level's signal; null likewise")]
    count: Annotated[int, FieldDescription("how often, each within 30 s of the next", least=1)]
    first_ts: Annotated[int, FieldDescription("Core's time in the message that showed it first", UTC_MS)]


class Events(TypedDict):
    """Section `events`: what happened since the viewer's frame before. Only for viewers that ask by `events=1`."""

    cursor: Annotated[str, FieldDescription("names the place in the events up to which this goes")]
    complete: Annotated[
        bool, FieldDescription("false where some are missing, which `/events?since=` with the last cursor has")
    ]
    events: Annotated[list[Event], FieldDescription("by their last occurrence")]


class Payload(TypedDict):
    """One frame: the whole state. A section that was never seen is absent, not null."""

    flow: NotRequired[Annotated[dict[str, Any], FieldDescription("the newest `market.flow`, value for value")]]
    levels: NotRequired[Annotated[LevelsPayload, FieldDescription("the newest `levels.signals`, normalized")]]
    viewport: NotRequired[
        Annotated[
            dict[str, Any],
            FieldDescription(
                "that of the newest levels message, value for value: integers beyond 2^53 included, which JavaScript's "
                "`JSON.parse` rounds"
            ),
        ]
    ]
    status: NotRequired[Annotated[Status, FieldDescription("only for viewers that ask for it by `status=1`")]]
    events: NotRequired[Annotated[Events, FieldDescription("only for viewers that ask for it by `events=1`")]]
