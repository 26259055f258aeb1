/** What the gateway sends. Written by `make contract` from the gateway's own types; a change here would be lost. */

/** A name that the frontend knows, or one that Core has invented since. */
export type Known<Name extends string> = Name | (string & {});

/** What happened since a cursor, the oldest first. */
export interface EventPage {
  /** names the place in the events up to which this goes */
  cursor: string;
  /** false where some are missing, which `/events?since=` with the last cursor has */
  complete: boolean;
  /** by their last occurrence */
  events: Event[];
  /** whether later events were left out: ask for them by `since=`, this cursor */
  more: boolean;
}

/** One frame: the whole state. A section that was never seen is absent, not null. */
export interface Payload {
  /** the newest `market.flow`, value for value */
  flow?: Record<string, unknown>;
  /** the newest `levels.signals`, normalized */
  levels?: LevelsPayload;
  /** that of the newest levels message, value for value: integers beyond 2^53 included, which JavaScript's `JSON.parse` rounds */
  viewport?: Record<string, unknown>;
  /** only for viewers that ask for it by `status=1` */
  status?: Status;
  /** only for viewers that ask for it by `events=1` */
  events?: Events;
}

/** Section `levels`: the newest `levels.signals`, normalized. */
export interface LevelsPayload {
  /** Core's time; may repeat and jump back, in ms since 1970 UTC, 1 to 253402300799999 */
  ts: number;
  /** the underlying; a copy of `es` when Core sent only that */
  spy: SpotSnapshot;
  /** the future, when Core sent it */
  es?: SpotSnapshot;
  /** in Core's order; equal ids are kept */
  levels: LevelSignal[];
}

/** A price, of the underlying or of the future; null where Core had none. */
export interface SpotSnapshot {
  /** last price, in points */
  spot: number | null;
  /** best bid, in points */
  bid: number | null;
  /** best ask, in points */
  ask: number | null;
}

/** One price level, as the frontend understands it. */
export interface LevelSignal {
  /** names the level; unique in a payload unless Core repeats itself */
  id: string;
  /** its price, in points */
  level_price: number;
  /** what makes it a level: STRIKE, VWAP, SESSION_HIGH, UNKNOWN */
  level_kind_name: Known<"STRIKE" | "VWAP" | "SESSION_HIGH" | "UNKNOWN">;
  /** a resistance or a support: UP, DOWN */
  direction: Known<"UP" | "DOWN">;
  /** from spot, in points */
  distance: number;
  /** `ts` lies in 09:30:00.000 ≤ t < 09:45:00.000 New York */
  is_first_15m: boolean;
  /** of the resting orders: VACUUM, WALL, ABSORPTION, WEAK, NEUTRAL */
  barrier_state: Known<"VACUUM" | "WALL" | "ABSORPTION" | "WEAK" | "NEUTRAL">;
  /** change of resting liquidity, in Core's unit */
  barrier_delta_liq: number;
  /** of the resting orders, 0 or more */
  barrier_replenishment_ratio: number;
  /** depth in the zone / baseline depth */
  wall_ratio: number;
  /** from all sold to all bought, -1 to 1 */
  tape_imbalance: number;
  /** of the tape, signed, in Core's unit */
  tape_velocity: number;
  /** volume bought near the level, in Core's unit */
  tape_buy_vol: number;
  /** volume sold near the level, in Core's unit */
  tape_sell_vol: number;
  /** one order took several prices */
  sweep_detected: boolean;
  /** net gamma of dealers, in Core's unit */
  gamma_exposure: number;
  /** what dealers' hedging does to a move: AMPLIFY, DAMPEN, NEUTRAL */
  fuel_effect: Known<"AMPLIFY" | "DAMPEN" | "NEUTRAL">;
  /** of the approach, signed, in Core's unit */
  approach_velocity: number;
  /** how long the approach took, in bars, 0 or more */
  approach_bars: number;
  /** how far the approach went, in points */
  approach_distance: number;
  /** how often it was touched before, 0 or more */
  prior_touches: number;
  /** since 09:30 New York of the date of `ts`; 0 before, in whole minutes, 0 to 869 */
  bars_since_open: number;
  /** how much speaks for a break, 0 to 100 */
  break_score_raw: number;
  /** the same, smoothed, 0 to 100 */
  break_score_smooth: number;
  /** what is expected of it: BREAK, BOUNCE, NO_TRADE */
  signal: Known<"BREAK" | "BOUNCE" | "NO_TRADE">;
  /** in the signal: HIGH, MEDIUM, LOW */
  confidence: Known<"HIGH" | "MEDIUM" | "LOW">;
  /** for people */
  note: string | null;
  /** key levels nearby, 0 or more */
  confluence_count: number;
  /** of the levels nearby, weighted, 0 to 1 */
  confluence_pressure: number;
  /** of the levels nearby: opposed, neutral or aligned, -1 to 1 */
  confluence_alignment: number;
  /** rank of the confluence, 0 to 10 */
  confluence_level: number;
  /** the same in a word: ULTRA_PREMIUM, PREMIUM, STRONG, MODERATE, CONSOLIDATION, UNDEFINED */
  confluence_level_name: Known<"ULTRA_PREMIUM" | "PREMIUM" | "STRONG" | "MODERATE" | "CONSOLIDATION" | "UNDEFINED">;
  /** the model's view of this level */
  ml_predictions?: MlPredictions;
}

