/** Requests to the gateway of a stream, beside the stream. */

import type { Event, EventPage, Events } from "./contract.js";

/** A token, or what is called for one before each attempt. */
export type Token = string | (() => string | Promise<string>) | undefined;

const LIMIT_MS = 30_000;
const MOST_PAGES = 100; // ten times what a gateway keeps, by its usual page

/** A request that was answered with an error. */
export class RefusedError extends Error {
  readonly status: number;

  constructor(status: number, detail: string) {
    super(detail);
    this.status = status;
  }
}

/** The URL of the stream with its scheme; empty where it is relative and there is no page that it could be relative to. */
export function absolute(url: string): string {
  const base = globalThis.location?.href;
  if (base === undefined && !/^[a-z][a-z0-9+.-]*:/i.test(url)) return "";
  const found = new URL(url, base);
  found.protocol = found.protocol.replace("http", "ws");
  return found.href;
}

/** The answer to `path` beside the stream at `url`, with the path prefix and the token of that. */
export async function get<T>(url: string, path: string, query: object, token: Token): Promise<T> {
  const address = new URL(`../${path}`, absolute(url));
  address.protocol = address.protocol.replace("ws", "http");
  const inUrl = new URL(absolute(url)).searchParams.get("token");
  for (const [name, value] of Object.entries({ token: inUrl ?? undefined, ...query }))
    if (value !== undefined) address.searchParams.set(name, String(value));
  const sent = typeof token === "function" ? await token() : token;
  const headers: Record<string, string> = sent === undefined ? {} : { Authorization: `Bearer ${sent}` };
  const answer = await fetch(address, { headers, signal: AbortSignal.timeout(LIMIT_MS) });
  const body = await answer.text();
  if (answer.ok) return JSON.parse(body) as T;
  let { statusText: detail } = answer;
  try {
    detail = JSON.parse(body).detail;
  } catch {
    // the page of a proxy
  }
  throw new RefusedError(answer.status, detail);
}

/** The answer to `/events`, whose pages are asked for one after the other. An event is told as its last page has it. */
export async function getEvents(url: string, query: object, token: Token): Promise<Events> {
  let { more, ...page } = await get<EventPage>(url, "events", query, token);
  if (!more) return page;
  const told: Map<string, Event> = new Map();
  let { complete } = page;
  for (let pages = 1; ; pages++) {
    for (const event of page.events) {
      told.delete(event.id); // the newest stand last
      told.set(event.id, event);
    }
    complete &&= page.complete && (!more || pages < MOST_PAGES);
    if (!more || pages === MOST_PAGES) return { cursor: page.cursor, complete, events: [...told.values()] };
    ({ more, ...page } = await get<EventPage>(url, "events", { ...query, since: page.cursor }, token));
  }
}
