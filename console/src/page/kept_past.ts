/** Asks the gateway how far back it can play, and notes how far the present has come. */

import { RefusedError, history } from "../feed.ts";
import type { Span } from "../market/timeline.ts";

const SHORT = { fields: ["spot"], step: "30m" } as const; // the beginnings of the session and of what is kept are all that is read
const NONE = "The gateway keeps no past: GATEWAY_HISTORY is off.";
const READING_MS = 2_000; // the gateway is reading its streams back
const SOMETIMES_MS = 300_000; // another session begins, and the oldest messages go
const WITHIN_MS = 999; // the first second that has a message; its last moment has certainly one

type Answer = Awaited<ReturnType<typeof history>>;

export class KeptPast {
  /** Why nothing can be played; empty where it can. */
  reason = "It is not known yet how far the gateway keeps the past.";
  /** It is off, or refused: to wait changes nothing. */
  isOff = false;
  private fromMs: number | undefined;
  private toMs = -Infinity;
  private asking: ReturnType<typeof setTimeout> | undefined;

  /** @param url of the stream */
  constructor(
    private readonly url: string,
    private readonly token: () => string | undefined,
    private readonly onChange: () => void,
  ) {}

  /** Undefined where nothing can be played. */
  get span(): Span | undefined {
    if (this.fromMs === undefined || this.toMs <= this.fromMs) return undefined;
    return { fromMs: this.fromMs, toMs: this.toMs };
  }

  /** Core's time of a message of the present. */
  reach(tsMs: number): void {
    this.toMs = tsMs;
  }

  ask(): void {
    clearTimeout(this.asking);
    void this.read();
  }

  private async read(): Promise<void> {
    const again = await this.answered();
    clearTimeout(this.asking);
    if (again !== undefined) this.asking = setTimeout(() => this.ask(), again);
    this.onChange();
  }

  /** When to ask again. */
  private async answered(): Promise<number | undefined> {
    try {
      const token = this.token();
      const answer = await history(this.url, { ...SHORT, ...(token !== undefined && { token }) });
      this.isOff = false;
      return this.take(answer);
    } catch (error) {
      const refusal = error instanceof RefusedError ? error : undefined;
      this.isOff = refusal !== undefined && refusal.status < 500;
      this.reason = refusal?.status === 404 ? NONE : (refusal?.message ?? "The gateway does not answer.");
      if (!this.isOff) return READING_MS;
      this.fromMs = undefined;
      return undefined; // listening anew asks again
    }
  }

  private take({ from_ms: open, available_from_ms: from, available_to_ms: to, complete }: Answer): number {
    this.reason = from === null ? "Nothing has been published yet." : "";
    this.fromMs = from === null ? undefined : Math.max(open, from + WITHIN_MS);
    this.toMs = Math.max(this.toMs, to ?? -Infinity);
    return complete && from !== null ? SOMETIMES_MS : READING_MS;
  }
}
