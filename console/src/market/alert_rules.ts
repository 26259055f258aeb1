/** What a trader wants to be called for, and how: as it is chosen, kept and said. */

import type { Events } from "../feed.ts";
import { cut } from "./bounds.ts";
import type { Look } from "./verdict.ts";
import { spaced } from "./words.ts";

export type MarketEvent = Events["events"][number];

export const SUBJECTS = {
  signal: "A signal begins",
  near: "Spot comes near a level",
  cross: "Spot crosses a level",
  sweep: "A sweep begins",
  verdict: "The data is not live",
} as const;
export const SIGNALS = { any: "BREAK or BOUNCE", BREAK: "BREAK", BOUNCE: "BOUNCE" } as const;
export const CONFIDENCES = { LOW: "any confidence", MEDIUM: "medium or high", HIGH: "high only" } as const;
export const VERDICTS = { stale: "STALE or worse", late: "LATE or worse", live: "LIVE again" } as const;

/** One rule. What its subject does not need is there, and means nothing. */
export type Rule = {
  readonly on: keyof typeof SUBJECTS;
  readonly active: boolean;
  /** All levels, those of a kind, or the one of an id. */
  readonly by: "any" | "kind" | "level";
  /** The kind or the id. */
  readonly name: string;
  readonly signal: keyof typeof SIGNALS;
  readonly least: keyof typeof CONFIDENCES;
  /** Points. */
  readonly within: number;
  readonly verdict: keyof typeof VERDICTS;
};

export type AlertChoice = {
  readonly rules: readonly Rule[];
  readonly sound: boolean;
  readonly notification: boolean;
  readonly silenced: boolean;
  /** Of one rule and level, from one call to the next. */
  readonly cooldownS: number;
};

export const NEW_RULE: Rule = { on: "signal", active: true, by: "any", name: "", signal: "any", least: "HIGH", within: 1, verdict: "stale" };
/** Until the trader chooses: what nobody wants to miss, on the page only. */
export const FIRST_CHOICE: AlertChoice = {
  rules: [NEW_RULE, { ...NEW_RULE, on: "verdict" }],
  sound: false,
  notification: false,
  silenced: false,
  cooldownS: 60,
};
export const MOST_RULES = 20;
export const LONGEST_COOLDOWN_S = 3_600;
const FURTHEST = 1_000; // points
const NAME = 200; // characters

const WORSE: Readonly<Record<Rule["verdict"], readonly Look[]>> = {
  late: ["late", "stale", "gone", "closed"],
  stale: ["stale", "gone", "closed"],
  live: ["live"],
};
const RANK: Readonly<Record<string, number>> = { LOW: 1, MEDIUM: 2, HIGH: 3 };
const NO_TRADE = "NO_TRADE";

// -- matching ----------------------------------------------------------------------------------------------------------

export type Target = { readonly id: string; readonly kind: string };

export function isOf({ by, name }: Rule, { id, kind }: Target): boolean {
  return by === "any" || name === (by === "kind" ? kind : id);
}

/** Whether a level has the signal of a rule, at least as sure. */
export function hasSignal({ signal, least }: Rule, now: string, confidence: string | null): boolean {
  const isMeant = signal === "any" ? now !== NO_TRADE : now === signal;
  return isMeant && (least === "LOW" || (RANK[confidence ?? ""] ?? 0) >= RANK[least]!);
}

/** Whether an event is what a rule waits for. */
export function matches(rule: Rule, { kind, level, level_kind, after, confidence }: MarketEvent): boolean {
  if (level === null || !isOf(rule, { id: level, kind: level_kind ?? "" })) return false;
  switch (rule.on) {
    case "signal":
      return kind === "signal" && hasSignal(rule, after, confidence);
    case "sweep":
      return kind === "sweep_detected" && after === "true";
    case "cross":
      return kind === "spot_side";
    case "near":
    case "verdict":
      return false; // a state of the page's own, not an event
  }
}

/** Whether the page has come to look as the rule says. */
export function comesTo({ verdict }: Rule, before: Look, now: Look): boolean {
  return WORSE[verdict].includes(now) && !WORSE[verdict].includes(before);
}

