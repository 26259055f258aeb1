/**
 * Option flow by strike. What is counted: puts to the left, calls to the right. What has a sign: the net of both about
 * zero, with the price at which it flips. Spot between the strikes; below, what it came to over time.
 */

import { nearestStrikes } from "../market/bounds.ts";
import { newYork } from "../market/clock.ts";
import { type FlowByStrike, MEASURES, type Measure, type Strike, byStrike, flip, plus, readMeasure, rowOf } from "../market/flow.ts";
import { FlowPast, netOf } from "../market/flow_past.ts";
import type { Instruments } from "../market/instruments.ts";
import { type Sample, pathOf, rangeWithZero } from "../market/series.ts";
import { fixed, short } from "../market/words.ts";
import { StyleCell, TextCell, make, makeSvg, order, setAttribute } from "./cells.ts";
import { unit } from "./density.ts";
import { onChosenElsewhere } from "./kept.ts";

const STORED = "spymaster.flow";
const PITCH = 20; // units from row to row, as in the style sheet
const CLEAR = 0.3; // of the pitch, between the words of one row and those of the next
const DRIFT = 0.25; // of the height, that spot may be away from the middle
const HANDS_OFF_MS = 30_000;

export class Strikes {
  private readonly rowsPart = make("div", { class: "strike-rows" });
  private readonly spotLine = make("div", { class: "spot-line", "aria-hidden": "true" });
  private readonly flipLine = make("div", { class: "flip-line" });
  private readonly flipTag = new TextCell(make("span", { class: "flip-tag number" }));
  private readonly flipY = new StyleCell(this.flipLine, "transform");
  private readonly heads = [make("span", {}), make("span", {}, "Strike"), make("span", {})];
  private readonly overTime = new OverTime();
  private readonly total = new TotalRow();
  private readonly empty = make("p", { class: "empty" }, "No option flow yet.");
  private readonly rows = new Map<number, StrikeRow>();
  private readonly lineY = new StyleCell(this.spotLine, "transform");
  private measure: Measure = readMeasure(localStorage.getItem(STORED));
  private flow: Readonly<Record<string, unknown>> | undefined;
  private past = new FlowPast();
  private strikes: readonly Strike[] = [];
  private spot: number | undefined;
  private middle: number | undefined;
  private handsOffUntilMs = 0;
  private height = 0;
  private unit = 1;
  private scrollTop = 0; // as last reported: reading it from the element would force a layout in the middle of an update

  constructor(
    private readonly element: HTMLElement,
    private readonly choice: HTMLSelectElement,
  ) {
    for (const [value, { name }] of Object.entries(MEASURES)) choice.append(make("option", { value }, name));
    choice.value = this.measure;
    choice.addEventListener("change", () => this.choose(choice.value as Measure));
    onChosenElsewhere(STORED, (text) => this.take(readMeasure(text)));
    this.flipLine.append(this.flipTag.element);
    const scrolled = make("div", { class: "strike-world" }, this.rowsPart, this.spotLine, this.flipLine);
    this.element.append(scrolled);
    this.element.before(make("div", { class: "strike-heads", "aria-hidden": "true" }, ...this.heads));
    this.element.after(this.total.element, this.overTime.element, this.empty);
    for (const touch of ["wheel", "touchmove"]) {
      element.addEventListener(touch, () => (this.handsOffUntilMs = performance.now() + HANDS_OFF_MS), { passive: true });
    }
    element.addEventListener("scroll", () => (this.scrollTop = element.scrollTop), { passive: true });
    new ResizeObserver(() => {
      this.height = element.clientHeight;
      this.unit = unit();
      this.follow(true);
    }).observe(element);
  }

  show(flow: Readonly<Record<string, unknown>>, past: FlowPast): void {
    this.flow = flow;
    this.past = past;
    this.draw(byStrike(flow, this.measure));
  }

  /** What it came to until now. */
  showPast(past: FlowPast): void {
    this.past = past;
    this.drawPast();
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
    localStorage.setItem(STORED, measure);
    this.take(measure);
  }

  private take(measure: Measure): void {
    this.measure = measure;
    this.choice.value = measure;
    if (this.flow !== undefined) this.draw(byStrike(this.flow, measure));
  }

  private draw({ strikes: all, call, put }: FlowByStrike): void {
    this.middle = all[all.length >> 1]?.strike;
    const strikes = nearestStrikes(all, this.spot);
    const { signed, unit } = MEASURES[this.measure];
    const sides = strikes.map((each) => (signed ? aboutZero(each) : { left: each.put, right: each.call }));
    const largest = Math.max(1e-9, ...sides.map(({ left, right }) => Math.max(Math.abs(left ?? 0), Math.abs(right ?? 0))));
    const there = new Set(strikes.map(({ strike }) => strike));
    for (const [strike, row] of this.rows) {
      if (there.has(strike)) continue;
      row.element.remove();
      this.rows.delete(strike);
    }
    const changed = strikes.length !== this.strikes.length;
    this.strikes = strikes;
    order(this.rowsPart, strikes.map(({ strike }) => this.row(strike).element));
    strikes.forEach((each, index) => this.row(each.strike).show(each, sides[index]!, largest));
    setAttribute(this.element, "data-signed", String(signed));
    this.heads[0]!.textContent = signed ? "Net below 0" : "Puts";
    this.heads[2]!.textContent = signed ? "Net above 0" : "Calls";
    this.total.show(call, put, netOf(this.measure, { call, put }), signed, unit);
    this.drawPast();
    this.empty.hidden = strikes.length > 0;
    this.follow(changed);
  }

  private drawPast(): void {
    const { signed } = MEASURES[this.measure];
    this.overTime.show(signed ? "Net" : "Calls − puts", this.past.of(this.measure), this.past.gapMs);
  }

