/** Option flow by strike: puts to the left, calls to the right, spot between the strikes. */

import { nearestStrikes } from "../market/bounds.ts";
import { type FlowByStrike, MEASURES, type Measure, type Strike, byStrike } from "../market/flow.ts";
import type { Instruments } from "../market/instruments.ts";
import { fixed, short } from "../market/words.ts";
import { StyleCell, TextCell, make, order, setAttribute } from "./cells.ts";

const PITCH = 20; // pixels from row to row, as in the style sheet
const CLEAR = 0.3; // of the pitch, between the words of one row and those of the next
const DRIFT = 0.25; // of the height, that spot may be away from the middle
const HANDS_OFF_MS = 30_000;

export class Strikes {
  private readonly rowsPart = make("div", { class: "strike-rows" });
  private readonly spotLine = make("div", { class: "spot-line", "aria-hidden": "true" });
  private readonly total = new TotalRow();
  private readonly empty = make("p", { class: "empty" }, "No option flow yet.");
  private readonly rows = new Map<number, StrikeRow>();
  private readonly lineY = new StyleCell(this.spotLine, "transform");
  private measure: Measure = "volume";
  private flow: Readonly<Record<string, unknown>> | undefined;
  private strikes: readonly Strike[] = [];
  private spot: number | undefined;
  private middle: number | undefined;
  private handsOffUntilMs = 0;
  private height = 0;
  private scrollTop = 0; // as last reported: reading it from the element would force a layout in the middle of an update

  constructor(
    private readonly element: HTMLElement,
    private readonly choice: HTMLSelectElement,
  ) {
    for (const [value, { name }] of Object.entries(MEASURES)) choice.append(make("option", { value }, name));
    choice.addEventListener("change", () => this.choose(choice.value as Measure));
    const scrolled = make("div", { class: "strike-world" }, this.rowsPart, this.spotLine);
    this.element.append(scrolled);
    this.element.after(this.total.element, this.empty);
    for (const touch of ["wheel", "touchmove"]) {
      element.addEventListener(touch, () => (this.handsOffUntilMs = performance.now() + HANDS_OFF_MS), { passive: true });
    }
    element.addEventListener("scroll", () => (this.scrollTop = element.scrollTop), { passive: true });
    new ResizeObserver(() => {
      this.height = element.clientHeight;
      this.follow(true);
    }).observe(element);
  }

  show(flow: Readonly<Record<string, unknown>>): void {
    this.flow = flow;
    this.draw(byStrike(flow, this.measure));
  }

  /** The line stands at the spot that the strikes are about. */
  showSpot(instruments: Instruments): void {
    const { spot } = instruments.of(this.middle ?? 0);
    if (spot === null || spot === this.spot) return;
    this.spot = spot;
    this.follow(false);
  }

  next(): void {
    const all = Object.keys(MEASURES) as Measure[];
    this.choose(all[(all.indexOf(this.measure) + 1) % all.length] ?? "volume");
  }

  private choose(measure: Measure): void {
    this.measure = measure;
    this.choice.value = measure;
    if (this.flow !== undefined) this.show(this.flow);
  }

  private draw({ strikes: all, call, put }: FlowByStrike): void {
    this.middle = all[all.length >> 1]?.strike;
    const strikes = nearestStrikes(all, this.spot);
    const largest = Math.max(1e-9, ...strikes.map((each) => Math.max(Math.abs(each.call), Math.abs(each.put))));
    const there = new Set(strikes.map(({ strike }) => strike));
    for (const [strike, row] of this.rows) {
      if (there.has(strike)) continue;
      row.element.remove();
      this.rows.delete(strike);
    }
    const changed = strikes.length !== this.strikes.length;
    this.strikes = strikes;
    order(this.rowsPart, strikes.map(({ strike }) => this.row(strike).element));
    for (const each of strikes) this.row(each.strike).show(each, largest);
    this.total.show(call, put, MEASURES[this.measure].unit);
    this.empty.hidden = strikes.length > 0;
    this.follow(changed);
  }

  private row(strike: number): StrikeRow {
    let row = this.rows.get(strike);
    if (row === undefined) this.rows.set(strike, (row = new StrikeRow(strike)));
    return row;
  }

  /** The line stays between two rows, which it never strikes out; the view goes after it when it has left the middle. */
  private follow(now: boolean): void {
    if (this.spot === undefined || this.strikes.length === 0) return;
    const spot = this.spot;
    const above = this.strikes.filter(({ strike }) => strike > spot).length;
    const [higher, lower] = [this.strikes[above - 1]?.strike, this.strikes[above]?.strike];
    const part = higher === undefined || lower === undefined ? 0.5 : (higher - spot) / (higher - lower);
    const y = Math.round((above + (part - 0.5) * CLEAR) * PITCH);
    this.lineY.set(`translateY(${y}px)`);
    const away = Math.abs(y - (this.scrollTop + this.height / 2));
    if (performance.now() < this.handsOffUntilMs || (!now && away < this.height * DRIFT)) return;
    this.element.scrollTo({ top: y - this.height / 2, behavior: now ? "instant" : "smooth" });
  }
}

class StrikeRow {
  readonly element = make("div", { class: "strike" });
  private readonly put = new TextCell(make("span", { class: "amount number" }));
  private readonly call = new TextCell(make("span", { class: "amount number" }));
  private readonly putBar = make("span", { class: "bar put" });
  private readonly callBar = make("span", { class: "bar call" });
  private readonly putWidth = new StyleCell(this.putBar, "--share");
  private readonly callWidth = new StyleCell(this.callBar, "--share");

  constructor(strike: number) {
    const name = make("span", { class: "at number" }, fixed(strike, Number.isInteger(strike) ? 0 : 2));
    this.element.append(this.put.element, this.putBar, name, this.callBar, this.call.element);
  }

  show({ call, put }: Strike, largest: number): void {
    this.put.show(short(put));
    this.call.show(short(call));
    this.putWidth.set(share(put, largest));
    this.callWidth.set(share(call, largest));
    setAttribute(this.putBar, "data-sign", put < 0 ? "minus" : "plus");
    setAttribute(this.callBar, "data-sign", call < 0 ? "minus" : "plus");
  }
}

class TotalRow {
  readonly element = make("p", { class: "totals" });
  private readonly put = this.part("Puts", "put");
  private readonly ratio = this.part("Put/call", "ratio");
  private readonly call = this.part("Calls", "call");

  show(call: number, put: number, unit: string): void {
    this.put.show(short(put));
    this.call.show(short(call));
    this.ratio.show(call > 0 && put >= 0 ? fixed(put / call, 2) : "–");
    setAttribute(this.element, "title", `all strikes, ${unit}`);
  }

  private part(name: string, side: string): TextCell {
    const cell = new TextCell(make("span", { class: "number" }));
    this.element.append(make("span", { class: side }, `${name} `, cell.element));
    return cell;
  }
}

function share(amount: number, largest: number): string {
  return `${((Math.abs(amount) / largest) * 100).toFixed(1)}%`;
}
