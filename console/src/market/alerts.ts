/** When the trader is called: rules, what happens, and how long ago the last call was. Time is an argument. */

import type { LevelSignal, LevelsPayload } from "../feed.ts";
import { type AlertChoice, type MarketEvent, type Rule, comesTo, hasSignal, isOf, matches } from "./alert_rules.ts";
import { cut } from "./bounds.ts";
import type { Instruments } from "./instruments.ts";
import { SeenEvents } from "./seen_events.ts";
import type { Look, Verdict } from "./verdict.ts";
import { age, fixed, price, spaced } from "./words.ts";

/** What is so when something is told. */
export type Moment = {
  /** Of a clock that never steps back. */
  readonly nowMs: number;
  /** Of the clock that `server_ms` has. */
  readonly serverMs: number;
  /** New York's wall clock is made of this one, where no event has its own. */
  readonly wallMs: number;
  /** What is shown is not the present. */
  readonly isReplay: boolean;
  /** Nobody looks at the page. */
  readonly isAway: boolean;
  /** The gateway keeps no events: what happens is found between one payload and the next. */
  readonly isAlone: boolean;
};

/** By what the trader is called. All that is found is listed. */
export type Ways = { readonly mark: boolean; readonly title: boolean; readonly sound: boolean; readonly notification: boolean };

export type Call = {
  readonly words: string;
  /** Id of the level; empty for the data itself. */
  readonly level: string;
  readonly signal: string;
  readonly tsMs: number;
  readonly ways: Ways;
  /** Why it called in fewer ways than chosen; empty where it did not. */
  readonly why: string;
};

export const OLD_MS = 30_000; // what is older when the page learns of it is history, and not news
const NOWHERE: Ways = { mark: false, title: false, sound: false, notification: false };

type Chosen = Pick<AlertChoice, "sound" | "notification" | "silenced">;

/** @param ageMs of what happened; 0 for what the page sees itself */
export function waysOf({ sound, notification, silenced }: Chosen, ageMs: number, { isReplay, isAway }: Moment): Ways {
  if (ageMs > OLD_MS) return NOWHERE;
  if (isReplay) return { ...NOWHERE, mark: true };
  const isLoud = !silenced;
  return { mark: true, title: true, sound: sound && isLoud, notification: notification && isLoud && isAway };
}

function whyOf({ silenced }: Chosen, ageMs: number, { isReplay }: Moment): string {
  if (ageMs > OLD_MS) return `${age(ageMs)} old when it came`;
  return isReplay ? "replay" : silenced ? "silenced" : "";
}

type Found = { readonly level: string; readonly words: string; readonly signal: string; readonly tsMs: number };

export class Alerts {
  private called = new Map<string, number>(); // rule and level, and when it called
  private look: Look | undefined;
  private isReplay = false;
  private before: ReadonlyMap<string, LevelSignal> | undefined;
  private readonly seen = new SeenEvents();
  private near = new Map<Rule, Set<string>>(); // ids of the levels that spot was near

  constructor(public choice: AlertChoice) {}

  /** What happened, each event once. */
  add(events: readonly MarketEvent[], moment: Moment): Call[] {
    return events.flatMap((event) => {
      const rule = this.rules().find((each) => matches(each, event) && this.mayCall(each, event.level ?? "", moment, ageOf(event, moment)));
      return rule === undefined ? [] : [this.call(eventWords(event), moment, ageOf(event, moment))];
    });
  }

  /** A payload: what is no event, or what no event tells. The first one tells what was so before, and calls nobody. */
  see(payload: LevelsPayload, instruments: Instruments, moment: Moment): Call[] {
    if (moment.isReplay !== this.isReplay) this.before = undefined; // another time: what was so there is no change
    this.isReplay = moment.isReplay;
    const isFirst = this.before === undefined;
    const found = this.rules().flatMap((rule): readonly (readonly [Rule, Found])[] => {
      const levels = rule.on === "near" ? this.cameNear(rule, payload, instruments) : rule.on === "signal" ? this.grewSure(rule, payload) : [];
      return levels.map((level) => [rule, levelWords(rule, level, instruments, payload.ts)]);
    });
    this.before = new Map(payload.levels.map((level) => [level.id, level]));
    if (isFirst) this.seen.begin();
    const seen = this.seen.next(this.before, payload.ts, (at) => instruments.of(at).spot);
    const happened = moment.isAlone ? seen.map((event) => ({ ...event, server_ms: moment.serverMs })) : []; // Core's clock may be another
    if (isFirst) return [];
    const others = found.filter(([rule, { level }]) => this.mayCall(rule, level, moment, 0)).map(([, each]) => this.call(each, moment, 0));
    return [...this.add(happened, moment), ...others];
  }

