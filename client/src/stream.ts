/** One stream: a connection that comes back by itself, the newest payload, and how fresh it is. */

import type { LevelsPayload, Payload } from "./contract.ts";
import { Cadence, type SectionFreshness } from "./freshness.ts";
import { closingOf, pauseMs, type CloseCode } from "./close-codes.ts";

/**
 * `connecting`: no frame on this connection yet. `live`: the levels arrive at their usual pace (the flow, where there
 * are no levels). `late`: they are due, or are only the last known state. `stale`: nobody should trade on them.
 * `closed`: for good, by `close()` or by a goodbye after which connecting again is no use; see `closing`.
 */
export type State = "connecting" | "live" | "late" | "stale" | "closed";

export interface Freshness {
  /** Undefined while there are no levels. A change of the viewport counts, as the two come in one message. */
  readonly levels: SectionFreshness | undefined;
  readonly flow: SectionFreshness | undefined;
  /** Over the last seconds. */
  readonly framesPerSecond: number;
}

/** A frame that was left out. */
export interface Garbage {
  readonly error: Error;
  /** How many there were so far. */
  readonly count: number;
}

/** What `on` tells of. */
export interface StreamEvents {
  /** A payload with something new in it; sections that did not change are the same objects as before. */
  payload: Payload;
  /** New levels. */
  levels: LevelsPayload;
  /** A new flow. */
  flow: NonNullable<Payload["flow"]>;
  /** A new viewport; undefined when the newest levels came without one. */
  viewport: Payload["viewport"];
  state: State;
  /** Four times a second, and with each payload. */
  freshness: Freshness;
  /** A connection ended. */
  closing: CloseCode;
  garbage: Garbage;
}

/**
 * What the client needs of a WebSocket; the browser's own, Node's, and the one of the package `ws` have it. Their events
 * are of different types, hence `any`.
 */
export interface Socket {
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  close(code?: number): void;
}

export interface Options {
  /** Who you are, sent as the subprotocols `bearer, <token>`; a function is asked before each attempt. */
  token?: string | (() => string | Promise<string>) | undefined;
  /** Further subprotocols. */
  protocols?: readonly string[] | undefined;
  /** For a runtime without one, such as Node 20: that of the package `ws`, for example. */
  WebSocket?: (new (url: string, protocols: string[]) => Socket) | undefined;
  /** When a section is late; by default 2.5 of its own usual gaps and 250 ms. */
  lateAfterMs?: number | undefined;
  /** When a section is stale; by default 8 of its own usual gaps, 2.5 s at least. */
  staleAfterMs?: number | undefined;
  /** A line that is silent for this long is taken for dead, and left for a new one. Default 30 s. */
  silenceLimitMs?: number | undefined;
  /** The bound of the first pause before connecting again, which doubles with each failure. Default 250 ms. */
  firstPauseMs?: number | undefined;
  /** Its largest. Default 10 s. */
  longestPauseMs?: number | undefined;
  /** 0 to 1, for the pauses. */
  random?: (() => number) | undefined;
  /** When listeners are told of a frame: before the next repaint in a page, which a hidden one has none of; else at once. */
  schedule?: ((deliver: () => void) => void) | undefined;
}

const CHECK_EVERY_MS = 250;
const RATE_WINDOW_MS = 5_000;

/** Connects, and keeps connecting until `close()`. */
export function connect(url: string, options: Options = {}): Stream {
  return new Stream(url, options);
}

export class Stream {
  #url: string;
  #options: Options;
  #makeSocket: NonNullable<Options["WebSocket"]>;
  #clock: () => number = wakefulClock();
  #listeners = new Map<string, Set<(news: never) => void>>();
  #check: ReturnType<typeof setInterval>;

  #state: State = "connecting";
  #attempt = 0;
  #socket: Socket | undefined;
  #pause: ReturnType<typeof setTimeout> | undefined;
  #began = 0;
  #failures = 0;
  #closing: CloseCode | undefined;

  #frames = 0; // of this connection
  #unread: { text: unknown; at: number; first: boolean } | undefined;
  #skipped = false;
  #heard = 0;
  #arrivals: number[] = [];
  #garbage = 0;

