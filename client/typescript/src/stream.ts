/** One stream: a connection that reconnects by itself, the newest payload, and its freshness. */

import type { Events, LevelsPayload, Payload, Status } from "./contract.js";
import { EventsTold, mayPass } from "./events.js";
import { Cadence, stateOf, type Age, type SectionFreshness } from "./freshness.js";
import { absolute, getEvents, type Token } from "./http.js";
import { Line } from "./line.js";
import { disconnectOf, pauseMs, type Disconnect } from "./disconnect.js";
import { sameContent, shapeOf, subscribeMessage, withShape, type Shape } from "./shape.js";
import { isBehind, sameState } from "./status.js";

/**
 * `connecting`: no frame on this connection yet, or only older ones than the one that is shown; `freshness` tells how old
 * that is by now. `live`: the levels arrive at their usual pace (the flow, where there are no levels). `late`: they are
 * overdue, or are only the last known state; or they are live beside a flow that is not. `stale`: they are too old to trade
 * on. `replay`: they are of another day. `market_closed`: nothing new is to be expected. `closed`: the stream, for good, by
 * `close()` or after a disconnect that would repeat; see `lastDisconnect`.
 */
export type State = "connecting" | Age | "closed";

export interface Freshness {
  /** Undefined while there are no levels. A change of the viewport counts, as the two come in one message. */
  readonly levels: SectionFreshness | undefined;
  readonly flow: SectionFreshness | undefined;
  /** How much longer the newest frame was on its way than the quickest of the last minutes; undefined without a status. */
  readonly lineDelayMs: number | undefined;
  /** Over the last seconds. */
  readonly framesPerSecond: number;
}

/** A frame that was left out. */
export interface InvalidFrame {
  readonly error: Error;
  /** How many there were so far. */
  readonly count: number;
}

/** What happened, as far as it was not told before. */
export interface EventNews {
  /** By their last occurrence; some may be older than those of the news before. An event comes again when it counts one more. */
  readonly events: Events["events"];
  /** False where some were missed that the gateway has no longer, or does not tell. */
  readonly complete: boolean;
}

/** The events of a stream, with what a listener gets. */
export interface StreamEvents {
  /** A payload with something new in it; sections that did not change are the same objects as before. */
  payload: Payload;
  /** New levels. */
  levels: LevelsPayload;
  /** A new flow. */
  flow: NonNullable<Payload["flow"]>;
  /** A new viewport; undefined when the newest levels came without one. */
  viewport: Payload["viewport"];
  /** With each frame that has one, also when nothing else is new. */
  status: Status;
  /** With the option `events`: of each frame, at once and not at the next repaint. */
  events: EventNews;
  state: State;
  /** Four times a second, and with each payload. */
  freshness: Freshness;
  /** A connection ended. */
  disconnect: Disconnect;
  invalid: InvalidFrame;
}

/**
 * What the client needs of a WebSocket; the browser's own, Node's, and the one of the package `ws` have it. Their events
 * are of different types, hence `any`.
 */
export interface Socket {
  onopen?: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  send(text: string): void;
  close(code?: number): void;
}

export interface Options extends Shape {
  /** Sent as the subprotocols `bearer, <token>`; a function is called before each attempt. */
  token?: Token;
  /** Further subprotocols. */
  protocols?: readonly string[] | undefined;
  /** For a runtime without one, such as Node 20: that of the package `ws`, for example. */
  WebSocket?: (new (url: string, protocols: string[]) => Socket) | undefined;
  /** Do not ask for the gateway's `status`: judge by the changes alone. */
  status?: false | undefined;
  /** Ask for what happens: see the event `events`. Each frame is then parsed when it comes. */
  events?: boolean | undefined;
  /** A section of this age is late, whatever the gateway says; without a status the default is 2.5 of its usual gaps and 250 ms. */
  lateAfterMs?: number | undefined;
  /** A section of this age is stale, whatever the gateway says; without a status the default is 8 of its usual gaps, 2.5 s at least. */
  staleAfterMs?: number | undefined;
  /** A connection that is silent for this long, before its first `status`, is replaced by a new one. Default 30 s. */
  silenceLimitMs?: number | undefined;
  /** The bound of the first pause before the next attempt; it doubles with each failure. Default 250 ms. */
  firstPauseMs?: number | undefined;
  /** The largest such bound. Default 10 s. */
  longestPauseMs?: number | undefined;
  /** 0 to 1, for the pauses. */
  random?: (() => number) | undefined;
  /** When listeners get a frame. Default: before the next repaint in a page (a hidden page has none), else at once. */
  schedule?: ((deliver: () => void) => void) | undefined;
}