  /** Another time is looked at: what was so before is no change. */
  begin(): void {
    this.before = undefined;
    this.near.clear();
  }

  /** How the page looks. A connection that is not there yet is no verdict, and after a replay the page begins again. */
  judge({ look, spoken }: Pick<Verdict, "look" | "spoken">, moment: Moment): Call[] {
    const before = this.look;
    if (look === before || look === "connecting") return [];
    this.look = look;
    if (before === undefined || before === "replay" || before === "past") return [];
    const rule = this.rules().find((each) => each.on === "verdict" && comesTo(each, before, look) && this.mayCall(each, "", moment, 0));
    if (rule === undefined) return [];
    const call = this.call({ level: "", words: spoken, signal: "", tsMs: moment.wallMs }, moment, 0);
    return [{ ...call, ways: { ...call.ways, title: false } }]; // the title says the verdict itself
  }

  private rules(): readonly Rule[] {
    return this.choice.rules.filter(({ active }) => active);
  }

  /** What is old calls nobody, and keeps nobody from being called. */
  private mayCall(rule: Rule, level: string, { nowMs }: Moment, ageMs: number): boolean {
    if (ageMs > OLD_MS) return true;
    const cooldownMs = this.choice.cooldownS * 1_000;
    const key = keyOf(rule, level);
    const last = this.called.get(key);
    if (last !== undefined && nowMs - last < cooldownMs) return false;
    for (const [each, atMs] of this.called) if (nowMs - atMs >= cooldownMs) this.called.delete(each);
    this.called.set(key, nowMs);
    return true;
  }

  private call(found: Found, moment: Moment, ageMs: number): Call {
    return { ...found, ways: waysOf(this.choice, ageMs, moment), why: whyOf(this.choice, ageMs, moment) };
  }

  private cameNear(rule: Rule, { levels }: LevelsPayload, instruments: Instruments): LevelSignal[] {
    const was = this.near.get(rule);
    const now = levels.filter((level) => {
      if (!isOf(rule, { id: level.id, kind: level.level_kind_name })) return false;
      const points = pointsTo(level, instruments);
      return points === undefined ? was?.has(level.id) === true : points <= rule.within; // without a spot, as near as it was
    });
    this.near.set(rule, new Set(now.map(({ id }) => id)));
    for (const each of this.near.keys()) if (!this.choice.rules.includes(each)) this.near.delete(each);
    return was === undefined ? [] : now.filter(({ id }) => !was.has(id));
  }

  /** The signal stayed, and its confidence passed the rule's: no event tells that. */
  private grewSure(rule: Rule, { levels }: LevelsPayload): LevelSignal[] {
    return levels.filter(({ id, level_kind_name: kind, signal, confidence }) => {
      const old = this.before?.get(id);
      return old?.signal === signal && isOf(rule, { id, kind }) && !hasSignal(rule, signal, old.confidence) && hasSignal(rule, signal, confidence);
    });
  }
}

function ageOf({ server_ms }: MarketEvent, { serverMs }: Moment): number {
  return serverMs - server_ms;
}

/** From spot, without a sign; undefined where there is no spot. Core's `distance` is 0 where Core does not send it. */
function pointsTo({ level_price: at }: LevelSignal, instruments: Instruments): number | undefined {
  const { spot } = instruments.of(at);
  return spot === null ? undefined : Math.abs(at - spot);
}

function keyOf(rule: Rule, level: string): string {
  return JSON.stringify([{ ...rule, active: true }, level]);
}

function eventWords({ kind, level, level_kind, price: at, after, confidence, spot, ts }: MarketEvent): Found {
  const name = `${cut(spaced(level_kind ?? ""))} ${price(at)}`;
  const where = spot === null ? "" : `, spot ${price(spot)}`;
  const what: Readonly<Record<string, string>> = {
    signal: `${spaced(after)}${confidence === null ? "" : `, ${cut(confidence).toLowerCase()}`}`,
    sweep_detected: "SWEEP",
    spot_side: `spot crossed, now ${cut(after)}`,
  };
  return { level: level ?? "", words: `${name}: ${what[kind] ?? spaced(after)}${where}`, signal: kind === "signal" ? after : "", tsMs: ts };
}

function levelWords(rule: Rule, level: LevelSignal, instruments: Instruments, tsMs: number): Found {
  const name = `${cut(spaced(level.level_kind_name))} ${price(level.level_price)}`;
  const sure = `${spaced(level.signal)}, now ${cut(level.confidence).toLowerCase()}`;
  const what = rule.on === "near" ? `spot ${fixed(pointsTo(level, instruments), 2)} points away` : sure;
  const words = `${name}: ${what}, spot ${price(instruments.of(level.level_price).spot)}`;
  return { level: level.id, words, signal: rule.on === "near" ? "" : level.signal, tsMs };
}
