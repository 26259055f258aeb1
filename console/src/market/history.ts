/** Spot over time, one point a second of Core's clock, bounded. */

import { isDrawable } from "./bounds.ts";

export type Point = { readonly time: number; readonly value: number };
export type Change = "point" | "all" | "none";

const LONGEST_S = 8 * 3600;
const SAME_CLOCK_S = 5; // Core's ts may repeat and step back a little; more than this is another clock

export class SpotHistory {
  points: Point[] = [];

  /** Record a spot; returns the part of the chart that has to be drawn again. */
  add(tsMs: number, spot: number): Change {
    if (!isDrawable(spot)) return "none"; // it would flatten all others
    const time = Math.floor(tsMs / 1000);
    const last = this.points.at(-1);
    if (last === undefined || last.time - time > SAME_CLOCK_S) {
      this.points = [{ time, value: spot }];
      return "all";
    }
    if (time <= last.time) {
      if (last.value === spot) return "none";
      this.points[this.points.length - 1] = { time: last.time, value: spot };
      return "point";
    }
    this.points.push({ time, value: spot });
    if (this.points.length <= LONGEST_S) return "point";
    this.points = this.points.slice(LONGEST_S / 4);
    return "all";
  }
}
