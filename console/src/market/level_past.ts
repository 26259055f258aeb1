/** What each level was before: its score over time, since when it has its signal and its sweep. */

import { type Sample, Series } from "./series.ts";

/** What is known of a level at one moment. */
export type LevelPoint = {
  readonly atMs: number;
  /** Of the row. */
  readonly key: string;
  readonly signal: string;
  readonly score: number;
  readonly swept: boolean;
};

/** When something began; `exact` is false where it was so already when it was first seen. */
export type Since = { readonly atMs: number; readonly exact: boolean };

export type LevelPast = {
  readonly scores: readonly Sample[];
  /** How much the score rose in the last minute; 0 where it is not known. */
  readonly rise: number;
  readonly signalSince: Since;
  /** Undefined while there is none. */
  readonly sweepSince: Since | undefined;
};

const EVERY_MS = 2_000;
const SAMPLES = 90; // three minutes
const RISE_MS = 60_000;
const MOST_LEVELS = 400; // also those that Core no longer sends: many come back
const SAME_CLOCK_MS = 5_000;

export const SPARK_SPAN_MS = EVERY_MS * SAMPLES;
export const SPARK_GAP_MS = 5 * EVERY_MS;

type Kept = { readonly scores: Series; last: LevelPoint; rise: number; signalSince: Since; sweepSince: Since | undefined };

export class LevelPasts {
  private readonly kept = new Map<string, Kept>();
  private newestMs = -Infinity;

  add(point: LevelPoint): void {
    if (point.atMs < this.newestMs - SAME_CLOCK_MS) this.kept.clear(); // another clock: a replay began, or ended
    this.newestMs = point.atMs;
    const kept = this.kept.get(point.key) ?? begin(point);
    const { last } = kept;
    if (last.signal !== point.signal) kept.signalSince = { atMs: point.atMs, exact: true };
    if (!point.swept) kept.sweepSince = undefined;
    else if (!last.swept) kept.sweepSince = { atMs: point.atMs, exact: true };
    kept.scores.add({ atMs: point.atMs, value: point.score });
    const before = kept.scores.before(point.atMs - RISE_MS) ?? kept.scores.samples[0]?.value ?? point.score;
    kept.rise = point.score - before;
    kept.last = point;
    this.kept.delete(point.key); // the last one to be heard of is the last to go
    this.kept.set(point.key, kept);
    if (this.kept.size > MOST_LEVELS) this.kept.delete(this.kept.keys().next().value!);
  }

  of(key: string): LevelPast | undefined {
    const kept = this.kept.get(key);
    return kept === undefined ? undefined : { ...kept, scores: kept.scores.samples };
  }
}

function begin(point: LevelPoint): Kept {
  const since = { atMs: point.atMs, exact: false };
  return { scores: new Series(EVERY_MS, SAMPLES), last: point, rise: 0, signalSince: since, sweepSince: point.swept ? since : undefined };
}
