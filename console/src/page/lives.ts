/** Draws levels across the chart for as long as they were there, and a mark where a signal flipped. */

import type { IPrimitivePaneRenderer, IPrimitivePaneView, ISeriesPrimitive, SeriesAttachedParameter, Time } from "lightweight-charts";
import type { Run } from "../market/session.ts";

export type DrawnLife = {
  readonly runs: readonly Run[];
  /** Drawn to the right edge: it is there now. */
  readonly isThere: boolean;
  readonly isSelected: boolean;
};

export type Mark = { readonly time: number; readonly price: number; readonly signal: string };

/** Where the chart has a moment and a price; undefined outside. */
export type Places = {
  readonly xOf: (time: number) => number;
  readonly yOf: (price: number) => number;
  readonly width: number;
};

/** Colours of the style sheet. */
export type Colours = Readonly<Record<"break" | "bounce" | "level" | "text" | "panel", string>>;

type Target = Parameters<IPrimitivePaneRenderer["draw"]>[0];

const DASH = [4, 4];
const GONE = 0.45; // how visible a level is that is no longer sent
const RADIUS = 3.5;

export class Lives implements ISeriesPrimitive<Time> {
  private lives: readonly DrawnLife[] = [];
  private marks: readonly Mark[] = [];
  /** As the theme has them now; reading them forces the styles of the whole page. */
  colours: Colours | undefined;
  private requestUpdate: (() => void) | undefined;
  private readonly views: readonly IPrimitivePaneView[] = [
    { zOrder: () => "bottom", renderer: () => ({ draw: (target) => this.draw(target, (...drawn) => this.drawLives(...drawn)) }) },
    { zOrder: () => "top", renderer: () => ({ draw: (target) => this.draw(target, (...drawn) => this.drawMarks(...drawn)) }) },
  ];

  /** @param places undefined while the chart has no bar */
  constructor(private readonly places: () => Places | undefined) {}

  show(lives: readonly DrawnLife[], marks: readonly Mark[]): void {
    this.lives = lives;
    this.marks = marks;
    this.requestUpdate?.();
  }

  attached({ requestUpdate }: SeriesAttachedParameter<Time>): void {
    this.requestUpdate = requestUpdate;
  }

  paneViews(): readonly IPrimitivePaneView[] {
    return this.views;
  }

  private draw(target: Target, what: (context: CanvasRenderingContext2D, places: Places, colours: Colours) => void): void {
    const [places, { colours }] = [this.places(), this];
    if (places !== undefined && colours !== undefined) target.useMediaCoordinateSpace(({ context }) => what(context, places, colours));
  }

  private drawLives(context: CanvasRenderingContext2D, { xOf, yOf, width }: Places, colours: Colours): void {
    for (const { runs, isThere, isSelected } of this.lives) {
      context.globalAlpha = isThere ? 1 : GONE;
      runs.forEach(({ from, to, price, signal }, index) => {
        const [left, right] = [xOf(from), isThere && index === runs.length - 1 ? width : xOf(to)];
        const y = Math.round(yOf(price)) + 0.5;
        if (right < 0 || left > width || !(Math.abs(y) < 1e5)) return;
        const calls = signal === "BREAK" || signal === "BOUNCE";
        context.strokeStyle = signal === "BREAK" ? colours.break : signal === "BOUNCE" ? colours.bounce : isSelected ? colours.text : colours.level;
        context.lineWidth = calls || isSelected ? 2 : 1;
        context.setLineDash(calls || isSelected ? [] : DASH);
        context.beginPath();
        context.moveTo(Math.max(0, left), y);
        context.lineTo(Math.min(width, Math.max(right, left + 1)), y);
        context.stroke();
      });
    }
    context.setLineDash([]);
    context.globalAlpha = 1;
  }

  private drawMarks(context: CanvasRenderingContext2D, { xOf, yOf, width }: Places, colours: Colours): void {
    for (const { time, price, signal } of this.marks) {
      const [x, y] = [xOf(time), yOf(price)];
      if (x < 0 || x > width || !(Math.abs(y) < 1e5)) continue;
      context.beginPath();
      context.arc(x, y, RADIUS, 0, 2 * Math.PI);
      context.fillStyle = signal === "BREAK" ? colours.break : colours.bounce;
      context.fill();
      context.lineWidth = 1;
      context.strokeStyle = colours.panel;
      context.stroke();
    }
  }
}
