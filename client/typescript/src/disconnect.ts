/** Why a connection ended, and how long to wait before the next attempt. Rules only: no clock, no socket. */

import { CLOSE_CODES } from "./contract.js";

/** Why a connection ended. */
export interface Disconnect {
  /** The WebSocket close code; 1006 when the connection was lost, or could not be made. */
  readonly code: number;
  /** The reason as the gateway sent it; empty when it sent none. */
  readonly reason: string;
  /** What the code means, in words. */
  readonly explanation: string;
  /** Whether the client connects again by itself. */
  readonly reconnect: boolean;
}

/** Codes of the protocol (RFC 6455 §7.4.1). After an error of this side, the next connection would end likewise. */
const OF_THE_PROTOCOL: typeof CLOSE_CODES = {
  1000: ["closed", true],
  1002: ["a frame that broke the protocol", false],
  1003: ["a kind of frame that is not taken", false],
  1006: ["the connection was lost, or could not be made", true],
  1007: ["text that was not UTF-8", false],
  1009: ["a message that was too large", false],
};

const LONGEST_ASKED_S = 600; // a longer wait that a server asks for is cut to this

/** The disconnect of a close code and reason. After a code that is not known the client connects again. */
export function disconnectOf(code: number, reason: string): Disconnect {
  const [explanation, reconnect] = CLOSE_CODES[code] ?? OF_THE_PROTOCOL[code] ?? ["closed", true];
  return { code, reason, explanation, reconnect };
}

/**
 * How long to wait before the next attempt, in ms: full jitter below a bound that doubles with each failure.
 * A reason that says "reconnect in 5 s" adds that time.
 */
export function pauseMs(failures: number, firstMs: number, longestMs: number, random: number, reason = ""): number {
  const askedS = Math.min(LONGEST_ASKED_S, +(/reconnect in (\d+(?:\.\d+)?) ?s/.exec(reason)?.[1] ?? 0));
  return askedS * 1_000 + random * Math.min(longestMs, firstMs * 2 ** failures);
}
