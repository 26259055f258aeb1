/** Spot over time, and the levels across it. */

import {
  ColorType,
  CrosshairMode,
  type IPriceLine,
  type Logical,
  type MouseEventParams,
  type Time,
  type UTCTimestamp,
  createChart,
} from "lightweight-charts";
import { isDrawable, placed } from "../market/bounds.ts";
import type { Row } from "../market/choice.ts";
import { newYork } from "../market/clock.ts";
import { type Hover, hoverOf } from "../market/hover.ts";
import type { Instruments } from "../market/instruments.ts";
import { type Label, fitting } from "../market/labels.ts";
import { type Change, Session, type Slot, plotted, runsOf } from "../market/session.ts";
import type { ChartChoice } from "../market/spans.ts";
import type { Event } from "../feed.ts";
import { StyleCell, TextCell, make, setAttribute } from "./cells.ts";
import { unit } from "./density.ts";
import { HoverBox } from "./hover_box.ts";
import { kindsOf } from "./level_row.ts";
import { type DrawnLife, Lives, type Mark, type Places } from "./lives.ts";
import { type SpotBar, type SpotOptions, SpotView } from "./spot_series.ts";
import { colour } from "./theme.ts";

const APART = 15; // units from label to label, as high as one is
const TEXT = 11; // units
const IN_SIGHT = 2; // levels on each side that the scale makes room for
const SIGHT = 0.05; // of spot, that such a level may be away
const MARKS = 500;
const DRAW_EVERY_MS = 500;
const CANDLE_ROOM = 4; // pixels, at least
const RIGHT_ROOM = 0.02; // of the bars, between the newest and the edge

type Line = { line: IPriceLine; price: number; shown: string };
type Name = { readonly text: TextCell; readonly y: StyleCell };

/** What a frame has that the chart shows. */
export type ChartNews = {
  readonly tsMs: number;
  readonly rows: ReadonlyMap<string, Row>;
  readonly instruments: Instruments;
  readonly session: Session;
  readonly change: Change;
  /** The signals that began or ended until then. */
  readonly flips: () => readonly Event[];
  /** Whether the levels that are no longer sent are shown, too. */
  readonly withGone: boolean;
};

export class SpotChart {
  private readonly chart;
  private readonly series;
  private readonly lives = new Lives(() => this.places());
  private readonly hover;
  private readonly lines = new Map<string, Line>();
  private readonly names = new Map<string, Name>();
  private readonly plot = make("div", { class: "plot" });
  private readonly namesPart = make("div", { class: "names", "aria-hidden": "true" });
  private news: ChartNews | undefined;
  private rows: ReadonlyMap<string, Row> = new Map();
  private slots: readonly Slot[] = [];
  private stepS = 1;
  private most = Infinity;
  private flips: readonly Event[] = [];
  private spot: number | undefined;
  private selectedKey: string | undefined;
  private dirty = "";
  private unit = 1; // as last read: reading it forces the styles of the whole page
  private moved = 0; // the frame in which the names follow a scale that was moved
  private due: Change = "none";
  private drawing: ReturnType<typeof setTimeout> | undefined;
  private drawnMs = -Infinity;
  private isFitted = true;
  private drawnLives = "";

