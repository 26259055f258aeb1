/**
 * The price ladder. Levels stand still at their prices while spot moves along the axis; the view follows spot, in one
 * smooth step, only when it has left the middle. Who scrolls is not scrolled back, for a while.
 */

import type { LevelSignal } from "../feed.ts";
import { isDrawable, placed } from "../market/bounds.ts";
import type { Row } from "../market/choice.ts";
import type { Instruments } from "../market/instruments.ts";
import type { LevelPasts } from "../market/level_past.ts";
import { type Axis, nearEnough, pixelsPerPoint, spread, ticks, yOf } from "../market/scale.ts";
import { fixed, price as inPoints } from "../market/words.ts";
import { StyleCell, TextCell, make, makeSvg, order, setAttribute } from "./cells.ts";
import { unit } from "./density.ts";
import { LevelRow, type Look } from "./level_row.ts";

const MIDDLE = 20_000; // y of the axis's anchor: a ladder without ends, whose scroll bar is not shown

type Form = { readonly name: string; readonly from: number; readonly pitch: number; readonly row: number; readonly rail: number; readonly wire: number };
/** How a row is laid out from so much width on; the other numbers are those of the style sheet. All in units of the density. */
const FORMS: readonly Form[] = [
  { name: "full", from: 1250, pitch: 36, row: 32, rail: 84, wire: 26 },
  { name: "desk", from: 1022, pitch: 36, row: 32, rail: 84, wire: 26 },
  { name: "slim", from: 900, pitch: 36, row: 32, rail: 84, wire: 26 },
  { name: "medium", from: 600, pitch: 54, row: 50, rail: 84, wire: 26 },
  { name: "narrow", from: 0, pitch: 70, row: 66, rail: 60, wire: 12 },
];
const WIDE = FORMS[0]!;
const DRIFT = 0.16; // of the height, that spot may be away from the middle
const HANDS_OFF_MS = 30_000;
const TICKS_APART = 40; // units
const TICKS_BEYOND = 1.5; // heights
const FAR = 12_000; // pixels: from here on there is nothing to see, and the ladder's ends are near

type Standing = { shown: Row; row: LevelRow; wire: SVGPathElement; drawn: string };

export class Ladder {
  private readonly world = make("div", { class: "world", role: "none" });
  private readonly wires = makeSvg("svg", { class: "wires", "aria-hidden": "true" });
  private readonly spotWire = makeSvg("path", { class: "spot-wire" });
  private readonly axisMarks = make("div", { class: "axis", "aria-hidden": "true" });
  private readonly spotTag = new TextCell(make("div", { class: "spot-tag", "aria-hidden": "true" }));
  private readonly spotLine = make("div", { class: "spot-line", "aria-hidden": "true" });
  private readonly rowsPart = make("div", { class: "rows", role: "none" });
  private readonly tagY = new StyleCell(this.spotTag.element, "transform");
  private readonly lineY = new StyleCell(this.spotLine, "transform");
  private readonly standing = new Map<string, Standing>();
  private inOrder: string[] = [];
  private rowYs: number[] = [];
  private axis: Axis | undefined;
  private instrument = "";
  private spot: number | undefined;
  private height = 0;
  private scrollTop = 0; // as last reported: reading it from the element would force a layout in the middle of an update
  private sizes = WIDE;
  private unit = 1;
  private centreY = MIDDLE;
  private handsOffUntilMs = 0;
  private activeKey: string | undefined;
  private ticked: readonly [Axis, number] | undefined;

  /**
   * @param element a listbox
   * @param onActive the level under the cursor, whenever that is another
   * @param onOpen a level was asked for
   * @param onAway whether the user has scrolled the view away from spot
   */
  constructor(
    private readonly element: HTMLElement,
    private readonly onActive: (key: string | undefined) => void,
    private readonly onOpen: (key: string) => void,
    private readonly onAway: (away: boolean) => void,
  ) {
    this.wires.append(this.spotWire);
    this.world.append(this.axisMarks, this.wires, this.spotLine, this.spotTag.element, this.rowsPart);
    element.append(this.world);
    element.addEventListener("click", (event) => this.onClick(event));
    for (const touch of ["wheel", "touchmove"]) {
      element.addEventListener(touch, () => this.handsOff(), { passive: true });
    }
    element.addEventListener("scroll", () => (this.scrollTop = element.scrollTop), { passive: true });
    new ResizeObserver(() => this.onResize()).observe(element);
  }

  show(rows: ReadonlyMap<string, Row>, pasts: LevelPasts, { main }: Instruments, lookOf: (key: string) => Look): void {
    if (main.name !== this.instrument) this.spot = this.axis = undefined; // the other's prices
    this.instrument = main.name;
    this.spot = main.spot === null ? this.spot : placed(main.spot);
    this.forget(rows);
    for (const [key, shown] of rows) this.stand(key, shown).shown = shown;
    this.inOrder = [...rows.keys()].sort((one, other) => this.priceOf(other) - this.priceOf(one));
    order(this.rowsPart, this.inOrder.flatMap((key) => this.standing.get(key)?.row.element ?? []));
    for (const { row, shown } of this.standing.values()) row.show(shown, pasts.of(shown.key), lookOf(shown.key));
    this.arrange();
  }

