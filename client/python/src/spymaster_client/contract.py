"""What the gateway sends. Written by `make contract` from the gateway's own types; a change here would be lost."""

from typing import Any, Final, NotRequired, TypedDict


class FlowHistory(TypedDict):
    """The totals of the last flow message of a point, over the contracts that it listed. Signs are Core's."""

    call_volume: list[int | None]
    """of calls, cumulative, in contracts, 0 or more"""
    put_volume: list[int | None]
    """of puts, cumulative, in contracts, 0 or more"""
    call_premium: list[int | None]
    """of calls, cumulative, in dollars, 0 or more"""
    put_premium: list[int | None]
    """of puts, cumulative, in dollars, 0 or more"""
    net_delta: list[float | None]
    """the sum of `net_delta_flow`, in Core's unit"""
    net_gamma: list[float | None]
    """the sum of `net_gamma_flow`, in Core's unit"""


class LevelHistory(TypedDict):
    """A level, from the point `at` to the last that has it; null where the last message of a point did not list it."""

    id: str
    """names the level"""
    kind: str
    """`level_kind_name`, the last"""
    price: float
    """`level_price`, the last, in points"""
    prices: NotRequired[list[float | None]]
    """of each point, where it moved, in points"""
    at: int
    """the first point that has it, from 0, 0 or more"""
    first_ms: int
    """the second of that point's last message, in ms since 1970 UTC"""
    last_ms: int
    """the second of the last point's last message, in ms since 1970 UTC"""
    score: list[float | None]
    """`break_score_smooth`, 0 to 100"""
    distance: list[float | None]
    """from spot, in points"""
    signal: list[int | None]
    """its place in `signals`, 0 or more"""
    confidence: list[int | None]
    """its place in `confidences`, 0 or more"""


class SpotHistory(TypedDict):
    """The spot of an instrument, of all messages of a point."""

    open: list[float | None]
    """the first, in points"""
    high: list[float | None]
    """the highest, in points"""
    low: list[float | None]
    """the lowest, in points"""
    close: list[float | None]
    """the last, in points"""


class History(TypedDict):
    """What the market looked like: the point i covers `step_ms` from `from_ms` + i · `step_ms` on, by Core's time."""

    from_ms: int
    """the beginning of the first point, in ms since 1970 UTC, 0 to 253402300799999"""
    step_ms: int
    """the length of a point, in ms, 1000 or more"""
    count: int
    """how many points, 1 or more"""
    available_from_ms: int | None
    """the first second that has levels, or flow where there are none; null: nothing, in ms since 1970 UTC"""
    available_to_ms: int | None
    """Core's time of the newest message; likewise, in ms since 1970 UTC"""
    complete: bool
    """whether all was read that the streams still have of the span; false while it is filled"""
    spy: NotRequired[SpotHistory]
    """the underlying; a copy of `es` when Core sent only that"""
    es: NotRequired[SpotHistory]
    """the future, where Core sent it about that time"""
    signals: NotRequired[list[str]]
    """those of `levels`: BREAK, BOUNCE, NO_TRADE"""
    confidences: NotRequired[list[str]]
    """likewise: HIGH, MEDIUM, LOW"""
    levels: NotRequired[list[LevelHistory]]
    """by price, the highest first; 256 at most"""
    flow: NotRequired[FlowHistory]
    """totals of the option flow"""


class Event(TypedDict):
    """What happened between two messages. A transition that repeats within 30 s is one event with a count."""

    id: str
    """names the event; the same one comes again when it counts one more"""
    kind: str
    """what changed: signal, sweep_detected, barrier_state, spot_side, level, replay, verdict"""
    seq: int
    """sequence in the stream of the message that showed it last; 0: a verdict"""
    ts: int
    """Core's time in that message, in ms since 1970 UTC"""
    server_ms: int
    """when NATS took that message, in ms since 1970 UTC"""
    level: str | None
    """id of the level; of a verdict, the section; null: it is of the whole stream"""
    level_kind: str | None
    """`level_kind_name`; null where it is not of a level"""
    price: float | None
    """of the level; null likewise, in points"""
    before: str
    """the value that was"""
    after: str
    """the value that is"""
    spot: float | None
    """of the level's instrument, then; null: not known, in points"""
    score: float | None
    """`break_score_smooth` of the level; null: not of a level"""
    confidence: str | None
    """in the level's signal; null likewise"""
    count: int
    """how often, each within 30 s of the next, 1 or more"""
    first_ts: int
    """Core's time in the message that showed it first, in ms since 1970 UTC"""


class Events(TypedDict):
    """Section `events`: what happened since the viewer's frame before. Only for viewers that ask by `events=1`."""

    cursor: str
    """names the place in the events up to which this goes"""
    complete: bool
    """false where some are missing, which `/events?since=` with the last cursor has"""
    events: list[Event]
    """by their last occurrence"""


