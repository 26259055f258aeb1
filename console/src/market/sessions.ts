/** The market over time at every span, and the flow: of the present, or of a replay up to the moment that it shows. */

import { FlowPast } from "./flow_past.ts";
import { type Change, type LevelNow, Session } from "./session.ts";
import { SPANS, type Span } from "./spans.ts";

const FINEST: readonly Span[] = ["quarter", "hour", "session"];

export class Sessions {
  readonly flow = new FlowPast();
  private readonly all: Readonly<Record<Span, Session>>;

  constructor() {
    const all = Object.entries(SPANS).map(([name, { stepMs, most }]) => [name, new Session(stepMs, most)]);
    this.all = Object.fromEntries(all) as Record<Span, Session>;
  }

  of(span: Span): Session {
    return this.all[span];
  }

  /** A frame; returns what of each span changed. */
  add(tsMs: number, spot: number | null, levels: readonly LevelNow[]): Readonly<Record<Span, Change>> {
    const changes = Object.entries(this.all).map(([span, session]) => [span, session.add(tsMs, spot, levels)]);
    return Object.fromEntries(changes) as Record<Span, Change>;
  }

  /** Of all that is kept, as the bars say that tell it most exactly. */
  spotAt(atMs: number): number | undefined {
    for (const span of FINEST) {
      const spot = this.all[span].spotAt(atMs);
      if (spot !== undefined) return spot;
    }
    return undefined;
  }

  /** Another moment is shown: what came after it is not known there. */
  cut(toMs: number): void {
    for (const session of Object.values(this.all)) session.cut(toMs);
    this.flow.cut(toMs);
  }

  clear(): void {
    for (const session of Object.values(this.all)) session.clear();
  }
}
