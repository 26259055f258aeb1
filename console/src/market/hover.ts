/** What was so at a moment: the bar, the levels near it, and what happened in it. */

import type { Event } from "../feed.ts";
import { newYork } from "./clock.ts";
import type { Bar, LevelState } from "./session.ts";
import { cut } from "./bounds.ts";
import { fixed, price, spaced } from "./words.ts";

export type Hover = {
  /** 10:12:30 */
  readonly time: string;
  /** Open, high, low, close; empty in a gap. */
  readonly prices: readonly (readonly [name: string, price: string])[];
  readonly levels: readonly { readonly signal: string; readonly cells: readonly string[] }[];
  readonly happened: readonly { readonly signal: string; readonly words: string }[];
};

type Level = LevelState & { readonly kind: string };

const NEAR = 4; // levels
const HAPPENED = 3;

export function hoverOf(time: number, bar: Bar | undefined, levels: readonly Level[], events: readonly Event[]): Hover {
  const spot = bar?.close;
  const near = [...levels].sort((one, other) => Math.abs(one.price - (spot ?? 0)) - Math.abs(other.price - (spot ?? 0))).slice(0, NEAR);
  return {
    time: newYork(time * 1000).time,
    prices: bar === undefined ? [] : [["O", price(bar.open)], ["H", price(bar.high)], ["L", price(bar.low)], ["C", price(bar.close)]],
    levels: (spot === undefined ? [] : near)
      .sort((one, other) => other.price - one.price)
      .map((level) => ({
        signal: level.signal,
        cells: [price(level.price), cut(spaced(level.kind)), fixed(level.score, 0), level.signal === "NO_TRADE" ? "" : spaced(level.signal)],
      })),
    happened: events
      .slice(-HAPPENED)
      .map((event) => ({ signal: event.after, words: `${cut(spaced(event.level_kind ?? ""))} ${price(event.price)} → ${spaced(event.after)}` })),
  };
}
