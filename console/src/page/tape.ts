/** What changed, newest first: signals, and apart from them all else. */

import type { Event } from "../feed.ts";
import { type Line, REST, type RestKind, type SpotAt, type TapeChoice, readTapeChoice, restLines, signalLines, tapeChoiceText } from "../market/tape.ts";
import { TextCell, byId, make, order, setAttribute } from "./cells.ts";
import { onChosenElsewhere } from "./kept.ts";

const STORED = "spymaster.tape";
const DRAW_EVERY_MS = 500;
const PARTS = { signals: "Signals", rest: "All else" } as const;

export class Tape {
  private choice: TapeChoice = readTapeChoice(localStorage.getItem(STORED));
  private readonly signals = new Lines(byId("tape"));
  private readonly rest = new Lines(byId("rest"));
  private readonly buttons = new Map<TapeChoice["part"], HTMLButtonElement>();
  private readonly kinds = make("details", { id: "tape-kinds", class: "kinds" });
  private readonly boxes = new Map<RestKind, HTMLInputElement>();
  private drawing: ReturnType<typeof setTimeout> | undefined;
  private drawnMs = -Infinity;

  /**
   * @param events all that is known, by their last occurrence
   * @param spotAt for what became of a signal
   * @param onChosen the id of the level of a line
   */
  constructor(
    private readonly events: () => readonly Event[],
    private readonly spotAt: SpotAt,
    private readonly onChosen: (id: string) => void,
  ) {
    for (const list of [byId("tape"), byId("rest")]) {
      list.addEventListener("click", ({ target }) => {
        const id = target instanceof Element ? target.closest<HTMLElement>("li")?.dataset["level"] : undefined;
        if (id) this.onChosen(id);
      });
    }
    onChosenElsewhere(STORED, (text) => this.take(readTapeChoice(text)));
    this.begin();
    this.apply();
  }

  /** There is something new, or time has passed. Draws twice a second at most. */
  show(): void {
    this.drawing ??= setTimeout(() => this.draw(), Math.max(0, this.drawnMs + DRAW_EVERY_MS - performance.now()));
  }

  private begin(): void {
    const parts = (Object.keys(PARTS) as (keyof typeof PARTS)[]).map((part) => {
      const button = make("button", { type: "button" }, PARTS[part]);
      button.addEventListener("click", () => this.choose({ ...this.choice, part }));
      this.buttons.set(part, button);
      return button;
    });
    const boxes = (Object.keys(REST) as RestKind[]).map((kind) => {
      const box = make("input", { type: "checkbox", name: kind });
      this.boxes.set(kind, box);
      box.addEventListener("change", () => {
        const others = this.choice.hidden.filter((each) => each !== kind);
        this.choose({ ...this.choice, hidden: box.checked ? others : [...others, kind] });
      });
      return make("label", {}, box, REST[kind]);
    });
    this.kinds.append(make("summary", {}, "Kinds"), make("div", { class: "panel", role: "group", "aria-label": "Kinds in the list" }, ...boxes));
    byId("tape-parts").append(...parts, this.kinds);
  }

  private choose(choice: TapeChoice): void {
    localStorage.setItem(STORED, tapeChoiceText(choice));
    this.take(choice);
  }

  private take(choice: TapeChoice): void {
    this.choice = choice;
    this.apply();
    this.show();
  }

  private apply(): void {
    const { part, hidden } = this.choice;
    for (const [kind, box] of this.boxes) box.checked = !hidden.includes(kind);
    for (const [each, button] of this.buttons) setAttribute(button, "aria-pressed", String(each === part));
    setAttribute(byId("side-part"), "data-part", part);
    setAttribute(this.kinds, "data-filtered", String(hidden.length > 0));
  }

  private draw(): void {
    this.drawing = undefined;
    this.drawnMs = performance.now();
    const events = this.events();
    const lines = signalLines(events, this.spotAt);
    this.signals.show(lines);
    this.rest.show(restLines(events, this.choice));
    byId("no-signals").hidden = lines.length > 0;
  }
}

type Cells = { readonly element: HTMLElement; readonly texts: readonly TextCell[]; shown: string };

/** One list: a line is made once, and written only where it changed. */
class Lines {
  private kept = new Map<string, Cells>();

  constructor(private readonly list: HTMLElement) {}

  show(lines: readonly Line[]): void {
    const kept = new Map(lines.map((line) => [line.id, this.kept.get(line.id) ?? begin(line)]));
    for (const [id, { element }] of this.kept) if (!kept.has(id)) element.remove();
    this.kept = kept;
    for (const line of lines) write(kept.get(line.id)!, line);
    order(this.list, [...kept.values()].map(({ element }) => element));
  }
}

const CELLS = ["at number", "what", "level number", "facts number", "moves number"] as const;

function begin({ id, level, kind, signal }: Line): Cells {
  const parts = CELLS.map((name) => make("span", { class: name }));
  const element = make("li", { "data-event": id, "data-level": level, "data-kind": kind, "data-signal": signal }, ...parts);
  return { element, texts: parts.map((part) => new TextCell(part)), shown: "" };
}

function write(cells: Cells, { time, what, name, facts, moves }: Line): void {
  const moved = moves.map(({ after, points }) => `${after} ${points}`).join(" · ");
  const said = [time, what, name, facts, moved];
  said.forEach((text, index) => cells.texts[index]!.show(text));
}
