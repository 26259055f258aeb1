/** The calls that nobody has seen yet, over the page, until the trader does something in it. */

import type { Call } from "../market/alerts.ts";
import { newYork } from "../market/clock.ts";
import { make, setAttribute } from "./cells.ts";

const LINES = 3;
const MOST = 999; // the oldest go: over a night they may be many
const SHOWN_MS = 2_000; // at least: a key that was pressed in the same moment was not meant for it
const WALKING = ["Tab", "Shift"];

export class Calls {
  private unseen: Call[] = [];
  private sinceMs = 0;

  /**
   * @param element where they are shown
   * @param onChosen the id of the level of a call
   * @param onCount how many are unseen, and how many of them the title tells
   */
  constructor(
    private readonly element: HTMLElement,
    private readonly onChosen: (level: string) => void,
    private readonly onCount: (unseen: number, inTitle: number) => void,
  ) {
    document.addEventListener("pointerdown", ({ target }) => this.see(target));
    document.addEventListener("keydown", ({ target, key }) => {
      if (!WALKING.includes(key)) this.see(target);
    });
  }

  add(calls: readonly Call[]): void {
    if (calls.length === 0) return;
    this.unseen = [...this.unseen, ...calls].slice(-MOST);
    this.sinceMs = performance.now();
    this.draw();
  }

  clear(): void {
    if (this.unseen.length === 0) return;
    this.unseen = [];
    this.draw();
  }

  private see(target: EventTarget | null): void {
    const isOnIt = target instanceof Node && this.element.contains(target);
    if (!isOnIt && performance.now() - this.sinceMs >= SHOWN_MS) this.clear();
  }

  private draw(): void {
    const shown = this.unseen.slice(-LINES).reverse();
    const more = this.unseen.length - shown.length;
    this.element.replaceChildren(...shown.map((call) => this.line(call)), ...(more > 0 ? [make("p", {}, `and ${more} before`)] : []));
    this.element.hidden = shown.length === 0;
    this.onCount(this.unseen.length, this.unseen.filter(({ ways }) => ways.title).length);
  }

  private line({ words, signal, level, tsMs }: Call): HTMLElement {
    const line = make("button", { type: "button" }, make("span", { class: "number" }, newYork(tsMs).time), " ", words);
    setAttribute(line, "data-signal", signal);
    line.addEventListener("click", () => {
      this.clear();
      if (level !== "") this.onChosen(level);
    });
    return line;
  }
}
