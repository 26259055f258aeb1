import type { Event, EventPage, Events, FlowHistory, History, LevelHistory, LevelSignal, LevelsPayload, MarketStatus, MlPredictions, Payload, ReplayStatus, Retrieval, SectionStatus, Skipped, SpotHistory, SpotSnapshot, Status } from "./contract.js";

/** What each field of the payload means, for pages that show it. Written by `make contract`, like `contract.ts`. */

export interface FieldDescription {
  /** What it is, in words. */
  readonly words: string;
  /** Of a number that is not plain. */
  readonly unit?: string;
  /** The smallest value, included. */
  readonly least?: number;
  /** The largest. */
  readonly most?: number;
  /** The names that Core uses today; it may invent others. */
  readonly known?: readonly string[];
}

/** What happened since a cursor, the oldest first. */
export const EVENT_PAGE: Readonly<Record<keyof EventPage, FieldDescription>> = {
  cursor: { words: "names the place in the events up to which this goes" },
  complete: { words: "false where some are missing, which `/events?since=` with the last cursor has" },
  events: { words: "by their last occurrence" },
  more: { words: "whether later events were left out: ask for them by `since=`, this cursor" },
};

/** One frame: the whole state. A section that was never seen is absent, not null. */
export const PAYLOAD: Readonly<Record<keyof Payload, FieldDescription>> = {
  flow: { words: "the newest `market.flow`, value for value" },
  levels: { words: "the newest `levels.signals`, normalized" },
  viewport: { words: "that of the newest levels message, value for value: integers beyond 2^53 included, which JavaScript's `JSON.parse` rounds" },
  status: { words: "only for viewers that ask for it by `status=1`" },
  events: { words: "only for viewers that ask for it by `events=1`" },
};

/** Section `levels`: the newest `levels.signals`, normalized. */
export const LEVELS_PAYLOAD: Readonly<Record<keyof LevelsPayload, FieldDescription>> = {
  ts: { words: "Core's time; may repeat and jump back", unit: "ms since 1970 UTC", least: 1, most: 253402300799999 },
  spy: { words: "the underlying; a copy of `es` when Core sent only that" },
  es: { words: "the future, when Core sent it" },
  levels: { words: "in Core's order; equal ids are kept" },
};

/** A price, of the underlying or of the future; null where Core had none. */
export const SPOT_SNAPSHOT: Readonly<Record<keyof SpotSnapshot, FieldDescription>> = {
  spot: { words: "last price", unit: "points" },
  bid: { words: "best bid", unit: "points" },
  ask: { words: "best ask", unit: "points" },
};

/** One price level, as the frontend understands it. */
export const LEVEL_SIGNAL: Readonly<Record<keyof LevelSignal, FieldDescription>> = {
  id: { words: "names the level; unique in a payload unless Core repeats itself" },
  level_price: { words: "its price", unit: "points" },
  level_kind_name: { words: "what makes it a level", known: ["STRIKE", "VWAP", "SESSION_HIGH", "UNKNOWN"] },
  direction: { words: "a resistance or a support", known: ["UP", "DOWN"] },
  distance: { words: "from spot", unit: "points" },
  is_first_15m: { words: "`ts` lies in 09:30:00.000 ≤ t < 09:45:00.000 New York" },
  barrier_state: { words: "of the resting orders", known: ["VACUUM", "WALL", "ABSORPTION", "WEAK", "NEUTRAL"] },
  barrier_delta_liq: { words: "change of resting liquidity", unit: "Core's unit" },
  barrier_replenishment_ratio: { words: "of the resting orders", least: 0 },
  wall_ratio: { words: "depth in the zone / baseline depth" },
  tape_imbalance: { words: "from all sold to all bought", least: -1, most: 1 },
  tape_velocity: { words: "of the tape, signed", unit: "Core's unit" },
  tape_buy_vol: { words: "volume bought near the level", unit: "Core's unit" },
  tape_sell_vol: { words: "volume sold near the level", unit: "Core's unit" },
  sweep_detected: { words: "one order took several prices" },
  gamma_exposure: { words: "net gamma of dealers", unit: "Core's unit" },
  fuel_effect: { words: "what dealers' hedging does to a move", known: ["AMPLIFY", "DAMPEN", "NEUTRAL"] },
  approach_velocity: { words: "of the approach, signed", unit: "Core's unit" },
  approach_bars: { words: "how long the approach took", unit: "bars", least: 0 },
  approach_distance: { words: "how far the approach went", unit: "points" },
  prior_touches: { words: "how often it was touched before", least: 0 },
  bars_since_open: { words: "since 09:30 New York of the date of `ts`; 0 before", unit: "whole minutes", least: 0, most: 869 },
  break_score_raw: { words: "how much speaks for a break", least: 0, most: 100 },
  break_score_smooth: { words: "the same, smoothed", least: 0, most: 100 },
  signal: { words: "what is expected of it", known: ["BREAK", "BOUNCE", "NO_TRADE"] },
  confidence: { words: "in the signal", known: ["HIGH", "MEDIUM", "LOW"] },
  note: { words: "for people" },
  confluence_count: { words: "key levels nearby", least: 0 },
  confluence_pressure: { words: "of the levels nearby, weighted", least: 0, most: 1 },
  confluence_alignment: { words: "of the levels nearby: opposed, neutral or aligned", least: -1, most: 1 },
  confluence_level: { words: "rank of the confluence", least: 0, most: 10 },
  confluence_level_name: { words: "the same in a word", known: ["ULTRA_PREMIUM", "PREMIUM", "STRONG", "MODERATE", "CONSOLIDATION", "UNDEFINED"] },
  ml_predictions: { words: "the model's view of this level" },
};