  constructor(
    private readonly element: HTMLElement,
    private choice: ChartChoice,
  ) {
    element.append(this.plot, this.namesPart);
    this.chart = createChart(this.plot, {
      autoSize: true,
      layout: { attributionLogo: false, fontSize: TEXT }, // the page has the link: the logo brings an inline style
      localization: { timeFormatter: (time: UTCTimestamp) => newYork(time * 1000).time },
      timeScale: {
        timeVisible: true,
        secondsVisible: true,
        minBarSpacing: 0.02,
        tickMarkFormatter: (time: UTCTimestamp) => newYork(time * 1000).time.slice(0, time % 60 === 0 ? 5 : 8),
      },
      crosshair: { mode: CrosshairMode.Normal },
      rightPriceScale: { borderVisible: false },
    });
    this.series = this.chart.addCustomSeries<SpotBar, SpotOptions>(new SpotView(), {
      priceLineVisible: true,
      lastValueVisible: true,
      autoscaleInfoProvider: (original: () => { priceRange: { minValue: number; maxValue: number } | null } | null) =>
        this.withNearestLevels(original()),
    });
    this.series.attachPrimitive(this.lives);
    this.hover = new HoverBox(this.plot);
    this.restyle();
    new ResizeObserver(() => {
      this.restyle();
      if (this.isFitted) this.fit();
    }).observe(element);
    this.chart.timeScale().subscribeVisibleLogicalRangeChange(() => this.follow());
    this.chart.subscribeCrosshairMove((at) => this.showHover(at));
    this.plot.addEventListener("wheel", () => (this.isFitted = false), { passive: true });
    this.plot.addEventListener("pointermove", ({ buttons }) => (this.isFitted &&= buttons === 0));
    this.plot.addEventListener("dblclick", () => this.fit());
  }

  private follow(): void {
    if (this.moved !== 0) return;
    this.moved = requestAnimationFrame(() => {
      this.moved = 0;
      this.drawLevels();
    });
  }

  /** Takes note of every payload, and draws twice a second at most: to draw is most of what the page costs. */
  show(news: ChartNews): void {
    const another = news.session !== this.news?.session;
    const { spot } = news.instruments.main;
    this.news = news;
    this.rows = news.rows;
    this.spot = spot === null ? this.spot : placed(spot);
    if (another) this.isFitted = true;
    if (another || news.change === "all") this.due = "all";
    else if (this.due === "none") this.due = news.change;
    this.drawing ??= setTimeout(() => this.draw(), Math.max(0, this.drawnMs + DRAW_EVERY_MS - performance.now()));
  }

  /** The session was filled, or begun again. */
  refill(): void {
    if (this.news !== undefined) this.show({ ...this.news, change: "all" });
  }

  choose(choice: ChartChoice): void {
    this.choice = choice;
    this.series.applyOptions({ form: choice.form });
    this.fit();
    this.refill();
  }

  /** Signals flipped: each has a mark on spot at that moment. */
  mark(): void {
    if (this.news !== undefined) this.show({ ...this.news, change: "none" });
  }

  private fit(): void {
    this.isFitted = true;
    const bars = this.slots.length;
    if (bars > 0) this.chart.timeScale().setVisibleLogicalRange({ from: -0.5, to: bars - 0.5 + Math.max(1, bars * RIGHT_ROOM) });
  }

  private draw(): void {
    this.drawing = undefined;
    this.drawnMs = performance.now();
    const { news } = this;
    if (news === undefined) return;
    this.drawBars(news);
    const flips = news.flips().slice(-MARKS);
    const isMarked = flips.length === this.flips.length && flips.every(({ id, ts }, at) => id === this.flips[at]?.id && ts === this.flips[at]?.ts);
    this.flips = flips;
    const shown = [...news.rows.values()].map(({ key, place, level }) => [key, place, level.signal].join()).join();
    if (this.due !== "none" || shown !== this.drawnLives || !isMarked) this.drawLives(news);
    this.drawnLives = shown;
    this.drawLevels();
    this.due = "none";
    setAttribute(this.element, "data-drawn", String(news.tsMs));
    setAttribute(this.element, "data-points", String(news.session.bars.length));
    setAttribute(this.element, "data-step", String(this.stepS));
  }

  private drawBars({ session }: ChartNews): void {
    if (this.due === "none") return;
    const { width } = this.chart.paneSize();
    const most = this.choice.form === "candles" && width > 0 ? Math.max(10, Math.floor(width / CANDLE_ROOM)) : Infinity;
    const { stepS, slots } = plotted(session.bars, session.stepS, most);
    const before = this.slots;
    const all = this.due === "all" || stepS !== this.stepS || most !== this.most || slots.length < before.length || slots[0]?.time !== before[0]?.time;
    [this.slots, this.stepS, this.most] = [slots, stepS, most];
    if (all) {
      this.series.applyOptions({ joined: Math.max(1, Math.floor(session.gapS / stepS)) });
      this.series.setData(slots.map(drawn));
    } else for (const slot of slots.slice(Math.max(0, before.length - 1))) this.series.update(drawn(slot));
    if (this.isFitted && (all || slots.length !== before.length)) this.fit();
  }

