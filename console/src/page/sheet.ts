/** One level in full: every field with its unit, also those that this page has never heard of. */

import { LEVEL_SIGNAL, type LevelSignal, type FieldDescription, ML_PREDICTIONS, RETRIEVAL } from "../feed.ts";
import { cut, cutLong } from "../market/bounds.ts";
import { type Field, LEVEL_GROUPS, MODEL_FIELDS, RETRIEVAL_FIELDS, TABLES, unitOf } from "../market/fields.ts";
import type { Row } from "../market/choice.ts";
import { fixed, price, spaced } from "../market/words.ts";
import { TextCell, make, setAttribute } from "./cells.ts";
import { kindsOf } from "./level_row.ts";

type Shape = Readonly<Record<string, unknown>>;
type Part = {
  readonly title: string;
  readonly shape: Shape;
  readonly fields: readonly Field<never>[];
  readonly fieldDescriptions: Readonly<Record<string, FieldDescription>>;
};

export class Sheet {
  private readonly title = new TextCell(make("h2", { id: "sheet-title", tabindex: "-1" }));
  private readonly closer = make("button", { type: "button", "aria-label": "Close (Escape)" }, "×");
  private readonly pin = make("button", { type: "button", "aria-keyshortcuts": "p" }, "☆ Pin");
  private readonly body = make("div", { class: "sheet-body", tabindex: "0", role: "group", "aria-label": "Fields" });
  private readonly columns = this.body.appendChild(make("div", { class: "columns" })); // of any height: the body scrolls
  private readonly cells = new Map<string, TextCell>();
  private laidOut = "";
  private key: string | undefined;

  constructor(
    private readonly element: HTMLElement,
    private readonly onClose: () => void,
    onPin: (key: string) => void,
  ) {
    this.pin.addEventListener("click", () => this.key !== undefined && onPin(this.key));
    this.closer.addEventListener("click", () => this.close());
    element.append(make("div", { class: "sheet-head" }, this.title.element, make("span", {}, this.pin, this.closer)), this.body);
  }

  get isOpen(): boolean {
    return this.key !== undefined;
  }

  /** The key of the level that is shown. */
  get of(): string | undefined {
    return this.key;
  }

  open(key: string, row: Row): void {
    this.key = key;
    this.element.hidden = false;
    document.documentElement.dataset["sheet"] = "open";
    this.show(row);
  }

  close(): void {
    if (this.key === undefined) return;
    this.key = undefined;
    this.element.hidden = true;
    delete document.documentElement.dataset["sheet"];
    this.onClose();
  }

  /** Show the level as it is now; undefined when Core no longer sends it, or it is not shown. */
  show(row: Row | undefined): void {
    setAttribute(this.element, "data-gone", String(row === undefined));
    if (row === undefined) return;
    const { level, pinned } = row;
    this.title.show(`${kindsOf(row)} ${price(level.level_price)}`);
    this.pin.textContent = pinned ? "★ Unpin" : "☆ Pin";
    setAttribute(this.element, "data-signal", level.signal);
    const parts = partsOf(level);
    const layout = parts.map(({ title, fields }) => title + fields.map(({ name }) => name).join()).join();
    if (layout !== this.laidOut) this.layOut(parts);
    this.laidOut = layout;
    for (const { title, shape, fields } of parts) {
      for (const field of fields) this.cells.get(title + field.name)?.show(inWords(shape[field.name], field));
    }
  }

  private layOut(parts: readonly Part[]): void {
    this.cells.clear();
    this.columns.replaceChildren(...parts.map((part) => this.table(part)));
  }

  private table({ title, shape, fields, fieldDescriptions }: Part): HTMLElement {
    const list = make("dl", {});
    for (const { name, label } of fields) {
      const meaning = (Object.hasOwn(fieldDescriptions, name) ? fieldDescriptions[name] : undefined) ?? UNKNOWN;
      const unit = unitOf(meaning);
      const value = make("span", { class: "number", "data-field": name });
      this.cells.set(title + name, new TextCell(value));
      const kind = typeof shape[name] === "number" ? "amount" : "words";
      const described = make("dd", { class: kind }, value, make("span", { class: "unit" }, unit));
      list.append(make("div", { title: meaning.words }, make("dt", {}, label), described));
    }
    return make("section", {}, make("h3", {}, title), list);
  }
}

const MOST_ROWS = 40; // of a table whose names are Core's
const UNKNOWN: FieldDescription = { words: "" };
const WITHIN: FieldDescription = { words: "that the price gets there in this time", least: 0, most: 1 };

/** The groups of the level, then the model's, then whatever is left. */
function partsOf(level: LevelSignal): Part[] {
  const shape = level as unknown as Shape;
  const parts = LEVEL_GROUPS.map(({ title, fields }) => part(title, shape, fields, LEVEL_SIGNAL));
  const model = level.ml_predictions;
  if (model !== undefined) {
    parts.push(
      part("Model", model as unknown as Shape, MODEL_FIELDS, ML_PREDICTIONS),
      part("Model: nearest neighbours", model.retrieval as Shape, RETRIEVAL_FIELDS, RETRIEVAL),
      ...thresholds(model.time_to_threshold),
    );
  }
  const known = LEVEL_GROUPS.flatMap(({ fields }) => fields.map(({ name }) => name as string));
  const others = [...furtherNames(shape, known)].slice(0, MOST_ROWS).map((name) => ({ name, label: spaced(name) }));
  return others.length === 0 ? parts : [...parts, part("Further", shape, others, {})];
}

function part(title: string, shape: Shape, fields: readonly Field<never>[] | readonly object[], fieldDescriptions: object): Part {
  return { title, shape, fields: fields as Part["fields"], fieldDescriptions: fieldDescriptions as Part["fieldDescriptions"] };
}

function* furtherNames(shape: Shape, known: readonly string[]): Generator<string> {
  for (const name of Object.keys(shape)) if (!known.includes(name) && !TABLES.includes(name)) yield name;
}

/** {"t1": {"60": 0.5}} as a table for t1 with a row for 60 s. */
function thresholds(times: Shape): Part[] {
  return Object.entries(times).slice(0, MOST_ROWS).flatMap(([threshold, within]) => {
    if (typeof within !== "object" || within === null) return [];
    const shape = within as Shape;
    const fields = Object.keys(shape).slice(0, MOST_ROWS).map((seconds) => ({
      name: seconds,
      label: `Within ${cut(seconds)} s`,
      decimals: 3,
    }));
    const fieldDescriptions = Object.fromEntries(fields.map(({ name }) => [name, WITHIN]));
    return [part(`Model: reaches ${spaced(threshold)}`, shape, fields, fieldDescriptions)];
  });
}

function inWords(value: unknown, { name, decimals }: Field<never>): string {
  if (value === null || value === undefined || value === "") return "–";
  if (typeof value === "number") return fixed(value, decimals ?? (Number.isInteger(value) ? 0 : 3));
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "string") return cutLong(JSON.stringify(value));
  return name !== "id" && /^[A-Z_]+$/.test(value) ? spaced(value) : cutLong(value);
}
