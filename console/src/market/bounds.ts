/**
 * How much of a frame is drawn. The contract bounds neither a number nor a count, so what draws is bounded here: the
 * page shows every number as it is, and places it no further out than it can draw.
 */

import type { LevelSignal } from "../feed.ts";

const FURTHEST = 1e9; // points: beyond every price, and near enough that a float still has seven decimals
const MOST_LEVELS = 100; // Core sends 6 to 20; more rows than this cost more to draw than a frame may take
const MOST_STRIKES = 200;
const TEXT = 40; // characters, of a name in a row
const LONG_TEXT = 2_000; // of a field of the sheet

/** Whether a price can be drawn to scale. */
export function isDrawable(price: number): boolean {
  return Math.abs(price) <= FURTHEST;
}

/** The price, or the furthest place on its side. */
export function placed(price: number): number {
  return Math.max(-FURTHEST, Math.min(FURTHEST, price));
}

/** The levels that are shown, in their own order: all, or those nearest to spot. */
export function nearestLevels(levels: readonly LevelSignal[], scale: Scale): readonly LevelSignal[] {
  return nearest(levels, ({ level_price: price }) => scale.place(price), scale.main.spot ?? undefined, MOST_LEVELS);
}

type Scale = { readonly main: { readonly spot: number | null }; place(price: number): number };

/** The strikes that are shown, in their own order. */
export function nearestStrikes<Row extends { readonly strike: number }>(rows: readonly Row[], spot: number | undefined): readonly Row[] {
  return nearest(rows, ({ strike }) => strike, spot, MOST_STRIKES);
}

function nearest<Of>(all: readonly Of[], priceOf: (of: Of) => number, spot: number | undefined, most: number): readonly Of[] {
  if (all.length <= most) return all;
  const prices = all.map(priceOf);
  const centre = placed(spot ?? [...prices].sort((a, b) => a - b)[prices.length >> 1] ?? 0);
  const away = (index: number): number => Math.abs((prices[index] ?? 0) - centre);
  const kept = new Set(all.map((_, index) => index).sort((a, b) => away(a) - away(b)).slice(0, most));
  return all.filter((_, index) => kept.has(index));
}

/** A name as a row has room for it. */
export function cut(text: string): string {
  return text.length <= TEXT ? text : `${text.slice(0, TEXT - 1)}…`;
}

/** A text as the sheet has room for it. */
export function cutLong(text: string): string {
  return text.length <= LONG_TEXT ? text : `${text.slice(0, LONG_TEXT)}… (${text.length} characters)`;
}
