/** The past that the gateway keeps, and what the page has seen itself: the market over time, and what happened. */

import { type Event, type EventNews, type Events, type History, type LevelSignal, type LevelsPayload, events, history } from "../feed.ts";
import { eventsAsOf, historyAsOf } from "../market/as_of.ts";
import { progress } from "../market/asking.ts";
import { EventFeed } from "../market/event_feed.ts";
import { type FlowPast, flowPoint } from "../market/flow_past.ts";
import type { Instruments } from "../market/instruments.ts";
import { SPARK_ASKED } from "../market/level_past.ts";
import { SeenEvents } from "../market/seen_events.ts";
import type { Change, Session } from "../market/session.ts";
import { Sessions } from "../market/sessions.ts";
import { SPANS, type Span, askedOf } from "../market/spans.ts";
import { PastReader } from "./past_reader.ts";

const DAY_MS = 24 * 3_600_000;
const AGAIN_MS = 10_000; // in a replay of what happened after it began
const FILLED_MS = 2_000;
const OTHER_CLOCK_MS = 5_000; // by so much Core's time steps back where a replay begins or ends

/** What is done when the gateway has told a part. */
type PastTold = {
  /** The session; with how far the gateway has read. */
  readonly filled: (progress: string) => void;
  /** What happened, or that it keeps no events. */
  readonly events: () => void;
  /** The flow over time. */
  readonly flow: () => void;
  /** The levels of the last minutes. */
  readonly scores: (levels: History) => void;
};

export class Past {
  readonly feed = new EventFeed();
  private readonly present = new Sessions();
  private then: Sessions | undefined; // the past that is shown, until `atMs`
  private atMs: number | undefined;
  private readonly history: PastReader<History>;
  private readonly flows: PastReader<History>;
  private readonly scores: PastReader<History>;
  private readonly happened: PastReader<Events>;
  private readonly seen = new SeenEvents();
  private unsure: Event[] = []; // seen by the page, before it is known whether the gateway keeps events
  private keepsEvents: boolean | undefined;
  private instrument: "spy" | "es" = "spy";
  private instrumentName = "";
  private newestMs = -Infinity;
  private openMs = Infinity; // of the session that was told
  private presentMs = -Infinity; // the newest time of the present
  private askedMs = -Infinity; // for events
  private filledMs = -Infinity; // the gaps between frames
  private isDue = false; // to ask for flow and scores, when the session is there

  /** @param stream its URL */
  constructor(
    private span: Span,
    stream: string,
    token: () => string | undefined,
    private readonly told: PastTold,
  ) {
    this.history = new PastReader(
      () => history(stream, { ...askedOf(SPANS[this.span], this.atMs), fields: ["spot", "levels"], token: token() }),
      (status, told) => this.fill(status, told),
    );
    this.flows = new PastReader(
      () => history(stream, { ...askedOf(SPANS.session, this.atMs), fields: ["flow"], token: token() }),
      (_, told) => this.fillFlow(told),
    );
    this.scores = new PastReader(
      () => history(stream, { ...askedOf(SPARK_ASKED, this.atMs), fields: ["levels"], token: token() }),
      (_, told) => told !== undefined && this.told.scores(this.known(told)),
    );
    this.happened = new PastReader(
      () => events(stream, { token: token() }),
      (status, told) => this.fillEvents(status, told),
    );
  }

  get session(): Session {
    return this.shown.of(this.span);
  }

  /** The flow over time. */
  get flow(): FlowPast {
    return this.shown.flow;
  }

  /** What happened, by the last occurrence. */
  get events(): readonly Event[] {
    return this.atMs === undefined ? this.feed.all : eventsAsOf(this.feed.all, this.atMs);
  }

  /** The gateway keeps none: what happens is what the page sees. */
  get isAlone(): boolean {
    return this.keepsEvents === false;
  }

  readonly signals = (): Event[] => this.events.filter(({ kind }) => kind === "signal");

  readonly spotAt = (atMs: number): number | undefined => this.shown.spotAt(atMs);

  /** Of the present, or until the moment that is shown. */
  private get shown(): Sessions {
    return this.then ?? this.present;
  }

  /** Asks for what may be missing: with the first frame of each connection, whose events begin there. */
  ask(): void {
    this.askForAll();
    this.happened.ask();
  }

  choose(span: Span): void {
    this.span = span;
    this.history.ask();
  }

  /** Another moment is shown, to which no frame led; undefined for the present. What came after it is not known there. */
  begin(atMs: number | undefined): void {
    const isTurn = (atMs === undefined) === (this.then !== undefined);
    this.then = atMs === undefined ? undefined : (this.then ?? new Sessions());
    this.then?.cut(atMs ?? Infinity);
    this.atMs = atMs;
    this.newestMs = atMs ?? -Infinity;
    this.seen.begin();
    this.askForAll();
    if (isTurn) this.askEvents();
  }

  /** A flow at a time of the market. */
  addFlow(flow: Readonly<Record<string, unknown>>, atMs: number): void {
    if (Object.keys(flow).length > 0 && this.flow.isDue(atMs)) this.flow.add(flowPoint(flow, atMs));
  }

  /** A frame of what is shown; returns what of the chosen session changed. */
  add({ ts, levels, es }: LevelsPayload, { main }: Instruments): Change {
    const begins = this.instrumentName !== "" && (main.name !== this.instrumentName || ts < this.newestMs - OTHER_CLOCK_MS);
    this.instrument = es !== undefined && main.name === "ES" ? "es" : "spy";
    this.instrumentName = main.name;
    const passedMs = ts - this.newestMs;
    this.newestMs = ts;
    if (this.atMs === undefined) this.presentMs = ts;
    else this.atMs = ts;
    if (begins) this.shown.clear();
    const now = levels.map((level) => ({
      id: level.id,
      kind: level.level_kind_name,
      price: level.level_price,
      signal: level.signal,
      score: level.break_score_smooth,
    }));
    const changes = this.shown.add(ts, main.spot, now);
    if (begins || (this.atMs === undefined && ts >= this.openMs + DAY_MS)) {
      this.openMs = Infinity; // until the answer
      this.ask();
    }
    if (this.atMs !== undefined) this.catchUp(passedMs);
    return begins ? "all" : changes[this.span];
  }

  /** A fast replay leaves out more than bars may, and goes beyond what was known when it began. */
  private catchUp(passedMs: number): void {
    const nowMs = performance.now();
    if (this.newestMs > this.presentMs && nowMs >= this.askedMs + AGAIN_MS) this.askEvents();
    if (passedMs <= 2 * this.session.stepMs || nowMs < this.filledMs + FILLED_MS) return;
    this.filledMs = nowMs;
    this.history.ask();
  }

  /** First for the session: the chart is looked at first, and of a drag only the last moment needs the rest. */
  private askForAll(): void {
    this.isDue = true;
    this.history.ask();
  }

  /** A replay's frames tell none. */
  private askEvents(): void {
    this.askedMs = performance.now();
    this.happened.ask();
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
    if (this.isDue) {
      this.isDue = false;
      this.flows.ask();
      this.scores.ask();
    }
    if (told !== undefined) this.session.fill(this.known(told), this.instrument);
    if (told !== undefined && this.span === "session" && this.atMs === undefined) this.openMs = told.from_ms;
    const fromMs = told?.available_from_ms ?? null;
    this.told.filled(progress(status, told?.complete === true, fromMs === null ? null : Math.max(fromMs, told?.from_ms ?? 0)));
  }

  private fillFlow(told: History | undefined): void {
    if (told === undefined) return;
    this.flow.fill(this.known(told));
    this.told.flow();
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
    this.told.events();
  }
}