/** What a stream of the past adds to its connections; see past.ts. */
export interface Past {
  /** Query parameters of the next connection. */
  query(): object;
  /** What to say on it first. */
  message(): object | undefined;
  /** A frame is shown that has this status. */
  shows(status: Status | undefined): void;
}

const CHECK_EVERY_MS = 250;
const LATE_CHECK_MS = 1_500; // browsers run the timers of a hidden page once a second, or once a minute
const HEARTBEAT_CHARACTERS = 2_048; // at most; a heartbeat has some 700
const RATE_WINDOW_MS = 5_000;
const BEHIND_LIMIT_MS = 3_000; // one that has just found NATS again catches up in a second or two
const MOST_ASKED = 8; // for events that a gateway has not read back to yet
const BEHIND_IN_A_ROW = 3; // connections; then the stream itself is another one, and nobody has anything newer

/**
 * Connects, and reconnects until `close()`.
 *
 * Safe while a server renders a page: a relative URL has no base there, and some runtimes have no WebSocket. Such a
 * stream stays `connecting`, opens nothing and starts no timer.
 */
export function connect(url: string, options: Options = {}): Stream {
  return new Stream(url, options);
}

export class Stream {
  #url: string;
  #options: Options;
  #past: Past | undefined;
  #shape: Shape;
  #asked: { status: boolean; events: boolean };
  #WebSocket: Options["WebSocket"];
  #clock: () => number = monotonicClock();
  #listeners = new Map<string, Set<(news: never) => void>>();
  #check: ReturnType<typeof setInterval> | undefined;

  #state: State = "connecting";
  #attempt = 0;
  #socket: Socket | undefined;
  #pause: ReturnType<typeof setTimeout> | undefined;
  #began = 0;
  #failures = 0;
  #lastDisconnect: Disconnect | undefined;

  #hasFrame = false; // this connection, one that is shown
  #older: Payload | undefined; // the newest that is not shown, because it is behind what is
  #behindAt = Infinity; // when the first of those came on this connection
  #behindInARow = 0;
  #isOpen = false;
  #isAnother = false; // the next frame is the first of another shape
  #unread: { text: unknown; at: number; another: boolean } | undefined;
  #skipped = false;
  #line: Line = new Line(0);
  #checked = 0;
  #isLate = false; // this check came so late
  #arrivals: number[] = [];
  #invalidFrames = 0;
  #toldAt = 0; // when the newest status would have arrived without a delay on the line
  #lineDelayMs = 0;

  #payload: Payload | undefined;
  #delivered: Payload = {};
  #scheduled = false;
  #levels: Cadence = new Cadence();
  #flow: Cadence = new Cadence();
  #events: EventsTold = new EventsTold();
  #missing = 0; // counts the frames that told too little
  #missingPause: ReturnType<typeof setTimeout> | undefined;

