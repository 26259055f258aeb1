/** What a close code means, and how long to wait before connecting again. All rules, no clock and no socket. */

import { OWN_CLOSE_CODES } from "./contract.ts";

/** Why a connection ended. */
export interface CloseCode {
  /** The WebSocket close code; 1006 when the connection was lost, or could not be made. */
  readonly code: number;
  /** What the gateway said, in words; empty when it could not. */
  readonly reason: string;
  /** What the code means. */
  readonly meaning: string;
  /** Whether the client connects again by itself. */
  readonly reconnect: boolean;
}

/** Codes of the protocol (RFC 6455 §7.4.1). After those that tell of a fault here, the same would happen again. */
const OF_THE_PROTOCOL: typeof OWN_CLOSE_CODES = {
  1000: ["closed", true],
  1002: ["a frame that broke the protocol", false],
  1003: ["a kind of frame that is not taken", false],
  1006: ["the connection was lost, or could not be made", true],
  1007: ["text that was not UTF-8", false],
  1009: ["a message that was too large", false],
};

const LONGEST_ASKED_S = 600; // nobody is sent away for a day

/** The closing that a code and a reason stand for; a code that is not known is no reason to stay away. */
export function closingOf(code: number, reason: string): CloseCode {
  const [meaning, reconnect] = OWN_CLOSE_CODES[code] ?? OF_THE_PROTOCOL[code] ?? ["closed", true];
  return { code, reason, meaning, reconnect };
}

/**
 * How long to wait before the next attempt, in ms: full jitter below a bound that doubles with each failure.
 * A reason that says "reconnect in 5 s" is obeyed first.
 */
export function pauseMs(failures: number, firstMs: number, longestMs: number, random: number, reason = ""): number {
  const askedS = Math.min(LONGEST_ASKED_S, +(/reconnect in (\d+(?:\.\d+)?) ?s/.exec(reason)?.[1] ?? 0));
  return askedS * 1_000 + random * Math.min(longestMs, firstMs * 2 ** failures);
}
