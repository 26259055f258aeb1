/** The payload of a frame, section by section. */

/** The underlying's price; null where Core had none. */
export interface SpotSnapshot {
  spot: number | null;
  bid: number | null;
  ask: number | null;
}

/** What the nearest neighbours in trajectory shape did. */
export interface Retrieval {
  p_break?: number;
  similarity?: number;
  entropy?: number;
  n_neighbors?: number;
  feature_set?: string;
}

/** Core's predictions for one level. */
export interface MlPredictions {
  p_tradeable_2: number;
  p_break: number;
  p_bounce: number;
  strength_signed: number;
  strength_abs: number;
  utility_score: number;
  stage: string;
  time_to_threshold: Record<string, unknown>;
  retrieval: Retrieval;
}

/** One price level, as the frontend understands it. */
export interface LevelSignal {
  id: string;
  level_price: number;
  level_kind_name: string;
  direction: string;
  distance: number;
  is_first_15m: boolean;
  barrier_state: string;
  barrier_delta_liq: number;
  barrier_replenishment_ratio: number;
  wall_ratio: number;
  tape_imbalance: number;
  tape_velocity: number;
  tape_buy_vol: number;
  tape_sell_vol: number;
  sweep_detected: boolean;
  gamma_exposure: number;
  fuel_effect: string;
  approach_velocity: number;
  approach_bars: number;
  approach_distance: number;
  prior_touches: number;
  bars_since_open: number;
  break_score_raw: number;
  break_score_smooth: number;
  signal: string;
  confidence: string;
  note: string | null;
  confluence_count: number;
  confluence_pressure: number;
  confluence_alignment: number;
  confluence_level: number;
  confluence_level_name: string;
  ml_predictions?: MlPredictions;
}

/** The section `levels`. */
export interface LevelsPayload {
  ts: number;
  spy: SpotSnapshot;
  es?: SpotSnapshot;
  levels: LevelSignal[];
}

/** One frame. */
export interface Payload {
  flow?: Record<string, unknown>;
  levels?: LevelsPayload;
  viewport?: Record<string, unknown>;
}
