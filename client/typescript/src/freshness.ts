/** How old a section is, compared with its usual pace. Rules only; the time is an argument, in ms. */

/** `late`: overdue by well over the usual gap. `stale`: too old to trade on. */
export type Age = "live" | "late" | "stale";

/** One section's age. */
export interface SectionFreshness {
  readonly state: Age;
  /** Since it last changed here, on this machine's clock. Core's `ts` plays no part: it may repeat and jump back. */
  readonly ageMs: number;
  /** The gap that nine of ten changes keep; undefined before there were two. */
  readonly usualMs: number | undefined;
}

/** When something is late or stale, where its own cadence is not to decide. */
export interface Limits {
  readonly lateAfterMs?: number | undefined;
  readonly staleAfterMs?: number | undefined;
}

const GAPS = 40;
const USUAL_BEFORE_KNOWN_MS = 1_000; // Core publishes several times a second
const LATE_GAPS = 2.5;
const LATE_SLACK_MS = 250;
const STALE_GAPS = 8;
const STALE_AT_LEAST_MS = 2_500;

/** When one section changed. */
export class Cadence {
  /** The shortest gap that is possible, where frames come at a rate that was asked for. */
  leastGapMs = 0;
  #gapsMs: number[] = [];
  #last: number | undefined;
  #moves = false;

  /**
   * A change at `now`.
   *
   * @param first whether it came with the first frame of a connection, which may be old.
   * @param skipped whether frames between this one and the one before it were not read: then the gap says nothing.
   */
  add(now: number, first: boolean, skipped: boolean): void {
    if (this.#moves && !skipped) this.#gapsMs = [...this.#gapsMs.slice(1 - GAPS), now - this.#last!];
    this.#last = now;
    this.#moves = !first;
  }

  /** A connection ended: what the next one sends first may be old, however new it is here. */
  interrupt(): void {
    this.#moves = false;
  }

  /** Undefined before the first change. */
  at(now: number, { lateAfterMs, staleAfterMs }: Limits): SectionFreshness | undefined {
    if (this.#last === undefined) return undefined;
    const usualMs = [...this.#gapsMs].sort((a, b) => a - b)[Math.floor(this.#gapsMs.length * 0.9)];
    const gapMs = Math.max(usualMs ?? USUAL_BEFORE_KNOWN_MS, this.leastGapMs);
    const ageMs = now - this.#last;
    const stale = ageMs > (staleAfterMs ?? Math.max(STALE_AT_LEAST_MS, STALE_GAPS * gapMs));
    const late = !this.#moves || ageMs > (lateAfterMs ?? LATE_GAPS * gapMs + LATE_SLACK_MS);
    return { state: stale ? "stale" : late ? "late" : "live", ageMs, usualMs };
  }
}
