/** Moves panels to windows of their own and back, and keeps the windows of a desk together. */

import {
  type Message,
  PANELS,
  type Panel,
  type Peer,
  type Peers,
  type Put,
  asked,
  calls,
  featuresOf,
  hasPage,
  heard,
  movedOf,
  panelOf,
  readMessage,
  readPlaces,
} from "../market/windows.ts";
import type { Announcer } from "./announcer.ts";
import { byId, make, makeSvg, setAttribute } from "./cells.ts";

const DESK = "spymaster.desk"; // a browser copies it with the token into each window that this one opens
const PLACES = "spymaster.windows";
const ASK_EVERY_MS = 5_000;
const BLOCKED = "The browser has blocked the window. Allow pop-ups for this page, by the sign in the address bar or in the settings, and try again.";
const CLOSED = "The page that this panel came from is closed.";
const NAMES = Object.keys(PANELS) as Panel[];

/** What other windows of the desk say. */
export type News = {
  /** Another level is selected there, or none. */
  readonly onSelected: (key: string | undefined) => void;
  readonly onReplay: (put: Put) => void;
  /** This window has more to do than before, or less. */
  readonly onDuty: () => void;
};

export class Windows {
  /** The panel that is alone in this window; undefined for the whole page. */
  readonly panel = panelOf(location.search);
  private readonly own: Peer = { id: random(), desk: deskOf(sessionStorage), panel: this.panel, sinceMs: Date.now() };
  private readonly channel = new BroadcastChannel(`spymaster ${location.pathname}`); // a proxy may serve several gateways
  private readonly footer = byId("windows");
  private readonly buttons = new Map<Panel, HTMLButtonElement>();
  private peers: Peers = new Map();
  private isKnown = false; // who is there
  private isBlocked = false;
  private moved: readonly Panel[] = [];
  private selected: string | undefined;
  private put: Put = { replay: undefined, sinceMs: 0 };
  private drawn = "";
  /** Whether this window calls the trader. */
  calls = this.panel === undefined;

  constructor(
    private readonly announcer: Announcer,
    private readonly news: News,
  ) {
    if (this.panel !== undefined) setAttribute(document.documentElement, "data-panel", this.panel);
    for (const panel of NAMES) this.addButton(panel);
    this.channel.addEventListener("message", ({ data }) => this.hear(readMessage(data)));
    addEventListener("pagehide", () => this.leave());
    addEventListener("pageshow", ({ persisted }) => persisted && this.say({ says: "here", from: this.own, asks: true }));
    setInterval(() => this.ask(), ASK_EVERY_MS);
    this.say({ says: "here", from: this.own, asks: true });
    this.apply();
  }

  /** Of the tab. */
  get title(): string {
    return this.panel === undefined ? "Spymaster" : `${PANELS[this.panel].title} – Spymaster`;
  }

  /** Tells the desk which level is selected here. */
  select(key: string | undefined): void {
    if (key === this.selected) return; // as another window said
    this.selected = key;
    this.say({ says: "selected", from: this.own, to: undefined, key });
  }

  /** Tells the desk where somebody has put the replay here. */
  play(put: Put): void {
    this.put = put;
    this.say({ says: "replay", from: this.own, to: undefined, ...put });
  }

  /** Where the replay is, for a window that comes later. */
  played(put: Put): void {
    this.put = put;
  }

  // -- what others say -----------------------------------------------------------------------------------------------

  private say(message: Message): void {
    this.channel.postMessage(message);
  }

  private hear(message: Message | undefined): void {
    if (message === undefined) return;
    const { from } = message;
    const isNew = !this.peers.has(from.id);
    this.peers = heard(this.peers, message);
    if (message.says === "here" && message.asks) this.say({ says: "here", from: this.own, asks: false });
    if (from.desk === this.own.desk) this.hearDesk(message, isNew);
    this.apply();
  }

  private hearDesk(message: Message, isNew: boolean): void {
    if ("to" in message && message.to !== undefined && message.to !== this.own.id) return;
    switch (message.says) {
      case "here":
        if (isNew && message.asks) this.tellAll(message.from.id);
        return;
      case "selected":
        this.selected = message.key;
        return this.news.onSelected(message.key);
      case "replay":
        return this.news.onReplay(message);
      case "back":
        if (message.panel === this.panel) this.close();
    }
  }

  /** To a window that has just been opened. */
  private tellAll(to: string): void {
    const { own: from, selected: key, put } = this;
    if (key !== undefined) this.say({ says: "selected", from, to, key });
    if (put.sinceMs > 0) this.say({ says: "replay", from, to, ...put });
  }

  private ask(): void {
    this.peers = asked(this.peers);
    this.isKnown = true;
    this.say({ says: "here", from: this.own, asks: true });
    this.apply();
  }

  private leave(): void {
    this.say({ says: "gone", from: this.own });
    if (this.panel === undefined) return;
    const place = { left: screenX, top: screenY, width: innerWidth, height: innerHeight };
    localStorage.setItem(PLACES, JSON.stringify({ ...readPlaces(localStorage.getItem(PLACES)), [this.panel]: place }));
  }

