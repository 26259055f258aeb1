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
import type { LevelSignal, LevelsPayload } from "../feed.ts";
import { isDrawable, placed } from "../market/bounds.ts";
import { newYork } from "../market/clock.ts";
import type { Instruments } from "../market/instruments.ts";
import { type Change, type Point, SpotHistory } from "../market/history.ts";
import { spaced } from "../market/words.ts";
import { setAttribute } from "./cells.ts";
import { keyed } from "./ladder.ts";
import { colour } from "./theme.ts";

const LABELLED = 6; // levels nearest to spot whose price stands on the axis
const IN_SIGHT = 2; // levels on each side that the scale makes room for
const SIGHT = 0.05; // of spot, that such a level may be away
const MARKS = 200;
const DRAW_EVERY_MS = 500;

type Line = { line: IPriceLine; price: number; shown: string };

export class SpotChart {
  private readonly chart;
  private readonly series;
  private readonly marks;
  private history = new SpotHistory();
  private instruments: Instruments | undefined;
  private readonly lines = new Map<string, Line>();
  private newest: LevelsPayload | undefined;
  private marked: { time: UTCTimestamp; signal: string }[] = [];
  private spot: number | undefined;
  private selectedKey: string | undefined;
  private dirty = "";
  private due: Change = "none";
  private drawing: ReturnType<typeof setTimeout> | undefined;
  private drawnMs = -Infinity;
  private drawnTo = 0; // the time of the last point

  constructor(private readonly element: HTMLElement) {
    this.chart = createChart(element, {
      autoSize: true,
      layout: { attributionLogo: false, fontSize: 11 }, // the page has the link: the logo brings an inline style
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
  }

  /** Takes note of every payload, and draws twice a second at most: to draw is most of what the page costs. */
  show(payload: LevelsPayload, instruments: Instruments): void {
    const { name, spot } = instruments.main;
    if (name !== this.instruments?.main.name) this.begin();
    this.newest = payload;
    this.instruments = instruments;
    this.spot = spot === null ? this.spot : placed(spot);
    const change = spot === null ? "none" : this.history.add(payload.ts, spot);
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
    setAttribute(this.element, "data-drawn", String(this.newest?.ts));
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
    const grid = { color: colour("grid") };
    this.chart.applyOptions({
      layout: {
        background: { type: ColorType.Solid, color: colour("panel") },
        textColor: colour("dim"),
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
    if (this.newest === undefined) return;
    const levels = keyed(this.newest.levels);
    for (const [key, { line }] of this.lines) {
      if (levels.has(key)) continue;
      this.series.removePriceLine(line);
      this.lines.delete(key);
    }
    const labelled = this.nearest(levels);
    for (const [key, level] of levels) this.drawLevel(key, level, labelled.has(key));
  }

  private drawLevel(key: string, level: LevelSignal, labelled: boolean): void {
    const selected = key === this.selectedKey;
    const calls = level.signal !== "NO_TRADE";
    const price = this.instruments?.place(level.level_price) ?? 0;
    const shown = [price, level.signal, labelled, selected, this.dirty].join();
    const line = this.lines.get(key);
    if (line?.shown === shown) return;
    const options = {
      price,
      color: colour(level.signal === "BREAK" ? "break" : level.signal === "BOUNCE" ? "bounce" : selected ? "text" : "level"),
      lineWidth: (selected ? 2 : 1) as 1 | 2,
      lineStyle: calls || selected ? LineStyle.Solid : LineStyle.Dashed,
      axisLabelVisible: labelled || selected || calls,
      title: labelled || selected || calls ? spaced(level.level_kind_name) : "",
    };
    if (line === undefined) {
      this.lines.set(key, { line: this.series.createPriceLine(options), price, shown });
    } else {
      line.line.applyOptions(options);
      Object.assign(line, { price, shown });
    }
  }

  private nearest(levels: ReadonlyMap<string, LevelSignal>): Set<string> {
    const spot = this.spot ?? 0;
    const away = ([, level]: [string, LevelSignal]): number => Math.abs((this.instruments?.place(level.level_price) ?? 0) - spot);
    const byDistance = [...levels].sort((one, other) => away(one) - away(other));
    const prices = new Set<number>();
    const labelled = new Set<string>();
    for (const [key, { level_price: price }] of byDistance) {
      if (labelled.size === LABELLED) break;
      if (!prices.has(price)) labelled.add(key); // levels of one price would cover one another's label
      prices.add(price);
    }
    return labelled;
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
