/** How much of the past the chart shows, and how; kept from visit to visit. */

export type Span = "session" | "hour" | "quarter";
export type Form = "line" | "candles";
export type ChartChoice = { readonly span: Span; readonly form: Form };

type SpanFacts = {
  readonly name: string;
  /** How far it goes back; undefined for the session, which begins at its open. */
  readonly lengthMs: number | undefined;
  /** Of `/history`; undefined for the one that the gateway finds fitting. */
  readonly step: string | undefined;
  /** Of a bar, until the gateway has said another. */
  readonly stepMs: number;
  /** Bars that are kept. */
  readonly most: number;
};

export const SPANS: Readonly<Record<Span, SpanFacts>> = {
  session: { name: "Session", lengthMs: undefined, step: undefined, stepMs: 30_000, most: 2_500 },
  hour: { name: "1 h", lengthMs: 3_600_000, step: "5s", stepMs: 5_000, most: 720 },
  quarter: { name: "15 min", lengthMs: 900_000, step: "1s", stepMs: 1_000, most: 900 },
};

type Asked = { readonly from: string | number | undefined; readonly to: number | undefined; readonly step: string | undefined };

/**
 * What `/history` is asked for.
 *
 * @param atMs the moment that is looked back at, which is the end; undefined for the present
 */
export function askedOf({ lengthMs, step }: Pick<SpanFacts, "lengthMs" | "step">, atMs: number | undefined): Asked {
  const to = atMs === undefined ? undefined : atMs + 1; // the end is open
  if (lengthMs === undefined) return { from: undefined, to, step };
  return { from: to === undefined ? `-${lengthMs / 1000}s` : Math.max(0, to - lengthMs), to, step };
}

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
