/** One level on the ladder: made once, then only what changed is written. */

import type { LevelSignal } from "../feed.ts";
import type { Row } from "../market/choice.ts";
import { type LevelPast, SPARK_GAP_MS, SPARK_SPAN_MS } from "../market/level_past.ts";
import { disagrees } from "../market/model.ts";
import { type Sample, sparkline } from "../market/series.ts";
import { newYork } from "../market/clock.ts";
import { fixed, percent, plain, price, signed, spaced } from "../market/words.ts";
import { StyleCell, TextCell, flash, make, makeSvg, setAttribute } from "./cells.ts";

// Maps: a name of Core may be `constructor`, which every object has.
const SIDE: ReadonlyMap<string, readonly [string, string, string]> = new Map([
  ["UP", ["▲", "RES", "resistance"]],
  ["DOWN", ["▼", "SUP", "support"]],
]);
const CONFIDENCE: ReadonlyMap<string, string> = new Map([["MEDIUM", "MED"]]);
const CONFLUENCE: ReadonlyMap<string, string> = new Map([
  ["ULTRA_PREMIUM", "ULTRA"],
  ["CONSOLIDATION", "CONSOL"],
  ["UNDEFINED", "–"],
]);

const SPARK = { width: 60, height: 16 };
const SCORE_RANGE = 20; // points of the score that fill a sparkline, at least
const RISING = 5; // points of the score in a minute

/** How much a row is worth a look. */
export type Look = {
  /** Among those to look at first, from 1; 0 for all others. */
  readonly rank: number;
  /** Whether its sweep has just begun. */
  readonly newSweep: boolean;
};

export class LevelRow {
  readonly element = make("div", { class: "row", role: "option", "aria-selected": "false" });
  private readonly words = new TextCell(this.element.appendChild(make("span", { class: "hidden" })));
  private readonly rank = this.cell("rank");
  private readonly pin = this.cell("pin");
  private readonly price = this.cell("price");
  private readonly kind = this.cell("kind");
  private readonly arrow: TextCell;
  private readonly side: TextCell;
  private readonly distance = this.cell("distance");
  private readonly score = this.cell("score");
  private readonly spark = makeSvg("path", {});
  private readonly signal = this.cell("signal");
  private readonly since = this.cell("since");
  private readonly confidence: TextCell;
  private readonly confluence = this.cell("confluence");
  private readonly pBreak: TextCell;
  private readonly pBounce: TextCell;
  private readonly differs = this.cell("differs");
  private readonly tradeable = this.cell("tradeable");
  private readonly sample = this.cell("sample");
  private readonly sweep = this.cell("sweep");
  // Each on the one element that has it: on the row, it would be looked up again for every cell.
  private readonly balance = make("span", { class: "balance" });
  private readonly scoreWidth = new StyleCell(this.score.element, "--score");
  private readonly breakWidth = new StyleCell(this.balance, "--p-break");
  private readonly bounceWidth = new StyleCell(this.balance, "--p-bounce");
  private readonly y = new StyleCell(this.element, "transform");
  private shownSignal: string | undefined;
  private swept: boolean | undefined;
  private drawn: readonly Sample[] | undefined;

  constructor(id: string) {
    this.element.id = id;
    const [left, right] = [make("span", { class: "left" }), make("span", { class: "right" })];
    this.compound("model").append(left, this.balance, right);
    this.pBreak = new TextCell(left);
    this.pBounce = new TextCell(right);
    const side = this.compound("side");
    this.arrow = new TextCell(side.appendChild(make("span", {})));
    side.append(" ");
    this.side = new TextCell(side.appendChild(make("span", { class: "word" })));
    this.confidence = new TextCell(this.compound("confidence").appendChild(make("span", { class: "word" })));
    const svg = makeSvg("svg", { viewBox: `0 0 ${SPARK.width} ${SPARK.height}`, preserveAspectRatio: "none" });
    svg.append(this.spark);
    this.compound("spark").append(svg);
  }

