/** What the page says of its data, and how loudly: never louder than it is true, and never calmer. */

import type { Freshness, ReplayStatus, State, Status } from "../feed.ts";
import { newYork } from "./clock.ts";
import { age } from "./words.ts";

/**
 * How it looks; the style sheet has each. `gone` looks as strong as `stale`, `empty` and `market_closed` are calm. `past` is
 * what somebody looks back at, and `replay` what Core publishes of another day.
 */
export type Look = State | "gone" | "empty" | "past";

export type Verdict = {
  readonly look: Look;
  /** In the strip. */
  readonly word: string;
  /** Over the whole page; empty where the page may be read as it is. */
  readonly over: string;
  /** In a sentence or three: what is so, how old it is, and why. */
  readonly reason: string;
  /** For ears. */
  readonly spoken: string;
};

/** What is known of the stream at one moment. */
export type Seen = {
  readonly state: State;
  readonly freshness: Freshness;
  /** Undefined where the gateway sends none. */
  readonly status: Status | undefined;
  /** What is wrong between NATS, the gateway and the page, as its /health says; empty when nothing is. */
  readonly trouble: string;
  /** Why the stream was closed for good; empty while it is not, or where the page closed it. */
  readonly ended: string;
  /** The gateway wants a token. */
  readonly refused: boolean;
};

export function verdictOf(seen: Seen): Verdict {
  const { state, freshness, status, ended, refused } = seen;
  const { levels, flow } = freshness;
  if (refused) return { ...WORDS.connecting, reason: "The gateway wants a token." };
  if (status?.replay !== undefined && state !== "closed") return past(status.replay, state);
  switch (state) {
    case "closed":
      return { ...WORDS.closed, reason: sentences(oldWords(seen), capital(ended), "The connection is closed for good; reload the page to try again.") };
    case "connecting":
      return disconnected(seen);
    case "live":
      return { ...WORDS.live, reason: status === undefined && flow && flow.state !== "live" ? `Levels are live, option flow is ${flow.state}.` : "" };
    case "replay":
      return replay(seen);
  }
  if (levels === undefined && flow === undefined) return empty(status);
  switch (state) {
    case "market_closed":
      return { ...WORDS[state], reason: closedWords(status) };
    case "late":
      return { ...WORDS.late, ...late(seen), reason: sentences(oldWords(seen), because(seen)) };
    case "stale":
      return { ...WORDS.stale, reason: sentences(oldWords(seen), because(seen)) };
  }
}

const WORDS = {
  live: { look: "live", word: "LIVE", over: "", spoken: "Data is live" },
  late: { look: "late", word: "LATE", over: "", spoken: "Data is late" },
  stale: { look: "stale", word: "STALE", over: "STALE", spoken: "Data is stale, do not trade on it" },
  past: { look: "past", word: "REPLAY", over: "REPLAY", spoken: "This is a replay, not the present" },
  replay: { look: "replay", word: "CORE REPLAYS", over: "CORE REPLAYS", spoken: "Core replays another day, this is not the present" },
  market_closed: { look: "market_closed", word: "MARKET CLOSED", over: "", spoken: "The market is closed" },
  gone: { look: "gone", word: "GATEWAY GONE", over: "NO GATEWAY", spoken: "The gateway is gone and prices are old, do not trade on them" },
  empty: { look: "empty", word: "NO DATA YET", over: "", spoken: "Connected, no message has come yet" },
  connecting: { look: "connecting", word: "CONNECTING", over: "", spoken: "Connecting to the gateway" },
  closed: { look: "closed", word: "DISCONNECTED", over: "DISCONNECTED", spoken: "The connection is closed" },
} as const;

/** A short restart of the gateway is no alarm: the prices are as fresh as they were. */
function disconnected(seen: Seen): Verdict {
  const { levels, flow } = seen.freshness;
  const trying = sentences(seen.trouble, "Connecting to the gateway…");
  const old = levels ?? flow;
  if (old === undefined) return { ...WORDS.connecting, reason: sentences("Nothing has arrived yet.", trying) };
  if (old.state === "replay") return { ...replay(seen), reason: sentences(replay(seen).reason, trying) };
  if (old.state === "live" || old.state === "market_closed")
    return { ...WORDS.connecting, reason: sentences(`What you see is ${age(old.ageMs)} old.`, trying) };
  return { ...WORDS.gone, reason: sentences(`Prices are ${age(old.ageMs)} old. Do not trade on them.`, trying) };
}

