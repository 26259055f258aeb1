/** What was known at a moment that somebody looks back at: nothing of what came after it. */

import type { Event, History, LevelHistory } from "../feed.ts";

/** Without the points that end after the moment: each is made of all its messages, also of later ones. */
export function historyAsOf(told: History, atMs: number): History {
  const { from_ms, step_ms, spy, es, levels, flow } = told;
  const count = Math.max(0, Math.min(told.count, Math.floor((atMs + 1 - from_ms) / step_ms)));
  return {
    ...told,
    count,
    available_to_ms: told.available_to_ms === null ? null : Math.min(told.available_to_ms, atMs),
    ...(spy && { spy: columnsTo(spy, count) }),
    ...(es && { es: columnsTo(es, count) }),
    ...(levels && { levels: levels.filter(({ at }) => at < count).map((level) => levelTo(level, count - level.at)) }),
    ...(flow && { flow: columnsTo(flow, count) }),
  };
}

function columnsTo<Columns extends object>(columns: Columns, count: number): Columns {
  const cut = Object.entries(columns).map(([name, values]) => [name, Array.isArray(values) ? values.slice(0, count) : values]);
  return Object.fromEntries(cut) as Columns;
}

/** Its price is the last one that it had until then. */
function levelTo(level: LevelHistory, count: number): LevelHistory {
  const cut = columnsTo(level, count);
  return { ...cut, price: cut.prices?.findLast((each) => each !== null) ?? level.price };
}

/**
 * What had happened, by the last occurrence until then. Of an event that counted on later, only its first occurrence is
 * told, and what spot, score and confidence were is not: the event has those of the last.
 */
export function eventsAsOf(events: readonly Event[], atMs: number): Event[] {
  const known = events.flatMap((event) => {
    if (event.ts <= atMs) return [event];
    if (event.first_ts > atMs) return [];
    const laterMs = event.ts - event.first_ts;
    const [ts, server_ms] = [event.first_ts, event.server_ms - laterMs];
    return [{ ...event, ts, server_ms, count: 1, spot: null, score: null, confidence: null }];
  });
  return known.sort((one, other) => one.server_ms - other.server_ms || one.seq - other.seq);
}
