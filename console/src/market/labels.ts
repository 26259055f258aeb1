/** Which labels fit beside an axis: the most important ones, none over another. */

export type Label = { readonly key: string; readonly y: number; readonly weight: number };

/**
 * The keys of the labels that fit, the heaviest first.
 *
 * @param labels in any order; of equal weight the earlier one wins
 * @param height from 0 to here a label may stand, in pixels
 * @param apart the least distance of two, in pixels
 * @param taken places that are no label's, such as that of spot
 */
export function fitting(labels: readonly Label[], height: number, apart: number, taken: readonly number[]): string[] {
  const ys = [...taken];
  const fit: string[] = [];
  for (const { key, y } of [...labels].sort((one, other) => other.weight - one.weight)) {
    if (!(y >= apart / 2 && y <= height - apart / 2) || ys.some((each) => Math.abs(each - y) < apart)) continue;
    ys.push(y);
    fit.push(key);
  }
  return fit;
}