class ReplayStatus(TypedDict):
    """Where a replay is. Only in the frames of a viewer that asked for one by `at=`."""

    at_ms: int
    """Core's time that is shown, in ms since 1970 UTC"""
    speed: float
    """times Core's own, 0.1 to 60"""
    paused: bool
    """whether it stands still"""


class MarketStatus(TypedDict):
    """The market of `GATEWAY_MARKET`."""

    name: str
    """of the calendar: XNYS, CMES, 24x7"""
    open: bool
    """whether it trades now"""
    sentence: str
    """the same for people, in New York's time"""
    opens_ms: int | None
    """when it opens next; null while it is open, in ms since 1970 UTC"""
    closes_ms: int | None
    """when this session, or the next, closes; null: never, in ms since 1970 UTC"""


class SectionStatus(TypedDict):
    """How fresh one section is."""

    seq: int
    """sequence of its message in the stream; 0: not known yet, because core NATS brought it first, 0 or more"""
    age_ms: int
    """since NATS took its message, at `sent_ms`, in ms, 0 or more"""
    published_ms: int
    """when NATS took its message, in ms since 1970 UTC"""
    core_lag_ms: int | None
    """`published_ms` less Core's time in the message; null where it has none, in ms"""
    verdict: str
    """whether it comes at its own pace, is overdue, or too old to trade on; whether the market is closed, or Core's
    time is that of another day: live, late, stale, closed, replay"""


class Skipped(TypedDict):
    """What a viewer was not sent since its last frame, because a newer state was there."""

    frames: int
    """how many states; above 99 two digits, rounded down, 0 or more"""
    why: str | None
    """the viewer was slow, asked for a rate, reconnected, or was not reached by an older frame; null: none: slow, rate,
    reconnect, busy"""


class Status(TypedDict):
    """Section `status`: how fresh the frame is, and why. Only for viewers that ask for it by `status=1`."""

    seq: int
    """the number of the state in the frame; a heartbeat repeats it, 0 or more"""
    epoch: str
    """the life of the stream in which `seq` counts; another after a restart"""
    sent_ms: int
    """when the frame was made, by the gateway's clock, in ms since 1970 UTC"""
    heartbeat_ms: int
    """the longest silence of the gateway, in ms, 1 or more"""
    skipped: Skipped
    """since the viewer's last frame"""
    levels: NotRequired[SectionStatus]
    """of `levels` and `viewport`"""
    flow: NotRequired[SectionStatus]
    """of `flow`"""
    cause: str | None
    """why not all is live, in a word; null when it is: gateway_draining, nats_down, subscription_lost, past, replay,
    no_message, market_closed, core_silent, levels_silent, flow_silent, core_behind, spot_missing"""
    explanation: str | None
    """the same in a sentence"""
    market: MarketStatus
    """the market's hours"""
    replay: NotRequired[ReplayStatus]
    """of a viewer that asked for the past; else absent"""


class Retrieval(TypedDict):
    """What the nearest neighbours in trajectory shape did: empty, or what Core gave, with `feature_set`."""

    p_break: NotRequired[float]
    """probability of a break, among the neighbours, 0 to 1"""
    similarity: NotRequired[float]
    """to the neighbours, in the 32-dimensional space of shapes"""
    entropy: NotRequired[float]
    """of the neighbours' outcomes"""
    n_neighbors: NotRequired[int]
    """how many neighbours: the sample size, 0 or more"""
    feature_set: NotRequired[str]
    """by what they were found, by shape and without physics: geometry_only"""


class MlPredictions(TypedDict):
    """Core's predictions for one level, from the viewport's target of the same id."""

    p_tradeable_2: float
    """probability that the level is tradeable, 0 to 1"""
    p_break: float
    """probability of a break, given that it is tradeable, 0 to 1"""
    p_bounce: float
    """probability of a bounce, given that it is tradeable, 0 to 1"""
    strength_signed: float
    """predicted strength, with its sign"""
    strength_abs: float
    """predicted strength, without its sign, 0 or more"""
    utility_score: float
    """overall score, for ranking"""
    stage: str
    """of the model: stage_a, stage_b"""
    time_to_threshold: dict[str, Any]
    """`{"t1": {"60": float, "120": float}, "t2": …}`, as Core has it"""
    retrieval: Retrieval
    """the nearest neighbours in trajectory shape"""