function empty(status: Status | undefined): Verdict {
  const market = status === undefined || status.market.open ? "" : status.market.sentence;
  return { ...WORDS.empty, reason: sentences("Connected; no message has come yet.", market) };
}

function replay({ status }: Seen): Verdict {
  const of = [status?.levels, status?.flow].find((section) => section?.verdict === "replay");
  const lagMs = of?.core_lag_ms ?? undefined;
  const day = of === undefined || lagMs === undefined ? "" : newYork(of.published_ms - lagMs).date;
  const explanation = status?.cause === "replay" ? status.explanation : "";
  return {
    ...WORDS.replay,
    over: day === "" ? WORDS.replay.over : `${WORDS.replay.over}\n${day.replace(/^\w+ /, "")}`,
    reason: sentences(`What you see is ${day === "" ? "of another time" : `of ${day}`}. Do not trade on it.`, explanation),
  };
}

/** Somebody looks back. */
function past({ at_ms: atMs, paused, speed }: ReplayStatus, state: State): Verdict {
  const { date, time } = newYork(atMs);
  const how = paused ? "It stands still." : speed === 1 ? "It plays." : `It plays at ${speed} times its speed.`;
  const next = state === "connecting" ? "Connecting to the gateway, to go on there." : `${how} Press n for the present.`;
  if (atMs === 0) return { ...WORDS.past, reason: "The moment is being looked up." };
  return {
    ...WORDS.past,
    over: `${WORDS.past.over}\n${date.replace(/^\w+ /, "")}\n${time}`,
    reason: `You see ${date}, ${time}. ${next}`,
  };
}

function closedWords(status: Status | undefined): string {
  if (status === undefined) return "";
  const published = Math.max(status.levels?.published_ms ?? 0, status.flow?.published_ms ?? 0);
  const { date, time } = newYork(published);
  const isSaid = published === 0 || status.market.sentence.includes("last data");
  return sentences(status.market.sentence, isSaid ? "" : `Last data ${date}, ${time}.`);
}

/** What is late, where it is not all. */
function late({ freshness: { levels, flow }, status }: Seen): Partial<Verdict> {
  if (status?.cause === "spot_missing") return { word: "NO SPOT", spoken: "Core sends no spot price" };
  if (status === undefined || levels?.state !== "live" || flow === undefined || flow.state === "live") return {};
  return flow.state === "stale"
    ? { word: "FLOW STALE", spoken: "Levels are live, option flow is stale" }
    : { word: "FLOW LATE", spoken: "Levels are live, option flow is late" };
}

/** The age of what is old, and what of it may be used. */
function oldWords({ state, freshness: { levels, flow }, status }: Seen): string {
  const old = levels ?? flow;
  if (old === undefined) return "Nothing has arrived yet.";
  const warning = state === "stale" ? " Do not trade on" : undefined;
  if (status !== undefined && levels !== undefined && flow !== undefined) {
    if (levels.state === "live" && flow.state !== "live") {
      const use = flow.state === "stale" ? " Do not trade on it." : "";
      return `Levels are live, option flow is ${age(flow.ageMs)} old.${use}`;
    }
    if (levels.state === "live") return "";
    if (flow.state === "live") return `Levels are ${age(trueAgeMs(levels.ageMs, status))} old, option flow is live.${warning ? `${warning} the levels.` : ""}`;
  }
  if (status?.cause === "spot_missing" && old.state === "live") return "";
  return `What you see is ${age(trueAgeMs(old.ageMs, status))} old.${warning ? `${warning} it.` : ""}`;
}

/** What a Core sends that is behind was old before it came. */
function trueAgeMs(ageMs: number, status: Status | undefined): number {
  const lagMs = (status?.levels ?? status?.flow)?.core_lag_ms ?? 0;
  return status?.cause === "core_behind" ? ageMs + Math.max(0, lagMs) : ageMs;
}

/** The cause as the gateway says it; else that of the line, else that of /health. */
function because({ status, freshness: { lineDelayMs }, trouble }: Seen): string {
  if (status?.explanation) return status.explanation;
  if (lineDelayMs !== undefined && lineDelayMs > SLOW_LINE_MS)
    return `The line to this page is slow: the newest frame took ${age(lineDelayMs)} longer than the quickest.`;
  return trouble;
}

function capital(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1);
}

const SLOW_LINE_MS = 1_000;

function sentences(...parts: readonly (string | null)[]): string {
  return parts
    .filter((part): part is string => part !== null && part !== "")
    .map((part) => (/[.…!?]$/.test(part) ? part : `${part}.`))
    .join(" ");
}