/** Core's predictions for one level, from the viewport's target of the same id. */
export const ML_PREDICTIONS: Readonly<Record<keyof MlPredictions, FieldDescription>> = {
  p_tradeable_2: { words: "probability that the level is tradeable", least: 0, most: 1 },
  p_break: { words: "probability of a break, given that it is tradeable", least: 0, most: 1 },
  p_bounce: { words: "probability of a bounce, given that it is tradeable", least: 0, most: 1 },
  strength_signed: { words: "predicted strength, with its sign" },
  strength_abs: { words: "predicted strength, without its sign", least: 0 },
  utility_score: { words: "overall score, for ranking" },
  stage: { words: "of the model", known: ["stage_a", "stage_b"] },
  time_to_threshold: { words: "`{\"t1\": {\"60\": float, \"120\": float}, \"t2\": …}`, as Core has it" },
  retrieval: { words: "the nearest neighbours in trajectory shape" },
};

/** What the nearest neighbours in trajectory shape did: empty, or what Core gave, with `feature_set`. */
export const RETRIEVAL: Readonly<Record<keyof Retrieval, FieldDescription>> = {
  p_break: { words: "probability of a break, among the neighbours", least: 0, most: 1 },
  similarity: { words: "to the neighbours, in the 32-dimensional space of shapes" },
  entropy: { words: "of the neighbours' outcomes" },
  n_neighbors: { words: "how many neighbours: the sample size", least: 0 },
  feature_set: { words: "by what they were found, by shape and without physics", known: ["geometry_only"] },
};

/** Section `status`: how fresh the frame is, and why. Only for viewers that ask for it by `status=1`. */
export const STATUS: Readonly<Record<keyof Status, FieldDescription>> = {
  seq: { words: "the number of the state in the frame; a heartbeat repeats it", least: 0 },
  epoch: { words: "the life of the stream in which `seq` counts; another after a restart" },
  sent_ms: { words: "when the frame was made, by the gateway's clock", unit: "ms since 1970 UTC" },
  heartbeat_ms: { words: "the longest silence of the gateway", unit: "ms", least: 1 },
  skipped: { words: "since the viewer's last frame" },
  levels: { words: "of `levels` and `viewport`" },
  flow: { words: "of `flow`" },
  cause: { words: "why not all is live, in a word; null when it is", known: ["gateway_draining", "nats_down", "subscription_lost", "past", "replay", "no_message", "market_closed", "core_silent", "levels_silent", "flow_silent", "core_behind", "spot_missing"] },
  explanation: { words: "the same in a sentence" },
  market: { words: "the market's hours" },
  replay: { words: "of a viewer that asked for the past; else absent" },
};

/** What a viewer was not sent since its last frame, because a newer state was there. */
export const SKIPPED: Readonly<Record<keyof Skipped, FieldDescription>> = {
  frames: { words: "how many states; above 99 two digits, rounded down", least: 0 },
  why: { words: "the viewer was slow, asked for a rate, reconnected, or was not reached by an older frame; null: none", known: ["slow", "rate", "reconnect", "busy"] },
};

/** How fresh one section is. */
export const SECTION_STATUS: Readonly<Record<keyof SectionStatus, FieldDescription>> = {
  seq: { words: "sequence of its message in the stream; 0: not known yet, because core NATS brought it first", least: 0 },
  age_ms: { words: "since NATS took its message, at `sent_ms`", unit: "ms", least: 0 },
  published_ms: { words: "when NATS took its message", unit: "ms since 1970 UTC" },
  core_lag_ms: { words: "`published_ms` less Core's time in the message; null where it has none", unit: "ms" },
  verdict: { words: "whether it comes at its own pace, is overdue, or too old to trade on; whether the market is closed, or Core's time is that of another day", known: ["live", "late", "stale", "closed", "replay"] },
};

/** The market of `GATEWAY_MARKET`. */
export const MARKET_STATUS: Readonly<Record<keyof MarketStatus, FieldDescription>> = {
  name: { words: "of the calendar", known: ["XNYS", "CMES", "24x7"] },
  open: { words: "whether it trades now" },
  sentence: { words: "the same for people, in New York's time" },
  opens_ms: { words: "when it opens next; null while it is open", unit: "ms since 1970 UTC" },
  closes_ms: { words: "when this session, or the next, closes; null: never", unit: "ms since 1970 UTC" },
};

