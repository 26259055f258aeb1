/**
 * The market over time: spot as bars of one length, and each level while it was there. It is filled by `/history`, and
 * grown by live frames. Both may tell of the same bar, in any order: it is one bar.
 */

import type { History, LevelHistory } from "../feed.ts";
import { isDrawable } from "./bounds.ts";

/** Prices from `time` on, in seconds since 1970, for one step. */
export type Bar = { readonly time: number; readonly open: number; readonly high: number; readonly low: number; readonly close: number };

/** What has to be drawn again. */
export type Change = "last" | "all" | "none";

export type LevelState = { readonly time: number; readonly price: number; readonly signal: string; readonly score: number };

export type Life = { readonly id: string; readonly kind: string; readonly states: readonly LevelState[] };

/** A level as a live frame has it. */
export type LevelNow = { readonly id: string; readonly kind: string; readonly price: number; readonly signal: string; readonly score: number };

const SAME_CLOCK_MS = 5_000; // Core's ts may repeat and step back a little; more than this is another clock
const LEAST_GAP_S = 10; // a Core that publishes every few seconds has no gaps
const MOST_LIVES = 300; // `/history` tells 256; the ones that were seen last stay
const SPARE = 1.1; // by so much the bars may be too many, before the oldest go: that draws all

type Kept = { id: string; kind: string; states: LevelState[] };

export class Session {
  bars: readonly Bar[] = [];
  private kept = new Map<string, Kept>();
  private newestMs = -Infinity;

  /**
   * @param stepMs the length of a bar; an answer may change it
   * @param most bars; the oldest ones go
   */
  constructor(
    public stepMs: number,
    private readonly most: number,
  ) {}

  get stepS(): number {
    return this.stepMs / 1000;
  }

  get lives(): Iterable<Life> {
    return this.kept.values();
  }

  /** Two bars further apart than this are not joined. */
  get gapS(): number {
    return Math.max(this.stepS, LEAST_GAP_S);
  }

  /** A live frame. */
  add(tsMs: number, spot: number | null, levels: readonly LevelNow[]): Change {
    const another = tsMs < this.newestMs - SAME_CLOCK_MS;
    if (another) this.clear();
    this.newestMs = Math.max(this.newestMs, tsMs);
    const time = this.timeOf(this.newestMs);
    for (const { id, kind, ...state } of levels) {
      if (isDrawable(state.price)) this.addLevel(id, kind, { time, ...state });
    }
    this.forget();
    const change = spot === null || !isDrawable(spot) ? "none" : this.addSpot(time, spot);
    return another ? "all" : change;
  }

  /** What the gateway has of the past takes the place of what was seen of it; what came later stays. */
  fill(answer: History, instrument: "spy" | "es"): void {
    const wasLonger = this.stepMs > answer.step_ms; // such a bar began before what it shows
    this.stepMs = answer.step_ms;
    const toldTo = answer.available_to_ms === null ? -Infinity : this.timeOf(answer.available_to_ms);
    const from = answer.from_ms / 1000;
    const told = barsOf(answer, instrument);
    const seen = joined(this.bars.map((bar) => ({ ...bar, time: this.timeOf(bar.time * 1000) }))).filter(({ time }) => time >= (wasLonger ? Math.max(from, toldTo) : from));
    const has = new Map(told.map((bar) => [bar.time, bar]));
    for (const bar of seen) {
      const other = has.get(bar.time);
      if (other === undefined) has.set(bar.time, bar);
      else if (bar.time >= toldTo) has.set(bar.time, both(other, bar));
    }
    this.bars = [...has.values()].sort((one, other) => one.time - other.time).slice(-this.most);
    this.fillLevels(answer, toldTo);
    this.newestMs = Math.max(this.newestMs, answer.available_to_ms ?? -Infinity);
  }

  /** Another moment is shown. A bar that ends after it is made of what came later, too: it goes. */
  cut(toMs: number): void {
    const isKnown = ({ time }: { readonly time: number }): boolean => (time + this.stepS) * 1000 <= toMs + 1;
    this.bars = this.bars.filter(isKnown);
    for (const [id, life] of this.kept) {
      life.states = life.states.filter(isKnown);
      if (life.states.length === 0) this.kept.delete(id);
    }
    this.newestMs = Math.min(this.newestMs, toMs);
  }

  clear(): void {
    this.bars = [];
    this.kept.clear();
    this.newestMs = -Infinity;
  }

  /** The bar of a moment. */
  barAt(time: number): Bar | undefined {
    return this.bars[indexAt(this.bars, time)];
  }

  /** What the levels were in the bar that begins at a time. */
  levelsAt(time: number): (LevelState & { readonly id: string; readonly kind: string })[] {
    return [...this.kept.values()].flatMap(({ id, kind, states }) => {
      const state = states[indexAt(states, time)];
      return state === undefined ? [] : [{ id, kind, ...state }];
    });
  }

  /** About what spot was at a moment: between the open and the close of its bar; undefined in a gap, and after the last. */
  spotAt(atMs: number): number | undefined {
    const bar = this.barAt(this.timeOf(atMs));
    if (bar === undefined || atMs > this.newestMs) return undefined;
    const endMs = Math.min((bar.time + this.stepS) * 1000, Math.max(this.newestMs, bar.time * 1000 + 1));
    return bar.open + (bar.close - bar.open) * Math.min(1, (atMs - bar.time * 1000) / (endMs - bar.time * 1000));
  }

  timeOf(tsMs: number): number {
    return (Math.floor(tsMs / this.stepMs) * this.stepMs) / 1000;
  }

