/** New York: its time of day, and what the market does then. The gateway knows the holidays and early closes; this does not. */

import type { MarketStatus } from "../feed.ts";

export type Phase = "closed" | "pre-market" | "first 15 min" | "regular" | "after hours";

export type NewYork = {
  /** Tue 16 Dec 2025 */
  readonly date: string;
  /** HH:MM:SS */
  readonly time: string;
  readonly phase: Phase;
  /** Whole minutes until the phase ends; undefined while the market is closed. */
  readonly minutesLeft: number | undefined;
};

const PARTS = new Intl.DateTimeFormat("en-US", {
  timeZone: "America/New_York",
  hourCycle: "h23",
  weekday: "short",
  day: "numeric",
  month: "short",
  year: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});

/** First minute of the day, phase; each lasts until the next begins. */
const WEEKDAY: readonly (readonly [number, Phase])[] = [
  [0, "closed"],
  [4 * 60, "pre-market"],
  [9 * 60 + 30, "first 15 min"],
  [9 * 60 + 45, "regular"],
  [16 * 60, "after hours"],
  [20 * 60, "closed"],
];
const LAST_MS = 8.64e15; // that a Date can hold
const NEVER: NewYork = { date: "–", time: "–", phase: "closed", minutesLeft: undefined };
const WEEKEND = new Set(["Sat", "Sun"]);

export function newYork(atMs: number): NewYork {
  if (!(Math.abs(atMs) <= LAST_MS)) return NEVER;
  const part = new Map(PARTS.formatToParts(atMs).map(({ type, value }) => [type, value]));
  const [hour, minute, second] = ["hour", "minute", "second"].map((type) => part.get(type as "hour") ?? "00");
  const time = `${hour}:${minute}:${second}`;
  const date = ["weekday", "day", "month", "year"].map((type) => part.get(type as "day") ?? "").join(" ");
  if (WEEKEND.has(part.get("weekday") ?? "")) return { date, time, phase: "closed", minutesLeft: undefined };
  const now = Number(hour) * 60 + Number(minute);
  const next = WEEKDAY.findIndex(([begin]) => begin > now);
  const phase = WEEKDAY.at(next === -1 ? -1 : next - 1)?.[1] ?? "closed";
  const end = WEEKDAY[next]?.[0];
  return { date, time, phase, minutesLeft: phase === "closed" || end === undefined ? undefined : end - now };
}

/** What the market does, in words. Where the gateway says it, its calendar rules. */
export function sessionWords({ phase, minutesLeft }: NewYork, market: MarketStatus | undefined, nowMs: number): string {
  const minutesTo = (atMs: number): number => Math.max(1, Math.ceil((atMs - nowMs) / 60_000));
  if (market === undefined) return minutesLeft === undefined ? phase : `${phase}, ${inHours(minutesLeft)} left`;
  const { open, opens_ms: opens, closes_ms: closes } = market;
  if (!open) return opens !== null && opens - nowMs < DAY_MS ? `closed, opens in ${inHours(minutesTo(opens))}` : "closed";
  const now = phase === "first 15 min" || phase === "regular" ? phase : "open";
  return closes === null ? now : `${now}, ${inHours(phase === "first 15 min" ? (minutesLeft ?? 0) : minutesTo(closes))} left`;
}

const DAY_MS = 24 * 3_600_000;

/** Minutes as 5 h 17 min. */
export function inHours(minutes: number): string {
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
