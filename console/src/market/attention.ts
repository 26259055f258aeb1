/**
 * What to look at first. Most of the time every level says NO TRADE and half of them swept, so neither is worth a look by
 * itself: a level is when spot is near it, and more so when its values are strong, changed, or agree.
 */

import type { Row } from "./choice.ts";
import type { LevelPast } from "./level_past.ts";
import { disagrees, modelView } from "./model.ts";

export type Reason = "near" | "signal" | "score" | "changed" | "sweep" | "rising" | "falling" | "agreed" | "disagreed" | "tradeable" | "pinned";

export type Attention = {
  readonly key: string;
  /** From 0, which is quiet. */
  readonly weight: number;
  /** The heaviest first. */
  readonly reasons: readonly Reason[];
};

const NEAR = 0.0005; // of spot, at which nearness is halved: 3.5 points of 6900
const NEAR_ENOUGH = 0.7; // nearness that is a reason
const SURE: ReadonlyMap<string, number> = new Map([
  ["HIGH", 1],
  ["MEDIUM", 0.75],
]);
const UNSURE = 0.5;
const CLEAR_SCORE = 20; // points from 50
const TRADEABLE = 0.6;
const RISING = 5; // points of the score in a minute
const NEW_SIGNAL_MS = 120_000;
const NEW_SWEEP_MS = 30_000;

const FIRST = 3; // rows that are looked at first
const LEAST = 0.7; // weight
const STAYS = 1.25; // times its weight, for a row that is among them: nothing changes places for a small gain

/** How much a row deserves a look, at a moment of Core's clock. */
export function attention(row: Row, past: LevelPast | undefined, spot: number | null, atMs: number): Attention {
  const { level, key, distance, pinned } = row;
  const weights: Partial<Record<Reason, number>> = {};
  const nearness = spot === null || !(spot > 0) ? 0 : 2 ** (-Math.abs(distance) / (spot * NEAR));
  if (nearness >= NEAR_ENOUGH) weights.near = 0.2;
  if (level.signal !== "NO_TRADE") weights.signal = SURE.get(level.confidence) ?? UNSURE;
  if (Math.abs(level.break_score_smooth - 50) >= CLEAR_SCORE) weights.score = 0.3;
  if ((level.ml_predictions?.p_tradeable_2 ?? 0) >= TRADEABLE) weights.tradeable = 0.25;
  if (past !== undefined) {
    const { signalSince, sweepSince, rise } = past;
    if (signalSince.exact && atMs - signalSince.atMs < NEW_SIGNAL_MS) weights.changed = level.signal === "NO_TRADE" ? 0.2 : 0.5;
    if (isNewSweep(past, atMs) && sweepSince !== undefined) weights.sweep = 0.3;
    if (Math.abs(rise) >= RISING) weights[rise > 0 ? "rising" : "falling"] = 0.3;
  }
  if (disagrees(level)) weights.disagreed = -0.2;
  else if (agrees(row)) weights.agreed = 0.3;
  const reasons = (Object.entries(weights) as [Reason, number][]).sort(([, one], [, other]) => other - one).map(([reason]) => reason);
  const worth = Object.values(weights).reduce((sum, weight) => sum + weight, 0);
  const far = weights.signal === undefined ? 0 : 0.4; // a signal is worth a look from afar
  const weight = (nearness + far * (1 - nearness)) * (0.7 + worth);
  return pinned ? { key, weight: weight + 0.1, reasons: [...reasons, "pinned"] } : { key, weight, reasons };
}

/** Whether a sweep has just begun, and the page saw it begin. */
export function isNewSweep({ sweepSince }: LevelPast, atMs: number): boolean {
  return sweepSince !== undefined && sweepSince.exact && atMs - sweepSince.atMs < NEW_SWEEP_MS;
}

/** Whether the model expects what the signal says, or where there is none, what the score says. */
function agrees({ level }: Row): boolean {
  const view = modelView(level);
  if (view === undefined) return false;
  if (level.signal !== "NO_TRADE") return level.signal === view;
  const lead = level.break_score_smooth - 50;
  return Math.abs(lead) >= CLEAR_SCORE && lead > 0 === (view === "BREAK");
}

/** The few to look at first, the first one first; those that were among them before stay for a while. */
export function first(all: readonly Attention[], before: readonly string[]): Attention[] {
  const held = ({ key, weight }: Attention): number => weight * (before.includes(key) ? STAYS : 1);
  const worth = all.filter((each) => held(each) >= LEAST).sort((one, other) => held(other) - held(one));
  const chosen = worth.slice(0, FIRST);
  // Among the chosen, one passes another only by a clear lead.
  const place = ({ key }: Attention): number => (before.includes(key) ? before.indexOf(key) : FIRST);
  const isSame = chosen.every(({ key }) => before.includes(key));
  if (!isSame) return chosen;
  const settled = [...chosen].sort((one, other) => place(one) - place(other));
  for (let at = 1; at < settled.length; at += 1) {
    const [upper, lower] = [settled[at - 1]!, settled[at]!];
    if (lower.weight > upper.weight * STAYS) return chosen;
  }
  return settled;
}