  private addSpot(time: number, spot: number): Change {
    const last = this.bars.at(-1);
    if (last === undefined || time > last.time) {
      const bar = { time, open: spot, high: spot, low: spot, close: spot };
      const isFull = this.bars.length > this.most * SPARE;
      this.bars = isFull ? [...this.bars.slice(-this.most), bar] : [...this.bars, bar];
      return isFull || last === undefined ? "all" : "last";
    }
    if (last.close === spot) return "none";
    const grown = { ...last, high: Math.max(last.high, spot), low: Math.min(last.low, spot), close: spot };
    this.bars = [...this.bars.slice(0, -1), grown];
    return "last";
  }

  private addLevel(id: string, kind: string, state: LevelState): void {
    const life = this.kept.get(id) ?? { id, kind, states: [] };
    const last = life.states.at(-1);
    if (last !== undefined && last.time >= state.time) life.states[life.states.length - 1] = state;
    else life.states.push(state);
    if (life.states.length > this.most * SPARE) life.states.splice(0, life.states.length - this.most);
    life.kind = kind;
    this.kept.delete(id); // the last one to be heard of is the last to go
    this.kept.set(id, life);
  }

  private fillLevels(answer: History, toldTo: number): void {
    const seen = this.kept;
    this.kept = new Map();
    const { levels = [], signals = [] } = answer;
    for (const level of levels) this.kept.set(level.id, { id: level.id, kind: level.kind, states: statesOf(level, answer, signals) });
    for (const { id, kind, states } of seen.values()) {
      const known = this.kept.has(id);
      for (const state of states) {
        const time = this.timeOf(state.time * 1000);
        if (time >= toldTo || (!known && time >= answer.from_ms / 1000)) this.addLevel(id, kind, { ...state, time });
      }
    }
    this.forget();
  }

  private forget(): void {
    for (const id of this.kept.keys()) {
      if (this.kept.size <= MOST_LIVES) return;
      this.kept.delete(id);
    }
  }
}

function barsOf({ from_ms, step_ms, spy, es }: History, instrument: "spy" | "es"): Bar[] {
  const columns = (instrument === "es" ? es : undefined) ?? spy;
  if (columns === undefined) return [];
  return columns.close.flatMap((close, point) => {
    const [open, high, low] = [columns.open[point], columns.high[point], columns.low[point]];
    if (close === null || open == null || high == null || low == null || !isDrawable(high) || !isDrawable(low)) return [];
    return [{ time: (from_ms + point * step_ms) / 1000, open, high, low, close }];
  });
}

function statesOf(level: LevelHistory, { from_ms, step_ms }: History, signals: readonly string[]): LevelState[] {
  return level.signal.flatMap((signal, point) => {
    if (signal === null) return [];
    const time = (from_ms + (level.at + point) * step_ms) / 1000;
    return [{ time, price: level.prices?.[point] ?? level.price, signal: signals[signal] ?? "", score: level.score[point] ?? 0 }];
  });
}

/** Bars of one time are one, the earlier first; the times rise. */
function joined(bars: readonly Bar[]): Bar[] {
  const found: Bar[] = [];
  for (const bar of bars) {
    const last = found.at(-1);
    if (last?.time === bar.time) found[found.length - 1] = both(last, bar);
    else found.push(bar);
  }
  return found;
}

function both(earlier: Bar, later: Bar): Bar {
  const { time, open } = earlier;
  return { time, open, high: Math.max(earlier.high, later.high), low: Math.min(earlier.low, later.low), close: later.close };
}

/** Where the element of a time is in a list whose times rise; -1 where it has none. */
function indexAt(list: readonly { readonly time: number }[], time: number): number {
  let [from, to] = [0, list.length - 1];
  while (from <= to) {
    const middle = (from + to) >> 1;
    const found = list[middle]!.time;
    if (found === time) return middle;
    if (found < time) from = middle + 1;
    else to = middle - 1;
  }
  return -1;
}

/** The bars with no step left out: where there was no spot, only the time. And so that they are at most so many: longer ones. */
export function plotted(bars: readonly Bar[], stepS: number, most: number): { readonly stepS: number; readonly slots: readonly Slot[] } {
  const [first, last] = [bars[0], bars.at(-1)];
  if (first === undefined || last === undefined) return { stepS, slots: [] };
  const fits = (each: number): boolean => each % stepS === 0 && (last.time - first.time) / each < most;
  const longer = most === Infinity ? stepS : (CANDLES_S.find(fits) ?? CANDLES_S.at(-1)!);
  const aligned = joined(bars.map((bar) => ({ ...bar, time: Math.floor(bar.time / longer) * longer })));
  const slots: Slot[] = [];
  for (const bar of aligned) {
    const before = slots.at(-1);
    if (before !== undefined && (bar.time - before.time) / longer > MOST_EMPTY) slots.length = 0; // another day: it would be a speck at the edge
    else for (let time = (before?.time ?? bar.time) + longer; time < bar.time; time += longer) slots.push({ time });
    slots.push(bar);
  }
  return { stepS: longer, slots };
}

export type Slot = Bar | { readonly time: number };

const CANDLES_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400]; // each a multiple of most before
const MOST_EMPTY = 5_000;

/** A part of a level's life in which it stood at one price with one signal; both times in seconds, the end is open. */
export type Run = { readonly from: number; readonly to: number; readonly price: number; readonly signal: string };

export function runsOf(states: readonly LevelState[], stepS: number, gapS: number): Run[] {
  const runs: { from: number; to: number; price: number; signal: string }[] = [];
  for (const { time, price, signal } of states) {
    const last = runs.at(-1);
    const joins = last !== undefined && time - (last.to - stepS) <= gapS;
    if (joins && last.price === price && last.signal === signal) last.to = time + stepS;
    else {
      if (joins) last.to = time;
      runs.push({ from: time, to: time + stepS, price, signal });
    }
  }
  return runs;
}