  constructor(url: string, options: Options, past?: Past) {
    this.#url = absolute(url);
    this.#options = options;
    this.#past = past;
    this.#shape = shapeOf(options);
    this.#asked = { status: options.status !== false, events: options.events === true };
    this.#expectRate();
    this.#WebSocket = options.WebSocket ?? (globalThis.WebSocket as Options["WebSocket"]);
    if (!this.#url) return; // a server renders the page
    if (!this.#WebSocket) {
      this.#explainMissing();
      return;
    }
    this.#check = setInterval(() => this.#checkAge(), CHECK_EVERY_MS);
    globalThis.addEventListener?.("online", this.#wake);
    globalThis.document?.addEventListener("visibilitychange", this.#wake);
    void this.#connect();
  }

  /** Warn instead of throwing: the program may be a server that renders a page. */
  #explainMissing(): void {
    const explanation = "no WebSocket here: pass one as options.WebSocket, that of the package `ws` for example";
    this.#lastDisconnect = { code: 1006, reason: "", explanation, reconnect: false };
    console.warn(`@spymaster/client: ${explanation}`);
    queueMicrotask(() => {
      if (this.#state !== "closed") this.#emit("disconnect", this.#lastDisconnect!);
    });
  }

  get state(): State {
    return this.#state;
  }

  /** The newest; undefined before the first. */
  get payload(): Payload | undefined {
    this.#read();
    return this.#payload;
  }

  /** The newest that the gateway said of its data; undefined where it says nothing. */
  get status(): Status | undefined {
    return this.payload?.status;
  }

  get freshness(): Freshness {
    this.#read();
    const now = this.#clock();
    this.#arrivals = this.#arrivals.filter((at) => now - at < RATE_WINDOW_MS);
    const sinceMs = Math.min(RATE_WINDOW_MS, Math.max(1_000, now - this.#began));
    const status = this.#payload?.status;
    const of = (name: "levels" | "flow", cadence: Cadence) =>
      status
        ? cadence.judged(this.#asks[name] ? status[name] : undefined, status, now - this.#toldAt, this.#options)
        : cadence.at(now, this.#options);
    return {
      levels: of("levels", this.#levels),
      flow: of("flow", this.#flow),
      lineDelayMs: status && this.#lineDelayMs,
      framesPerSecond: (this.#arrivals.length * 1_000) / sinceMs,
    };
  }

  /** Why the last connection ended; undefined while none has. */
  get lastDisconnect(): Disconnect | undefined {
    return this.#lastDisconnect;
  }

  /** Calls `listener` at each `event` from now on. Returns what ends that. */
  on<E extends keyof StreamEvents>(event: E, listener: (news: StreamEvents[E]) => void): () => void {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  /**
   * Asks for another shape, in place of all that was asked for before; `{}` asks for everything. The next frame has it,
   * also after a reconnect.
   */
  change(shape: Shape): void {
    const before = this.#shape;
    this.#shape = shapeOf(shape);
    this.#expectRate();
    if (!this.#isOpen) return; // the shape is sent when the connection opens
    this.#isAnother ||= !sameContent(before, this.#shape);
    this.#socket!.send(subscribeMessage(this.#shape, this.#asked));
  }

  get #asks(): Readonly<Record<"levels" | "flow", boolean>> {
    const { sections } = this.#shape;
    const has = (...names: string[]) => !sections || names.some((name) => sections.includes(name));
    return { levels: has("levels", "viewport"), flow: has("flow") };
  }

  #expectRate(): void {
    this.#levels.leastGapMs = this.#flow.leastGapMs = this.#shape.rate ? 1_000 / this.#shape.rate : 0;
  }

  /** Says it where there is a connection, and returns whether there is; the next one begins with what `Past` has. */
  protected say(message: object): boolean {
    if (this.#isOpen) this.#socket!.send(JSON.stringify(message));
    return this.#isOpen;
  }

  /** Closes the stream for good. */
  close(): void {
    clearInterval(this.#check);
    clearTimeout(this.#pause);
    clearTimeout(this.#missingPause);
    this.#missing++;
    globalThis.removeEventListener?.("online", this.#wake);
    globalThis.document?.removeEventListener("visibilitychange", this.#wake);
    this.#drop();
    this.#enter("closed");
  }

  // -- the connection ---------------------------------------------------------------------------------------------

  async #connect(): Promise<void> {
    this.#pause = undefined;
    this.#line = new Line((this.#began = this.#clock()));
    this.#hasFrame = false;
    const attempt = ++this.#attempt;
    try {
      const { token, protocols = [] } = this.#options;
      const sent = typeof token === "function" ? await token() : token;
      if (attempt !== this.#attempt) return;
      const shape = this.#shape;
      const offered = [...(sent === undefined ? [] : ["bearer", sent]), ...protocols];
      const asked = withShape(this.#url, shape, this.#asked, this.status, this.#events.cursor, this.#past?.query());
      const socket = new this.#WebSocket!(asked, offered);
      this.#socket = socket;
      socket.onopen = () => {
        this.#isOpen = true;
        this.#line = new Line(this.#clock());
        const first = this.#past?.message();
        if (first) this.say(first);
        if (this.#shape !== shape) this.change(this.#shape); // changed while it connected
      };
      socket.onmessage = ({ data }: { data: unknown }) => this.#receive(data);
      socket.onclose = ({ code, reason }: { code: number; reason: string }) => this.#end(code, reason);
      // Node 20 reports a failed attempt by an error alone; the error of `ws` says why.
      socket.onerror = ({ message = "" }: { message?: string }) => this.#end(1006, message);
    } catch (error) {
      if (attempt === this.#attempt) this.#end(1006, String(error)); // there is no token, or it is not one
    }
  }

  #end(code: number, reason: string): void {
    const now = this.#clock();
    this.#drop();
    this.#lastDisconnect = disconnectOf(code, reason);
    const { firstPauseMs, longestPauseMs, random } = this.#pauses;
    this.#failures = this.#hasFrame && now - this.#began > longestPauseMs ? 0 : this.#failures;
    if (this.#lastDisconnect.reconnect) {
      const pause = pauseMs(this.#failures++, firstPauseMs, longestPauseMs, random(), reason);
      this.#pause = setTimeout(() => void this.#connect(), pause);
      this.#enter("connecting");
    }
    this.#emit("disconnect", this.#lastDisconnect);
    if (!this.#lastDisconnect.reconnect) this.close();
  }

  get #pauses(): { firstPauseMs: number; longestPauseMs: number; random: () => number } {
    const { firstPauseMs = 250, longestPauseMs = 10_000, random = Math.random } = this.#options;
    return { firstPauseMs, longestPauseMs, random };
  }

  #drop(): void {
    this.#attempt++; // an attempt that is under way is void
    this.#read();
    this.#behindAt = Infinity;
    this.#levels.interrupt();
    this.#flow.interrupt();
    const socket = this.#socket;
    if (!socket) return;
    this.#socket = undefined;
    this.#isOpen = this.#isAnother = false;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.onerror = () => undefined; // `ws` throws an error without a listener
    socket.close();
  }

  /** The network is back, or the page is visible again: connect without waiting longer. */
  #wake = (): void => {
    this.#checkAge();
    if (this.#pause === undefined || globalThis.document?.hidden) return;
    clearTimeout(this.#pause);
    void this.#connect();
  };

  // -- frames -----------------------------------------------------------------------------------------------------

  #receive(text: unknown): void {
    const at = this.#clock();
    this.#arrivals.push(at);
    this.#line.arrived(at);
    if (mayBeHeartbeat(text)) this.#read(); // it stands for no section, so the frame before is not out of date
    this.#skipped = this.#unread !== undefined;
    this.#unread = { text, at, another: this.#isAnother || this.#unread?.another === true };
    this.#isAnother = false;
    if (this.#asked.events) this.#read(); // a state replaces the one before, and an event does not
    if (this.#scheduled) return;
    this.#scheduled = true;
    (this.#options.schedule ?? soon)(() => {
      this.#scheduled = false;
      if (this.#state !== "closed") this.#deliver();
    });
  }

  /** Parses the newest frame; frames before it are never parsed. */
  #read(): void {
    const frame = this.#unread;
    if (!frame) return;
    this.#unread = undefined;
    try {
      const { events, ...payload } = parsed(frame.text, this.#payload ?? {}, this.#older);
      this.#take(payload, frame.at, frame.another);
      if (events) this.#hear(events);
    } catch (error) {
      this.#emit("invalid", { error: error as Error, count: ++this.#invalidFrames });
    }
  }

  #take(payload: Payload, at: number, another: boolean): void {
    const before = this.#payload ?? {};
    const isPast = !!payload.status?.replay;
    const isTurn = isPast === !before.status?.replay;
    const first = another || isTurn || !this.#hasFrame;
    if (!this.#hasFrame && this.#isOlder(payload)) {
      this.#older = payload;
      this.#behindAt = Math.min(this.#behindAt, at);
      return;
    }
    this.#payload = payload;
    this.#older = undefined;
    this.#hasFrame = true;
    this.#behindAt = Infinity;
    this.#behindInARow = 0;
    if (isPast) this.#events.pass();
    if (isTurn) {
      this.#levels = new Cadence(); // the pace of a replay is none of Core's
      this.#flow = new Cadence();
      this.#expectRate();
    }
    this.#past?.shows(payload.status);
    if (payload.status) this.#toldAt = at - (this.#lineDelayMs = this.#line.delayMs(at, payload.status));
    if (payload.levels !== before.levels || payload.viewport !== before.viewport)
      this.#levels.add(at, first, this.#skipped);
    if (payload.flow !== before.flow) this.#flow.add(at, first, this.#skipped);
  }

  /** Whether a lagging gateway sent it: it is older than what the connection before showed. */
  #isOlder({ status }: Payload): boolean {
    const shown = this.#payload?.status;
    const asks = this.#asks; // of other sections a status says nothing
    if (!status || status.replay || !shown || this.#behindInARow === BEHIND_IN_A_ROW) return false;
    return (asks.levels || asks.flow) && isBehind(status, shown);
  }

  // -- events -----------------------------------------------------------------------------------------------------

  #hear({ cursor, complete, events }: Events): void {
    const isMissing = this.#events.reach(cursor, complete);
    this.#tell({ events, complete: true });
    if (!isMissing) return;
    clearTimeout(this.#missingPause);
    void this.#ask(++this.#missing, 0);
  }

  #tell({ events, complete }: EventNews): void {
    const news = this.#events.news(events);
    if (news.length || !complete) this.#emit("events", { events: news, complete });
  }

  /** Asks for the events that frames did not tell, until the gateway has them or will not have them. */
  async #ask(missing: number, failures: number): Promise<void> {
    const { token } = this.#options;
    const { firstPauseMs, longestPauseMs, random } = this.#pauses;
    let told: EventNews = { events: [], complete: false };
    let again = failures < MOST_ASKED;
    try {
      const answer = await getEvents(this.#url, { since: this.#events.missingSince }, token);
      told = { ...answer, complete: this.#events.isWhole(answer) };
      again &&= !told.complete;
    } catch (error) {
      again = mayPass(error);
    }
    if (missing !== this.#missing) return; // closed, or asked again
    this.#tell({ events: told.events, complete: told.complete || again });
    if (!again) this.#events.missingSince = undefined;
    else {
      const pause = pauseMs(failures, firstPauseMs, longestPauseMs, random());
      this.#missingPause = setTimeout(() => void this.#ask(missing, failures + 1), pause);
    }
  }

  // -- news -------------------------------------------------------------------------------------------------------

  #deliver(): void {
    this.#checkAge();
    const before = this.#delivered;
    const { levels, flow, viewport } = before;
    const payload = (this.#delivered = this.#payload ?? {});
    if (payload.levels && payload.levels !== levels) this.#emit("levels", payload.levels);
    if (payload.flow && payload.flow !== flow) this.#emit("flow", payload.flow);
    if (payload.viewport !== viewport) this.#emit("viewport", payload.viewport);
    const names = Object.keys({ ...before, ...payload }) as (keyof Payload)[];
    if (names.some((name) => name !== "status" && payload[name] !== before[name])) this.#emit("payload", payload);
    if (payload.status && payload.status !== before.status) this.#emit("status", payload.status);
  }

  // -- freshness --------------------------------------------------------------------------------------------------

  #checkAge(): void {
    const freshness = this.freshness;
    if (this.#pause === undefined && this.#isSilent()) return this.#end(1006, "silent for too long");
    if (this.#clock() - this.#behindAt > BEHIND_LIMIT_MS) {
      this.#behindInARow++;
      return this.#end(1006, "the gateway is behind what was shown; trying another");
    }
    const { levels, flow } = freshness;
    const status = this.#payload?.status;
    const state = status ? stateOf(levels?.state, flow?.state, status, this.#asks) : (levels ?? flow)?.state;
    if (!this.#hasFrame || !this.#socket || !state || !this.#enter(state)) this.#emit("freshness", freshness);
  }

  /** After a pause of the page itself, frames may wait to be received: the next check tells. */
  #isSilent(): boolean {
    const now = this.#clock();
    const wasLate = this.#isLate;
    this.#isLate = now - this.#checked > LATE_CHECK_MS;
    this.#checked = now;
    if (this.#isLate && !wasLate) return false;
    return this.#line.isDead(now, this.#options.silenceLimitMs ?? 30_000);
  }

  /** Whether the state changed. */
  #enter(state: State): boolean {
    if (state === this.#state) return false;
    this.#state = state;
    this.#emit("state", state);
    this.#emit("freshness", this.freshness);
    return true;
  }

  #emit<E extends keyof StreamEvents>(event: E, news: StreamEvents[E]): void {
    for (const listener of this.#listeners.get(event) ?? []) {
      try {
        (listener as (news: StreamEvents[E]) => void)(news);
      } catch (error) {
        queueMicrotask(() => {
          throw error; // a listener's error must not stop the other listeners
        });
      }
    }
  }
}

/** Before the next repaint; a hidden page has none until it is visible. */
function soon(deliver: () => void): void {
  if (typeof requestAnimationFrame === "function") requestAnimationFrame(deliver);
  else deliver();
}

/**
 * A frame's payload; a section, level or contract that equals the one `before` is the same object. A heartbeat keeps all
 * sections of the state `before`, or of one that is not shown.
 */
function parsed(text: unknown, before: Payload, older: Payload | undefined): Payload {
  if (typeof text !== "string") throw new TypeError("the frame is not text");
  const payload = JSON.parse(text) as Payload;
  const { levels, status, events } = payload;
  if (!isObject(payload) || (events && !Array.isArray(events.events)) || (levels && !Array.isArray(levels.levels))) throw new TypeError("the frame is no payload");
  for (const name of Object.keys(payload) as (keyof Payload)[]) {
    if (!isObject(payload[name])) throw new TypeError(`${name} is no object`);
    if (name === "status" || name === "events") continue; // others in each frame
    keepUnchanged(name, payload, before);
    if (same(payload[name], before[name])) Object.assign(payload, { [name]: before[name] });
  }
  const isAlone = status && Object.keys(payload).length === (payload.events ? 2 : 1);
  return { ...(isAlone && [before, older].find((state) => sameState(status, state?.status))), ...payload };
}

function mayBeHeartbeat(text: unknown): boolean {
  return typeof text === "string" && text.length < HEARTBEAT_CHARACTERS && text.includes('"heartbeat_ms"');
}

/** Put the levels and contracts of `before` in the place of their equals, so that pages draw only what changed. */
function keepUnchanged(section: keyof Payload, { levels, flow }: Payload, before: Payload): void {
  if (section === "levels" && levels && before.levels) {
    const old = new Map(before.levels.levels.map((level) => [level.id, level]));
    levels.levels.forEach((level, at, all) => {
      const found = old.get(level?.id);
      if (found && same(level, found)) all[at] = found;
    });
  }
  if (section === "flow" && flow && before.flow)
    for (const [ticker, old] of Object.entries(before.flow)) if (same(flow[ticker], old)) flow[ticker] = old;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || !a || !b) return false;
  const keys = Object.keys(a) as (keyof typeof a)[];
  return keys.length === Object.keys(b).length && keys.every((key) => key in b && same(a[key], b[key]));
}

/** Milliseconds that never step back and, unlike performance.now(), go on while the machine sleeps. */
function monotonicClock(): () => number {
  let last = Date.now();
  let passed = 0;
  return () => {
    const now = Date.now();
    passed += Math.max(0, now - last);
    last = now;
    return passed;
  };
}
