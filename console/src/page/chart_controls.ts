/** What the chart shows: how much of the past, and spot as a line or as candles. The browser keeps it. */

import { type ChartChoice, FORMS, type Form, SPANS, type Span, after, chartChoiceText, readChartChoice } from "../market/spans.ts";
import { byId, make } from "./cells.ts";
import { onChosenElsewhere } from "./kept.ts";

const STORED = "spymaster.chart";

export class ChartControls {
  choice: ChartChoice = readChartChoice(localStorage.getItem(STORED));
  private readonly span = byId("span") as HTMLSelectElement;
  private readonly form = byId("form") as HTMLSelectElement;

  constructor(private readonly onChange: (choice: ChartChoice) => void) {
    this.span.append(...Object.entries(SPANS).map(([value, { name }]) => make("option", { value }, name)));
    this.form.append(...Object.entries(FORMS).map(([value, name]) => make("option", { value }, name)));
    this.span.addEventListener("change", () => this.choose({ ...this.choice, span: this.span.value as Span }));
    this.form.addEventListener("change", () => this.choose({ ...this.choice, form: this.form.value as Form }));
    onChosenElsewhere(STORED, (text) => this.take(readChartChoice(text)));
    this.show();
  }

  nextSpan(): void {
    this.choose({ ...this.choice, span: after(SPANS, this.choice.span) });
  }

  nextForm(): void {
    this.choose({ ...this.choice, form: after(FORMS, this.choice.form) });
  }

  private choose(choice: ChartChoice): void {
    localStorage.setItem(STORED, chartChoiceText(choice));
    this.take(choice);
  }

  private take(choice: ChartChoice): void {
    this.choice = choice;
    this.show();
    this.onChange(choice);
  }

  private show(): void {
    this.span.value = this.choice.span;
    this.form.value = this.choice.form;
  }
}
