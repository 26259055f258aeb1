/** Which events of a stream its listeners know, and which are missing. Rules only. */

import type { Event, Events } from "./contract.js";
import { RefusedError } from "./http.js";

const REMEMBERED = 4_000; // the newest that were told; a gateway's frames have the newest 1,000 at most
const PASSING = [408, 425, 429];

export class EventsTold {
  /** Up to where they were told; undefined before the first. */
  cursor: string | undefined;
  /** From where on some are missing; undefined while none is. */
  missingSince: string | undefined;
  #until: string[] = []; // where the frame goes behind which they are missing: the life of the stream, and a message
  #isPast = false; // the frame before was of the past, which tells no events
  #counts: Map<string, number> = new Map();

  /** A frame shows the past. */
  pass(): void {
    this.#isPast = true;
  }

  /** A frame has a cursor, and tells all since the one before or not; whether some are missing now. */
  reach(cursor: string, complete: boolean): boolean {
    const isMissing = (!complete || this.#isPast) && this.cursor !== undefined;
    if (isMissing) {
      this.missingSince ??= this.cursor;
      this.#until = cursor.split("-");
    }
    this.#isPast = false;
    if (!cursor.startsWith("-")) this.cursor = cursor; // else the gateway itself has read nothing so far
    return isMissing;
  }

  /** Whether an answer has all that are missing. Another gateway may have given it, which has read less than the frame tells. */
  isWhole({ cursor, complete }: Events): boolean {
    const [life, seq] = cursor.split("-"); // and the time of verdicts, which each gateway counts itself
    return complete && (life !== this.#until[0] || +seq! >= +this.#until[1]!);
  }

  /** Those that were not told yet, or count more by now. */
  news(events: readonly Event[]): Event[] {
    return events.filter(({ id, count }) => {
      if (this.#counts.get(id)! >= count) return false;
      this.#counts.delete(id); // the newest stand last
      this.#counts.set(id, count);
      if (this.#counts.size > REMEMBERED) this.#counts.delete(this.#counts.keys().next().value!);
      return true;
    });
  }
}

/** Whether the same request may be answered later: the gateway is away, or has not read so far. */
export function mayPass(error: unknown): boolean {
  return !(error instanceof RefusedError) || error.status >= 500 || PASSING.includes(error.status);
}