/** Core's predictions for one level, from the viewport's target of the same id. */
export interface MlPredictions {
  /** probability that the level is tradeable, 0 to 1 */
  p_tradeable_2: number;
  /** probability of a break, given that it is tradeable, 0 to 1 */
  p_break: number;
  /** probability of a bounce, given that it is tradeable, 0 to 1 */
  p_bounce: number;
  /** predicted strength, with its sign */
  strength_signed: number;
  /** predicted strength, without its sign, 0 or more */
  strength_abs: number;
  /** overall score, for ranking */
  utility_score: number;
  /** of the model: stage_a, stage_b */
  stage: Known<"stage_a" | "stage_b">;
  /** `{"t1": {"60": float, "120": float}, "t2": …}`, as Core has it */
  time_to_threshold: Record<string, unknown>;
  /** the nearest neighbours in trajectory shape */
  retrieval: Retrieval;
}

/** What the nearest neighbours in trajectory shape did: empty, or what Core gave, with `feature_set`. */
export interface Retrieval {
  /** probability of a break, among the neighbours, 0 to 1 */
  p_break?: number;
  /** to the neighbours, in the 32-dimensional space of shapes */
  similarity?: number;
  /** of the neighbours' outcomes */
  entropy?: number;
  /** how many neighbours: the sample size, 0 or more */
  n_neighbors?: number;
  /** by what they were found, by shape and without physics: geometry_only */
  feature_set?: Known<"geometry_only">;
}

/** Section `status`: how fresh the frame is, and why. Only for viewers that ask for it by `status=1`. */
export interface Status {
  /** the number of the state in the frame; a heartbeat repeats it, 0 or more */
  seq: number;
  /** the life of the stream in which `seq` counts; another after a restart */
  epoch: string;
  /** when the frame was made, by the gateway's clock, in ms since 1970 UTC */
  sent_ms: number;
  /** the longest silence of the gateway, in ms, 1 or more */
  heartbeat_ms: number;
  /** since the viewer's last frame */
  skipped: Skipped;
  /** of `levels` and `viewport` */
  levels?: SectionStatus;
  /** of `flow` */
  flow?: SectionStatus;
  /** why not all is live, in a word; null when it is: gateway_draining, nats_down, subscription_lost, past, replay, no_message, market_closed, core_silent, levels_silent, flow_silent, core_behind, spot_missing */
  cause: Known<"gateway_draining" | "nats_down" | "subscription_lost" | "past" | "replay" | "no_message" | "market_closed" | "core_silent" | "levels_silent" | "flow_silent" | "core_behind" | "spot_missing"> | null;
  /** the same in a sentence */
  explanation: string | null;
  /** the market's hours */
  market: MarketStatus;
  /** of a viewer that asked for the past; else absent */
  replay?: ReplayStatus;
}

