/** The list "What changed": which events are a line, and what it says. */

import type { Event } from "../feed.ts";
import { newYork } from "./clock.ts";
import { cut } from "./bounds.ts";
import { age, fixed, plain, price, signed, spaced } from "./words.ts";

/** The kinds that are not signals, which may be left out one by one. */
export const REST = {
  sweep_detected: "Sweeps",
  spot_side: "Spot across a level",
  barrier_state: "Barriers",
  level: "Levels that came or went",
  verdict: "Verdicts",
  replay: "Replays",
} as const;

export type RestKind = keyof typeof REST;
export type TapeChoice = { readonly part: "signals" | "rest"; readonly hidden: readonly string[] };

export type Line = {
  readonly id: string;
  /** Its id; empty where the event is not of a level. */
  readonly level: string;
  readonly kind: string;
  readonly signal: string;
  readonly time: string;
  readonly what: string;
  readonly name: string;
  /** Since when it stands, or how long it stood, and how often it came; then score and spot. */
  readonly facts: string;
  /** Points that spot moved after it. */
  readonly moves: readonly { readonly after: string; readonly points: string }[];
};

/** About what spot was then; undefined where it is not known. */
export type SpotAt = (atMs: number) => number | undefined;

const MOST = 100; // lines
const NO_TRADE = "NO_TRADE";
const AFTER_MIN = [1, 5, 15];
const SAME_INSTRUMENT = 1.2; // times: SPY and ES differ by ten
const ABSENT = "absent";

/** The calls for a break or a bounce, the newest first: that one ended is said in its own line. */
export function signalLines(events: readonly Event[], spotAt: SpotAt): Line[] {
  const ends = endsOf(events);
  const calls = events.filter(({ kind, after }) => kind === "signal" && after !== NO_TRADE);
  return newest(calls).map((event) => ({
    ...common(event),
    signal: event.after,
    what: `→ ${spaced(event.after)}`,
    facts: factsOf(event, sinceOf(event, ends.get(event.level ?? "") ?? [])),
    moves: movesOf(event, spotAt),
  }));
}

/** All else, without what only ends what another line tells. */
export function restLines(events: readonly Event[], { hidden }: TapeChoice): Line[] {
  const shown = events.filter(({ kind, after }) => kind !== "signal" && !hidden.includes(kind) && !(kind === "sweep_detected" && after !== "true"));
  return newest(shown).map((event) => ({ ...common(event), signal: "", what: wordsOf(event), facts: countOf(event), moves: [] }));
}

function newest(events: readonly Event[]): Event[] {
  return events.slice(-MOST).reverse();
}

function common({ id, level, kind, ts, level_kind, price: at }: Event): Pick<Line, "id" | "level" | "kind" | "time" | "name"> {
  const name = at === null ? "" : `${price(at)} ${cut(spaced(level_kind ?? ""))}`;
  return { id, level: at === null ? "" : (level ?? ""), kind, time: newYork(ts).time, name };
}

function factsOf({ score, spot }: Event, since: string): string {
  return [since, score === null ? "" : `score ${fixed(score, 0)}`, spot === null ? "" : `spot ${price(spot)}`].filter((each) => each !== "").join(" · ");
}

/** By level, when it had another signal than before, or went. */
function endsOf(events: readonly Event[]): Map<string, Event[]> {
  const ends = new Map<string, Event[]>();
  for (const event of events) {
    if (event.level === null || !(event.kind === "signal" || (event.kind === "level" && event.after === ABSENT))) continue;
    const its = ends.get(event.level);
    if (its === undefined) ends.set(event.level, [event]);
    else its.push(event);
  }
  return ends;
}

/** What it was until: a flapping signal began with its first occurrence. */
function sinceOf(event: Event, ends: readonly Event[]): string {
  const end = ends.find(({ id, ts, before, kind }) => id !== event.id && ts >= event.ts && (kind === "level" || before === event.after));
  const begun = newYork(event.first_ts).time.slice(0, 5);
  const stood = end === undefined ? `since ${begun}` : `${begun} for ${age(end.ts - event.first_ts)}`;
  return event.count > 1 ? `${stood} ×${event.count}` : stood;
}

function countOf({ count, first_ts }: Event): string {
  return count > 1 ? `×${count} since ${newYork(first_ts).time.slice(0, 5)}` : "";
}

function movesOf({ ts, spot }: Event, spotAt: SpotAt): Line["moves"] {
  if (spot === null) return [];
  return AFTER_MIN.flatMap((minutes) => {
    const later = spotAt(ts + minutes * 60_000);
    const isSame = later !== undefined && Math.abs(Math.log(later / spot)) < Math.log(SAME_INSTRUMENT);
    return isSame ? [{ after: `${minutes} min`, points: signed(later - spot, 2) }] : [];
  });
}

function wordsOf({ kind, level, before, after }: Event): string {
  const words: Readonly<Record<RestKind, () => string>> = {
    sweep_detected: () => "SWEEP",
    spot_side: () => `spot ${plain(after)}`,
    barrier_state: () => `${plain(before)} → ${plain(after)}`,
    level: () => (after === ABSENT ? "went" : "came"),
    verdict: () => `${plain(level ?? "")}: ${plain(before)} → ${plain(after)}`,
    replay: () => (after === "true" ? "replay begins" : "replay ends"),
  };
  return kind in words ? words[kind as RestKind]() : `${plain(kind)}: ${plain(before)} → ${plain(after)}`;
}

/** What was kept, whatever it is. */
export function readTapeChoice(text: string | null): TapeChoice {
  const [part = "", ...hidden] = (text ?? "").split(" ");
  return { part: part === "rest" ? "rest" : "signals", hidden: hidden.filter((kind) => kind in REST) };
}

export function tapeChoiceText({ part, hidden }: TapeChoice): string {
  return [part, ...hidden].join(" ");
}