// -- words -------------------------------------------------------------------------------------------------------------

export function ruleWords(rule: Rule): string {
  const of = { any: "any level", kind: `any ${spaced(rule.name)}`, level: `the level ${cut(rule.name)}` }[rule.by];
  switch (rule.on) {
    case "signal":
      return `${SIGNALS[rule.signal]} at ${of}, ${CONFIDENCES[rule.least]}`;
    case "near":
      return `Spot within ${rule.within} points of ${of}`;
    case "cross":
      return `Spot crosses ${of}`;
    case "sweep":
      return `A sweep at ${of}`;
    case "verdict":
      return `The data is ${VERDICTS[rule.verdict]}`;
  }
}

/** What limits the alerts. */
export type Situation = {
  /** The gateway keeps no events. */
  readonly isAlone: boolean;
  /** The time line shows the past. */
  readonly isPast: boolean;
  /** What is shown is not the present: of the time line, or of Core. */
  readonly isReplay: boolean;
};

const PAST = "You look back: nothing calls until the present is shown again (n).";
const CORE_REPLAYS = "Core replays another day: a call is a line over the page, and nothing else.";
const ALONE =
  "This gateway keeps no events (GATEWAY_HISTORY=off), so the page compares one frame with the next. It misses a signal, a sweep or a crossing that " +
  "begins and ends between two frames. A hidden page gets two frames a second.";

export function limitsOf({ isAlone, isPast, isReplay }: Situation): string[] {
  return [...(isPast ? [PAST] : isReplay ? [CORE_REPLAYS] : []), ...(isAlone ? [ALONE] : [])];
}

// -- kept --------------------------------------------------------------------------------------------------------------

/** A rule is the same whether it is active or not. */
export function isSame(one: Rule, other: Rule): boolean {
  return JSON.stringify({ ...one, active: true }) === JSON.stringify({ ...other, active: true });
}

export function addRule(choice: AlertChoice, rule: Rule): AlertChoice {
  const others = choice.rules.filter((each) => !isSame(each, rule));
  return others.length >= MOST_RULES ? choice : { ...choice, rules: [...others, rule] };
}

/** What was kept, whatever it is; what is not as it should be is as if it were not there. */
export function readAlerts(text: string | null): AlertChoice {
  let kept: unknown;
  try {
    kept = JSON.parse(text ?? "null");
  } catch {
    kept = null;
  }
  if (!isRecord(kept)) return FIRST_CHOICE;
  const { rules, sound, notification, silenced, cooldownS } = kept;
  return {
    rules: Array.isArray(rules) ? rules.slice(0, MOST_RULES).flatMap(readRule) : FIRST_CHOICE.rules,
    sound: sound === true,
    notification: notification === true,
    silenced: silenced === true,
    cooldownS: isWithin(cooldownS, 0, LONGEST_COOLDOWN_S) ? cooldownS : FIRST_CHOICE.cooldownS,
  };
}

/** A rule of which one part is wrong would call for something else: it goes. */
export function readRule(kept: unknown): Rule[] {
  if (!isRecord(kept)) return [];
  const { on, active, by, name, signal, least, within, verdict } = kept;
  if (!isKey(on, SUBJECTS) || !isKey(signal, SIGNALS) || !isKey(least, CONFIDENCES) || !isKey(verdict, VERDICTS)) return [];
  if (by !== "any" && by !== "kind" && by !== "level") return [];
  if (typeof name !== "string" || name.length > NAME || typeof active !== "boolean") return [];
  return isWithin(within, 0, FURTHEST) ? [{ on, active, by, name, signal, least, within, verdict }] : [];
}

function isRecord(kept: unknown): kept is Record<string, unknown> {
  return typeof kept === "object" && kept !== null && !Array.isArray(kept);
}

function isKey<K extends string>(kept: unknown, of: Readonly<Record<K, unknown>>): kept is K {
  return typeof kept === "string" && Object.hasOwn(of, kept);
}

function isWithin(kept: unknown, least: number, most: number): kept is number {
  return typeof kept === "number" && kept >= least && kept <= most;
}
