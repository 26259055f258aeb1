/** Whether to believe the page: always visible, and impossible to overlook when the data is old. */

import type { Freshness, State } from "../feed.ts";
import { inHours, newYork } from "../market/clock.ts";
import { age, fixed } from "../market/words.ts";
import { TextCell, byId, make, setAttribute } from "./cells.ts";

const OTHER_CLOCK_MS = 60_000; // a feed this far from this machine's clock is a replay, a simulation, or a wrong clock
const BELIEVABLE_DELAY_MS = 10_000;

export type Health = {
  /** Undefined when the gateway did not answer. */
  readonly roundTripMs: number | undefined;
  /** What is wrong between NATS and the gateway, in its words; empty when nothing is. */
  readonly trouble: string;
};

export class Status {
  private readonly state = new TextCell(byId("state"));
  private readonly reason = new TextCell(byId("reason"));
  private readonly levelsAge = new TextCell(byId("levels-age"));
  private readonly flowAge = new TextCell(byId("flow-age"));
  private readonly frameRate = new TextCell(byId("frame-rate"));
  private readonly roundTrip = new TextCell(byId("round-trip"));
  private readonly sinceCore = new TextCell(byId("since-core"));
  private readonly frameWord = new TextCell(byId("frame-word"));
  private readonly wallClock = new Clock(byId("wall-clock"), "New York");
  private readonly feedClock = new Clock(byId("feed-clock"), "Feed");
  private delaysMs: number[] = [];

  /** Core's time stamp of the levels that have just arrived. */
  arrived(tsMs: number, nowMs: number): void {
    this.delaysMs = [...this.delaysMs.slice(-8), nowMs - tsMs];
    this.feedClock.show(Math.abs(nowMs - tsMs) > OTHER_CLOCK_MS ? tsMs : undefined);
  }

  show(state: State, freshness: Freshness, health: Health, refused: boolean, nowMs: number): void {
    const { levels, flow, framesPerSecond } = freshness;
    setAttribute(document.documentElement, "data-state", state);
    const word = state.toUpperCase();
    this.state.show(word);
    this.reason.show(reasonOf(state, freshness, health, refused));
    this.frameWord.show(state === "live" ? "" : word);
    const title = state === "live" ? "Spymaster" : `${word} – Spymaster`;
    if (document.title !== title) document.title = title;
    showAge(this.levelsAge, levels);
    showAge(this.flowAge, flow);
    this.frameRate.show(`${framesPerSecond.toFixed(1)}/s`);
    this.roundTrip.show(health.roundTripMs === undefined ? "–" : `${fixed(health.roundTripMs, 0)} ms`);
    this.sinceCore.show(delay(this.delaysMs));
    this.wallClock.show(nowMs);
  }
}

/** The state in words for the reader of the page, with the cause where it is known. */
function reasonOf(state: State, { levels, flow }: Freshness, { trouble }: Health, refused: boolean): string {
  const old = levels ?? flow;
  const seen = old === undefined ? "Nothing has arrived yet." : `What you see is ${age(old.ageMs)} old.`;
  const why = trouble === "" ? "" : ` ${trouble}.`;
  if (refused) return "The gateway wants a token.";
  switch (state) {
    case "live":
      return flow !== undefined && flow.state !== "live" ? `Levels are live, option flow is ${flow.state}.` : "";
    case "late":
      return `${seen}${why}`;
    case "stale":
      return `${seen} Do not trade on it.${why}`;
    case "connecting":
      return `${seen} Connecting to the gateway…${why}`;
    case "closed":
      return `${seen} The connection is closed for good; reload the page to try again.`;
  }
}

function showAge(cell: TextCell, section: Freshness["levels"]): void {
  cell.show(section === undefined ? "–" : age(section.ageMs));
  setAttribute(cell.element, "data-age", section?.state ?? "none");
}

/** The middle of the last few; nothing where the two clocks cannot agree. */
function delay(delaysMs: readonly number[]): string {
  const middle = [...delaysMs].sort((a, b) => a - b)[delaysMs.length >> 1];
  if (middle === undefined || Math.abs(middle) > BELIEVABLE_DELAY_MS) return "–";
  return `${fixed(middle, 0)} ms`;
}

class Clock {
  private readonly time = new TextCell(make("span", { class: "number" }));
  private readonly phase = new TextCell(make("span", { class: "phase" }));

  constructor(
    private readonly element: HTMLElement,
    name: string,
  ) {
    element.append(make("span", { class: "label" }, name), this.time.element, this.phase.element);
    element.hidden = true;
  }

  show(atMs: number | undefined): void {
    this.element.hidden = atMs === undefined;
    if (atMs === undefined) return;
    const { time, phase, minutesLeft } = newYork(atMs);
    this.time.show(time);
    this.phase.show(phase === "closed" || minutesLeft === undefined ? phase : `${phase}, ${inHours(minutesLeft)} left`);
    setAttribute(this.element, "data-phase", phase);
  }
}
