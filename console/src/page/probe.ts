/** Asks the gateway how it is, over HTTP: for the round trip, and for the cause when nothing arrives. */

import type { Health } from "./status.ts";

const EVERY_MS = 5_000;
const LIMIT_MS = 4_000;
const KEPT = 5;

type Subscription = { trouble?: string | null };

export class Probe {
  health: Health = { roundTripMs: undefined, trouble: "" };
  private tripsMs: number[] = [];

  start(): void {
    void this.ask();
    setInterval(() => void this.ask(), EVERY_MS);
  }

  /** Whether the gateway refuses to show its state to us for want of a token. */
  async isRefused(token: string | undefined): Promise<boolean> {
    try {
      const headers: HeadersInit = token === undefined ? {} : { Authorization: `Bearer ${token}` };
      const { status } = await fetch("snapshot", { method: "GET", headers, cache: "no-store", signal: limit() });
      return status === 401;
    } catch {
      return false;
    }
  }

  private async ask(): Promise<void> {
    if (document.hidden) return;
    const began = performance.now();
    try {
      const answer = await fetch("health", { cache: "no-store", signal: limit() });
      this.tripsMs = [...this.tripsMs.slice(1 - KEPT), performance.now() - began];
      this.health = { roundTripMs: middle(this.tripsMs), trouble: troubleOf((await answer.json()) as object) };
    } catch {
      this.tripsMs = [];
      this.health = { roundTripMs: undefined, trouble: "The gateway does not answer" };
    }
  }
}

function troubleOf(health: { nats_connected?: boolean; subscriptions?: Record<string, Subscription> }): string {
  if (health.nats_connected === false) return "The gateway has lost NATS";
  const troubles = Object.entries(health.subscriptions ?? {}).filter(([, { trouble }]) => trouble);
  return troubles.map(([subject, { trouble }]) => `${subject}: ${trouble}`).join("; ");
}

function middle(numbers: readonly number[]): number | undefined {
  return [...numbers].sort((a, b) => a - b)[numbers.length >> 1];
}

function limit(): AbortSignal {
  return AbortSignal.timeout(LIMIT_MS);
}
