/**
 * Whose prices these are. The payload has `spy` and may have `es`; `spy` is a copy of `es` when Core sent only that. Core
 * does not say which of the two a level belongs to, and its prices tell: they differ by a factor of ten.
 */

import type { LevelsPayload, SpotSnapshot } from "../feed.ts";
import { placed } from "./bounds.ts";
import { readTicker } from "./flow.ts";

export type Instrument = SpotSnapshot & { readonly name: string };

export class Instruments {
  /**
   * @param main the one that most levels belong to: the page has its scale
   * @param other the second, where Core sends two
   */
  constructor(
    readonly main: Instrument,
    readonly other: Instrument | undefined,
  ) {}

  /** The one whose spot is nearest to a price, by their ratio. */
  of(price: number): Instrument {
    const { main, other } = this;
    return other !== undefined && ratio(price, other.spot) < ratio(price, main.spot) ? other : main;
  }

  /** Where a price of either stands on the scale of the main one: as far from its own spot, in per cent. */
  place(price: number): number {
    const { main } = this;
    const its = this.of(price);
    if (its === main || its.spot === null || main.spot === null) return placed(price);
    return placed((price / its.spot) * main.spot);
  }
}

/**
 * @param flow the newest option flow: the underlying of its contracts names a price that their strikes surround
 * @param before the main instrument until now: a name is kept while nothing tells another
 */
export function instruments({ spy, es, levels }: LevelsPayload, flow: Readonly<Record<string, unknown>>, before?: Instrument): Instruments {
  if (es === undefined) {
    const about = spy.spot ?? levels[levels.length >> 1]?.level_price ?? before?.spot ?? null;
    const kept = before !== undefined && ratio(about ?? 0, before.spot) < ANOTHER ? before.name : undefined;
    return new Instruments({ ...spy, name: underlying(flow, about) ?? kept ?? "SPY" }, undefined);
  }
  const future = { ...es, name: "ES" };
  if (spy.spot === es.spot && spy.bid === es.bid && spy.ask === es.ask) return new Instruments(future, undefined);
  const etf = { ...spy, name: "SPY" };
  const both = new Instruments(etf, future);
  const ofFuture = levels.filter(({ level_price: price }) => both.of(price) === future).length;
  return ofFuture * 2 > levels.length ? new Instruments(future, etf) : both;
}

/** How many times one is the other, as a logarithm without its sign; without bound where neither belongs to the other. */
function ratio(price: number, spot: number | null): number {
  const times = spot !== null && price > 0 && spot > 0 ? Math.abs(Math.log(price / spot)) : Infinity;
  return times < ANOTHER ? times : Infinity;
}

const ANOTHER = Math.log(3);

const ABOUT = 0.1; // of the price, that a strike may be away

/** The underlying of most contracts about a price; undefined where there are none. */
function underlying(flow: Readonly<Record<string, unknown>>, price: number | null): string | undefined {
  if (price === null) return undefined;
  const counts = new Map<string, number>();
  for (const ticker of Object.keys(flow)) {
    const contract = readTicker(ticker);
    if (contract === undefined || Math.abs(contract.strike - price) > price * ABOUT) continue;
    counts.set(contract.underlying, (counts.get(contract.underlying) ?? 0) + 1);
  }
  return [...counts].reduce<[string, number] | undefined>((most, each) => (most === undefined || each[1] > most[1] ? each : most), undefined)?.[0];
}
