/** Whether to believe the page: always visible, and impossible to overlook when the data is old. */

import type { Freshness, State, Status as Said } from "../feed.ts";
import { newYork, sessionWords } from "../market/clock.ts";
import { type Verdict, verdictOf } from "../market/verdict.ts";
import { age, fixed, lag } from "../market/words.ts";
import { TextCell, byId, make, setAttribute } from "./cells.ts";

const OTHER_CLOCK_MS = 60_000; // a feed this far from this machine's clock is a replay, a simulation, or a wrong clock
const BELIEVABLE_DELAY_MS = 10_000; // beyond it, without the gateway's word, the two clocks cannot agree

export type Health = {
  /** Undefined when the gateway did not answer. */
  readonly roundTripMs: number | undefined;
  /** What is wrong between NATS and the gateway, in its words; empty when nothing is. */
  readonly trouble: string;
};

/** What the stream is and says, at one moment. */
export type Moment = { readonly state: State; readonly freshness: Freshness; readonly status: Said | undefined; readonly ended: string };

export class Status {
  private readonly state = new TextCell(byId("state"));
  private readonly reason = new TextCell(byId("reason"));
  private readonly levelsAge = new TextCell(byId("levels-age"));
  private readonly flowAge = new TextCell(byId("flow-age"));
  private readonly flowNote = new TextCell(byId("flow-note"));
  private readonly frameRate = new TextCell(byId("frame-rate"));
  private readonly roundTrip = new TextCell(byId("round-trip"));
  private readonly sinceCore = new TextCell(byId("since-core"));
  private readonly frameWord = new TextCell(byId("frame-word"));
  private readonly wallClock = new Clock(byId("wall-clock"), "New York");
  private readonly feedClock = new Clock(byId("feed-clock"), "Feed");
  private delaysMs: number[] = [];
  private calls = 0;
  /** Undefined before the first. */
  verdict: Verdict | undefined;

  /** @param name of the window, in its title */
  constructor(private readonly name: string) {}

  /** Core's time stamp of the levels is that of a replay, which has its own clock. */
  arrivedOfPast(): void {
    this.feedClock.show(undefined, undefined, 0);
  }

  /** Core's time stamp of the levels that have just arrived. */
  arrived(tsMs: number, nowMs: number): void {
    this.delaysMs = [...this.delaysMs.slice(-8), nowMs - tsMs];
    this.feedClock.show(Math.abs(nowMs - tsMs) > OTHER_CLOCK_MS ? tsMs : undefined, undefined, nowMs);
  }

  /** Returns what a screen reader has to be told: that it looks other than before. */
  show({ state, freshness, status, ended }: Moment, health: Health, refused: boolean, nowMs: number): string | undefined {
    const { levels, flow, framesPerSecond } = freshness;
    const verdict = verdictOf({ state, freshness, status, trouble: health.trouble, ended, refused });
    const { look, word, over, reason, spoken } = verdict;
    setAttribute(document.documentElement, "data-state", look);
    setAttribute(document.documentElement, "data-flow", flow?.state ?? "none");
    this.state.show(word);
    this.reason.show(reason);
    this.frameWord.show(over);
    const isAlone = levels?.state === "live" && (flow?.state === "late" || flow?.state === "stale");
    this.flowNote.show(isAlone ? `${age(flow.ageMs)} old` : "");
    const replay = status?.replay;
    showAge(this.levelsAge, replay === undefined ? levels : undefined);
    showAge(this.flowAge, replay === undefined ? flow : undefined);
    this.frameRate.show(`${framesPerSecond.toFixed(1)}/s`);
    this.roundTrip.show(health.roundTripMs === undefined ? "–" : `${fixed(health.roundTripMs, 0)} ms`);
    this.sinceCore.show(replay !== undefined ? "–" : status === undefined ? delay(this.delaysMs) : lag((status.levels ?? status.flow)?.core_lag_ms));
    this.wallClock.show(replay === undefined ? nowMs : replay.at_ms || undefined, status, nowMs);
    this.wallClock.call(replay === undefined ? "New York" : "Replay");
    const isOther = this.verdict !== undefined && look !== this.verdict.look;
    this.verdict = verdict;
    this.showTitle();
    return isOther ? spoken : undefined;
  }

  /** How many calls the title tells. */
  called(count: number): void {
    this.calls = count;
    this.showTitle();
  }

  private showTitle(): void {
    const words = this.verdict === undefined || this.verdict.look === "live" ? this.name : `${this.verdict.word} – ${this.name}`;
    const title = this.calls > 0 ? `(${this.calls}) ${words}` : words;
    if (document.title !== title) document.title = title;
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
  return lag(middle);
}

class Clock {
  private readonly name: TextCell;
  private readonly time = new TextCell(make("span", { class: "number" }));
  private readonly phase = new TextCell(make("span", { class: "phase" }));

  constructor(
    private readonly element: HTMLElement,
    name: string,
  ) {
    this.name = new TextCell(make("span", { class: "label" }, name));
    element.append(this.name.element, this.time.element, this.phase.element);
    element.hidden = true;
  }

  call(name: string): void {
    this.name.show(name);
  }

  /** With the date where that is not today's. */
  show(atMs: number | undefined, said: Said | undefined, nowMs: number): void {
    this.element.hidden = atMs === undefined;
    if (atMs === undefined) return;
    const at = newYork(atMs);
    const isToday = at.date === newYork(nowMs).date;
    this.time.show(isToday ? at.time : `${at.date} ${at.time}`);
    this.phase.show(sessionWords(at, said?.market, atMs));
    setAttribute(this.element, "data-phase", said?.market.open === false ? "closed" : at.phase);
  }
}
