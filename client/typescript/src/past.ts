/** What was: requests to the gateway of a stream, and streams of the past. A module of its own, for pages that show it. */

import type { Event, Events, History, ReplayStatus, Status } from "./contract.js";
import { get, getEvents, RefusedError, type Token } from "./http.js";
import { Stream, type Options, type Past } from "./stream.js";

export { RefusedError };

const PRESENT = "live";

/** Core's time: ms since 1970 UTC, a Date, ISO 8601 with an offset, or a time before the newest message like "-2h". */
export type Moment = number | string | Date;

export interface HistoryOptions {
  /** As for the stream. */
  readonly token?: Token;
  /** Default: the last open of the market. */
  readonly from?: Moment | undefined;
  /** Default: the newest message. */
  readonly to?: Moment | undefined;
  /** The length of a point: seconds, or a text such as "1m". Default: about 1000 points. */
  readonly step?: number | string | undefined;
  /** Default: all. */
  readonly fields?: readonly ("spot" | "levels" | "flow")[] | undefined;
  /** Only levels of these `id`. */
  readonly levels?: readonly string[] | undefined;
}

export interface EventsOptions {
  /** As for the stream. */
  readonly token?: Token;
  /** The cursor of an answer, or of a frame: only what happened after it. */
  readonly since?: string | undefined;
  readonly kinds?: readonly Event["kind"][] | undefined;
  /** Only of levels with these `id`; for verdicts, of these sections. */
  readonly levels?: readonly string[] | undefined;
}

/**
 * What the market looked like, in points of equal length.
 *
 * @param url of the stream.
 * @throws RefusedError with the status and the words of the gateway.
 */
export function history(url: string, { token, from, to, ...further }: HistoryOptions = {}): Promise<History> {
  return get(url, "history", { from: asked(from), to: asked(to), ...further }, token);
}

/** What happened in the last 24 hours, or since a cursor; `url` and errors as for `history`. */
export function events(url: string, { token, ...query }: EventsOptions = {}): Promise<Events> {
  return getEvents(url, query, token);
}

export interface ReplayOptions extends Omit<Options, "status"> {
  /** 0.1 to 60 times Core's own. Default: 1. */
  readonly speed?: number | undefined;
  /** Show the moment, and stand still. */
  readonly paused?: boolean | undefined;
}

/**
 * The stream from a moment on: as `connect`, but its frames show the past until they reach the present. There it goes over
 * into the live stream by itself.
 *
 * @param moment `"live"` begins in the present; `seek` leads to the past.
 */
export function at(url: string, moment: Moment, options: ReplayOptions = {}): Replay {
  return new Replay(url, moment, options);
}

export class Replay extends Stream {
  #place: Place;

  constructor(url: string, moment: Moment, { speed, paused = false, ...options }: ReplayOptions) {
    const place = new Place(asked(moment)!, speed, paused);
    super(url, options, place);
    this.#place = place;
  }

  /** Where the newest frame is, as the gateway says; undefined in the present. */
  get replay(): ReplayStatus | undefined {
    return this.status?.replay;
  }

  pause(): void {
    this.#ask({ paused: true });
  }

  resume(): void {
    this.#ask({ paused: false });
  }

  get speed(): number {
    return this.#place.speed ?? 1;
  }

  /** 0.1 to 60 times Core's own. */
  set speed(speed: number) {
    this.#ask({ speed });
  }

  /** So many messages of the levels forward, or back; it stands still then. Nothing while there is no connection. */
  step(messages: number): void {
    if (this.say({ replay: { step: messages } })) this.#place.paused = true;
  }

  /** Goes to another moment, also from the present; a replay that stands still stands still there. */
  seek(moment: Moment): void {
    this.#place.seek(asked(moment)!);
    this.say({ replay: this.#place.wish });
  }

  /** Goes to the present. */
  live(): void {
    this.seek(PRESENT);
  }

  #ask(change: { paused?: boolean; speed?: number }): void {
    Object.assign(this.#place, change);
    this.say({ replay: change });
  }
}

/** Where a replay is: what another connection begins with. */
class Place implements Past {
  at: number | string;
  speed: number | undefined;
  paused: boolean;
  #isShown = false;

  constructor(at: number | string, speed: number | undefined, paused: boolean) {
    this.at = at;
    this.speed = speed;
    this.paused = paused;
  }

  seek(at: number | string): void {
    this.at = at;
    this.paused &&= at !== PRESENT;
    this.#isShown = false;
  }

  get wish(): object {
    const { at, speed, paused } = this;
    return at === PRESENT ? { at } : { at, speed, paused };
  }

  query(): object {
    const { at, speed } = this;
    return at === PRESENT ? {} : { at, ...(speed && { speed }) };
  }

  /** A query has no word for standing still. */
  message(): object | undefined {
    return this.paused ? { replay: this.wish } : undefined;
  }

  shows(status: Status | undefined): void {
    const replay = status?.replay;
    if (replay && replay.at_ms > 0) {
      // 0: before its first message
      this.at = replay.at_ms;
      this.speed = replay.speed;
      this.paused = replay.paused;
      this.#isShown = true;
    } else if (!replay && this.#isShown) this.seek(PRESENT);
  }
}

/** A moment as the gateway reads it. */
function asked(moment: Moment | undefined): number | string | undefined {
  return moment instanceof Date ? moment.getTime() : moment;
}