  /** A row by its key, if it is still there. */
  row(key: string): Row | undefined {
    return this.standing.get(key)?.shown;
  }

  /** The key of the row under the cursor. */
  get active(): string | undefined {
    return this.activeKey;
  }

  /** Moves the cursor by so many rows, 1 is down; the first time to the nearest level on that side of spot. */
  move(by: number): void {
    const above = this.aboveSpot();
    const at = this.activeKey === undefined ? -1 : this.inOrder.indexOf(this.activeKey);
    const next = at === -1 ? (by > 0 ? above : above - 1) : at + by;
    const key = this.inOrder[Math.max(0, Math.min(this.inOrder.length - 1, next))];
    if (key !== undefined) this.activate(key, true);
  }

  /** Enter. */
  open(): void {
    if (this.activeKey !== undefined && this.standing.has(this.activeKey)) this.onOpen(this.activeKey);
  }

  /** Moves the cursor to a row. */
  choose(key: string): void {
    if (this.standing.has(key)) this.activate(key, true);
  }

  /** Takes the cursor away. */
  release(): void {
    this.activate(undefined, false);
  }

  /** Back to spot, and following it. */
  centre(): void {
    this.handsOffUntilMs = 0;
    this.onAway(false);
    if (this.spot !== undefined && this.axis !== undefined) this.follow(true);
  }

  // -- what stands where ---------------------------------------------------------------------------------------------

  private arrange(): void {
    const middle = this.middle();
    if (this.height === 0 || middle === undefined) return;
    this.chooseScale(middle);
    const axis = this.axis;
    if (axis === undefined) return;
    this.follow(false);
    const reach = this.reach();
    const wanted = this.inOrder.map((key) => this.centreY + within(MIDDLE - this.centreY + yOf(axis, this.priceOf(key))));
    this.rowYs = spread(wanted, this.sizes.pitch, this.centreY - reach, this.centreY + reach);
    this.inOrder.forEach((key, index) => this.place(key, wanted[index] ?? 0, this.rowYs[index] ?? 0));
    this.placeSpot(axis, middle);
    this.markAxis(axis);
  }

  /** Where the ladder begins: at spot, and while Core has sent none in the middle of the levels. */
  private middle(): number | undefined {
    if (this.spot !== undefined) return this.spot;
    const key = this.inOrder[this.inOrder.length >> 1];
    return key === undefined ? undefined : this.priceOf(key);
  }

  private chooseScale(spot: number): void {
    const prices = [...this.standing.values()].filter(({ shown }) => isDrawable(shown.level.level_price)).map(({ shown }) => shown.place);
    const chosen = pixelsPerPoint(prices, spot, this.reach(), this.sizes.pitch);
    const isWithin = this.axis !== undefined && Math.abs(yOf(this.axis, spot)) < FAR;
    if (this.axis !== undefined && isWithin && nearEnough(this.axis.pixelsPerPoint, chosen)) return;
    if (prices.length === 0 && this.axis !== undefined && isWithin) return;
    this.axis = { anchor: spot, pixelsPerPoint: chosen };
    this.follow(true);
  }

  /** Scrolls when spot has left the middle, or when asked to. */
  private follow(now: boolean): void {
    const middle = this.middle();
    if (this.axis === undefined || middle === undefined) return;
    const spotY = MIDDLE + yOf(this.axis, middle);
    const scrolledBySomebody = performance.now() < this.handsOffUntilMs;
    if (scrolledBySomebody) return;
    this.onAway(false);
    const away = Math.abs(spotY - (this.scrollTop + this.height / 2));
    if (!now && away < this.height * DRIFT && Math.abs(spotY - this.centreY) < this.height * DRIFT) return;
    this.centreY = Math.round(spotY);
    const far = away > this.height;
    this.element.scrollTo({ top: this.centreY - this.height / 2, behavior: far || calm() ? "instant" : "smooth" });
  }

  private place(key: string, trueY: number, rowY: number): void {
    const standing = this.standing.get(key);
    if (standing === undefined) return;
    standing.row.moveTo(rowY - this.sizes.row / 2);
    const wire = wirePath(this.sizes, trueY, rowY);
    if (standing.drawn !== wire) standing.wire.setAttribute("d", (standing.drawn = wire));
    setAttribute(standing.wire, "data-signal", standing.shown.level.signal);
  }

  /** The tag stands at the price; the line across the rows goes between the levels above and below. */
  private placeSpot(axis: Axis, spot: number): void {
    const y = Math.round(this.centreY + within(MIDDLE - this.centreY + yOf(axis, spot)));
    const above = this.aboveSpot();
    const half = this.sizes.pitch / 2;
    const lowest = (this.rowYs[above - 1] ?? -Infinity) + half;
    const highest = (this.rowYs[above] ?? Infinity) - half;
    const lineY = Math.max(lowest, Math.min(highest, y));
    this.spotTag.show(inPoints(spot));
    this.tagY.set(`translateY(${y}px)`);
    this.lineY.set(`translateY(${lineY}px)`);
    setAttribute(this.spotWire, "d", wirePath(this.sizes, y, lineY));
  }

