/** What is worth a line between one payload and the next. */

import type { LevelSignal } from "../feed.ts";
import { plain, price, spaced } from "./words.ts";

export type Change = {
  readonly key: string;
  readonly kind: "signal" | "sweep" | "came" | "went";
  /** The signal that it is now, for a change of the signal. */
  readonly signal: string | undefined;
  /** For eyes. */
  readonly what: string;
  readonly level: string;
  /** For ears. */
  readonly words: string;
};

type Levels = ReadonlyMap<string, LevelSignal>;

/** Changes from `before` to `after`, by the keys of the levels; none where there was no before. */
export function changes(before: Levels | undefined, after: Levels): Change[] {
  if (before === undefined || before.size === 0) return [];
  const found: Change[] = [];
  for (const [key, level] of after) {
    const old = before.get(key);
    if (old === undefined) found.push(change(key, "came", level, "came"));
    else if (old.signal !== level.signal) {
      found.push(change(key, "signal", level, `→ ${spaced(level.signal)}`));
    } else if (level.sweep_detected && !old.sweep_detected) found.push(change(key, "sweep", level, "SWEEP"));
  }
  for (const [key, level] of before) if (!after.has(key)) found.push(change(key, "went", level, "went"));
  return found;
}

function change(key: string, kind: Change["kind"], level: LevelSignal, what: string): Change {
  const name = `${spaced(level.level_kind_name)} ${price(level.level_price)}`;
  const now = kind === "signal" ? plain(level.signal) : what.toLowerCase();
  return {
    key,
    kind,
    signal: kind === "signal" ? level.signal : undefined,
    what,
    level: name,
    words: `${plain(level.level_kind_name)} ${price(level.level_price)}: ${now}`,
  };
}
