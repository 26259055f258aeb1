/** What the model says of a level, beside Core's signal. */

import type { LevelSignal } from "../feed.ts";

const CLEAR = 0.1; // by which one probability exceeds the other, before the model is said to have a view

/** What the model expects, given that the level is tradeable; undefined where it has no clear view. */
export function modelView({ ml_predictions: model }: LevelSignal): "BREAK" | "BOUNCE" | undefined {
  const lead = model === undefined ? 0 : model.p_break - model.p_bounce;
  return lead >= CLEAR ? "BREAK" : lead <= -CLEAR ? "BOUNCE" : undefined;
}

/** Whether the signal says one thing and the model the other. */
export function disagrees(level: LevelSignal): boolean {
  const view = modelView(level);
  return view !== undefined && level.signal === (view === "BREAK" ? "BOUNCE" : "BREAK");
}
