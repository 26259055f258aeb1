/**
 * Where prices and the rows of their levels stand on the ladder, in pixels.
 *
 * The axis is fixed: a level stays where it is while spot moves, and is moved only when its own price or the scale
 * changes. Rows keep a distance of one pitch, so where levels crowd, a row stands beside its price, never out of order.
 */

export type Axis = {
  /** The price at y = 0. */
  readonly anchor: number;
  readonly pixelsPerPoint: number;
};

export function yOf(axis: Axis, price: number): number {
  return (axis.anchor - price) * axis.pixelsPerPoint;
}

/**
 * As many pixels a point as show most levels within `reach` of spot, and no fewer than keep the rows near their prices.
 *
 * @param prices of the levels, in any order
 * @param reach pixels from the middle to the edge
 * @param pitch pixels from row to row
 */
export function pixelsPerPoint(prices: readonly number[], spot: number, reach: number, pitch: number): number {
  const distances = prices.map((price) => Math.abs(price - spot)).sort((a, b) => a - b);
  const near = Math.max(MIN_DISTANCE, distances[Math.floor((distances.length - 1) * MOST)] ?? MIN_DISTANCE);
  const crowded = (pitch * distances.length * MOST) / (2 * near);
  return Math.max(reach / near, Math.min(crowded, MAX_STRETCH * (reach / near)));
}

const MOST = 0.8; // one level in five may stand outside
const MIN_DISTANCE = 0.5; // points
const MAX_STRETCH = 4;

/** Whether a scale in use may stay although another would now be chosen: nothing moves for a small gain. */
export function nearEnough(used: number, chosen: number): boolean {
  return used / chosen < 1.6 && chosen / used < 1.6;
}

/**
 * The middle of each row: as near to its price as a distance of `pitch` between neighbours allows.
 *
 * @param wanted the y of each price, rising
 * @param from, to levels further out are stacked at these ends, in order
 */
export function spread(wanted: readonly number[], pitch: number, from: number, to: number): number[] {
  const inside = wanted.filter((y) => y >= from && y <= to);
  const above = wanted.filter((y) => y < from).length;
  const rows = pooled(inside, pitch);
  const first = Math.min(from, rows[0] ?? to);
  const last = Math.max(to, rows.at(-1) ?? from);
  const below = wanted.length - above - rows.length;
  return [
    ...Array.from({ length: above }, (_, index) => Math.round(first - (above - index) * pitch)),
    ...rows,
    ...Array.from({ length: below }, (_, index) => Math.round(last + (index + 1) * pitch)),
  ];
}

/** Isotonic regression by pooling adjacent violators: least squares to `wanted` under the distance. */
function pooled(wanted: readonly number[], pitch: number): number[] {
  const pools: { sum: number; count: number }[] = [];
  wanted.forEach((y, index) => {
    pools.push({ sum: y - index * pitch, count: 1 });
    for (let last = pools.at(-1), before = pools.at(-2); last && before; last = pools.at(-1), before = pools.at(-2)) {
      if (before.sum / before.count <= last.sum / last.count) break;
      pools.splice(-2, 2, { sum: before.sum + last.sum, count: before.count + last.count });
    }
  });
  const rows: number[] = [];
  for (const { sum, count } of pools) {
    for (let each = 0; each < count; each += 1) rows.push(Math.round(sum / count + rows.length * pitch));
  }
  return rows;
}

/** Round prices for the axis: at least `apart` pixels from one to the next, from `low` to `high`. */
export function ticks(axis: Axis, low: number, high: number, apart: number): { prices: number[]; decimals: number } {
  const step = STEPS.find((each) => each * axis.pixelsPerPoint >= apart) ?? powerOfTen(apart / axis.pixelsPerPoint);
  const first = Math.ceil(low / step);
  const count = Math.min(MOST_TICKS, Math.max(0, Math.floor(high / step) - first + 1));
  return { prices: Array.from({ length: count }, (_, index) => (first + index) * step), decimals: step < 1 ? 2 : 0 };
}

const STEPS = [0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 25, 50, 100, 250];
const MOST_TICKS = 400;

/** The least that is no less. */
function powerOfTen(than: number): number {
  return 10 ** Math.ceil(Math.log10(than));
}
