/** What was: requests to the gateway of a stream. A module of its own, for pages that show it. */

import type { Event, Events, History } from "./contract.js";
import { get, RefusedError, type Token } from "./http.js";

export { RefusedError };

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
  return get(url, "events", query, token);
}

/** A moment as the gateway reads it. */
function asked(moment: Moment | undefined): number | string | undefined {
  return moment instanceof Date ? moment.getTime() : moment;
}
