/** The filter of the levels: which kinds, how far, signals only, and whether levels of one price are one row. */

import type { LevelSignal } from "../feed.ts";
import { type Choice, EVERYTHING, isFiltered, readChoice, toggleKind } from "../market/choice.ts";
import { spaced } from "../market/words.ts";
import { TextCell, make, setAttribute } from "./cells.ts";
import { onChosenElsewhere } from "./kept.ts";

const STORED = "spymaster.levels";
const MOST_KINDS = 40;

export class Choices {
  choice: Choice = readChoice(localStorage.getItem(STORED));
  private readonly summary: TextCell;
  private readonly signalsOnly = make("input", { type: "checkbox" });
  private readonly merged = make("input", { type: "checkbox" });
  private readonly within = make("input", { type: "number", min: "0", step: "any", placeholder: "any", inputmode: "decimal" });
  private readonly kindsPart = make("fieldset", {}, make("legend", {}, "Kinds"));
  private readonly kinds = new Map<string, HTMLInputElement>();

  /**
   * @param element a `details`
   * @param onChange another choice
   */
  constructor(
    private readonly element: HTMLDetailsElement,
    private readonly onChange: () => void,
  ) {
    const summary = make("summary", { "aria-keyshortcuts": "f" });
    this.summary = new TextCell(summary);
    const all = make("button", { type: "button" }, "Show all");
    const panel = make(
      "div",
      { class: "panel" },
      make("label", {}, this.signalsOnly, "Signals only"),
      make("label", {}, this.merged, "Levels of one price in one row"),
      make("label", {}, "Within", this.within, "points of spot"),
      this.kindsPart,
      make("p", { class: "hint" }, "Pinned levels (p) are always shown."),
      all,
    );
    element.append(summary, panel);
    this.signalsOnly.addEventListener("change", () => this.choose({ signalsOnly: this.signalsOnly.checked }));
    this.merged.addEventListener("change", () => this.choose({ merged: this.merged.checked }));
    this.within.addEventListener("input", () => this.choose({ within: this.within.valueAsNumber > 0 ? this.within.valueAsNumber : undefined }));
    all.addEventListener("click", () => this.choose({ ...EVERYTHING, pinned: this.choice.pinned, merged: this.choice.merged }));
    element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !element.open) return;
      event.stopPropagation(); // it closes this, and nothing behind it
      this.toggle();
    });
    document.addEventListener("pointerdown", ({ target }) => {
      if (target instanceof Node && !element.contains(target)) element.open = false;
    });
    onChosenElsewhere(STORED, (text) => this.take(readChoice(text)));
    this.draw();
  }

  choose(change: Partial<Choice>): void {
    this.take({ ...this.choice, ...change });
    localStorage.setItem(STORED, JSON.stringify(this.choice));
  }

  private take(choice: Choice): void {
    this.choice = choice;
    this.draw();
    this.onChange();
  }

  toggle(): void {
    if (!this.element.checkVisibility()) return; // the levels are in another window
    this.element.open = !this.element.open;
    (this.element.open ? this.signalsOnly : this.element.querySelector("summary"))?.focus();
  }

  /** Offer the kinds that Core sends, and those that were hidden on another day. */
  offer(levels: readonly LevelSignal[]): void {
    const kinds = new Set([...levels.map(({ level_kind_name: kind }) => kind), ...this.choice.hidden]);
    for (const kind of kinds) if (!this.kinds.has(kind) && this.kinds.size < MOST_KINDS) this.addKind(kind);
  }

  private addKind(kind: string): void {
    const box = make("input", { type: "checkbox" });
    box.addEventListener("change", () => this.choose(toggleKind(this.choice, kind)));
    this.kinds.set(kind, box);
    this.kindsPart.append(make("label", {}, box, spaced(kind) || "–"));
    this.draw();
  }

  private draw(): void {
    const { hidden, signalsOnly, within, merged } = this.choice;
    this.signalsOnly.checked = signalsOnly;
    this.merged.checked = merged;
    if (this.within.valueAsNumber !== within && document.activeElement !== this.within) this.within.value = within === undefined ? "" : `${within}`;
    for (const [kind, box] of this.kinds) box.checked = !hidden.includes(kind);
    const filtered = isFiltered(this.choice);
    this.summary.show(filtered ? "Filtered (f)" : "Filter (f)");
    setAttribute(this.element, "data-filtered", String(filtered));
  }
}