  private drawLives({ session, rows, instruments, withGone }: ChartNews): void {
    const lives: DrawnLife[] = [];
    const there = new Map([...rows].flatMap(([key, { levels }]) => levels.map(({ id }) => [id, key] as const)));
    for (const { id, states } of session.lives) {
      const key = there.get(id);
      if (key === undefined && !withGone) continue;
      const runs = runsOf(states, session.stepS, session.gapS).map((run) => ({ ...run, price: instruments.place(run.price) }));
      lives.push({ runs, isThere: key !== undefined, isSelected: key !== undefined && key === this.selectedKey });
    }
    lives.sort((one, other) => Number(one.isThere) - Number(other.isThere) || Number(one.isSelected) - Number(other.isSelected));
    this.lives.show(lives, this.marks(session));
  }

  private marks(session: Session): Mark[] {
    return this.flips.flatMap(({ ts, after }) => {
      const price = session.spotAt(ts) ?? session.barAt(session.timeOf(ts))?.close;
      return price === undefined || after === "NO_TRADE" ? [] : [{ time: ts / 1000, price, signal: after }];
    });
  }

  /** Every step has a place, so a moment's place follows from two of them. */
  private places(): Places | undefined {
    const scale = this.chart.timeScale();
    const [first, second] = [0, 1].map((index) => scale.logicalToCoordinate(index as Logical));
    const from = this.slots[0]?.time;
    if (from === undefined || first == null || second == null) return undefined;
    const room = second - first;
    return {
      xOf: (time) => first + ((time - from) / this.stepS - 0.5) * room,
      yOf: (price) => this.series.priceToCoordinate(price) ?? Infinity,
      width: this.chart.paneSize().width,
    };
  }

  private showHover({ time, point }: MouseEventParams<Time>): void {
    const session = this.news?.session;
    if (session === undefined || typeof time !== "number" || point === undefined) return this.hover.hide();
    const { width, height } = this.chart.paneSize();
    const hover = this.hoverAt(session, time);
    const spot = session.barAt(session.timeOf(time * 1000))?.close;
    const y = spot === undefined ? point.y : this.yOf(spot);
    this.hover.show(hover, point.x > width / 2 ? "left" : "right", y < height / 2 ? "bottom" : "top");
  }

  /** Of the step, or of the last one before that has a spot, where that is no gap. */
  private hoverAt(session: Session, time: number): Hover {
    const slot = this.slots.findLast((each) => "close" in each && each.time <= time && each.time > time - Math.max(session.gapS, this.stepS));
    const [from, end] = [slot?.time ?? time, time + this.stepS];
    const last = session.bars.findLast((bar) => bar.time >= from && bar.time < end)?.time ?? time;
    const happened = this.flips.filter(({ ts }) => ts >= from * 1000 && ts < end * 1000);
    return hoverOf(from, slot !== undefined && "close" in slot ? slot : undefined, session.levelsAt(last), happened);
  }

  select(key: string | undefined): void {
    this.selectedKey = key;
    if (this.news !== undefined) this.drawLives(this.news);
    this.drawLevels();
  }

  /** Apply the colours after a change of theme. */
  restyle(): void {
    this.unit = unit();
    const grid = { color: colour("grid") };
    this.chart.applyOptions({
      layout: {
        background: { type: ColorType.Solid, color: colour("panel") },
        textColor: colour("dim"),
        fontSize: TEXT * this.unit,
        fontFamily: getComputedStyle(document.body).fontFamily,
      },
      grid: { vertLines: grid, horzLines: grid },
      timeScale: { borderColor: colour("grid") },
    });
    this.series.applyOptions({ color: colour("spot"), rise: colour("call"), fall: colour("minus"), form: this.choice.form });
    this.lives.colours = {
      break: colour("break"),
      bounce: colour("bounce"),
      level: colour("level"),
      text: colour("text"),
      panel: colour("panel"),
    };
    this.dirty = `${performance.now()}`;
    if (this.news !== undefined) this.drawLives(this.news);
    this.drawLevels();
  }

