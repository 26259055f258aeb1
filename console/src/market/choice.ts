/** Which levels the page shows, and as which rows: pinned ones, those that pass a filter, and those of one price as one. */

import type { LevelSignal } from "../feed.ts";
import type { Instruments } from "./instruments.ts";

/** What a user chose; kept from visit to visit. */
export type Choice = {
  /** Ids of levels. */
  readonly pinned: readonly string[];
  /** Kinds that are not shown. */
  readonly hidden: readonly string[];
  readonly signalsOnly: boolean;
  /** Points from spot; undefined for any. */
  readonly within: number | undefined;
  /** Whether levels at one price are one row. */
  readonly merged: boolean;
};

export const EVERYTHING: Choice = { pinned: [], hidden: [], signalsOnly: false, within: undefined, merged: true };

/** One row: a level, and those at its price. */
export type Row = {
  /** That of its first level. */
  readonly key: string;
  /** The one whose values are shown: with a signal, where one has it. */
  readonly level: LevelSignal;
  /** The kinds of all, without repetition. */
  readonly kinds: readonly string[];
  /** All, in Core's order. */
  readonly levels: readonly LevelSignal[];
  readonly pinned: boolean;
  /** Its price on the page's scale. */
  readonly place: number;
  /** Signed, in points of its own instrument. */
  readonly distance: number;
  /** The name of its instrument, where that is not the page's. */
  readonly instrument: string;
};

const NO_TRADE = "NO_TRADE";

/** The rows by their keys, in Core's order. */
export function rowsOf(levels: ReadonlyMap<string, LevelSignal>, choice: Choice, instruments: Instruments): Map<string, Row> {
  const byPrice = new Map<number, Group[]>();
  for (const [key, level] of levels) {
    const groups = byPrice.get(level.level_price) ?? [];
    const group = choice.merged ? groups.find((each) => joins(each, level)) : undefined;
    if (group === undefined) groups.push([[key, level]]);
    else group.push([key, level]);
    byPrice.set(level.level_price, groups);
  }
  const rows = [...byPrice.values()].flat().map((group) => rowOf(group, choice, instruments));
  return new Map(rows.filter((row) => passes(row, choice)).map((row) => [row.key, row]));
}

type Group = [string, LevelSignal][];

/** A break and a bounce at one price stay two rows; a level without a signal joins the first of them. */
function joins(group: Group, { signal }: LevelSignal): boolean {
  return signal === NO_TRADE || group.every(([, level]) => level.signal === NO_TRADE || level.signal === signal);
}

function rowOf(group: Group, { pinned }: Choice, instruments: Instruments): Row {
  const levels = group.map(([, level]) => level);
  const level = levels.find(({ signal }) => signal !== NO_TRADE) ?? levels[0]!;
  const its = instruments.of(level.level_price);
  return {
    key: group[0]![0],
    level,
    levels,
    kinds: [...new Set([level, ...levels].map(({ level_kind_name: kind }) => kind))],
    pinned: levels.some(({ id }) => pinned.includes(id)),
    place: instruments.place(level.level_price),
    distance: signed(level, its.spot),
    instrument: its === instruments.main ? "" : its.name,
  };
}

/** From spot to the level: above 0 where the level is above. */
function signed({ distance, direction, level_price: price }: LevelSignal, spot: number | null): number {
  const below = spot === null ? direction === "DOWN" : price < spot;
  return below ? -Math.abs(distance) : Math.abs(distance);
}

function passes({ pinned, kinds, level, distance }: Row, { hidden, signalsOnly, within }: Choice): boolean {
  if (pinned) return true;
  if (kinds.every((kind) => hidden.includes(kind))) return false;
  if (signalsOnly && level.signal === NO_TRADE) return false;
  return within === undefined || Math.abs(distance) <= within;
}

/** Whether some levels may be left out. */
export function isFiltered({ hidden, signalsOnly, within }: Choice): boolean {
  return hidden.length > 0 || signalsOnly || within !== undefined;
}

/** A row is pinned by its first level, and let go with all of its levels. */
export function togglePin(choice: Choice, { levels, pinned }: Row): Choice {
  const ids = levels.map(({ id }) => id);
  const others = choice.pinned.filter((id) => !ids.includes(id));
  return { ...choice, pinned: pinned ? others : [...others, ids[0] ?? ""].slice(-MOST_PINS) };
}

export function toggleKind(choice: Choice, kind: string): Choice {
  const others = choice.hidden.filter((each) => each !== kind);
  return { ...choice, hidden: choice.hidden.includes(kind) ? others : [...others, kind].slice(-MOST_KINDS) };
}

const MOST_PINS = 50;
const MOST_KINDS = 100;

/** What was kept, whatever it is; what is not as it should be is as if it were not there. */
export function readChoice(text: string | null): Choice {
  let kept: unknown;
  try {
    kept = JSON.parse(text ?? "{}");
  } catch {
    kept = {};
  }
  const { pinned, hidden, signalsOnly, within, merged } = (typeof kept === "object" && kept !== null ? kept : {}) as Record<string, unknown>;
  return {
    pinned: names(pinned, MOST_PINS),
    hidden: names(hidden, MOST_KINDS),
    signalsOnly: signalsOnly === true,
    within: typeof within === "number" && within > 0 ? within : undefined,
    merged: merged !== false,
  };
}

function names(kept: unknown, most: number): string[] {
  return Array.isArray(kept) ? kept.filter((each): each is string => typeof each === "string").slice(0, most) : [];
}
