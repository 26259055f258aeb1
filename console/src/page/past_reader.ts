/** Asks the gateway for a part of the past until it has all of it. */

import { pauseMs } from "../market/asking.ts";

const LIMIT_MS = 15_000;

type Answer = { readonly complete: boolean };

export class PastReader<Told extends Answer> {
  private asked = 0; // an answer to a question before the last one is void
  private failures = 0;
  private pause: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param url what to ask for now, beside the page
   * @param token as the stream has it
   * @param onAnswer the status, undefined where nobody answered; and what was told
   */
  constructor(
    private readonly url: () => string,
    private readonly token: () => string | undefined,
    private readonly onAnswer: (status: number | undefined, told: Told | undefined) => void,
  ) {}

  /** Asks at once, whatever was asked before. */
  ask(): void {
    this.failures = 0;
    void this.askOnce();
  }

  private async askOnce(): Promise<void> {
    clearTimeout(this.pause);
    const asked = ++this.asked;
    let status: number | undefined;
    let told: Told | undefined;
    try {
      const token = this.token();
      const headers: HeadersInit = token === undefined ? {} : { Authorization: `Bearer ${token}` };
      const answer = await fetch(this.url(), { headers, cache: "no-store", signal: AbortSignal.timeout(LIMIT_MS) });
      told = answer.ok ? ((await answer.json()) as Told) : undefined;
      status = answer.status;
    } catch {
      status = undefined;
    }
    if (asked !== this.asked) return;
    this.onAnswer(status, told);
    const waitMs = pauseMs({ status, complete: told?.complete === true }, this.failures, Math.random());
    this.failures = status === 200 ? 0 : this.failures + 1;
    if (waitMs !== undefined) this.pause = setTimeout(() => void this.askOnce(), waitMs);
  }
}