  private markAxis(axis: Axis): void {
    if (this.ticked?.[0] === axis && this.ticked[1] === this.centreY) return;
    this.ticked = [axis, this.centreY];
    const beyond = (this.height * TICKS_BEYOND) / axis.pixelsPerPoint;
    const middle = axis.anchor - (this.centreY - MIDDLE) / axis.pixelsPerPoint;
    const { prices, decimals } = ticks(axis, middle - beyond, middle + beyond, TICKS_APART * this.unit);
    this.axisMarks.replaceChildren(
      ...prices.map((each) => {
        const mark = make("span", {}, fixed(each, decimals));
        mark.style.top = `${Math.round(MIDDLE + yOf(axis, each))}px`;
        return mark;
      }),
    );
  }

  private aboveSpot(): number {
    const spot = this.spot ?? 0;
    return this.inOrder.filter((key) => this.priceOf(key) > spot).length;
  }

  private priceOf(key: string): number {
    return this.standing.get(key)?.shown.place ?? 0;
  }

  private reach(): number {
    return Math.max(this.sizes.pitch, this.height / 2 - this.sizes.pitch);
  }

  // -- rows that come and go -----------------------------------------------------------------------------------------

  private stand(key: string, shown: Row): Standing {
    let standing = this.standing.get(key);
    if (standing === undefined) {
      const row = new LevelRow(`level-${key}`);
      const wire = makeSvg("path", {});
      this.rowsPart.append(row.element);
      this.wires.append(wire);
      standing = { shown, row, wire, drawn: "" };
      this.standing.set(key, standing);
    }
    return standing;
  }

  private forget(keys: ReadonlyMap<string, Row>): void {
    for (const [key, { row, wire }] of this.standing) {
      if (keys.has(key)) continue;
      row.element.remove();
      wire.remove();
      this.standing.delete(key);
      if (key === this.activeKey) this.activate(undefined, false);
    }
  }

  // -- the cursor ----------------------------------------------------------------------------------------------------

  private activate(key: string | undefined, intoView: boolean): void {
    if (this.activeKey !== undefined) this.select(this.activeKey, false);
    this.activeKey = key;
    if (key === undefined) this.element.removeAttribute("aria-activedescendant");
    else {
      this.select(key, true);
      this.element.setAttribute("aria-activedescendant", `level-${key}`);
      if (intoView) this.bringIntoView(key);
    }
    this.onActive(key);
  }

  private select(key: string, selected: boolean): void {
    const standing = this.standing.get(key);
    if (standing !== undefined) setAttribute(standing.row.element, "aria-selected", String(selected));
    standing?.wire.classList.toggle("selected", selected);
  }

  private bringIntoView(key: string): void {
    if (this.height === 0) return; // it is in another window
    const y = this.rowYs[this.inOrder.indexOf(key)] ?? this.centreY;
    const { scrollTop } = this.element; // a window that has just been opened was told of no scroll yet
    const margin = this.sizes.pitch;
    if (y - margin >= scrollTop && y + margin <= scrollTop + this.height) return;
    this.handsOff();
    const top = y - margin < scrollTop ? y - margin : y + margin - this.height;
    this.element.scrollTo({ top, behavior: calm() ? "instant" : "smooth" });
  }

  private onClick(event: Event): void {
    const row = event.target instanceof Element ? event.target.closest(".row") : null;
    const key = row?.id.slice("level-".length);
    if (key === undefined) return;
    this.activate(key, false);
    this.onOpen(key);
  }

  private handsOff(): void {
    this.handsOffUntilMs = performance.now() + HANDS_OFF_MS;
    this.onAway(true);
  }

  private onResize(): void {
    const { clientHeight, clientWidth } = this.element;
    const now = unit();
    const form = FORMS.find(({ from }) => clientWidth >= from * now) ?? WIDE;
    if (clientHeight === this.height && form.name === this.sizes.name && now === this.unit) return;
    this.height = clientHeight;
    this.unit = now;
    this.sizes = { ...form, pitch: form.pitch * now, row: form.row * now, rail: form.rail * now, wire: form.wire * now };
    this.element.parentElement?.setAttribute("data-form", form.name);
    this.axis = undefined;
    this.arrange();
  }
}

/** Equal ids are kept by the gateway: the second is another row. */
export function keyed(levels: readonly LevelSignal[]): Map<string, LevelSignal> {
  const keys = new Map<string, LevelSignal>();
  for (const level of levels) {
    let key = level.id;
    for (let copy = 2; keys.has(key); copy += 1) key = `${level.id} (${copy})`;
    keys.set(key, level);
  }
  return keys;
}

function within(y: number): number {
  return Math.max(-FAR, Math.min(FAR, y));
}

/** From the price on the axis to the row beside it. */
function wirePath({ rail, wire }: Form, fromY: number, toY: number): string {
  const from = Math.round(fromY);
  const middle = rail + wire / 2;
  return `M${rail} ${from} C${middle} ${from} ${middle} ${toY} ${rail + wire} ${toY}`;
}

function calm(): boolean {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}
