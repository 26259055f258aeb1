/** Every field of a level, in the order and the groups in which it is read. What it means, and its unit, the client knows. */

import type { LevelSignal, FieldDescription, MlPredictions, Retrieval } from "../feed.ts";
import { fixed } from "./words.ts";

export type Field<Shape> = {
  readonly name: keyof Shape & string;
  readonly label: string;
  /** Decimals that are shown. */
  readonly decimals?: number;
};

type Group<Shape> = { readonly title: string; readonly fields: readonly Field<Shape>[] };

export const LEVEL_GROUPS: readonly Group<LevelSignal>[] = [
  {
    title: "Signal",
    fields: [
      { name: "signal", label: "Signal" },
      { name: "confidence", label: "Confidence" },
      { name: "break_score_smooth", label: "Break score, smooth", decimals: 1 },
      { name: "break_score_raw", label: "Break score, raw", decimals: 1 },
      { name: "note", label: "Note" },
    ],
  },
  {
    title: "Level",
    fields: [
      { name: "id", label: "Id" },
      { name: "level_kind_name", label: "Kind" },
      { name: "level_price", label: "Price", decimals: 2 },
      { name: "direction", label: "Direction" },
      { name: "distance", label: "Distance from spot", decimals: 2 },
      { name: "prior_touches", label: "Touches before" },
      { name: "approach_velocity", label: "Approach velocity", decimals: 3 },
      { name: "approach_bars", label: "Approach took" },
      { name: "approach_distance", label: "Approach covered", decimals: 2 },
      { name: "bars_since_open", label: "Since the open" },
      { name: "is_first_15m", label: "First 15 minutes" },
    ],
  },
  {
    title: "Confluence",
    fields: [
      { name: "confluence_level_name", label: "Grade" },
      { name: "confluence_level", label: "Level" },
      { name: "confluence_count", label: "Key levels nearby" },
      { name: "confluence_pressure", label: "Pressure", decimals: 3 },
      { name: "confluence_alignment", label: "Alignment" },
    ],
  },
  {
    title: "Barrier",
    fields: [
      { name: "barrier_state", label: "State" },
      { name: "barrier_delta_liq", label: "Change of liquidity", decimals: 0 },
      { name: "barrier_replenishment_ratio", label: "Replenishment", decimals: 3 },
      { name: "wall_ratio", label: "Wall", decimals: 2 },
    ],
  },
  {
    title: "Tape",
    fields: [
      { name: "tape_imbalance", label: "Imbalance", decimals: 3 },
      { name: "tape_buy_vol", label: "Bought near the level" },
      { name: "tape_sell_vol", label: "Sold near the level" },
      { name: "tape_velocity", label: "Velocity", decimals: 3 },
      { name: "sweep_detected", label: "Sweep" },
    ],
  },
  {
    title: "Fuel",
    fields: [
      { name: "fuel_effect", label: "Effect" },
      { name: "gamma_exposure", label: "Dealers' net gamma", decimals: 0 },
    ],
  },
];

export const MODEL_FIELDS: readonly Field<MlPredictions>[] = [
  { name: "p_tradeable_2", label: "Tradeable", decimals: 3 },
  { name: "p_break", label: "Break, if tradeable", decimals: 3 },
  { name: "p_bounce", label: "Bounce, if tradeable", decimals: 3 },
  { name: "strength_signed", label: "Strength, signed", decimals: 3 },
  { name: "strength_abs", label: "Strength", decimals: 3 },
  { name: "utility_score", label: "Utility", decimals: 3 },
  { name: "stage", label: "Stage" },
];

export const RETRIEVAL_FIELDS: readonly Field<Retrieval>[] = [
  { name: "p_break", label: "Break, among neighbours", decimals: 3 },
  { name: "similarity", label: "Similarity", decimals: 3 },
  { name: "n_neighbors", label: "Sample size" },
  { name: "entropy", label: "Entropy of outcomes", decimals: 3 },
  { name: "feature_set", label: "Found by" },
];

/** These are shown as tables of their own. */
export const TABLES = ["ml_predictions", "time_to_threshold", "retrieval"];

/** A meaning's unit, else its range; empty where the value speaks for itself. */
export function unitOf({ unit, least, most }: FieldDescription): string {
  if (unit !== undefined) return unit;
  return least === undefined || most === undefined ? "" : `${fixed(least, 0)} to ${fixed(most, 0)}`;
}
