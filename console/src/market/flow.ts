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
  volume: { field: "cumulative_volume", name: "Volume", unit: "contracts" },
  premium: { field: "cumulative_premium", name: "Premium", unit: "dollars" },
  delta: { field: "net_delta_flow", name: "Net delta", unit: "delta, calls bought above 0" },
  gamma: { field: "net_gamma_flow", name: "Net gamma", unit: "gamma" },
} as const;
export type Measure = keyof typeof MEASURES;

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
    row[contract.side] = sum(row[contract.side], amount);
    total[contract.side] = sum(total[contract.side], amount);
  }
  return { strikes: [...rows.values()].sort((a, b) => b.strike - a.strike), ...total };
}

/** Two amounts of Core may be finite and their sum not. */
function sum(one: number, other: number): number {
  return Math.max(-Number.MAX_VALUE, Math.min(Number.MAX_VALUE, one + other));
}
