/** What changed, newest first: the last flips, sweeps, and levels that came or went. */

import type { Change } from "../market/changes.ts";
import { make } from "./cells.ts";

const LINES = 100;

export class Tape {
  /** @param onChosen the key of the level of a line */
  constructor(
    private readonly element: HTMLElement,
    private readonly onChosen: (key: string) => void,
  ) {
    element.addEventListener("click", (event) => {
      const line = event.target instanceof Element ? event.target.closest<HTMLElement>("li") : null;
      if (line?.dataset["key"] !== undefined) this.onChosen(line.dataset["key"]);
    });
  }

  /** @param time as HH:MM:SS */
  add(time: string, changes: readonly Change[]): void {
    if (changes.length === 0) return;
    const lines = changes.slice(-LINES).map(({ key, kind, signal, what, level }) =>
      make(
        "li",
        { "data-key": key, "data-kind": kind, "data-signal": signal ?? "" },
        make("span", { class: "at number" }, time),
        make("span", { class: "what" }, what),
        make("span", { class: "level number" }, level),
      ),
    );
    this.element.prepend(...lines.reverse());
    while (this.element.children.length > LINES) this.element.lastElementChild?.remove();
  }
}
