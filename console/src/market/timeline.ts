/** The time line: which place on the bar is which moment, when a jump is sent, and what each key does. */

import type { ReplayStatus } from "../feed.ts";
import { newYork } from "./clock.ts";

/** From the open of the session, as far as the gateway keeps it, to the newest message. */
export type Span = { readonly fromMs: number; readonly toMs: number };

/** A moment in ms since 1970, or the present. */
export type Moment = number | "live";

export const NOW = "live";

const PRESENT_PX = 4; // so near to its right end the bar means the present
const SECOND_MS = 1_000;

/** The moment at a place on the bar. */
export function momentAt(px: number, widthPx: number, span: Span): Moment {
  if (px >= widthPx - PRESENT_PX) return NOW;
  const share = Math.max(0, px) / widthPx;
  return within(span.fromMs + share * (span.toMs - span.fromMs), span);
}

/** Where on the bar a moment is, from 0 to 1. */
export function shareOf(moment: Moment, { fromMs, toMs }: Span): number {
  if (moment === NOW || toMs <= fromMs) return 1;
  return Math.min(1, Math.max(0, (moment - fromMs) / (toMs - fromMs)));
}

/** So much later or earlier; beyond the end is the present. */
export function moved(moment: Moment, byMs: number, span: Span): Moment {
  if (moment === NOW && byMs > 0) return NOW;
  const to = (moment === NOW ? span.toMs : moment) + byMs;
  return to >= span.toMs ? NOW : within(to, span);
}

function within(ms: number, { fromMs, toMs }: Span): number {
  return Math.min(toMs, Math.max(fromMs, Math.round(ms / SECOND_MS) * SECOND_MS));
}

// -- jumps ------------------------------------------------------------------------------------------------------------

/** The last jump that was sent, and one that waits. */
export type Jumps = { readonly sentMs: number; readonly waiting: Moment | undefined };

/** What is to be done: send that jump now, and look again after so long. */
export type Due = { readonly jumps: Jumps; readonly send: Moment | undefined; readonly againMs: number | undefined };

export const NO_JUMPS: Jumps = { sentMs: -Infinity, waiting: undefined };
const JUMP_EVERY_MS = 300; // a jump reads the streams: a drag is not a hundred of them

/** Another moment is wanted. Of those within one pause only the last is sent, and that always. */
export function wanted(jumps: Jumps, moment: Moment, nowMs: number): Due {
  return due({ ...jumps, waiting: moment }, nowMs);
}

export function due({ sentMs, waiting }: Jumps, nowMs: number): Due {
  const againMs = sentMs + JUMP_EVERY_MS - nowMs;
  if (waiting === undefined) return { jumps: { sentMs, waiting }, send: undefined, againMs: undefined };
  if (againMs > 0) return { jumps: { sentMs, waiting }, send: undefined, againMs };
  return { jumps: { sentMs: nowMs, waiting: undefined }, send: waiting, againMs: undefined };
}

// -- keys -------------------------------------------------------------------------------------------------------------

const MINUTE_MS = 60_000;

/** What somebody does to the time line. */
export type Action =
  | { readonly does: "move"; readonly byMs: number }
  | { readonly does: "step"; readonly by: number }
  | { readonly does: "go"; readonly to: "begin" | "now" }
  | { readonly does: "speed"; readonly by: number }
  | { readonly does: "play" };

type Press = { readonly key: string; readonly shift: boolean };

const ANYWHERE: Readonly<Record<string, Action>> = {
  " ": { does: "play" },
  "[": { does: "speed", by: -1 },
  "]": { does: "speed", by: 1 },
  n: { does: "go", to: "now" },
};
const ARROWS: Readonly<Record<string, -1 | 1>> = { ArrowLeft: -1, ArrowRight: 1 };
const ON_THE_BAR: Readonly<Record<string, Action>> = {
  Home: { does: "go", to: "begin" },
  End: { does: "go", to: "now" },
  PageDown: { does: "move", byMs: -10 * MINUTE_MS },
  PageUp: { does: "move", byMs: 10 * MINUTE_MS },
  ArrowDown: { does: "move", byMs: -MINUTE_MS },
  ArrowUp: { does: "move", byMs: MINUTE_MS },
};

/**
 * What a key does; undefined where it is none of the time line's.
 *
 * @param paused the past is shown, and stands still
 * @param onTheBar the handle has the focus
 */
export function actionOf({ key, shift }: Press, paused: boolean, onTheBar: boolean): Action | undefined {
  const way = ARROWS[key];
  if (way !== undefined) {
    if (shift) return { does: "move", byMs: way * 10 * MINUTE_MS };
    return paused ? { does: "step", by: way } : { does: "move", byMs: way * MINUTE_MS };
  }
  return ANYWHERE[key] ?? (onTheBar ? ON_THE_BAR[key] : undefined);
}

// -- speed ------------------------------------------------------------------------------------------------------------

export const SPEEDS: readonly number[] = [0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60];

/** The next faster or slower one; the last one stays. */
export function speedAfter(speed: number, by: number): number {
  const next = by > 0 ? SPEEDS.find((each) => each > speed) : SPEEDS.findLast((each) => each < speed);
  return next ?? speed;
}

// -- what is said -----------------------------------------------------------------------------------------------------

/** What is shown; `replay` is undefined in the present. */
export type Shown = { readonly replay: ReplayStatus | undefined; readonly speed: number };

/** Of a moment, for ears. */
export function valueText(moment: Moment, { replay, speed }: Shown): string {
  if (moment === NOW) return "the present";
  const { date, time } = newYork(moment);
  return `replay, ${date} ${time}, ${replay?.paused === true ? "paused" : `${replay?.speed ?? speed} times as fast`}`;
}

export function speedWords(speed: number): string {
  return `${speed}×`;
}

/** Whether a replay has come to where it was sent. */
export function hasArrived(moment: Moment, replay: ReplayStatus | undefined): boolean {
  if (moment === NOW || replay === undefined) return moment === NOW && replay === undefined;
  return Math.abs(replay.at_ms - moment) < 5 * SECOND_MS;
}

/** Two moments of one clock do not follow each other like this: somebody jumped between them, or stepped back where it stands still. */
export function isJump(beforeMs: number | undefined, ms: number, paused = false): boolean {
  const backMs = paused ? 0 : 5 * SECOND_MS; // Core's clock may step back a little
  return beforeMs !== undefined && (ms < beforeMs - backMs || ms > beforeMs + 65 * SECOND_MS);
}
