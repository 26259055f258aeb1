/**
 * What the option flow came to over time, for each measure: calls against puts, or the net of both. It is filled by
 * `/history`, and grown by what the page sees.
 */

import type { History } from "../feed.ts";
import { type FlowByStrike, MEASURES, type Measure, byStrike, plus } from "./flow.ts";
import type { Sample } from "./series.ts";

const EVERY_MS = 5_000;
const MOST = 8_000; // points: an answer has 2,500 at most, and 5,000 are seen in seven hours. The oldest go
const LEAST_GAP_MS = 6 * EVERY_MS;
const GAP_STEPS = 1.5; // between points of an answer: one that is missing is a gap
const SAME_CLOCK_MS = 5_000; // Core's ts may repeat and step back a little; more than this is another clock

/** A net is null where no contract has the measure. */
export type FlowPoint = { readonly atMs: number; readonly nets: Readonly<Record<Measure, number | null>> };

export class FlowPast {
  private points: readonly FlowPoint[] = [];
  private stepMs = 0; // of the answer
  private newestMs = -Infinity; // that was seen
  private readonly samples = new Map<Measure, readonly Sample[]>();

  /** Two samples further apart than this are not joined. */
  get gapMs(): number {
    return Math.max(LEAST_GAP_MS, this.stepMs * GAP_STEPS);
  }

  /** What the page sees; of points that come too soon after one another, the first stays. */
  add(point: FlowPoint): void {
    if (!this.isDue(point.atMs)) return;
    const another = point.atMs < this.newestMs - SAME_CLOCK_MS;
    this.newestMs = point.atMs;
    this.take(another ? [point] : [...this.points.slice(1 - MOST), point]);
  }

  /** Whether a point at this time would be kept: to add up a flow costs more than to ask. */
  isDue(atMs: number): boolean {
    const last = this.points.at(-1);
    return last === undefined || atMs >= last.atMs + EVERY_MS || atMs < this.newestMs - SAME_CLOCK_MS;
  }

  /** What the gateway has of the session takes the place of what was seen of it; what came later stays. */
  fill(answer: History): void {
    const told = pointsOf(answer);
    const [first, last] = [told[0]?.atMs ?? Infinity, told.at(-1)?.atMs ?? -Infinity];
    const seen = this.points.filter(({ atMs }) => atMs >= answer.from_ms);
    this.stepMs = answer.step_ms;
    this.take([...seen.filter(({ atMs }) => atMs < first), ...told, ...seen.filter(({ atMs }) => atMs > Math.max(first, last))]);
  }

  /** Another moment is shown: what came after it is not known there. */
  cut(toMs: number): void {
    this.newestMs = Math.min(this.newestMs, toMs);
    this.take(this.points.filter(({ atMs }) => atMs <= toMs));
  }

  /** The same list until there is a new point. */
  of(measure: Measure): readonly Sample[] {
    const made = this.samples.get(measure) ?? samplesOf(this.points, measure);
    this.samples.set(measure, made);
    return made;
  }

  private take(points: readonly FlowPoint[]): void {
    this.points = points;
    this.samples.clear();
  }
}

function samplesOf(points: readonly FlowPoint[], measure: Measure): Sample[] {
  return points.flatMap(({ atMs, nets }) => {
    const value = nets[measure];
    return value === null ? [] : [{ atMs, value }];
  });
}

/** The totals of a point are those of its last message. */
function pointsOf({ from_ms, step_ms, count, available_to_ms, flow }: History): FlowPoint[] {
  if (flow === undefined) return [];
  const { call_volume, put_volume, call_premium, put_premium, net_delta, net_gamma } = flow;
  const points: FlowPoint[] = [];
  for (let point = 0; point < count; point += 1) {
    const nets = {
      volume: less(call_volume[point], put_volume[point]),
      premium: less(call_premium[point], put_premium[point]),
      delta: net_delta[point] ?? null,
      gamma: net_gamma[point] ?? null,
    };
    if (Object.values(nets).every((net) => net === null)) continue;
    points.push({ atMs: Math.min(from_ms + (point + 1) * step_ms - 1, available_to_ms ?? Infinity), nets });
  }
  return points;
}

function less(call: number | null | undefined, put: number | null | undefined): number | null {
  return call == null && put == null ? null : plus(call ?? 0, -(put ?? 0));
}

export function flowPoint(flow: Readonly<Record<string, unknown>>, atMs: number): FlowPoint {
  const nets = Object.fromEntries((Object.keys(MEASURES) as Measure[]).map((measure) => [measure, netOf(measure, byStrike(flow, measure))]));
  return { atMs, nets: nets as Record<Measure, number> };
}

/** Calls less puts, of what is counted; the sum, of what has its sign already. */
export function netOf(measure: Measure, { call, put }: { readonly call: number; readonly put: number } | FlowByStrike): number {
  return plus(call, MEASURES[measure].signed ? put : -put);
}
