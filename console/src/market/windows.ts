/**
 * The windows of a console: a panel may be moved to one of its own. Each window tells the others that it is there, and
 * what is looked at. A page and the windows of its panels are a desk; a second page in the browser is another one.
 */

import type { ReplayStatus } from "../feed.ts";

export type Panel = "levels" | "chart" | "flow" | "changes";
export type Section = "levels" | "flow";

type PanelFacts = {
  /** The id of its element. */
  readonly part: string;
  readonly title: string;
  /** In a sentence. */
  readonly words: string;
  /** Of the stream. Levels have spot, too. */
  readonly sections: readonly Section[];
};

/** In the order of the page. */
export const PANELS: Readonly<Record<Panel, PanelFacts>> = {
  levels: { part: "levels-part", title: "Levels", words: "the levels", sections: ["levels"] },
  chart: { part: "chart-part", title: "Chart", words: "the chart", sections: ["levels"] },
  flow: { part: "flow-part", title: "Option flow", words: "the option flow", sections: ["levels", "flow"] },
  changes: { part: "side-part", title: "What changed", words: "the list of changes", sections: ["levels"] },
};
const ALL: readonly Section[] = ["levels", "flow"];

/** The panel that an address is of: `?panel=chart`; undefined for the whole page. */
export function panelOf(search: string): Panel | undefined {
  return panelNamed(new URLSearchParams(search).get("panel"));
}

function panelNamed(name: unknown): Panel | undefined {
  return typeof name === "string" && Object.hasOwn(PANELS, name) ? (name as Panel) : undefined;
}

/**
 * What a window asks of the stream.
 *
 * @param calls whether it calls the trader, also for an option flow that is not live
 * @param isNamed whether the instrument is known, which the contracts of the flow name
 */
export function sectionsOf(panel: Panel | undefined, calls: boolean, isNamed: boolean): readonly Section[] {
  return panel === undefined || calls || !isNamed ? ALL : PANELS[panel].sections;
}

// -- messages between windows -----------------------------------------------------------------------------------------

/** A window. */
export type Peer = {
  readonly id: string;
  readonly desk: string;
  /** Undefined for a whole page. */
  readonly panel: Panel | undefined;
  /** When it was opened. */
  readonly sinceMs: number;
};

/** Where a replay is. */
export type Played = Pick<ReplayStatus, "at_ms" | "paused" | "speed">;
/** Where somebody has put the replay, or undefined for the present, and when: the last one counts, in whichever window it was. */
export type Put = { readonly replay: Played | undefined; readonly sinceMs: number };

/** What a window says. All but `here` and `gone` is for its desk; `to` is the one window that it is for. */
export type Message =
  | { readonly says: "here"; readonly from: Peer; readonly asks: boolean }
  | { readonly says: "gone"; readonly from: Peer }
  | { readonly says: "selected"; readonly from: Peer; readonly to: string | undefined; readonly key: string | undefined }
  | ({ readonly says: "replay"; readonly from: Peer; readonly to: string | undefined } & Put)
  | { readonly says: "back"; readonly from: Peer; readonly panel: Panel };

/** A message, if it is one: a window may have loaded the console of another version. */
export function readMessage(data: unknown): Message | undefined {
  const { says, from: sender, ...said } = shapeOf(data);
  const from = readPeer(sender);
  if (from === undefined) return undefined;
  const to = typeof said["to"] === "string" ? said["to"] : undefined;
  switch (says) {
    case "here":
      return { says, from, asks: said["asks"] === true };
    case "gone":
      return { says, from };
    case "selected":
      return { says, from, to, key: typeof said["key"] === "string" ? said["key"] : undefined };
    case "replay":
      return { says, from, to, replay: readPlayed(said["replay"]), sinceMs: typeof said["sinceMs"] === "number" ? said["sinceMs"] : 0 };
    case "back": {
      const panel = panelNamed(said["panel"]);
      return panel && { says, from, panel };
    }
  }
  return undefined;
}

function readPeer(sender: unknown): Peer | undefined {
  const { id, desk, panel, sinceMs } = shapeOf(sender);
  if (typeof id !== "string" || typeof desk !== "string" || typeof sinceMs !== "number") return undefined;
  return { id, desk, panel: panelNamed(panel), sinceMs };
}

function readPlayed(replay: unknown): Played | undefined {
  const { at_ms, paused, speed } = shapeOf(replay);
  return typeof at_ms === "number" && typeof speed === "number" ? { at_ms, paused: paused === true, speed } : undefined;
}

function shapeOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

// -- who is there -----------------------------------------------------------------------------------------------------

/** The other windows by their ids, each with how many questions it has not answered. */
export type Peers = ReadonlyMap<string, Peer & { readonly unanswered: number }>;

const MOST_UNANSWERED = 2;

/** A page that is gone may only be loading anew: the next question tells. A panel's window is closed. */
export function heard(peers: Peers, { says, from }: Message): Peers {
  const known = new Map(peers);
  if (says !== "gone") known.set(from.id, { ...from, unanswered: 0 });
  else if (from.panel === undefined && known.has(from.id)) known.set(from.id, { ...from, unanswered: MOST_UNANSWERED });
  else known.delete(from.id);
  return known;
}

/** All are asked once more. One that answers no longer has ended without a word. */
export function asked(peers: Peers): Peers {
  const silent = [...peers.values()].filter(({ unanswered }) => unanswered < MOST_UNANSWERED);
  return new Map(silent.map((peer) => [peer.id, { ...peer, unanswered: peer.unanswered + 1 }]));
}

/** The panels of a page that have windows of their own. */
export function movedOf(own: Peer, peers: Peers): Panel[] {
  if (own.panel !== undefined) return [];
  const moved = [...peers.values()].filter(({ desk }) => desk === own.desk).map(({ panel }) => panel);
  return (Object.keys(PANELS) as Panel[]).filter((panel) => moved.includes(panel));
}

/** Whether the page of a panel is open. */
export function hasPage({ desk }: Peer, peers: Peers): boolean {
  return [...peers.values()].some((peer) => peer.desk === desk && peer.panel === undefined);
}

/** Whether a window calls the trader: each page does; a panel only where there is no page, and one for all. */
export function calls(own: Peer, peers: Peers): boolean {
  if (own.panel === undefined) return true;
  return [...peers.values()].every((peer) => peer.panel !== undefined && isBefore(own, peer));
}

function isBefore(one: Peer, other: Peer): boolean {
  return one.sinceMs === other.sinceMs ? one.id < other.id : one.sinceMs < other.sinceMs;
}

// -- the moment of a replay -------------------------------------------------------------------------------------------

/** What was told of a replay, and when. */
export type PlayedThen = { readonly replay: Played | undefined; readonly nowMs: number };

const LOOSE_MS = 2_000; // that two windows may be apart while both play: each has a stream of its own

/** Whether a replay is elsewhere than it would be, had nobody touched it since. */
export function isTouched(then: PlayedThen | undefined, now: Played | undefined, nowMs: number): boolean {
  const before = then?.replay;
  if (then === undefined || before === undefined || now === undefined) return before !== now;
  if (before.paused !== now.paused || before.speed !== now.speed) return true;
  return isApart(before.at_ms + (before.paused ? 0 : (nowMs - then.nowMs) * before.speed), now);
}

/** Whether a window that shows a moment has to jump to show what another shows. */
export function isApart(shownMs: number, { at_ms: atMs, paused, speed }: Played): boolean {
  return Math.abs(shownMs - atMs) > (paused ? 0 : LOOSE_MS * Math.max(1, speed));
}

// -- where windows are ------------------------------------------------------------------------------------------------

/** In pixels of the screen; the size is that of what is in the window. */
export type Place = { readonly left: number; readonly top: number; readonly width: number; readonly height: number };
export type Places = Partial<Record<Panel, Place>>;

const USUAL = "width=1100,height=720";

/** What was kept, whatever it is. */
export function readPlaces(text: string | null): Places {
  let kept: unknown;
  try {
    kept = JSON.parse(text ?? "{}");
  } catch {
    kept = {};
  }
  const places = Object.entries(shapeOf(kept)).flatMap(([name, place]) => {
    const [panel, { left, top, width, height }] = [panelNamed(name), shapeOf(place)];
    const isPlace = [left, top, width, height].every(Number.isFinite);
    return panel !== undefined && isPlace ? [[panel, { left, top, width, height }]] : [];
  });
  return Object.fromEntries(places) as Places;
}

/** How a browser is asked for the window of a panel: where it was last. */
export function featuresOf(place: Place | undefined): string {
  if (place === undefined) return `popup,${USUAL}`;
  return `popup,${Object.entries(place).map(([name, pixels]) => `${name}=${Math.round(pixels)}`).join()}`;
}
