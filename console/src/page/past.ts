/** The past that the gateway keeps, and what the page has seen itself: the market over time, and what happened. */

import { type Event, type EventNews, type Events, type History, type HistoryOptions, type LevelSignal, type LevelsPayload, events, history } from "../feed.ts";
import { eventsAsOf, historyAsOf } from "../market/as_of.ts";
import { progress } from "../market/asking.ts";
import { EventFeed } from "../market/event_feed.ts";
import { FlowPast, flowPoint } from "../market/flow_past.ts";
import type { Instruments } from "../market/instruments.ts";
import { SPARK_ASKED } from "../market/level_past.ts";
import { SeenEvents } from "../market/seen_events.ts";
import { type Change, Session } from "../market/session.ts";
import { SPANS, type Span } from "../market/spans.ts";
import { PastReader } from "./past_reader.ts";

const FINEST: readonly Span[] = ["quarter", "hour", "session"];
const DAY_MS = 24 * 3_600_000;
const OTHER_CLOCK_MS = 5_000; // by so much Core's time steps back where a replay begins or ends

/** What is done when the gateway has told a part. */
type PastTold = {
  /** The session; with how far the gateway has read. */
  readonly filled: (progress: string) => void;
  /** The flow over time. */
  readonly flow: () => void;
  /** The levels of the last minutes. */
  readonly scores: (levels: History) => void;
};

export class Past {
  readonly feed = new EventFeed();
  private readonly sessions: Readonly<Record<Span, Session>>;
  private readonly changes: Record<Span, Change> = { session: "none", hour: "none", quarter: "none" };
  private readonly history: PastReader<History>;
  private readonly flows: PastReader<History>;
  private readonly scores: PastReader<History>;
  private readonly happened: PastReader<Events>;
  private readonly flowNow = new FlowPast();
  private flowThen: FlowPast | undefined; // of the past that is shown
  private atMs: number | undefined; // likewise
  private readonly seen = new SeenEvents();
  private unsure: Event[] = []; // seen by the page, before it is known whether the gateway keeps events
  private keepsEvents: boolean | undefined;
  private instrument: "spy" | "es" = "spy";
  private instrumentName = "";
  private newestMs = -Infinity;
  private openMs = Infinity; // of the session that was told

  /** @param stream its URL */
  constructor(
    private span: Span,
    stream: string,
    token: () => string | undefined,
    private readonly told: PastTold,
  ) {
    const sessions = Object.entries(SPANS).map(([name, { stepMs, most }]) => [name, new Session(stepMs, most)]);
    this.sessions = Object.fromEntries(sessions) as Record<Span, Session>;
    this.history = new PastReader(
      () => history(stream, { ...SPANS[this.span].asked, fields: ["spot", "levels"], token: token() }),
      (status, told) => this.fill(status, told),
    );
    this.flows = new PastReader(
      () => history(stream, { to: this.endMs, fields: ["flow"], token: token() }),
      (_, told) => this.fillFlow(told),
    );
    this.scores = new PastReader(
      () => history(stream, { ...this.lately(), fields: ["levels"], token: token() }),
      (_, told) => told !== undefined && this.told.scores(this.known(told)),
    );
    this.happened = new PastReader(
      () => events(stream, { token: token() }),
      (status, told) => this.fillEvents(status, told),
    );
  }

  get session(): Session {
    return this.sessions[this.span];
  }

  /** The flow over time, of the present or up to the moment that is shown. */
  get flow(): FlowPast {
    return this.flowThen ?? this.flowNow;
  }

  /** What happened, by the last occurrence; until the moment that is shown. */
  get events(): readonly Event[] {
    return this.atMs === undefined ? this.feed.all : eventsAsOf(this.feed.all, this.atMs);
  }

  /** Of all that is kept, the bars that tell it most exactly. */
  readonly spotAt = (atMs: number): number | undefined => {
    for (const span of FINEST) {
      const spot = this.sessions[span].spotAt(atMs);
      if (spot !== undefined) return spot;
    }
    return undefined;
  };

  /** Asks for what may be missing: with the first frame of each connection, whose events begin there. */
  ask(): void {
    this.history.ask();
    this.flows.ask();
    this.scores.ask();
    this.happened.ask();
  }

