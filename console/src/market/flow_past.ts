/** What the option flow came to over time, for each measure: calls against puts, or the net of both. */

import { type FlowByStrike, MEASURES, type Measure, byStrike, plus } from "./flow.ts";
import { type Sample, Series } from "./series.ts";

const EVERY_MS = 5_000;
const SAMPLES = 1_440; // two hours

export const FLOW_GAP_MS = 6 * EVERY_MS;

export type FlowPoint = { readonly atMs: number; readonly nets: Readonly<Record<Measure, number>> };

export class FlowPast {
  private readonly kept = Object.fromEntries(Object.keys(MEASURES).map((measure) => [measure, new Series(EVERY_MS, SAMPLES)])) as Record<Measure, Series>;

  add({ atMs, nets }: FlowPoint): void {
    for (const [measure, series] of Object.entries(this.kept) as [Measure, Series][]) series.add({ atMs, value: nets[measure] });
  }

  /** Whether a point at this time would be kept: to add up a flow costs more than to ask. */
  isDue(atMs: number): boolean {
    const last = this.kept.volume.samples.at(-1);
    return last === undefined || Math.abs(atMs - last.atMs) >= EVERY_MS;
  }

  of(measure: Measure): readonly Sample[] {
    return this.kept[measure].samples;
  }
}

export function flowPoint(flow: Readonly<Record<string, unknown>>, atMs: number): FlowPoint {
  const nets = Object.fromEntries((Object.keys(MEASURES) as Measure[]).map((measure) => [measure, netOf(measure, byStrike(flow, measure))]));
  return { atMs, nets: nets as Record<Measure, number> };
}

/** Calls less puts, of what is counted; the sum, of what has its sign already. */
export function netOf(measure: Measure, { call, put }: { readonly call: number; readonly put: number } | FlowByStrike): number {
  return plus(call, MEASURES[measure].signed ? put : -put);
}
