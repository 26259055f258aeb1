/** Events between one frame and the next, where the gateway keeps none: what was conflated away is not among them. */

import type { Event, LevelSignal } from "../feed.ts";

const FLAP_MS = 30_000; // as the gateway counts
const MOST = 2_000; // transitions that are remembered, to count them

type Levels = ReadonlyMap<string, LevelSignal>;
type Facts = Pick<Event, "kind" | "before" | "after">;

export class SeenEvents {
  private before: Levels | undefined;
  private sides = new Map<string, string>(); // of the levels, on which spot is
  private last = new Map<string, Event>();
  private number = 0;

  /** What changed since the frame before; nothing at the first. */
  next(levels: Levels, tsMs: number, spotOf: (price: number) => number | null): Event[] {
    const { before } = this;
    this.before = levels;
    const sides = this.sides;
    this.sides = sidesOf(levels, spotOf, sides);
    if (before === undefined || before.size === 0) return [];
    const found: Event[] = [];
    const add = (level: LevelSignal, facts: Facts): void => void found.push(this.event(level, facts, tsMs, spotOf(level.level_price)));
    for (const [key, level] of levels) {
      const old = before.get(key);
      if (old === undefined) add(level, { kind: "level", before: "absent", after: "present" });
      else for (const [kind, was, is] of changed(old, level)) if (was !== is) add(level, { kind, before: was, after: is });
      const [side, now] = [sides.get(key), this.sides.get(key)];
      if (old !== undefined && side !== undefined && now !== undefined && side !== now) add(level, { kind: "spot_side", before: side, after: now });
    }
    for (const [key, level] of before) if (!levels.has(key)) add(level, { kind: "level", before: "present", after: "absent" });
    return found;
  }

  /** What is shown changed, and the market did not. */
  begin(): void {
    this.before = undefined;
    this.sides.clear();
  }

  private event(level: LevelSignal, facts: Facts, ts: number, spot: number | null): Event {
    const transition = [facts.kind, level.id, facts.before, facts.after].join("\n");
    const last = this.last.get(transition);
    const flaps = last !== undefined && Math.abs(ts - last.ts) <= FLAP_MS;
    const event: Event = {
      ...facts,
      id: flaps ? last.id : `seen-${(this.number += 1)}`,
      seq: 0,
      ts,
      server_ms: ts,
      level: level.id,
      level_kind: level.level_kind_name,
      price: level.level_price,
      spot,
      score: level.break_score_smooth,
      confidence: level.confidence,
      count: flaps ? last.count + 1 : 1,
      first_ts: flaps ? last.first_ts : ts,
    };
    if (this.last.size >= MOST) this.last.clear();
    this.last.set(transition, event);
    return event;
  }
}

/** While spot is at the price or unknown, the side stays. */
function sidesOf(levels: Levels, spotOf: (price: number) => number | null, before: ReadonlyMap<string, string>): Map<string, string> {
  const sides = new Map<string, string>();
  for (const [key, { level_price: price }] of levels) {
    const spot = spotOf(price);
    const side = spot === null || spot === price ? before.get(key) : spot > price ? "above" : "below";
    if (side !== undefined) sides.set(key, side);
  }
  return sides;
}

function changed(old: LevelSignal, level: LevelSignal): (readonly [string, string, string])[] {
  return [
    ["signal", old.signal, level.signal],
    ["sweep_detected", String(old.sweep_detected), String(level.sweep_detected)],
    ["barrier_state", old.barrier_state, level.barrier_state],
  ];
}
