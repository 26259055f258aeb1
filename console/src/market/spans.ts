/** How much of the past the chart shows, and how; kept from visit to visit. */

export type Span = "session" | "hour" | "quarter";
export type Form = "line" | "candles";
export type ChartChoice = { readonly span: Span; readonly form: Form };

type SpanFacts = {
  readonly name: string;
  /** Of `/history`; the session begins at its open, with the step that the gateway finds fitting. */
  readonly asked: { readonly from?: string; readonly step?: string };
  /** Of a bar, until the gateway has said another. */
  readonly stepMs: number;
  /** Bars that are kept. */
  readonly most: number;
};

export const SPANS: Readonly<Record<Span, SpanFacts>> = {
  session: { name: "Session", asked: {}, stepMs: 30_000, most: 2_500 },
  hour: { name: "1 h", asked: { from: "-1h", step: "5s" }, stepMs: 5_000, most: 720 },
  quarter: { name: "15 min", asked: { from: "-15m", step: "1s" }, stepMs: 1_000, most: 900 },
};

export const FORMS: Readonly<Record<Form, string>> = { line: "Line", candles: "Candles" };

/** What was kept, whatever it is. */
export function readChartChoice(text: string | null): ChartChoice {
  const [span = "", form = ""] = (text ?? "").split(" ");
  return { span: span in SPANS ? (span as Span) : "session", form: form in FORMS ? (form as Form) : "line" };
}

export function chartChoiceText({ span, form }: ChartChoice): string {
  return `${span} ${form}`;
}

export function after<Name extends string>(table: Readonly<Record<Name, unknown>>, name: Name): Name {
  const names = Object.keys(table) as Name[];
  return names[(names.indexOf(name) + 1) % names.length]!;
}
