/** A number over time, bounded. Where it comes from is the caller's: what the page saw, or a history that it asked for. */

export type Sample = { readonly atMs: number; readonly value: number };

/** Core's clock may repeat and step back a little; more than this is another clock. */
const SAME_CLOCK_MS = 5_000;

export class Series {
  private kept: Sample[] = [];

  /**
   * @param everyMs one sample at most in this time: within it the first stays
   * @param most samples; the oldest ones go
   */
  constructor(
    private readonly everyMs: number,
    private readonly most: number,
  ) {}

  get samples(): readonly Sample[] {
    return this.kept;
  }

  /** Returns whether the samples are others than before. */
  add(sample: Sample): boolean {
    const last = this.kept.at(-1);
    if (last !== undefined && sample.atMs < last.atMs - SAME_CLOCK_MS) this.kept = [];
    else if (last !== undefined && sample.atMs < last.atMs + this.everyMs) return false;
    this.kept = [...this.kept.slice(1 - this.most), sample];
    return true;
  }

  /** What another knows of the same time; of samples that come too soon after one another, what is there already stays. */
  fill(samples: readonly Sample[]): void {
    const fitting = samples.filter(({ atMs }) => this.kept.every((each) => Math.abs(each.atMs - atMs) >= this.everyMs));
    if (fitting.length === 0) return;
    this.kept = [...this.kept, ...fitting].sort((one, other) => one.atMs - other.atMs).slice(-this.most);
  }

  /** The last value before a moment; undefined where none is as old. */
  before(atMs: number): number | undefined {
    return this.kept.findLast((sample) => sample.atMs <= atMs)?.value;
  }
}

/**
 * A line through samples as the path of an SVG; the newest stands at the right edge. Gaps are gaps.
 *
 * @param spanMs from the left edge to the right
 * @param gapMs two samples further apart are not joined
 * @param leastRange values that differ by no more than this look flat
 */
export function sparkline(samples: readonly Sample[], size: Size, spanMs: number, gapMs: number, leastRange: number): string {
  const endMs = samples.at(-1)?.atMs ?? 0;
  const shown = samples.filter(({ atMs }) => atMs >= endMs - spanMs);
  return pathOf(shown, size, spanMs, gapMs, rangeOf(shown, leastRange));
}

type Size = { readonly width: number; readonly height: number };
export type Range = { readonly low: number; readonly high: number };

/** From the least sample to the greatest; with 0, where that is no further away than they are apart. */
export function rangeWithZero(samples: readonly Sample[]): Range {
  const { low, high } = rangeOf(samples, 0);
  const flat = Math.max(1, Math.abs(low)) / 5;
  if (high - low < flat * 1e-6) return rangeOf(samples, flat);
  const [least, greatest] = [Math.min(0, low), Math.max(0, high)];
  return greatest - least <= 2 * (high - low) ? { low: least, high: greatest } : { low, high };
}

/** A line through all samples as the path of an SVG; the newest stands at the right edge. */
export function pathOf(samples: readonly Sample[], size: Size, spanMs: number, gapMs: number, { low, high }: Range): string {
  const endMs = samples.at(-1)?.atMs ?? 0;
  let path = "";
  let beforeMs = -Infinity;
  for (const { atMs, value } of samples) {
    const x = size.width * (1 - (endMs - atMs) / spanMs);
    const y = 1 + (size.height - 2) * ((high - within(value)) / (high - low));
    path += `${atMs - beforeMs > gapMs ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}`;
    beforeMs = atMs;
  }
  return path;
}

function rangeOf(samples: readonly Sample[], leastRange: number): Range {
  let [low, high] = [Infinity, -Infinity];
  for (const { value } of samples) [low, high] = [Math.min(low, within(value)), Math.max(high, within(value))];
  const least = Math.max(leastRange, Math.max(Math.abs(low), Math.abs(high)) * 1e-9); // less is lost in so large numbers
  const wider = Math.max(0, least - (high - low)) / 2;
  return { low: low - wider, high: high + wider };
}

const FURTHEST = 1e300; // the difference of two is still a number

function within(value: number): number {
  return Math.max(-FURTHEST, Math.min(FURTHEST, value));
}