  /** The row says so when its signal flips or a sweep begins. */
  show(row: Row, past: LevelPast | undefined, look: Look): void {
    const { level, distance } = row;
    this.price.show(price(level.level_price));
    this.kind.show(kindsOf(row));
    this.pin.show(row.pinned ? "★" : "");
    const [arrow, side] = SIDE.get(level.direction) ?? ["", spaced(level.direction)];
    this.arrow.show(arrow);
    this.side.show(side);
    setAttribute(this.element, "data-side", level.direction);
    this.distance.show(signed(distance, 2));
    this.score.show(fixed(level.break_score_smooth, 0));
    this.scoreWidth.set(share(level.break_score_smooth / 100));
    this.confidence.show(CONFIDENCE.get(level.confidence) ?? spaced(level.confidence));
    setAttribute(this.element, "data-confidence", level.confidence);
    this.confluence.show(confluence(level));
    this.showModel(level);
    this.showSignal(level);
    this.showSweep(level);
    this.rank.show(look.rank === 0 ? "" : `${look.rank}`);
    setAttribute(this.element, "data-rank", look.rank === 0 ? (row.pinned ? "kept" : "quiet") : `${look.rank}`);
    setAttribute(this.element, "data-sweep", look.newSweep ? "new" : "old");
    if (past !== undefined) this.showPast(past);
    this.words.show(inWords(row, past, look));
  }

  private showPast({ scores, rise, signalSince }: LevelPast): void {
    this.since.show((signalSince.exact ? "" : "≤") + newYork(signalSince.atMs).time.slice(0, 5));
    setAttribute(this.element, "data-trend", trend(rise));
    if (this.drawn === scores) return;
    this.drawn = scores;
    setAttribute(this.spark, "d", sparkline(scores, SPARK, SPARK_SPAN_MS, SPARK_GAP_MS, SCORE_RANGE));
  }

  moveTo(y: number): void {
    this.y.set(`translateY(${y}px)`);
  }

  private showModel(level: LevelSignal): void {
    const { ml_predictions: model } = level;
    this.differs.show(disagrees(level) ? "≠" : "");
    this.tradeable.show(percent(model?.p_tradeable_2));
    setAttribute(this.element, "data-model", model === undefined ? "none" : "some");
    this.pBreak.show(percent(model?.p_break));
    this.pBounce.show(percent(model?.p_bounce));
    this.breakWidth.set(share(model?.p_break ?? 0));
    this.bounceWidth.set(share(model?.p_bounce ?? 0));
    const { similarity, n_neighbors: count } = model?.retrieval ?? {};
    this.sample.show(model === undefined ? "–" : `${count === 0 ? "–" : fixed(similarity, 2)} · ${fixed(count, 0)}`);
  }

  private showSignal({ signal }: LevelSignal): void {
    if (this.shownSignal === signal) return;
    this.signal.show(spaced(signal));
    setAttribute(this.element, "data-signal", signal);
    if (this.shownSignal !== undefined) flash(this.element, "flipped");
    this.shownSignal = signal;
  }

  private showSweep({ sweep_detected: swept }: LevelSignal): void {
    if (this.swept === swept) return;
    this.sweep.show(swept ? "SWEEP" : "");
    if (swept && this.swept !== undefined) flash(this.sweep.element, "flashing");
    this.swept = swept;
  }

  private cell(name: string): TextCell {
    return new TextCell(this.compound(name));
  }

  private compound(name: string): HTMLElement {
    return this.element.appendChild(make("span", { class: name, "aria-hidden": "true" }));
  }
}

function trend(rise: number): "rising" | "falling" | "flat" {
  return rise >= RISING ? "rising" : rise <= -RISING ? "falling" : "flat";
}

/** The instrument where it is the other one, then the kinds of all levels in the row. */
export function kindsOf({ kinds, instrument }: Row): string {
  return [...(instrument === "" ? [] : [instrument]), ...kinds.slice(0, 4).map(spaced)].join(" · ");
}

function share(of: number): string {
  return `${Math.round(Math.min(1, Math.max(0, of)) * 100)}%`;
}

function confluence({ confluence_level_name: name, confluence_count: count }: LevelSignal): string {
  return `${CONFLUENCE.get(name) ?? spaced(name)} ×${fixed(count, 0)}`;
}

/** The row for a screen reader; rounded, so that it changes only when it means something. */
function inWords({ level, distance, kinds, pinned }: Row, past: LevelPast | undefined, { rank }: Look): string {
  const words = [
    `${kinds.map(plain).join(" and ")} ${price(level.level_price)}`,
    SIDE.get(level.direction)?.[2] ?? plain(level.direction),
    `${fixed(Math.abs(distance), 1)} points ${distance < 0 ? "below" : "above"}`,
    `signal ${plain(level.signal)}`,
    `confidence ${plain(level.confidence)}`,
    `break score ${fixed(Math.round(level.break_score_smooth / 5) * 5, 0)}`,
  ];
  const way = trend(past?.rise ?? 0);
  if (way !== "flat") words.push(`score ${way}`);
  if (disagrees(level)) words.push("the model disagrees");
  if (level.sweep_detected) words.push("sweep");
  if (pinned) words.push("pinned");
  if (rank > 0) words.push(`number ${rank} to look at`);
  return words.join(", ");
}
