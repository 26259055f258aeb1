/** Wait for the thing itself, never for a while. */

import type { Stream, StreamEvents } from "@spymaster/client";

const LIMIT_MS = 20_000; // a net for what never comes; nothing is measured by it

/** Everything that a stream tells, kept. */
export class Recorder {
  readonly states: string[] = [];
  readonly disconnects: StreamEvents["disconnect"][] = [];
  readonly invalid: StreamEvents["invalid"][] = [];
  readonly levels: number[] = [];
  readonly flows: unknown[] = [];
  readonly viewports: unknown[] = [];
  readonly payloads: StreamEvents["payload"][] = [];
  readonly statuses: StreamEvents["status"][] = [];
  /** Each event as its id and count. */
  readonly events: string[] = [];
  /** How often it was told that events are missing. */
  incomplete = 0;
  readonly stream: Stream;
  #passed = 0;

  constructor(stream: Stream) {
    this.stream = stream;
    stream.on("state", (state) => this.states.push(state));
    stream.on("disconnect", (disconnect) => this.disconnects.push(disconnect));
    stream.on("invalid", (frame) => this.invalid.push(frame));
    stream.on("levels", ({ ts }) => this.levels.push(ts));
    stream.on("flow", ({ n }) => this.flows.push(n));
    stream.on("viewport", (viewport) => this.viewports.push(viewport));
    stream.on("status", (status) => this.statuses.push(status));
    stream.on("events", ({ events, complete }) => {
      this.events.push(...events.map(({ id, count }) => `${id} ${count}`));
      this.incomplete += +!complete;
    });
    stream.on("payload", (payload) => this.payloads.push(payload));
  }

  /** Wait until it has gone through these states, one after another. What it went through before is looked at once. */
  async passes(...states: string[]): Promise<void> {
    const found = () => this.states.findIndex((_, at) => at >= this.#passed && this.#are(states, at));
    await until(() => found() >= 0, `${states} in ${this.states} from ${this.#passed}`);
    this.#passed = found() + states.length - 1;
  }

  #are(states: string[], at: number): boolean {
    return states.every((state, n) => this.states[at + n] === state);
  }

  /** Wait until these levels were told of, the last so far. */
  async newest(ts: number): Promise<void> {
    await until(() => this.levels.at(-1) === ts, `levels ${ts} of ${this.levels}`);
  }
}

export async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + LIMIT_MS;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
