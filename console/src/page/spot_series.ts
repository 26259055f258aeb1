/** Draws spot as a line or as candles. The library's own line bridges gaps; this one does not. */

import {
  type CustomData,
  type CustomSeriesOptions,
  type CustomSeriesWhitespaceData,
  type ICustomSeriesPaneRenderer,
  type ICustomSeriesPaneView,
  type PaneRendererCustomData,
  type PriceToCoordinateConverter,
  type UTCTimestamp,
  customSeriesDefaultOptions,
} from "lightweight-charts";

export type SpotBar = CustomData<UTCTimestamp> & { readonly open: number; readonly high: number; readonly low: number; readonly close: number };

export type SpotOptions = CustomSeriesOptions & {
  form: "line" | "candles";
  /** Two bars that are more places apart than this are not joined. */
  joined: number;
  rise: string;
  fall: string;
};

type Target = Parameters<ICustomSeriesPaneRenderer["draw"]>[0];
type Drawn = PaneRendererCustomData<UTCTimestamp, SpotBar>;

const LINE_WIDTH = 1.5;
const BODY = 0.7; // of the room of a candle

export class SpotView implements ICustomSeriesPaneView<UTCTimestamp, SpotBar, SpotOptions> {
  private drawn: Drawn | undefined;
  private options: SpotOptions | undefined;

  renderer(): ICustomSeriesPaneRenderer {
    return { draw: (target, converter) => this.draw(target, converter) };
  }

  update(drawn: Drawn, options: SpotOptions): void {
    this.drawn = drawn;
    this.options = options;
  }

  priceValueBuilder({ high, low, close }: SpotBar): number[] {
    return [high, low, close];
  }

  isWhitespace(bar: SpotBar | CustomSeriesWhitespaceData<UTCTimestamp>): bar is CustomSeriesWhitespaceData<UTCTimestamp> {
    return (bar as Partial<SpotBar>).close === undefined;
  }

  defaultOptions(): SpotOptions {
    return { ...customSeriesDefaultOptions, form: "line", joined: 1, rise: "", fall: "" };
  }

  private draw(target: Target, yOf: PriceToCoordinateConverter): void {
    const { drawn, options } = this;
    if (drawn === undefined || options === undefined || drawn.visibleRange === null) return;
    const { from, to } = drawn.visibleRange;
    const bars = drawn.bars.slice(Math.max(0, from - 1), to + 1);
    target.useMediaCoordinateSpace(({ context }) => {
      if (options.form === "line") drawLine(context, bars, yOf, options);
      else drawCandles(context, bars, yOf, options, drawn.barSpacing);
    });
  }
}

type Bars = Drawn["bars"];

function drawLine(context: CanvasRenderingContext2D, bars: Bars, yOf: PriceToCoordinateConverter, { joined, color }: SpotOptions): void {
  context.lineWidth = LINE_WIDTH;
  context.lineJoin = "round";
  context.lineCap = "round";
  context.strokeStyle = color;
  context.beginPath();
  let before = -Infinity;
  for (const { x, time: place, originalData: bar } of bars) {
    const y = yOf(bar.close) ?? 0;
    if (place - before > joined) context.moveTo(x, yOf(bar.open) ?? y); // one bar alone is a stroke, too
    context.lineTo(x, y);
    before = place;
  }
  context.stroke();
}

function drawCandles(context: CanvasRenderingContext2D, bars: Bars, yOf: PriceToCoordinateConverter, options: SpotOptions, room: number): void {
  const width = Math.max(1, Math.floor(room * BODY));
  for (const { x, originalData: bar } of bars) {
    const [open, high, low, close] = [bar.open, bar.high, bar.low, bar.close].map((price) => yOf(price) ?? 0) as [number, number, number, number];
    const left = Math.round(x - width / 2);
    const rises = bar.close >= bar.open;
    context.fillStyle = rises ? options.rise : options.fall;
    context.fillRect(Math.round(x - 0.5), high, 1, Math.max(1, low - high));
    context.fillRect(left, Math.min(open, close), width, Math.max(1, Math.abs(close - open)));
  }
}
