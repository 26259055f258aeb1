/** Option flow by strike: what the tickers say, added up over expirations. */

export type Side = "call" | "put";
export type Contract = { readonly underlying: string; readonly side: Side; readonly strike: number };

/** An underlying, six digits of expiration, C or P, the strike in thousandths: O:ES251216C06895000. */
const LONGEST_TICKER = 40;
const TICKER = /^(?:O:)?([A-Z0-9.]*)\d{6}([CP])(\d{8})$/;

/** Remembered: a chain of 500 comes four times a second. */
export function readTicker(ticker: string): Contract | undefined {
  if (!known.has(ticker)) {
    if (known.size >= KNOWN_TICKERS) known.clear();
    known.set(ticker, read(ticker));
  }
  return known.get(ticker);
}

const KNOWN_TICKERS = 5_000;
const known = new Map<string, Contract | undefined>();

function read(ticker: string): Contract | undefined {
  if (ticker.length > LONGEST_TICKER) return undefined;
  const match = TICKER.exec(ticker);
  if (match === null) return undefined;
  return { underlying: match[1] ?? "", side: match[2] === "C" ? "call" : "put", strike: Number(match[3]) / 1000 };
}

/** What of a contract can be compared by strike. The field is Core's; an unknown contract may lack it. */
export const MEASURES = {
  volume: { field: "cumulative_volume", name: "Volume", unit: "contracts", signed: false },
  premium: { field: "cumulative_premium", name: "Premium", unit: "dollars", signed: false },
  delta: { field: "net_delta_flow", name: "Net delta", unit: "delta, calls bought above 0", signed: true },
  gamma: { field: "net_gamma_flow", name: "Net gamma", unit: "gamma", signed: true },
} as const;
export type Measure = keyof typeof MEASURES;

/** What was kept, whatever it is. */
export function readMeasure(text: string | null): Measure {
  return text !== null && Object.hasOwn(MEASURES, text) ? (text as Measure) : "volume";
}

export type Strike = { readonly strike: number; readonly call: number; readonly put: number };
export type FlowByStrike = {
  /** Highest strike first. */
  readonly strikes: readonly Strike[];
  readonly call: number;
  readonly put: number;
};

export function byStrike(flow: Readonly<Record<string, unknown>>, measure: Measure): FlowByStrike {
  const { field } = MEASURES[measure];
  const rows = new Map<number, { strike: number; call: number; put: number }>();
  const total = { call: 0, put: 0 };
  for (const [ticker, numbers] of Object.entries(flow)) {
    const contract = readTicker(ticker);
    const amount = (numbers as Record<string, unknown> | null)?.[field];
    if (contract === undefined || typeof amount !== "number" || !Number.isFinite(amount)) continue;
    let row = rows.get(contract.strike);
    if (row === undefined) rows.set(contract.strike, (row = { strike: contract.strike, call: 0, put: 0 }));
    row[contract.side] = plus(row[contract.side], amount);
    total[contract.side] = plus(total[contract.side], amount);
  }
  return { strikes: [...rows.values()].sort((a, b) => b.strike - a.strike), ...total };
}

/** The row at which a price stands among strikes, the highest first: 1.5 is midway between the second and the third. */
export function rowOf(strikes: readonly { readonly strike: number }[], price: number): number {
  const above = strikes.filter(({ strike }) => strike > price).length;
  const [higher, lower] = [strikes[above - 1]?.strike, strikes[above]?.strike];
  if (lower === price) return above;
  if (higher === undefined || lower === undefined) return above - 0.5;
  return above - 1 + (higher - price) / (higher - lower);
}

/**
 * The price at which the sum of all strikes below changes its sign, the change that is nearest to spot; undefined where it
 * never does.
 *
 * @param strikes the highest first
 */
export function flip(strikes: readonly Strike[], spot: number): number | undefined {
  let sum = 0;
  let [below, belowStrike] = [0, NaN]; // the last sum that was not 0
  let nearest: number | undefined;
  for (const { strike, call, put } of strikes.toReversed()) {
    sum = plus(sum, plus(call, put));
    if ((below < 0 && sum > 0) || (below > 0 && sum < 0)) {
      const price = belowStrike + (strike - belowStrike) / (1 + Math.abs(sum / below));
      if (nearest === undefined || Math.abs(price - spot) < Math.abs(nearest - spot)) nearest = price;
    }
    if (sum !== 0) [below, belowStrike] = [sum, strike];
  }
  return nearest;
}

/** Two amounts of Core may be finite and their sum not. */
export function plus(one: number, other: number): number {
  return Math.max(-Number.MAX_VALUE, Math.min(Number.MAX_VALUE, one + other));
}
