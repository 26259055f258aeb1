/**
 * What each level was before: its score over time, since when it has its signal and its sweep. The page sees some of it;
 * the gateway's events and its history tell what came before.
 */

import type { Event, History } from "../feed.ts";
import { type Sample, Series } from "./series.ts";

/** What is known of a level at one moment. */
export type LevelPoint = {
  readonly atMs: number;
  /** Of the row. */
  readonly key: string;
  /** Of the level. */
  readonly id: string;
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
const MOST_TOLD = 5_000; // as many events as the page keeps
const SAME_CLOCK_MS = 5_000;
const ABSENT = "absent";

export const SPARK_SPAN_MS = EVERY_MS * SAMPLES;
export const SPARK_GAP_MS = 5 * EVERY_MS;
/** What of the history a sparkline shows. */
export const SPARK_ASKED = { lengthMs: SPARK_SPAN_MS, step: `${EVERY_MS / 1000}s` } as const;

type Kept = { readonly scores: Series; last: LevelPoint; rise: number; signalSince: Since; sweepSince: Since | undefined };

/** Since when a level has what it has, as its events tell; a level that came has its signal since then, whichever it is. */
type Told = { readonly atMs: number; readonly value: string | undefined };
type LevelTold = { signal?: Told; sweep?: Told };

export class LevelPasts {
  private readonly kept = new Map<string, Kept>();
  private readonly told = new Map<string, LevelTold>(); // by id
  private scores: ReadonlyMap<string, readonly Sample[]> = new Map(); // likewise
  private newestMs = -Infinity;

  add(point: LevelPoint): void {
    if (point.atMs < this.newestMs - SAME_CLOCK_MS) this.kept.clear(); // another clock: a replay began, or ended
    this.newestMs = point.atMs;
    const kept = this.kept.get(point.key) ?? begin(point, this.scores.get(point.id) ?? []);
    const { last } = kept;
    const wasSeen = last.id === point.id && point.atMs - last.atMs <= SPARK_GAP_MS;
    const since = { atMs: point.atMs, exact: wasSeen };
    if (last.signal !== point.signal) kept.signalSince = since;
    if (!point.swept) kept.sweepSince = undefined;
    else if (!last.swept) kept.sweepSince = since;
    kept.scores.add({ atMs: point.atMs, value: point.score });
    const before = kept.scores.before(point.atMs - RISE_MS) ?? kept.scores.samples[0]?.value ?? point.score;
    kept.rise = point.score - before;
    kept.last = point;
    this.kept.delete(point.key); // the last one to be heard of is the last to go
    this.kept.set(point.key, kept);
    if (this.kept.size > MOST_LEVELS) this.kept.delete(this.kept.keys().next().value!);
  }

  /** What happened until the moment that is shown, by their last occurrence; also what was told before. */
  tell(events: readonly Event[]): void {
    for (const event of events) {
      const { level, kind, ts: atMs, after } = event;
      if (level === null) continue;
      const its: LevelTold = kind === "level" ? {} : { ...this.told.get(level) };
      if (kind === "signal") its.signal = { atMs, value: after };
      else if (kind === "sweep_detected") its.sweep = { atMs, value: after };
      else if (kind === "level" && after !== ABSENT) its.signal = its.sweep = { atMs, value: undefined };
      else if (kind !== "level") continue;
      this.told.delete(level);
      this.told.set(level, its);
      if (this.told.size > MOST_TOLD) this.told.delete(this.told.keys().next().value!);
    }
  }

  /** The scores of the last minutes. What was seen stays. */
  fill({ from_ms, step_ms, levels = [] }: History): void {
    const samplesOf = (at: number, score: readonly (number | null)[]): Sample[] =>
      score.flatMap((value, point) => (value === null ? [] : [{ atMs: from_ms + (at + point) * step_ms, value }]));
    this.scores = new Map(levels.map(({ id, at, score }) => [id, samplesOf(at, score)]));
    for (const { scores, last } of this.kept.values()) scores.fill(this.scores.get(last.id) ?? []);
  }

  of(key: string): LevelPast | undefined {
    const kept = this.kept.get(key);
    if (kept === undefined) return undefined;
    const { last, rise, signalSince, sweepSince } = kept;
    const { signal, sweep } = this.told.get(last.id) ?? {};
    return {
      rise,
      scores: kept.scores.samples,
      signalSince: sinceOf(signalSince, signal, last.signal, last.atMs),
      sweepSince: sweepSince && sinceOf(sweepSince, sweep, String(last.swept), last.atMs),
    };
  }
}

/** As the events tell, where they know what is shown: more exactly than frames, which may come late or not at all. */
function sinceOf(seen: Since, told: Told | undefined, value: string, nowMs: number): Since {
  const isKnown = told !== undefined && (told.value ?? value) === value && told.atMs <= nowMs + SAME_CLOCK_MS;
  return !isKnown || (seen.exact && seen.atMs > told.atMs) ? seen : { atMs: told.atMs, exact: true };
}

function begin(point: LevelPoint, scores: readonly Sample[]): Kept {
  const since = { atMs: point.atMs, exact: false };
  const series = new Series(EVERY_MS, SAMPLES);
  series.fill(scores);
  return { scores: series, last: point, rise: 0, signalSince: since, sweepSince: point.swept ? since : undefined };
}
