/** What the gateway tells of the past, over HTTP. The client package has the types of frames; of `/history` the page reads these parts. */

import type { Events } from "./feed.ts";

export type { Events };
export type MarketEvent = Events["events"][number];

/** The spot of an instrument: one element a point, null where nothing was published. */
export type SpotColumns = Readonly<Record<"open" | "high" | "low" | "close", readonly (number | null)[]>>;

/** A level while it was there: its arrays begin with the point `at`. */
export type LevelColumns = {
  readonly id: string;
  readonly kind: string;
  readonly price: number;
  /** Of each point, where it moved. */
  readonly prices?: readonly (number | null)[];
  readonly at: number;
  readonly score: readonly (number | null)[];
  readonly signal: readonly (number | null)[];
};

/** The point i covers `step_ms` from `from_ms` + i · `step_ms` on, by Core's time. */
export type HistoryAnswer = {
  readonly from_ms: number;
  readonly step_ms: number;
  readonly count: number;
  readonly available_from_ms: number | null;
  readonly available_to_ms: number | null;
  readonly complete: boolean;
  readonly spy?: SpotColumns;
  readonly es?: SpotColumns;
  readonly signals?: readonly string[];
  readonly levels?: readonly LevelColumns[];
};