/** What a viewer was not sent since its last frame, because a newer state was there. */
export interface Skipped {
  /** how many states; above 99 two digits, rounded down, 0 or more */
  frames: number;
  /** the viewer was slow, asked for a rate, reconnected, or was not reached by an older frame; null: none: slow, rate, reconnect, busy */
  why: Known<"slow" | "rate" | "reconnect" | "busy"> | null;
}

/** How fresh one section is. */
export interface SectionStatus {
  /** sequence of its message in the stream; 0: not known yet, because core NATS brought it first, 0 or more */
  seq: number;
  /** since NATS took its message, at `sent_ms`, in ms, 0 or more */
  age_ms: number;
  /** when NATS took its message, in ms since 1970 UTC */
  published_ms: number;
  /** `published_ms` less Core's time in the message; null where it has none, in ms */
  core_lag_ms: number | null;
  /** whether it comes at its own pace, is overdue, or too old to trade on; whether the market is closed, or Core's time is that of another day: live, late, stale, closed, replay */
  verdict: Known<"live" | "late" | "stale" | "closed" | "replay">;
}

/** The market of `GATEWAY_MARKET`. */
export interface MarketStatus {
  /** of the calendar: XNYS, CMES, 24x7 */
  name: Known<"XNYS" | "CMES" | "24x7">;
  /** whether it trades now */
  open: boolean;
  /** the same for people, in New York's time */
  sentence: string;
  /** when it opens next; null while it is open, in ms since 1970 UTC */
  opens_ms: number | null;
  /** when this session, or the next, closes; null: never, in ms since 1970 UTC */
  closes_ms: number | null;
}

/** Where a replay is. Only in the frames of a viewer that asked for one by `at=`. */
export interface ReplayStatus {
  /** Core's time that is shown, in ms since 1970 UTC */
  at_ms: number;
  /** times Core's own, 0.1 to 60 */
  speed: number;
  /** whether it stands still */
  paused: boolean;
}

/** Section `events`: what happened since the viewer's frame before. Only for viewers that ask by `events=1`. */
export interface Events {
  /** names the place in the events up to which this goes */
  cursor: string;
  /** false where some are missing, which `/events?since=` with the last cursor has */
  complete: boolean;
  /** by their last occurrence */
  events: Event[];
}

/** What happened between two messages. A transition that repeats within 30 s is one event with a count. */
export interface Event {
  /** names the event; the same one comes again when it counts one more */
  id: string;
  /** what changed: signal, sweep_detected, barrier_state, spot_side, level, replay, verdict */
  kind: Known<"signal" | "sweep_detected" | "barrier_state" | "spot_side" | "level" | "replay" | "verdict">;
  /** sequence in the stream of the message that showed it last; 0: a verdict */
  seq: number;
  /** Core's time in that message, in ms since 1970 UTC */
  ts: number;
  /** when NATS took that message, in ms since 1970 UTC */
  server_ms: number;
  /** id of the level; of a verdict, the section; null: it is of the whole stream */
  level: string | null;
  /** `level_kind_name`; null where it is not of a level */
  level_kind: string | null;
  /** of the level; null likewise, in points */
  price: number | null;
  /** the value that was */
  before: string;
  /** the value that is */
  after: string;
  /** of the level's instrument, then; null: not known, in points */
  spot: number | null;
  /** `break_score_smooth` of the level; null: not of a level */
  score: number | null;
  /** in the level's signal; null likewise */
  confidence: string | null;
  /** how often, each within 30 s of the next, 1 or more */
  count: number;
  /** Core's time in the message that showed it first, in ms since 1970 UTC */
  first_ts: number;
}