  #payload: Payload | undefined;
  #told: Payload = {};
  #scheduled = false;
  #levels: Cadence = new Cadence();
  #flow: Cadence = new Cadence();

  constructor(url: string, options: Options) {
    const absolute = new URL(url, globalThis.location?.href);
    absolute.protocol = absolute.protocol.replace("http", "ws");
    this.#url = absolute.href;
    this.#options = options;
    const WebSocket = options.WebSocket ?? (globalThis.WebSocket as Options["WebSocket"]);
    if (!WebSocket) throw new Error("no WebSocket here: pass one as options.WebSocket, that of `ws` for example");
    this.#makeSocket = WebSocket;
    this.#check = setInterval(() => this.#look(), CHECK_EVERY_MS);
    globalThis.addEventListener?.("online", this.#wake);
    globalThis.document?.addEventListener("visibilitychange", this.#wake);
    void this.#connect();
  }

  get state(): State {
    return this.#state;
  }

  /** The newest; undefined before the first. */
  get payload(): Payload | undefined {
    this.#read();
    return this.#payload;
  }

  get freshness(): Freshness {
    this.#read();
    const now = this.#clock();
    this.#arrivals = this.#arrivals.filter((at) => now - at < RATE_WINDOW_MS);
    const sinceMs = Math.min(RATE_WINDOW_MS, Math.max(1_000, now - this.#began));
    return {
      levels: this.#levels.at(now, this.#options),
      flow: this.#flow.at(now, this.#options),
      framesPerSecond: (this.#arrivals.length * 1_000) / sinceMs,
    };
  }

  /** Why the last connection ended; undefined while none has. */
  get closing(): CloseCode | undefined {
    return this.#closing;
  }

  /** Calls `listener` at each `event` from now on. Returns what ends that. */
  on<E extends keyof StreamEvents>(event: E, listener: (news: StreamEvents[E]) => void): () => void {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  /** Leaves for good. */
  close(): void {
    clearInterval(this.#check);
    clearTimeout(this.#pause);
    globalThis.removeEventListener?.("online", this.#wake);
    globalThis.document?.removeEventListener("visibilitychange", this.#wake);
    this.#drop();
    this.#enter("closed");
  }

  // -- the connection ---------------------------------------------------------------------------------------------

  async #connect(): Promise<void> {
    this.#pause = undefined;
    this.#began = this.#heard = this.#clock();
    this.#frames = 0;
    const attempt = ++this.#attempt;
    try {
      const { token, protocols = [] } = this.#options;
      const word = typeof token === "function" ? await token() : token;
      if (attempt !== this.#attempt) return;
      const socket = new this.#makeSocket(this.#url, [...(word === undefined ? [] : ["bearer", word]), ...protocols]);
      this.#socket = socket;
      socket.onmessage = ({ data }: { data: unknown }) => this.#receive(data);
      socket.onclose = ({ code, reason }: { code: number; reason: string }) => this.#end(code, reason);
      // Node 20 tells of a failed attempt by an error alone; the one of `ws` says why.
      socket.onerror = ({ message = "" }: { message?: string }) => this.#end(1006, message);
    } catch (error) {
      if (attempt === this.#attempt) this.#end(1006, String(error)); // the token could not be had, or is none
    }
  }

  #end(code: number, reason: string): void {
    const now = this.#clock();
    this.#drop();
    this.#closing = closingOf(code, reason);
    const { firstPauseMs = 250, longestPauseMs = 10_000, random = Math.random } = this.#options;
    this.#failures = this.#frames && now - this.#began > longestPauseMs ? 0 : this.#failures;
    if (this.#closing.reconnect) {
      const pause = pauseMs(this.#failures++, firstPauseMs, longestPauseMs, random(), reason);
      this.#pause = setTimeout(() => void this.#connect(), pause);
      this.#enter("connecting");
    }
    this.#tell("closing", this.#closing);
    if (!this.#closing.reconnect) this.close();
  }

  #drop(): void {
    this.#attempt++; // what is still on its way comes too late
    this.#read();
    this.#levels.interrupt();
    this.#flow.interrupt();
    const socket = this.#socket;
    if (!socket) return;
    this.#socket = undefined;
    socket.onmessage = socket.onclose = null;
    socket.onerror = () => undefined; // `ws` throws an error that nobody listens to
    socket.close();
  }

  /** The network is back, or the page is looked at again: no need to wait longer. */
  #wake = (): void => {
    this.#look();
    if (this.#pause === undefined || globalThis.document?.hidden) return;
    clearTimeout(this.#pause);
    void this.#connect();
  };

  // -- frames -----------------------------------------------------------------------------------------------------

  #receive(text: unknown): void {
    const at = (this.#heard = this.#clock());
    this.#arrivals.push(at);
    this.#skipped = this.#unread !== undefined;
    this.#unread = { text, at, first: this.#frames++ === 0 || this.#unread?.first === true };
    if (this.#scheduled) return;
    this.#scheduled = true;
    (this.#options.schedule ?? soon)(() => {
      this.#scheduled = false;
      if (this.#state !== "closed") this.#deliver();
    });
  }

  /** Parses the newest frame: those before it are never parsed. */
  #read(): void {
    const frame = this.#unread;
    if (!frame) return;
    this.#unread = undefined;
    try {
      const before = this.#payload ?? {};
      const payload = (this.#payload = parsed(frame.text, before));
      const { at, first } = frame;
      if (payload.levels !== before.levels || payload.viewport !== before.viewport)
        this.#levels.add(at, first, this.#skipped);
      if (payload.flow !== before.flow) this.#flow.add(at, first, this.#skipped);
    } catch (error) {
      this.#tell("garbage", { error: error as Error, count: ++this.#garbage });
    }
  }

  #deliver(): void {
    this.#look();
    const { levels, flow, viewport } = this.#told;
    const payload = (this.#told = this.#payload ?? {});
    if (payload.levels && payload.levels !== levels) this.#tell("levels", payload.levels);
    if (payload.flow && payload.flow !== flow) this.#tell("flow", payload.flow);
    if (payload.viewport !== viewport) this.#tell("viewport", payload.viewport);
    if (payload.levels !== levels || payload.flow !== flow || payload.viewport !== viewport)
      this.#tell("payload", payload);
  }

  // -- freshness --------------------------------------------------------------------------------------------------

  #look(): void {
    const { silenceLimitMs = 30_000 } = this.#options;
    const freshness = this.freshness;
    if (this.#pause === undefined && this.#clock() - this.#heard > silenceLimitMs)
      return this.#end(1006, "silent for too long");
    const age = freshness.levels ?? freshness.flow;
    if (!this.#frames || !this.#socket || !age || !this.#enter(age.state)) this.#tell("freshness", freshness);
  }

  /** Whether the state changed. */
  #enter(state: State): boolean {
    if (state === this.#state) return false;
    this.#state = state;
    this.#tell("state", state);
    this.#tell("freshness", this.freshness);
    return true;
  }

  #tell<E extends keyof StreamEvents>(event: E, news: StreamEvents[E]): void {
    for (const listener of this.#listeners.get(event) ?? []) {
      try {
        (listener as (news: StreamEvents[E]) => void)(news);
      } catch (error) {
        queueMicrotask(() => {
          throw error; // it is the listener's, and keeps nobody else from being told
        });
      }
    }
  }
}

/** Before the next repaint; a hidden page has none until somebody looks. */
function soon(deliver: () => void): void {
  if (typeof requestAnimationFrame === "function") requestAnimationFrame(deliver);
  else deliver();
}

/** A frame's payload, in which what equals `before` is what it was before. */
function parsed(text: unknown, before: Payload): Payload {
  if (typeof text !== "string") throw new TypeError("the frame is not text");
  const payload = JSON.parse(text) as Payload;
  const { levels } = payload;
  if (!isObject(payload) || (levels && !Array.isArray(levels.levels))) throw new TypeError("the frame is no payload");
  for (const name of ["levels", "flow", "viewport"] as const) {
    if (payload[name] !== undefined && !isObject(payload[name])) throw new TypeError(`${name} is no object`);
    if (same(payload[name], before[name])) Object.assign(payload, { [name]: before[name] });
  }
  return payload;
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
function wakefulClock(): () => number {
  let last = Date.now();
  let passed = 0;
  return () => {
    const now = Date.now();
    passed += Math.max(0, now - last);
    last = now;
    return passed;
  };
}