class LevelSignal(TypedDict):
    """One price level, as the frontend understands it."""

    id: str
    """names the level; unique in a payload unless Core repeats itself"""
    level_price: float
    """its price, in points"""
    level_kind_name: str
    """what makes it a level: STRIKE, VWAP, SESSION_HIGH, UNKNOWN"""
    direction: str
    """a resistance or a support: UP, DOWN"""
    distance: float
    """from spot, in points"""
    is_first_15m: bool
    """`ts` lies in 09:30:00.000 ≤ t < 09:45:00.000 New York"""
    barrier_state: str
    """of the resting orders: VACUUM, WALL, ABSORPTION, WEAK, NEUTRAL"""
    barrier_delta_liq: float
    """change of resting liquidity, in Core's unit"""
    barrier_replenishment_ratio: float
    """of the resting orders, 0 or more"""
    wall_ratio: float
    """depth in the zone / baseline depth"""
    tape_imbalance: float
    """from all sold to all bought, -1 to 1"""
    tape_velocity: float
    """of the tape, signed, in Core's unit"""
    tape_buy_vol: int
    """volume bought near the level, in Core's unit"""
    tape_sell_vol: int
    """volume sold near the level, in Core's unit"""
    sweep_detected: bool
    """one order took several prices"""
    gamma_exposure: float
    """net gamma of dealers, in Core's unit"""
    fuel_effect: str
    """what dealers' hedging does to a move: AMPLIFY, DAMPEN, NEUTRAL"""
    approach_velocity: float
    """of the approach, signed, in Core's unit"""
    approach_bars: int
    """how long the approach took, in bars, 0 or more"""
    approach_distance: float
    """how far the approach went, in points"""
    prior_touches: int
    """how often it was touched before, 0 or more"""
    bars_since_open: int
    """since 09:30 New York of the date of `ts`; 0 before, in whole minutes, 0 to 869"""
    break_score_raw: float
    """how much speaks for a break, 0 to 100"""
    break_score_smooth: float
    """the same, smoothed, 0 to 100"""
    signal: str
    """what is expected of it: BREAK, BOUNCE, NO_TRADE"""
    confidence: str
    """in the signal: HIGH, MEDIUM, LOW"""
    note: str | None
    """for people"""
    confluence_count: int
    """key levels nearby, 0 or more"""
    confluence_pressure: float
    """of the levels nearby, weighted, 0 to 1"""
    confluence_alignment: int
    """of the levels nearby: opposed, neutral or aligned, -1 to 1"""
    confluence_level: int
    """rank of the confluence, 0 to 10"""
    confluence_level_name: str
    """the same in a word: ULTRA_PREMIUM, PREMIUM, STRONG, MODERATE, CONSOLIDATION, UNDEFINED"""
    ml_predictions: NotRequired[MlPredictions]
    """the model's view of this level"""


class SpotSnapshot(TypedDict):
    """A price, of the underlying or of the future; null where Core had none."""

    spot: float | None
    """last price, in points"""
    bid: float | None
    """best bid, in points"""
    ask: float | None
    """best ask, in points"""


class LevelsPayload(TypedDict):
    """Section `levels`: the newest `levels.signals`, normalized."""

    ts: int
    """Core's time; may repeat and jump back, in ms since 1970 UTC, 1 to 253402300799999"""
    spy: SpotSnapshot
    """the underlying; a copy of `es` when Core sent only that"""
    es: NotRequired[SpotSnapshot]
    """the future, when Core sent it"""
    levels: list[LevelSignal]
    """in Core's order; equal ids are kept"""


class Payload(TypedDict):
    """One frame: the whole state. A section that was never seen is absent, not null."""

    flow: NotRequired[dict[str, Any]]
    """the newest `market.flow`, value for value"""
    levels: NotRequired[LevelsPayload]
    """the newest `levels.signals`, normalized"""
    viewport: NotRequired[dict[str, Any]]
    """that of the newest levels message, value for value: integers beyond 2^53 included, which JavaScript's
    `JSON.parse` rounds"""
    status: NotRequired[Status]
    """only for viewers that ask for it by `status=1`"""
    events: NotRequired[Events]
    """only for viewers that ask for it by `events=1`"""


class EventPage(TypedDict):
    """What happened since a cursor, the oldest first."""

    cursor: str
    """names the place in the events up to which this goes"""
    complete: bool
    """false where some are missing, which `/events?since=` with the last cursor has"""
    events: list[Event]
    """by their last occurrence"""
    more: bool
    """whether later events were left out: ask for them by `since=`, this cursor"""


CLOSE_CODES: Final = {
    1001: ("the gateway is stopping; reconnect", True),
    1008: ("sent too many messages; reconnect in 10 s", True),
    4001: ("took nothing for too long; reconnect when the network allows", True),
    4002: ("did not answer a ping; reconnect", True),
    4003: ("the token has expired; reconnect with a new one", True),
    4004: ("the token is not accepted any more", False),
    4005: ("a value in the subscribe message is not accepted", False),
    4006: ("as many shapes as GATEWAY_MAX_SHAPES allows are in use", True),
    4007: ("a page of this origin may not connect; add the origin to GATEWAY_ALLOWED_ORIGINS", False),
}
"""The gateway's own close codes: what each means, and whether to connect again."""
