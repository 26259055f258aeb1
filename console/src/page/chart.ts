/** Spot over time, and the levels across it. */

import {
  ColorType,
  CrosshairMode,
  type IPriceLine,
  LineSeries,
  LineStyle,
  type UTCTimestamp,
  createChart,
  createSeriesMarkers,
} from "lightweight-charts";
import { isDrawable, placed } from "../market/bounds.ts";
import type { Row } from "../market/choice.ts";
import { newYork } from "../market/clock.ts";
import type { Instruments } from "../market/instruments.ts";
import { type Change, type Point, SpotHistory } from "../market/history.ts";
import { type Label, fitting } from "../market/labels.ts";
import { StyleCell, TextCell, make, setAttribute } from "./cells.ts";
import { unit } from "./density.ts";
import { kindsOf } from "./level_row.ts";
import { colour } from "./theme.ts";

const APART = 15; // units from label to label, as high as one is
const TEXT = 11; // units
const IN_SIGHT = 2; // levels on each side that the scale makes room for
const SIGHT = 0.05; // of spot, that such a level may be away
const MARKS = 200;
const DRAW_EVERY_MS = 500;

type Line = { line: IPriceLine; price: number; shown: string };
type Name = { readonly text: TextCell; readonly y: StyleCell };

export class SpotChart {
  private readonly chart;
  private readonly series;
  private readonly marks;
  private history = new SpotHistory();
  private instrument = "";
  private readonly lines = new Map<string, Line>();
  private readonly names = new Map<string, Name>();
  private readonly plot = make("div", { class: "plot" });
  private readonly namesPart = make("div", { class: "names", "aria-hidden": "true" });
  private rows: ReadonlyMap<string, Row> = new Map();
  private newestMs = 0;
  private marked: { time: UTCTimestamp; signal: string }[] = [];
  private spot: number | undefined;
  private selectedKey: string | undefined;
  private dirty = "";
  private unit = 1; // as last read: reading it forces the styles of the whole page
  private moved = 0; // the frame in which the names follow a scale that was moved
  private due: Change = "none";
  private drawing: ReturnType<typeof setTimeout> | undefined;
  private drawnMs = -Infinity;
  private drawnTo = 0; // the time of the last point

  constructor(private readonly element: HTMLElement) {
    element.append(this.plot, this.namesPart);
    this.chart = createChart(this.plot, {
      autoSize: true,
      layout: { attributionLogo: false, fontSize: TEXT }, // the page has the link: the logo brings an inline style
      localization: { timeFormatter: (time: UTCTimestamp) => newYork(time * 1000).time },
      timeScale: {
        timeVisible: true,
        secondsVisible: true,
        rightOffset: 4,
        tickMarkFormatter: (time: UTCTimestamp) => newYork(time * 1000).time.slice(0, time % 60 === 0 ? 5 : 8),
      },
      crosshair: { mode: CrosshairMode.Normal },
      rightPriceScale: { borderVisible: false },
    });
    this.series = this.chart.addSeries(LineSeries, {
      lineWidth: 2,
      priceLineVisible: true,
      lastValueVisible: true,
      autoscaleInfoProvider: (original: () => { priceRange: { minValue: number; maxValue: number } | null } | null) =>
        this.withNearestLevels(original()),
    });
    this.marks = createSeriesMarkers(this.series, []);
    this.restyle();
    new ResizeObserver(() => this.restyle()).observe(element);
    this.chart.timeScale().subscribeVisibleLogicalRangeChange(() => this.follow());
  }

  private follow(): void {
    if (this.moved !== 0) return;
    this.moved = requestAnimationFrame(() => {
      this.moved = 0;
      this.drawLevels();
    });
  }

  /** Takes note of every payload, and draws twice a second at most: to draw is most of what the page costs. */
  show(tsMs: number, rows: ReadonlyMap<string, Row>, { main: { name, spot } }: Instruments): void {
    if (name !== this.instrument) this.begin();
    this.newestMs = tsMs;
    this.rows = rows;
    this.instrument = name;
    this.spot = spot === null ? this.spot : placed(spot);
    const change = spot === null ? "none" : this.history.add(tsMs, spot);
    if (change === "all" || this.due === "none") this.due = change;
    this.drawing ??= setTimeout(() => this.draw(), Math.max(0, this.drawnMs + DRAW_EVERY_MS - performance.now()));
  }

  /** Another instrument: its prices and those before are no line. */
  private begin(): void {
    this.history = new SpotHistory();
    this.spot = undefined;
    this.due = "all";
  }

  private draw(): void {
    this.drawing = undefined;
    this.drawnMs = performance.now();
    this.drawLevels();
    if (this.due === "all") {
      this.marked = [];
      this.marks.setMarkers([]);
      this.series.setData(this.history.points.map(drawn));
    } else if (this.due === "point") {
      const from = this.history.points.findLastIndex(({ time }) => time <= this.drawnTo);
      for (const point of this.history.points.slice(Math.max(0, from))) this.series.update(drawn(point));
    }
    this.due = "none";
    this.drawnTo = this.history.points.at(-1)?.time ?? 0;
    setAttribute(this.element, "data-drawn", String(this.newestMs));
    setAttribute(this.element, "data-points", String(this.history.points.length));
  }

  /** Signals flipped: a mark on spot at that moment for each. */
  mark(signals: readonly string[]): void {
    const last = this.history.points.at(-1);
    const calls = signals.filter((signal) => signal !== "NO_TRADE");
    if (last === undefined || calls.length === 0) return;
    this.marked = [...this.marked, ...calls.map((signal) => ({ time: last.time as UTCTimestamp, signal }))].slice(-MARKS);
    this.drawMarks();
  }

  select(key: string | undefined): void {
    this.selectedKey = key;
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
    this.series.applyOptions({ color: colour("spot") });
    this.dirty = `${performance.now()}`;
    this.drawLevels();
    this.drawMarks();
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
    const calls = level.signal !== "NO_TRADE";
    const shown = [price, level.signal, labelled, selected, this.dirty].join();
    const line = this.lines.get(key);
    if (line?.shown === shown) return;
    const options = {
      price,
      color: colour(level.signal === "BREAK" ? "break" : level.signal === "BOUNCE" ? "bounce" : selected ? "text" : "level"),
      lineWidth: (selected ? 2 : 1) as 1 | 2,
      lineStyle: calls || selected ? LineStyle.Solid : LineStyle.Dashed,
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

  private drawMarks(): void {
    this.marks.setMarkers(
      this.marked.map(({ time, signal }) => ({
        time,
        position: "inBar" as const,
        shape: "circle" as const,
        color: colour(signal === "BREAK" ? "break" : "bounce"),
      })),
    );
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

function drawn({ time, value }: Point): { time: UTCTimestamp; value: number } {
  return { time: time as UTCTimestamp, value };
}
