/** What the arrivals of one connection's frames tell about its line. Rules only; the time is an argument, in ms. */

import type { Status } from "./contract.js";

const WINDOW_MS = 60_000; // after a step of either clock, delays are wrong for two of these at most
const SILENT_HEARTBEATS = 3;

export class Line {
  #heardAt: number;
  #heartbeatMs: number | undefined;
  #firstGapMs: number | undefined;
  #gapsMs: Largest = new Largest();
  #leadsMs: Largest = new Largest();

  /** An attempt to connect began at `now`, or the connection opened. */
  constructor(now: number) {
    this.#heardAt = now;
  }

  /** A frame arrived. */
  arrived(now: number): void {
    const gapMs = now - this.#heardAt;
    this.#firstGapMs ??= gapMs;
    this.#gapsMs.add(now, gapMs);
    this.#heardAt = now;
  }

  /** How much longer the frame of a status was on its way than the quickest one. */
  delayMs(arrivedAt: number, { sent_ms, heartbeat_ms }: Status): number {
    this.#heartbeatMs = heartbeat_ms;
    const leadMs = sent_ms - arrivedAt;
    this.#leadsMs.add(arrivedAt, leadMs);
    return this.#leadsMs.value - leadMs;
  }

  /**
   * Whether the gateway was silent for too long. Gaps between frames count, so that a slow line with large frames is not
   * cut; the first frame is as large as any.
   *
   * @param limitMs where it never said how long it is silent.
   */
  isDead(now: number, limitMs: number): boolean {
    const gapMs = Math.max(this.#gapsMs.value, this.#firstGapMs ?? 0);
    return now - this.#heardAt > (this.#heartbeatMs ? SILENT_HEARTBEATS * this.#heartbeatMs + gapMs : limitMs);
  }
}

/** The largest value of the last one to two windows. */
class Largest {
  value: number = -Infinity;
  #from = 0;
  #newest = -Infinity;

  add(now: number, value: number): void {
    if (now - this.#from > WINDOW_MS) {
      this.value = this.#newest;
      this.#newest = -Infinity;
      this.#from = now;
    }
    this.#newest = Math.max(this.#newest, value);
    this.value = Math.max(this.value, value);
  }
}