/** What the market looked like: the point i covers `step_ms` from `from_ms` + i · `step_ms` on, by Core's time. */
export interface History {
  /** the beginning of the first point, in ms since 1970 UTC, 0 to 253402300799999 */
  from_ms: number;
  /** the length of a point, in ms, 1000 or more */
  step_ms: number;
  /** how many points, 1 or more */
  count: number;
  /** the first second that has levels, or flow where there are none; null: nothing, in ms since 1970 UTC */
  available_from_ms: number | null;
  /** Core's time of the newest message; likewise, in ms since 1970 UTC */
  available_to_ms: number | null;
  /** whether all was read that the streams still have of the span; false while it is filled */
  complete: boolean;
  /** the underlying; a copy of `es` when Core sent only that */
  spy?: SpotHistory;
  /** the future, where Core sent it about that time */
  es?: SpotHistory;
  /** those of `levels`: BREAK, BOUNCE, NO_TRADE */
  signals?: Known<"BREAK" | "BOUNCE" | "NO_TRADE">[];
  /** likewise: HIGH, MEDIUM, LOW */
  confidences?: Known<"HIGH" | "MEDIUM" | "LOW">[];
  /** by price, the highest first; 256 at most */
  levels?: LevelHistory[];
  /** totals of the option flow */
  flow?: FlowHistory;
}

/** The spot of an instrument, of all messages of a point. */
export interface SpotHistory {
  /** the first, in points */
  open: (number | null)[];
  /** the highest, in points */
  high: (number | null)[];
  /** the lowest, in points */
  low: (number | null)[];
  /** the last, in points */
  close: (number | null)[];
}

/** A level, from the point `at` to the last that has it; null where the last message of a point did not list it. */
export interface LevelHistory {
  /** names the level */
  id: string;
  /** `level_kind_name`, the last */
  kind: string;
  /** `level_price`, the last, in points */
  price: number;
  /** of each point, where it moved, in points */
  prices?: (number | null)[];
  /** the first point that has it, from 0, 0 or more */
  at: number;
  /** the second of that point's last message, in ms since 1970 UTC */
  first_ms: number;
  /** the second of the last point's last message, in ms since 1970 UTC */
  last_ms: number;
  /** `break_score_smooth`, 0 to 100 */
  score: (number | null)[];
  /** from spot, in points */
  distance: (number | null)[];
  /** its place in `signals`, 0 or more */
  signal: (number | null)[];
  /** its place in `confidences`, 0 or more */
  confidence: (number | null)[];
}

/** The totals of the last flow message of a point, over the contracts that it listed. Signs are Core's. */
export interface FlowHistory {
  /** of calls, cumulative, in contracts, 0 or more */
  call_volume: (number | null)[];
  /** of puts, cumulative, in contracts, 0 or more */
  put_volume: (number | null)[];
  /** of calls, cumulative, in dollars, 0 or more */
  call_premium: (number | null)[];
  /** of puts, cumulative, in dollars, 0 or more */
  put_premium: (number | null)[];
  /** the sum of `net_delta_flow`, in Core's unit */
  net_delta: (number | null)[];
  /** the sum of `net_gamma_flow`, in Core's unit */
  net_gamma: (number | null)[];
}

/** The gateway's own close codes: what each means, and whether connecting again makes sense. */
export const CLOSE_CODES: Readonly<Record<number, readonly [explanation: string, reconnect: boolean]>> = {
  1001: ["the gateway is stopping; reconnect", true],
  1008: ["sent too many messages; reconnect in 10 s", true],
  4001: ["took nothing for too long; reconnect when the network allows", true],
  4002: ["did not answer a ping; reconnect", true],
  4003: ["the token has expired; reconnect with a new one", true],
  4004: ["the token is not accepted any more", false],
  4005: ["a value in the subscribe message is not accepted", false],
  4006: ["as many shapes as GATEWAY_MAX_SHAPES allows are in use", true],
  4007: ["a page of this origin may not connect; add the origin to GATEWAY_ALLOWED_ORIGINS", false],
};
