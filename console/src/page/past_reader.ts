/** Asks the gateway for a part of the past until it has all of it. */

import { RefusedError } from "../feed.ts";
import { pauseMs } from "../market/asking.ts";

const OK = 200;

type Answer = { readonly complete: boolean };

export class PastReader<Told extends Answer> {
  private asked = 0; // an answer to a question before the last one is void
  private failures = 0;
  private pause: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param request asks for it once
   * @param onAnswer the status, undefined where nobody answered; and what was told
   */
  constructor(
    private readonly request: () => Promise<Told>,
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
      told = await this.request();
      status = OK;
    } catch (error) {
      status = error instanceof RefusedError ? error.status : undefined;
    }
    if (asked !== this.asked) return;
    this.onAnswer(status, told);
    const waitMs = pauseMs({ status, complete: told?.complete === true }, this.failures, Math.random());
    this.failures = status === OK ? 0 : this.failures + 1;
    if (waitMs !== undefined) this.pause = setTimeout(() => void this.askOnce(), waitMs);
  }
}
