/** What a viewer may ask for instead of the whole payload. Rules only. */

import type { Payload, Status } from "./contract.js";

/** Each part that is not given asks for everything. The gateway's INTERFACES.md has the ranges. */
export interface Shape {
  /** Only these sections; a gateway may have more than those of the contract. */
  readonly sections?: readonly (keyof Payload | (string & {}))[] | undefined;
  /** Only levels whose `distance` from spot is at most so many points, and contracts whose strike is. */
  readonly near?: number | undefined;
  /** Only levels of these `level_kind_name`. */
  readonly kinds?: readonly string[] | undefined;
  /** Only levels of these `id`. */
  readonly levels?: readonly string[] | undefined;
  readonly confidence?: readonly ("HIGH" | "MEDIUM" | "LOW")[] | undefined;
  readonly signals?: readonly ("BREAK" | "BOUNCE" | "NO_TRADE")[] | undefined;
  /** At most so many frames a second, 0.1 to 50; each is the newest of its moment. */
  readonly rate?: number | undefined;
}

/** Which sections to ask for that are about the others. */
export interface Asked {
  readonly status: boolean;
  readonly events: boolean;
}

const KEYS = ["sections", "near", "kinds", "levels", "confidence", "signals", "rate"] as const;

/** Only the parts of a shape, of an object that may hold more; parts that are undefined are left out. */
export function shapeOf(of: Shape): Shape {
  return Object.fromEntries(KEYS.filter((key) => of[key] !== undefined).map((key) => [key, of[key]]));
}

/** The URL with the parts of the shape as query parameters, beside those that it has; a gateway ignores what it does not know. */
export function withShape(
  url: string,
  shape: Shape,
  { status, events }: Asked,
  last?: Status,
  cursor?: string,
  further: object = {},
): string {
  const asked = new URL(url);
  for (const [key, value] of Object.entries({ ...shape, ...further })) asked.searchParams.set(key, String(value));
  if (status) asked.searchParams.set("status", "1");
  if (status && last) asked.searchParams.set("since", `${last.epoch}:${last.seq}`);
  if (events) asked.searchParams.set("events", "1");
  if (events && cursor) asked.searchParams.set("events_since", cursor);
  return asked.href;
}

/** The message by which a connected viewer asks for another shape. */
export function subscribeMessage(shape: Shape, { status, events }: Asked): string {
  return JSON.stringify({ subscribe: { ...shape, ...(status && { status }), ...(events && { events }) } });
}

/** Whether both ask for the same content, at whatever rate. */
export function sameContent(one: Shape, other: Shape): boolean {
  return JSON.stringify({ ...one, rate: 0 }) === JSON.stringify({ ...other, rate: 0 });
}
