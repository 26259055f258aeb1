/**
 * What happened, each event once: those of the past and those of frames, in any order. Whoever wants to know what is new
 * subscribes: the list, the chart, and what else calls the trader.
 */

import type { Event } from "../feed.ts";

export type News = {
  /** New, or counting one more; by their last occurrence. */
  readonly events: readonly Event[];
  /** Told as history, and not when it happened. */
  readonly past: boolean;
};

const MOST = 5_000; // events; the oldest go. A session has some hundreds

export class EventFeed {
  private kept = new Map<string, Event>();
  private readonly listeners = new Set<(news: News) => void>();

  /** By their last occurrence. */
  get all(): readonly Event[] {
    return [...this.kept.values()];
  }

  /** Returns what ends that. */
  subscribe(listener: (news: News) => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  add(events: readonly Event[], past: boolean): void {
    const fresh = events.filter(({ id, count }) => count > (this.kept.get(id)?.count ?? 0));
    if (fresh.length === 0) return;
    for (const event of fresh) this.kept.set(event.id, event);
    const sorted = [...this.kept.values()].sort((one, other) => one.server_ms - other.server_ms || one.seq - other.seq);
    this.kept = new Map(sorted.slice(-MOST).map((event) => [event.id, event]));
    for (const listener of this.listeners) listener({ events: fresh, past });
  }

  clear(): void {
    this.kept.clear();
  }
}
