/** The two dialogs: what the keys do, and the token that a gateway may ask for. */

import { make } from "./cells.ts";

const KEYS: readonly (readonly [string, string])[] = [
  ["↓ or j, ↑ or k", "next level below, above; the first time from spot"],
  ["1, 2, 3", "the level to look at first, second, third"],
  ["Enter", "every field of the level"],
  ["Escape", "close it; then leave a replay; then let go of the level"],
  ["c", "back to spot after scrolling"],
  ["p", "pin the level, or let it go: a pinned level passes every filter"],
  ["f", "which levels are shown"],
  ["m", "what the option flow compares"],
  ["s", "the chart shows the session, an hour, or 15 minutes; a double click fits it again"],
  ["l", "the chart shows spot as a line or as candles"],
  ["a", "alerts: what calls you, and how"],
  ["q", "silence the alerts, or let them sound again"],
  ["← or →", "go back or on: a minute, or one message while paused; with Shift ten minutes"],
  ["Space", "pause, or play on"],
  ["[ and ]", "play slower, faster"],
  ["n", "now: back to the present"],
  ["t", "dark or light"],
  ["?", "this page"],
];

const MEANINGS: readonly (readonly [string, string])[] = [
  ["BREAK, BOUNCE", "Core expects the level to give way, or to hold. NO TRADE: neither."],
  ["1, 2, 3", "what to look at first: spot is near, and the level is strong, changed, or signal and model agree; the rest is quiet"],
  ["SWEEP", "one order took several prices; bright for 30 s after it began"],
  ["▲ RES, ▼ SUP", "resistance above, support below"],
  ["Score", "the break score, 0 to 100, smoothed; the line beside it is its last 3 minutes, as far as it is known"],
  ["Since", "when the signal began; ≤ where that is not known, and it was there then"],
  ["Break % Bounce", "the model's probabilities, given that the level is tradeable"],
  ["Trade %", "the model's probability that the level is tradeable"],
  ["≠", "the signal and the model disagree: BOUNCE beside 71 % break"],
  ["Sim · n", "similarity of the nearest neighbours, and how many there were"],
  ["Flips at", "the sum of all strikes below changes its sign there, nearest to spot"],
  ["● on the chart", "a signal began, where spot was then; a level is drawn while it was there, and faintly when it has gone"],
  ["1 min, 5 min, 15 min", "points that spot moved after a signal began"],
  ["Round trip", "from this page to the gateway and back, over HTTP"],
  ["Since Core", "arrival here less Core's time stamp, with any difference of the clocks in it; – where they disagree"],
  ["REPLAY", "you look back: the moment is over the page. CORE REPLAYS: Core publishes another day"],
  ["Own window", "the sign in the corner of a panel moves it to a second window; closing that brings it back"],
  ["LATE, STALE", "data is overdue; overdue for so long that it is too old to trade on"],
];

export class Help {
  private readonly dialog = make("dialog", { "aria-labelledby": "help-title", class: "help" });

  constructor(button: HTMLElement) {
    const close = make("button", { type: "button", autofocus: "" }, "Close");
    close.addEventListener("click", () => this.dialog.close());
    this.dialog.append(
      make("div", { class: "dialog-head" }, make("h2", { id: "help-title" }, "Keys and meanings"), close), // in sight from the start
      make("div", { class: "lists" }, list(KEYS, "keys"), list(MEANINGS, "meanings")),
      make("p", { class: "licence" }, "Charts: Lightweight Charts™, © TradingView, Inc. ", make("a", { href: "https://www.tradingview.com/", target: "_blank", rel: "noopener noreferrer" }, "tradingview.com")),
    );
    document.body.append(this.dialog);
    button.addEventListener("click", () => this.open());
  }

  open(): void {
    if (!this.dialog.open) this.dialog.showModal();
  }
}

function list(rows: readonly (readonly [string, string])[], name: string): HTMLElement {
  const terms = rows.map(([term, meaning]) => make("div", {}, make("dt", {}, term), make("dd", {}, meaning)));
  return make("dl", { class: name }, ...terms);
}

const STORED = "spymaster.token"; // of this tab, until it is closed
const LOOK_EVERY_MS = 500;

/** The token, asked for when the gateway has refused us. */
export class TokenDialog {
  private readonly field = make("input", { id: "token", type: "password", autocomplete: "off", required: "", spellcheck: "false" });
  private readonly verdict = make("p", { role: "alert" });
  private readonly dialog = make("dialog", { "aria-labelledby": "token-title" });
  private looking: ReturnType<typeof setInterval> | undefined;

  /** @param onToken a token was given */
  constructor(private readonly onToken: () => void) {
    const form = make(
      "form",
      { method: "dialog" },
      make("h2", { id: "token-title" }, "The gateway wants a token"),
      make("label", { for: "token" }, "Token"),
      this.field,
      this.verdict,
      make("p", {}, "It is kept in this tab until you close it."),
      make("button", { type: "submit" }, "Connect"),
    );
    form.addEventListener("submit", () => {
      const typed = this.field.value.trim();
      this.field.value = "";
      this.take(typed);
    });
    this.dialog.append(form);
    this.dialog.addEventListener("cancel", (event) => event.preventDefault()); // without a token there is nothing to see
    document.body.append(this.dialog);
  }

  get token(): string | undefined {
    return sessionStorage.getItem(STORED) ?? undefined;
  }

  /** Asks for one, or for another where there was one; also the page that opened this window, where one may be typed. */
  ask(): void {
    const refused = this.token;
    this.verdict.textContent = refused === undefined ? "" : "The gateway did not take that one.";
    sessionStorage.removeItem(STORED);
    if (!this.dialog.open) this.dialog.showModal();
    clearInterval(this.looking);
    this.looking = setInterval(() => {
      const token = openersToken();
      if (token !== undefined && token !== refused) this.take(token);
    }, LOOK_EVERY_MS);
  }

  private take(token: string): void {
    clearInterval(this.looking);
    sessionStorage.setItem(STORED, token);
    this.dialog.close();
    this.onToken();
  }
}

function openersToken(): string | undefined {
  try {
    return (window.opener as Window | null)?.sessionStorage.getItem(STORED) ?? undefined;
  } catch {
    return undefined; // it is closed, or shows another site by now
  }
}
