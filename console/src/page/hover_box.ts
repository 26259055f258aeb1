/** What was so at the moment under the pointer, in the corner that is furthest from it. */

import type { Hover } from "../market/hover.ts";
import { make, setAttribute } from "./cells.ts";

export class HoverBox {
  private readonly box = make("div", { class: "hover", "aria-hidden": "true", hidden: "" });
  private shown = "";

  constructor(parent: HTMLElement) {
    parent.append(this.box);
  }

  show(hover: Hover, side: "left" | "right", end: "top" | "bottom"): void {
    setAttribute(this.box, "data-side", side);
    setAttribute(this.box, "data-end", end);
    this.box.hidden = false;
    const text = JSON.stringify(hover);
    if (text === this.shown) return;
    this.shown = text;
    const { time, prices, levels, happened } = hover;
    this.box.replaceChildren(
      make("p", { class: "number" }, make("strong", {}, time), ...(prices.length === 0 ? [" no spot"] : [])),
      make("p", { class: "prices number" }, ...prices.map(([name, price]) => make("span", {}, make("span", { class: "label" }, name), ` ${price}`))),
      ...levels.map(({ signal, cells }) => make("p", { class: "level number", "data-signal": signal }, ...cells.map((cell) => make("span", {}, cell)))),
      ...happened.map(({ signal, words }) => make("p", { class: "happened", "data-signal": signal }, words)),
    );
  }

  hide(): void {
    this.box.hidden = true;
  }
}