  choose(span: Span): void {
    this.span = span;
    this.history.ask();
  }

  /** Another time is looked at: asks for all that may be missing. */
  look(span: Span): void {
    this.span = span;
    this.ask();
  }

  /** A moment of the past that no frame before led to; undefined for the present. What came after it is not known there. */
  begin(atMs: number | undefined): void {
    this.atMs = atMs;
    this.flowThen = atMs === undefined ? undefined : (this.flowThen ?? new FlowPast());
    this.flowThen?.cut(atMs ?? Infinity);
    this.seen.begin();
    this.flows.ask();
    this.scores.ask();
  }

  /** A flow at a time of the market. */
  addFlow(flow: Readonly<Record<string, unknown>>, atMs: number): void {
    if (this.atMs !== undefined) this.atMs = atMs;
    if (Object.keys(flow).length > 0 && this.flow.isDue(atMs)) this.flow.add(flowPoint(flow, atMs));
  }

  /** A live frame; returns what of the chosen session changed. */
  add({ ts, levels, es }: LevelsPayload, { main }: Instruments): Change {
    const begins = this.instrumentName !== "" && (main.name !== this.instrumentName || ts < this.newestMs - OTHER_CLOCK_MS);
    this.instrument = es !== undefined && main.name === "ES" ? "es" : "spy";
    this.instrumentName = main.name;
    this.newestMs = ts;
    if (begins) for (const session of Object.values(this.sessions)) session.clear();
    const now = levels.map((level) => ({
      id: level.id,
      kind: level.level_kind_name,
      price: level.level_price,
      signal: level.signal,
      score: level.break_score_smooth,
    }));
    for (const [span, session] of Object.entries(this.sessions) as [Span, Session][]) this.changes[span] = session.add(ts, main.spot, now);
    if (begins || ts >= this.openMs + DAY_MS) {
      this.openMs = Infinity; // until the answer
      this.ask();
    }
    return begins ? "all" : this.changes[this.span];
  }

  /** What frames tell, also those that the page is too slow to show. */
  hear({ events: told, complete }: EventNews): void {
    this.feed.add(told, false);
    if (!complete) this.happened.ask();
  }

  /** What the page sees between two frames counts only where the gateway keeps no events. */
  see(levels: ReadonlyMap<string, LevelSignal>, tsMs: number, spotOf: (price: number) => number | null): void {
    const seen = this.seen.next(levels, tsMs, spotOf);
    if (this.keepsEvents === undefined) this.unsure.push(...seen);
    else if (!this.keepsEvents) this.feed.add(seen, false);
  }

  /** What is shown changed, and the market did not. */
  showOther(): void {
    this.seen.begin();
  }

  private fill(status: number | undefined, told: History | undefined): void {
    if (told !== undefined) this.session.fill(told, this.instrument);
    if (told !== undefined && this.span === "session") this.openMs = told.from_ms;
    const fromMs = told?.available_from_ms ?? null;
    this.told.filled(progress(status, told?.complete === true, fromMs === null ? null : Math.max(fromMs, told?.from_ms ?? 0)));
  }

  private fillFlow(told: History | undefined): void {
    if (told === undefined) return;
    this.flow.fill(this.known(told));
    this.told.flow();
  }

  /** Up to which, where that is not the newest message. */
  private get endMs(): number | undefined {
    return this.atMs === undefined ? undefined : this.atMs + 1;
  }

  private lately(): HistoryOptions {
    const { lengthMs, step } = SPARK_ASKED;
    const { endMs } = this;
    return { from: endMs === undefined ? `-${lengthMs / 1_000}s` : Math.max(0, endMs - lengthMs), to: endMs, step };
  }

  private known(told: History): History {
    return this.atMs === undefined ? told : historyAsOf(told, this.atMs);
  }

  private fillEvents(status: number | undefined, told: Events | undefined): void {
    if (told !== undefined) this.feed.add(told.events, true);
    if (status !== 200 && status !== 404) return;
    this.keepsEvents = status === 200;
    if (!this.keepsEvents) this.feed.add(this.unsure, false);
    this.unsure = [];
  }
}
