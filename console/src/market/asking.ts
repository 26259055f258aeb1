/** When the page asks the gateway again for the past, after an answer or without one. */

import { newYork } from "./clock.ts";

/** `status` is undefined where nobody answered; `complete` is that of a good answer. */
export type Outcome = { readonly status: number | undefined; readonly complete: boolean };

const FILLING_MS = 1_000; // while the gateway reads its streams
const FIRST_MS = 500;
const LONGEST_MS = 30_000;

/**
 * How long to wait; undefined for not at all.
 *
 * @param failures in a row, before this outcome
 * @param random 0 to 1: pages that lost one gateway do not come back at one moment
 */
export function pauseMs({ status, complete }: Outcome, failures: number, random: number): number | undefined {
  if (status === 200) return complete ? undefined : FILLING_MS;
  if (status !== undefined && status < 500) return undefined; // no history here, or no right to it: to ask again changes nothing
  return Math.min(LONGEST_MS, FIRST_MS * 2 ** failures) * (0.5 + random / 2);
}

/** How far the gateway has read its streams; empty where all is there. */
export function progress(status: number | undefined, complete: boolean, fromMs: number | null): string {
  if (status === 200 && complete) return "";
  if (status === 200) return `the session is being read${fromMs === null ? "" : `: back to ${newYork(fromMs).time.slice(0, 5)}`}`;
  if (status !== undefined && status < 500) return "";
  return "the session so far is not there yet";
}
