/** Dims what came after the moment that is looked back at. */

import { StyleCell, make } from "./cells.ts";

export class Future {
  private readonly veil = make("div", { class: "future", hidden: "" });
  private readonly left = new StyleCell(this.veil, "left");
  private readonly width = new StyleCell(this.veil, "width");

  constructor(parent: HTMLElement) {
    parent.append(this.veil);
  }

  /**
   * @param x where the moment is, in pixels; undefined for the present
   * @param paneWidth that of the chart without its axis
   */
  show(x: number | undefined, paneWidth: number): void {
    this.veil.hidden = x === undefined || x >= paneWidth;
    if (x === undefined) return;
    const left = Math.max(0, Math.round(x));
    this.left.set(`${left}px`);
    this.width.set(`${Math.max(0, Math.round(paneWidth) - left)}px`);
  }
}
