/** New York: its time of day, and what the market does then. There is no calendar of holidays. */

export type Phase = "closed" | "pre-market" | "first 15 min" | "regular" | "after hours";

export type NewYork = {
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
const WEEKEND = new Set(["Sat", "Sun"]);

export function newYork(atMs: number): NewYork {
  const part = new Map(PARTS.formatToParts(atMs).map(({ type, value }) => [type, value]));
  const [hour, minute, second] = ["hour", "minute", "second"].map((type) => part.get(type as "hour") ?? "00");
  const time = `${hour}:${minute}:${second}`;
  if (WEEKEND.has(part.get("weekday") ?? "")) return { time, phase: "closed", minutesLeft: undefined };
  const now = Number(hour) * 60 + Number(minute);
  const next = WEEKDAY.findIndex(([begin]) => begin > now);
  const phase = WEEKDAY.at(next === -1 ? -1 : next - 1)?.[1] ?? "closed";
  const end = WEEKDAY[next]?.[0];
  return { time, phase, minutesLeft: phase === "closed" || end === undefined ? undefined : end - now };
}

/** Minutes as 5 h 17 min. */
export function inHours(minutes: number): string {
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