/** Where a replay is. Only in the frames of a viewer that asked for one by `at=`. */
export const REPLAY_STATUS: Readonly<Record<keyof ReplayStatus, FieldDescription>> = {
  at_ms: { words: "Core's time that is shown", unit: "ms since 1970 UTC" },
  speed: { words: "times Core's own", least: 0.1, most: 60 },
  paused: { words: "whether it stands still" },
};

/** Section `events`: what happened since the viewer's frame before. Only for viewers that ask by `events=1`. */
export const EVENTS: Readonly<Record<keyof Events, FieldDescription>> = {
  cursor: { words: "names the place in the events up to which this goes" },
  complete: { words: "false where some are missing, which `/events?since=` with the last cursor has" },
  events: { words: "by their last occurrence" },
};

/** What happened between two messages. A transition that repeats within 30 s is one event with a count. */
export const EVENT: Readonly<Record<keyof Event, FieldDescription>> = {
  id: { words: "names the event; the same one comes again when it counts one more" },
  kind: { words: "what changed", known: ["signal", "sweep_detected", "barrier_state", "spot_side", "level", "replay", "verdict"] },
  seq: { words: "sequence in the stream of the message that showed it last; 0: a verdict" },
  ts: { words: "Core's time in that message", unit: "ms since 1970 UTC" },
  server_ms: { words: "when NATS took that message", unit: "ms since 1970 UTC" },
  level: { words: "id of the level; of a verdict, the section; null: it is of the whole stream" },
  level_kind: { words: "`level_kind_name`; null where it is not of a level" },
  price: { words: "of the level; null likewise", unit: "points" },
  before: { words: "the value that was" },
  after: { words: "the value that is" },
  spot: { words: "of the level's instrument, then; null: not known", unit: "points" },
  score: { words: "`break_score_smooth` of the level; null: not of a level" },
  confidence: { words: "in the level's signal; null likewise" },
  count: { words: "how often, each within 30 s of the next", least: 1 },
  first_ts: { words: "Core's time in the message that showed it first", unit: "ms since 1970 UTC" },
};

/** What the market looked like: the point i covers `step_ms` from `from_ms` + i · `step_ms` on, by Core's time. */
export const HISTORY: Readonly<Record<keyof History, FieldDescription>> = {
  from_ms: { words: "the beginning of the first point", unit: "ms since 1970 UTC", least: 0, most: 253402300799999 },
  step_ms: { words: "the length of a point", unit: "ms", least: 1000 },
  count: { words: "how many points", least: 1 },
  available_from_ms: { words: "the first second that has levels, or flow where there are none; null: nothing", unit: "ms since 1970 UTC" },
  available_to_ms: { words: "Core's time of the newest message; likewise", unit: "ms since 1970 UTC" },
  complete: { words: "whether all was read that the streams still have of the span; false while it is filled" },
  spy: { words: "the underlying; a copy of `es` when Core sent only that" },
  es: { words: "the future, where Core sent it about that time" },
  signals: { words: "those of `levels`", known: ["BREAK", "BOUNCE", "NO_TRADE"] },
  confidences: { words: "likewise", known: ["HIGH", "MEDIUM", "LOW"] },
  levels: { words: "by price, the highest first; 256 at most" },
  flow: { words: "totals of the option flow" },
};

/** The spot of an instrument, of all messages of a point. */
export const SPOT_HISTORY: Readonly<Record<keyof SpotHistory, FieldDescription>> = {
  open: { words: "the first", unit: "points" },
  high: { words: "the highest", unit: "points" },
  low: { words: "the lowest", unit: "points" },
  close: { words: "the last", unit: "points" },
};

/** A level, from the point `at` to the last that has it; null where the last message of a point did not list it. */
export const LEVEL_HISTORY: Readonly<Record<keyof LevelHistory, FieldDescription>> = {
  id: { words: "names the level" },
  kind: { words: "`level_kind_name`, the last" },
  price: { words: "`level_price`, the last", unit: "points" },
  prices: { words: "of each point, where it moved", unit: "points" },
  at: { words: "the first point that has it, from 0", least: 0 },
  first_ms: { words: "the second of that point's last message", unit: "ms since 1970 UTC" },
  last_ms: { words: "the second of the last point's last message", unit: "ms since 1970 UTC" },
  score: { words: "`break_score_smooth`", least: 0, most: 100 },
  distance: { words: "from spot", unit: "points" },
  signal: { words: "its place in `signals`", least: 0 },
  confidence: { words: "its place in `confidences`", least: 0 },
};

/** The totals of the last flow message of a point, over the contracts that it listed. Signs are Core's. */
export const FLOW_HISTORY: Readonly<Record<keyof FlowHistory, FieldDescription>> = {
  call_volume: { words: "of calls, cumulative", unit: "contracts", least: 0 },
  put_volume: { words: "of puts, cumulative", unit: "contracts", least: 0 },
  call_premium: { words: "of calls, cumulative", unit: "dollars", least: 0 },
  put_premium: { words: "of puts, cumulative", unit: "dollars", least: 0 },
  net_delta: { words: "the sum of `net_delta_flow`", unit: "Core's unit" },
  net_gamma: { words: "the sum of `net_gamma_flow`", unit: "Core's unit" },
};