  private drawLevels(): void {
    for (const [key, { line }] of this.lines) {
      if (this.rows.has(key)) continue;
      this.series.removePriceLine(line);
      this.lines.delete(key);
    }
    const labelled = new Set(this.fitting());
    for (const [key, row] of this.rows) this.drawLevel(key, row, labelled.has(key));
    this.drawNames(labelled);
  }

  /** The rows whose labels fit beside the axis: the selected one first, then pinned ones, signals, and the nearest. */
  private fitting(): string[] {
    const spot = this.spot ?? 0;
    const labels: Label[] = [...this.rows].map(([key, { level, place, pinned }]) => {
      const rank = key === this.selectedKey ? 3 : pinned ? 2 : level.signal === "NO_TRADE" ? 0 : 1;
      const nearness = 1 / (1 + Math.abs(place - spot));
      return { key, y: this.yOf(place), weight: rank + nearness };
    });
    return fitting(labels, this.chart.paneSize().height, APART * this.unit, [this.yOf(spot)]);
  }

  private yOf(price: number): number {
    return this.series.priceToCoordinate(price) ?? -1;
  }

  private drawLevel(key: string, { level, place: price }: Row, labelled: boolean): void {
    const selected = key === this.selectedKey;
    const shown = [price, level.signal, labelled, selected, this.dirty].join();
    const line = this.lines.get(key);
    if (line?.shown === shown) return;
    const options = {
      price,
      color: colour(level.signal === "BREAK" ? "break" : level.signal === "BOUNCE" ? "bounce" : selected ? "text" : "level"),
      lineVisible: false, // it is drawn for as long as the level was there
      axisLabelVisible: labelled,
      title: "", // a title would stand on the chart
    };
    if (line === undefined) {
      this.lines.set(key, { line: this.series.createPriceLine(options), price, shown });
    } else {
      line.line.applyOptions(options);
      Object.assign(line, { price, shown });
    }
  }

  /** Beside the axis, so that a name never covers the chart. */
  private drawNames(labelled: ReadonlySet<string>): void {
    for (const [key, { text }] of this.names) {
      if (labelled.has(key)) continue;
      text.element.remove();
      this.names.delete(key);
    }
    for (const key of labelled) {
      const row = this.rows.get(key);
      if (row === undefined) continue;
      const { text, y } = this.name(key);
      text.show(kindsOf(row));
      y.set(`translateY(${Math.round(this.yOf(row.place))}px)`);
      setAttribute(text.element, "data-signal", row.level.signal);
      setAttribute(text.element, "data-selected", String(key === this.selectedKey));
    }
  }

  private name(key: string): Name {
    let name = this.names.get(key);
    if (name === undefined) {
      const element = this.namesPart.appendChild(make("span", {}));
      this.names.set(key, (name = { text: new TextCell(element), y: new StyleCell(element, "transform") }));
    }
    return name;
  }

  private withNearestLevels(original: { priceRange: { minValue: number; maxValue: number } | null } | null) {
    if (original?.priceRange == null || this.spot === undefined) return original;
    const spot = this.spot;
    const near = ({ price }: Line): boolean => isDrawable(price) && Math.abs(price - spot) <= Math.abs(spot) * SIGHT;
    const prices = [...new Set([...this.lines.values()].filter(near).map(({ price }) => price))].sort((a, b) => a - b);
    const inSight = [...prices.filter((each) => each <= spot).slice(-IN_SIGHT), ...prices.filter((each) => each > spot).slice(0, IN_SIGHT)];
    const { minValue, maxValue } = original.priceRange;
    return { ...original, priceRange: { minValue: Math.min(minValue, ...inSight), maxValue: Math.max(maxValue, ...inSight) } };
  }
}

function drawn(slot: Slot): SpotBar {
  return { ...slot, time: slot.time as UTCTimestamp } as SpotBar; // or a time alone, which the library takes for a gap
}