  private row(strike: number): StrikeRow {
    let row = this.rows.get(strike);
    if (row === undefined) this.rows.set(strike, (row = new StrikeRow(strike)));
    return row;
  }

  private markFlip(): void {
    const flips = MEASURES[this.measure].signed && this.spot !== undefined ? flip(this.strikes, this.spot) : undefined;
    this.overTime.flipsAt(flips);
    this.flipLine.hidden = flips === undefined;
    if (flips === undefined) return;
    this.flipY.set(`translateY(${this.yOf(flips)}px)`);
    this.flipTag.show(`flips at ${fixed(flips, 0)}`);
  }

  /** The line stays between two rows, which it never strikes out; the view goes after it when it has left the middle. */
  private follow(now: boolean): void {
    this.markFlip();
    if (this.spot === undefined || this.strikes.length === 0) return;
    const { spot } = this;
    const y = this.yOf(spot);
    this.lineY.set(`translateY(${y}px)`);
    const away = Math.abs(y - (this.scrollTop + this.height / 2));
    if (performance.now() < this.handsOffUntilMs || (!now && away < this.height * DRIFT)) return;
    this.element.scrollTo({ top: y - this.height / 2, behavior: now ? "instant" : "smooth" });
  }

  /** Between the words of two rows: a strike's own row is half a pitch below its upper edge. */
  private yOf(price: number): number {
    const at = rowOf(this.strikes, price);
    const row = Math.floor(at);
    return Math.round((row + 1 + (at - row - 0.5) * CLEAR) * PITCH * this.unit);
  }
}

type Sides = { readonly left: number | undefined; readonly right: number | undefined };

/** The net stands on the side of its sign. */
function aboutZero({ call, put }: Strike): Sides {
  const net = plus(call, put);
  return net < 0 ? { left: net, right: undefined } : { left: undefined, right: net };
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

  show({ call, put }: Strike, { left, right }: Sides, largest: number): void {
    this.put.show(left === undefined ? "" : short(left));
    this.call.show(right === undefined ? "" : short(right));
    this.putWidth.set(share(left ?? 0, largest));
    this.callWidth.set(share(right ?? 0, largest));
    setAttribute(this.element, "title", `calls ${short(call)}, puts ${short(put)}`);
  }
}

class TotalRow {
  readonly element = make("p", { class: "totals" });
  private readonly put = this.part("Puts", "put");
  private readonly name = new TextCell(make("span", {}));
  private readonly ratio = this.part(this.name.element, "ratio");
  private readonly call = this.part("Calls", "call");

  show(call: number, put: number, net: number, signed: boolean, unit: string): void {
    this.put.show(short(put));
    this.call.show(short(call));
    this.name.show(signed ? "Net" : "Put/call");
    this.ratio.show(signed ? short(net) : call > 0 && put >= 0 ? fixed(put / call, 2) : "–");
    setAttribute(this.element, "title", `all strikes, ${unit}`);
  }

  private part(name: string | HTMLElement, side: string): TextCell {
    const cell = new TextCell(make("span", { class: "number" }));
    this.element.append(make("span", { class: side }, name, " ", cell.element));
    return cell;
  }
}

const PLOT = { width: 300, height: 34 };
const LEAST_SPAN_MS = 120_000;

/** The net of all strikes as a line, and where it flips. */
class OverTime {
  private readonly name = new TextCell(make("span", {}));
  private readonly flips = new TextCell(make("span", { class: "number" }));
  private readonly since = new TextCell(make("span", { class: "number" }));
  private readonly high = new TextCell(make("span", { class: "number high" }));
  private readonly low = new TextCell(make("span", { class: "number low" }));
  private readonly line = makeSvg("path", { class: "line" });
  private readonly zero = makeSvg("path", { class: "zero" });
  private readonly svg = makeSvg("svg", { viewBox: `0 0 ${PLOT.width} ${PLOT.height}`, preserveAspectRatio: "none", role: "img", "aria-label": "Flow over time" });
  readonly element: HTMLElement;
  private drawn: readonly Sample[] | undefined;

  constructor() {
    this.svg.append(this.zero, this.line);
    const words = make("p", {}, this.name.element, this.flips.element, make("br"), this.since.element);
    this.element = make("div", { class: "over-time" }, words, this.svg, make("p", { class: "ends" }, this.high.element, this.low.element));
  }

  flipsAt(price: number | undefined): void {
    this.flips.show(price === undefined ? "" : `, flips at ${fixed(price, 0)}`);
  }

  show(name: string, samples: readonly Sample[], gapMs: number): void {
    if (samples === this.drawn) return;
    this.drawn = samples;
    const [first, last] = [samples[0], samples.at(-1)];
    this.element.hidden = samples.length < 2; // one is no line
    if (first === undefined || last === undefined) return;
    const range = rangeWithZero(samples);
    const zeroY = 1 + (PLOT.height - 2) * (range.high / (range.high - range.low));
    this.zero.style.visibility = range.low <= 0 && range.high >= 0 ? "visible" : "hidden";
    this.name.show(name);
    this.since.show(`since ${newYork(first.atMs).time.slice(0, 5)}`);
    this.high.show(short(range.high));
    this.low.show(short(range.low));
    setAttribute(this.zero, "d", `M0 ${zeroY.toFixed(1)}H${PLOT.width}`);
    setAttribute(this.line, "d", pathOf(samples, PLOT, Math.max(LEAST_SPAN_MS, last.atMs - first.atMs), gapMs, range));
  }
}

function share(amount: number, largest: number): string {
  return `${((Math.abs(amount) / largest) * 100).toFixed(1)}%`;
}