  // -- what the user does --------------------------------------------------------------------------------------------

  /** Opens the window of a panel, or shows the one that is open: its name is its own. */
  private move(panel: Panel): void {
    const opened = open("", `${this.own.desk} ${panel}`, featuresOf(readPlaces(localStorage.getItem(PLACES))[panel]));
    const address = new URL(`?panel=${panel}`, location.href);
    this.isBlocked = opened === null;
    if (opened !== null && !isAt(opened, address)) opened.location.replace(address);
    opened?.focus();
    if (this.isBlocked) this.announcer.say(BLOCKED);
    this.draw();
  }

  private bringBack(panel: Panel): void {
    this.say({ says: "back", from: this.own, panel });
  }

  /** Back to the page; where that is closed, this window is the page from now on. */
  private close(): void {
    if (hasPage(this.own, this.peers)) window.close();
    if (!window.closed) location.assign(location.pathname); // a script may not close what a user has opened
  }

  // -- what is shown -------------------------------------------------------------------------------------------------

  private apply(): void {
    const moved = movedOf(this.own, this.peers);
    for (const panel of NAMES) byId(PANELS[panel].part).hidden = this.panel === undefined ? moved.includes(panel) : panel !== this.panel;
    for (const panel of moved) if (!this.moved.includes(panel)) this.announcer.say(`${PANELS[panel].title} is in a window of its own`);
    for (const panel of this.moved) if (!moved.includes(panel)) this.announcer.say(`${PANELS[panel].title} is back`);
    this.moved = moved;
    const isCalling = calls(this.own, this.peers) && (this.isKnown || this.panel === undefined);
    setAttribute(document.documentElement, "data-calls", String(isCalling));
    if (isCalling !== this.calls) {
      this.calls = isCalling;
      this.news.onDuty();
    }
    this.draw();
  }

  private draw(): void {
    const isAlone = this.panel !== undefined && this.isKnown && !hasPage(this.own, this.peers);
    const shown = [isAlone, this.calls, this.isBlocked, ...this.moved].join();
    if (shown === this.drawn) return;
    this.drawn = shown;
    if (this.panel !== undefined) this.drawBack(this.panel, isAlone);
    const parts = this.isBlocked ? [this.blocked()] : [];
    if (isAlone) parts.push(this.alone());
    if (this.moved.length > 0) parts.push(make("p", {}, "In windows of their own:"), ...this.moved.map((panel) => this.away(panel)));
    this.footer.replaceChildren(...parts);
    this.footer.hidden = parts.length === 0;
  }

  private away(panel: Panel): HTMLElement {
    const { title, words } = PANELS[panel];
    const show = button("Show", `Show the window of ${words}`, () => this.move(panel));
    const back = button("Bring back", `Bring back ${words}`, () => this.bringBack(panel));
    return make("p", { "data-moved": panel }, make("strong", {}, title), show, back);
  }

  private blocked(): HTMLElement {
    const heed = () => {
      this.isBlocked = false;
      this.draw();
    };
    return make("p", { class: "blocked" }, BLOCKED, button("OK", "OK, close this note", heed));
  }

  private alone(): HTMLElement {
    return make("p", { class: "alone" }, this.calls ? `${CLOSED} Alerts call in this window now.` : CLOSED);
  }

  /** The button in the head of a panel. */
  private addButton(panel: Panel): void {
    const { part, words } = PANELS[panel];
    const act = () => (this.panel === undefined ? this.move(panel) : this.close());
    const own = button("", `Move ${words} to another window`, act);
    own.classList.add("own-window");
    const sign = makeSvg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" });
    sign.append(makeSvg("path", { d: "M7 3H3v10h10V9M9.5 2.5h4v4M13.5 2.5 8 8" }));
    own.append(sign);
    byId(part).querySelector("h2")?.after(own);
    this.buttons.set(panel, own);
  }

  private drawBack(panel: Panel, isAlone: boolean): void {
    const back = this.buttons.get(panel)!;
    back.textContent = isAlone ? "Whole page" : "Bring back";
    name(back, isAlone ? "Show the whole page in this window" : `Bring back ${PANELS[panel].words}`);
  }
}

function isAt(other: Window, { href }: URL): boolean {
  try {
    return other.location.href === href;
  } catch {
    return false; // it shows another site by now
  }
}

function button(text: string, words: string, act: () => void): HTMLButtonElement {
  const made = make("button", { type: "button" }, text);
  name(made, words);
  made.addEventListener("click", act);
  return made;
}

function name(element: HTMLElement, words: string): void {
  setAttribute(element, "aria-label", words);
  setAttribute(element, "title", words);
}

function deskOf(kept: Storage): string {
  const desk = kept.getItem(DESK) ?? random();
  kept.setItem(DESK, desk);
  return desk;
}

function random(): string {
  return crypto.getRandomValues(new Uint32Array(2)).join("-");
}
