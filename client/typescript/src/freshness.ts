/** How old a section is, compared with its usual pace. Rules only; the time is an argument, in ms. */

import type { SectionStatus, Status } from "./contract.js";

/**
 * `late`: overdue by well over the usual gap. `stale`: too old to trade on. Only where the gateway sends a status:
 * `replay`: Core's time is that of another day, or this stream was asked for the past. `market_closed`: nothing new is to be expected.
 */
export type Age = "live" | "late" | "stale" | "replay" | "market_closed";

/** One section's age. */
export interface SectionFreshness {
  readonly state: Age;
  /**
   * Since NATS took the section's message, as the gateway says, and then by this machine's clock. Without a status: since
   * the section last changed here. Core's `ts` plays no part: it may repeat and jump back.
   */
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
const STALE_HEARTBEATS = 3;
const IN_A_ROW = 3; // gaps as long as an outage, before they are taken for the pace of a slow producer
const ALIKE = 1.5; // the longest of them, in the shortest

/** When one section changed. */
export class Cadence {
  /** The shortest gap that is possible, where frames come at a rate that was asked for. */
  leastGapMs = 0;
  #gapsMs: number[] = [];
  #outagesMs: number[] = []; // since the last usual gap
  #last: number | undefined;
  #moves = false;

  /**
   * A change at `now`.
   *
   * @param first whether it came with the first frame of a connection, which may be old.
   * @param skipped whether frames between this one and the one before it were not read: then the gap says nothing.
   */
  add(now: number, first: boolean, skipped: boolean): void {
    if (this.#moves && !skipped) this.#learn(now - this.#last!);
    this.#last = now;
    this.#moves = !first;
  }

  /** An outage is no gap, unless three in a row are alike: then this is the pace. */
  #learn(gapMs: number): void {
    const limitMs = this.#gapsMs.length ? this.#staleMs : STALE_AT_LEAST_MS; // the first may be an outage
    const row = (this.#outagesMs = gapMs > limitMs ? [...this.#outagesMs.slice(1 - IN_A_ROW), gapMs] : []);
    if (!row.length) this.#gapsMs = [...this.#gapsMs.slice(1 - GAPS), gapMs];
    else if (row.length === IN_A_ROW && Math.max(...row) <= ALIKE * Math.min(...row)) this.#gapsMs = row;
  }

  /** A connection ended: what the next one sends first may be old, however new it is here. */
  interrupt(): void {
    this.#moves = false;
  }

  /** By the changes alone; undefined before the first. */
  at(now: number, { lateAfterMs, staleAfterMs }: Limits): SectionFreshness | undefined {
    if (this.#last === undefined) return undefined;
    const ageMs = now - this.#last;
    const stale = ageMs > (staleAfterMs ?? this.#staleMs);
    const late = !this.#moves || ageMs > (lateAfterMs ?? lateMs(this.#gapMs));
    return { state: stale ? "stale" : late ? "late" : "live", ageMs, usualMs: this.#usualMs };
  }

  /**
   * By the gateway's verdict, while the gateway is heard; undefined where the section has none.
   *
   * @param sinceMs since the gateway said it.
   */
  judged(of: SectionStatus | undefined, status: Status, sinceMs: number, limits: Limits): SectionFreshness | undefined {
    if (!of) return undefined;
    const ageMs = of.age_ms + sinceMs;
    const { lateAfterMs = Infinity, staleAfterMs = Infinity } = limits;
    const isOver = (limitMs: number, ageLimitMs: number) => sinceMs > limitMs || ageMs > ageLimitMs;
    // The gateway may be silent from one heartbeat to the next, however fast the section's own pace.
    const gapMs = Math.max(this.#gapMs, status.heartbeat_ms);
    let state: Age = of.verdict === "live" && !isOver(lateMs(gapMs), lateAfterMs) ? "live" : "late";
    const stale = Math.max(this.#staleMs, STALE_HEARTBEATS * status.heartbeat_ms);
    if (of.verdict === "stale" || isOver(stale, staleAfterMs)) state = "stale";
    if (of.verdict === "closed" && status.sent_ms + sinceMs < (status.market.opens_ms ?? Infinity)) state = "market_closed";
    if (of.verdict === "replay") state = "replay";
    return { state, ageMs, usualMs: this.#usualMs };
  }

  get #usualMs(): number | undefined {
    return [...this.#gapsMs].sort((a, b) => a - b)[Math.floor((this.#gapsMs.length - 1) * 0.9)];
  }

  get #gapMs(): number {
    return Math.max(this.#usualMs ?? USUAL_BEFORE_KNOWN_MS, this.leastGapMs);
  }

  get #staleMs(): number {
    return Math.max(STALE_AT_LEAST_MS, STALE_GAPS * this.#gapMs);
  }
}

function lateMs(gapMs: number): number {
  return LATE_GAPS * gapMs + LATE_SLACK_MS;
}

/**
 * The state of all, where the gateway sends a status: that of the levels, or of the flow where there are no levels. A
 * replay of either is one of both. Flow that is not fresh makes live levels late, and no more than that: the levels
 * themselves may be traded on. Without any section all is overdue, unless the market is closed.
 *
 * @param asks for `levels` and `flow`, whether the shape has them.
 */
export function stateOf(
  levels: Age | undefined,
  flow: Age | undefined,
  { cause, market }: Status,
  asks: Readonly<Record<"levels" | "flow", boolean>>,
): Age {
  if (levels === "replay" || flow === "replay" || cause === "past") return "replay";
  const state = levels ?? flow ?? (market.open ? "late" : "market_closed");
  if (state !== "live") return state;
  const isMissing = cause === "flow_silent" ? asks.flow : asks.levels && LEVELS_MISSING.includes(cause!);
  return flow === "late" || flow === "stale" || isMissing ? "late" : "live";
}

/** Causes for which levels have no worth, be the newest message as fresh as it may. */
const LEVELS_MISSING: readonly string[] = ["levels_silent", "spot_missing"];
