/** Numbers and values as a trader reads them: a fixed number of decimals, a true minus, thousands where they help. */

import { cut } from "./bounds.ts";

const DASH = "–";
const MINUS = "−";
const PLAIN_TO = 1e9; // from here on a number is shown as 1.00e9, which is as wide as 1000.00

export function price(value: number | null | undefined): string {
  return fixed(value, 2);
}

export function fixed(value: number | null | undefined, decimals: number): string {
  if (typeof value !== "number" || !Number.isFinite(value)) return DASH; // Core's own sections hold anything
  const size = Math.abs(value);
  const text = size < PLAIN_TO ? size.toFixed(decimals) : exponential(size);
  return value < 0 && Number(text) !== 0 ? MINUS + text : text;
}

function exponential(size: number): string {
  return size.toExponential(2).replace("e+", "e");
}

/** With its sign, also above 0. */
export function signed(value: number, decimals: number): string {
  const text = fixed(value, decimals);
  return value > 0 && Number(text) !== 0 ? `+${text}` : text;
}

export function percent(share: number | undefined): string {
  return share === undefined ? DASH : fixed(share * 100, 0);
}

const SHORT: readonly (readonly [number, string])[] = [
  [1e9, "B"],
  [1e6, "M"],
  [1e3, "k"],
];

/** Three figures and a letter: 7.51M. */
export function short(value: number): string {
  const size = Math.abs(value);
  if (!(size < 999.5e9)) return fixed(value, 0);
  const [unit, letter] = SHORT.find(([unit]) => size >= unit * 0.9995) ?? [1, ""];
  const scaled = size / unit;
  const decimals = letter === "" ? 0 : scaled < 9.995 ? 2 : scaled < 99.95 ? 1 : 0;
  const text = scaled.toFixed(decimals) + letter;
  return value < 0 && text !== "0" ? MINUS + text : text;
}

/** 0.2 s, 12 s, 3 min, 2 h, 5 d: never wider than six characters. */
export function age(ms: number): string {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 99.5) return `${Math.round(seconds)} s`;
  if (seconds < 99.5 * 60) return `${Math.round(seconds / 60)} min`;
  if (seconds < 99.5 * 3_600) return `${Math.round(seconds / 3_600)} h`;
  return `${Math.min(9_999, Math.round(seconds / 86_400))} d`;
}

/** How far one clock is behind another: in milliseconds, beyond 10 s as an age; with a minus where it is ahead. */
export function lag(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return DASH;
  if (Math.abs(ms) < 10_000) return `${fixed(ms, 0)} ms`;
  return (ms < 0 ? MINUS : "") + age(Math.abs(ms));
}

/** NO_TRADE as no trade. */
export function plain(name: string): string {
  return cut(name).replaceAll("_", " ").toLowerCase();
}

/** NO_TRADE as NO TRADE. */
export function spaced(name: string): string {
  return cut(name).replaceAll("_", " ");
}
