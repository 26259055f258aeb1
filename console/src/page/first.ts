/** What to look at first: three lines at most, each with its reasons. */

import type { Attention, Reason } from "../market/attention.ts";
import type { Row } from "../market/choice.ts";
import { fixed, price, spaced } from "../market/words.ts";
import { TextCell, make, setAttribute } from "./cells.ts";
import { kindsOf } from "./level_row.ts";

const REASONS = 3;

const WORDS: Readonly<Record<Reason, (row: Row) => string>> = {
  near: () => "at spot",
  signal: ({ level }) => `${spaced(level.signal)}, ${level.confidence.toLowerCase()}`,
  score: ({ level }) => `score ${fixed(level.break_score_smooth, 0)}`,
  changed: () => "just changed",
  sweep: () => "sweep now",
  rising: () => "score rises",
  falling: () => "score falls",
  agreed: () => "model agrees",
  disagreed: () => "model disagrees",
  tradeable: ({ level }) => `tradeable ${fixed((level.ml_predictions?.p_tradeable_2 ?? 0) * 100, 0)} %`,
  pinned: () => "pinned",
};

type Line = { readonly element: HTMLElement; readonly button: HTMLButtonElement; readonly name: TextCell; readonly why: TextCell; key: string };

export class First {
  private readonly lines: readonly Line[];
  private readonly nothing = make("li", { class: "nothing" }, "Nothing stands out: no level is near, strong or changing.");

  /**
   * @param element a list
   * @param onChosen the key of the row of a line
   */
  constructor(
    element: HTMLElement,
    private readonly onChosen: (key: string) => void,
  ) {
    this.lines = [1, 2, 3].map((number) => this.line(number));
    element.append(...this.lines.map((each) => each.element), this.nothing);
  }

  show(first: readonly Attention[], rows: ReadonlyMap<string, Row>): void {
    this.nothing.hidden = first.length > 0 || rows.size === 0;
    this.lines.forEach((line, index) => {
      const its = first[index];
      const row = its === undefined ? undefined : rows.get(its.key);
      line.element.hidden = row === undefined;
      if (its === undefined || row === undefined) return;
      line.key = row.key;
      line.name.show(`${kindsOf(row)} ${price(row.level.level_price)}`);
      const why = its.reasons.slice(0, REASONS).map((reason) => WORDS[reason](row)).join(" · ");
      line.why.show(why);
      setAttribute(line.button, "title", why);
      setAttribute(line.button, "data-signal", row.level.signal);
    });
  }

  /** The key of the row of a line, from 1. */
  keyOf(number: number): string | undefined {
    const line = this.lines[number - 1];
    return line === undefined || line.element.hidden ? undefined : line.key;
  }

  private line(number: number): Line {
    const [name, why] = ["name", "why"].map((each) => make("span", { class: `${each} number` }));
    const button = make("button", { type: "button", "aria-keyshortcuts": `${number}` }, make("span", { class: "rank" }, `${number}`), name!, why!);
    const line = { element: make("li", { hidden: "" }, button), button, name: new TextCell(name!), why: new TextCell(why!), key: "" };
    button.addEventListener("click", () => this.onChosen(line.key));
    return line;
  }
}
