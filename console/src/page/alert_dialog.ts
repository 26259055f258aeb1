/** The settings of the alerts, and the calls so far. */

import type { LevelSignal } from "../feed.ts";
import {
  type AlertChoice,
  CONFIDENCES,
  LONGEST_COOLDOWN_S,
  MOST_RULES,
  NEW_RULE,
  type Rule,
  SIGNALS,
  SUBJECTS,
  type Situation,
  VERDICTS,
  addRule,
  isSame,
  limitsOf,
  readRule,
  ruleWords,
} from "../market/alert_rules.ts";
import type { Call } from "../market/alerts.ts";
import { cut } from "../market/bounds.ts";
import { newYork } from "../market/clock.ts";
import { price, spaced } from "../market/words.ts";
import { make, setAttribute } from "./cells.ts";

const LINES = 50;
const MOST_LEVELS = 200; // to choose from

/** Which parts of a new rule each subject has. */
const PARTS: Readonly<Record<Rule["on"], readonly string[]>> = {
  signal: ["levels", "signal", "least"],
  near: ["levels", "within"],
  cross: ["levels"],
  sweep: ["levels"],
  verdict: ["verdict"],
};

type Deeds = {
  readonly choice: () => AlertChoice;
  readonly choose: (change: Partial<AlertChoice>) => void;
  readonly levels: () => readonly LevelSignal[];
  readonly situation: () => Situation;
  /** Sounds once. */
  readonly tryIt: () => void;
};

export class AlertDialog {
  private readonly dialog = make("dialog", { "aria-labelledby": "alerts-title", class: "alerts" });
  private readonly silence = make("button", { type: "button", "aria-keyshortcuts": "q" }, "Silence (q)");
  private readonly sound = make("input", { type: "checkbox" });
  private readonly notification = make("input", { type: "checkbox" });
  private readonly hint = make("p", { role: "status", class: "hint" });
  private readonly cooldown = make("input", { type: "number", min: "0", max: `${LONGEST_COOLDOWN_S}`, step: "1", inputmode: "numeric" });
  private readonly rules = make("ul", { "aria-label": "Rules" });
  private readonly on = select(SUBJECTS);
  private readonly levels = make("select");
  private readonly signal = select(SIGNALS);
  private readonly least = select(CONFIDENCES);
  private readonly within = make("input", { type: "number", min: "0", max: "1000", step: "any", value: `${NEW_RULE.within}`, required: "", inputmode: "decimal" });
  private readonly verdict = select(VERDICTS);
  private readonly add = make("button", { type: "submit" }, "Add the rule");
  private readonly parts: Readonly<Record<string, HTMLElement>>;
  private readonly limits = make("div", { role: "status", class: "limits" });
  private readonly calls = make("ol", { "aria-label": "Calls, newest first", tabindex: "0" });
  private readonly none = make("p", { class: "hint" }, "None so far.");

  constructor(private readonly deeds: Deeds) {
    const tryIt = make("button", { type: "button" }, "Try it");
    const close = make("button", { type: "button", autofocus: "" }, "Close");
    this.least.value = NEW_RULE.least;
    this.parts = {
      levels: make("label", {}, "Where", this.levels),
      signal: make("label", {}, "Signal", this.signal),
      least: make("label", {}, "Confidence", this.least),
      within: make("label", {}, "Points", this.within),
      verdict: make("label", {}, "Then it is", this.verdict),
    };
    const form = make("form", {}, make("label", {}, "When", this.on), ...Object.values(this.parts), this.add);
    this.dialog.append(
      make("div", { class: "dialog-head" }, make("h2", { id: "alerts-title" }, "Alerts"), this.silence, close),
      this.limits,
      make("fieldset", { class: "ways" },
        make("legend", {}, "How you are called"),
        make("p", { class: "hint" }, "By a line in the page and a count in the title of the tab; and by:"),
        make("div", {}, make("label", {}, this.sound, "Sound"), tryIt),
        make("label", {}, this.notification, "Notification while you look elsewhere"),
        this.hint,
        make("label", {}, "The same rule and level again after", this.cooldown, "seconds"),
      ),
      make("fieldset", {}, make("legend", {}, "Rules"), this.rules),
      make("fieldset", {}, make("legend", {}, "A new rule"), form),
      make("h3", {}, "Calls so far"),
      this.none,
      this.calls,
    );
    document.body.append(this.dialog);
    close.addEventListener("click", () => this.dialog.close());
    tryIt.addEventListener("click", () => deeds.tryIt());
    this.silence.addEventListener("click", () => deeds.choose({ silenced: !deeds.choice().silenced }));
    this.sound.addEventListener("change", () => {
      deeds.choose({ sound: this.sound.checked });
      if (this.sound.checked) deeds.tryIt();
    });
    this.notification.addEventListener("change", () => void this.askForNotifications());
    this.cooldown.addEventListener("change", () => this.cooldown.checkValidity() && this.cooldown.value !== "" && deeds.choose({ cooldownS: this.cooldown.valueAsNumber }));
    this.on.addEventListener("change", () => this.showParts());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      for (const rule of readRule(this.newRule())) deeds.choose(addRule(deeds.choice(), rule));
    });
    this.calls.hidden = true;
    this.draw();
  }

  open(): void {
    this.offerLevels();
    this.drawSituation();
    this.draw();
    if (!this.dialog.open) this.dialog.showModal();
  }

  /** Also of those that called nobody. */
  list(calls: readonly Call[]): void {
    const lines = calls.map(({ words, signal, tsMs, why }) =>
      make("li", { "data-signal": signal }, make("span", { class: "number" }, newYork(tsMs).time), " ", words, ...(why === "" ? [] : [make("span", { class: "why" }, ` (${why})`)])),
    );
    this.calls.prepend(...lines.slice(-LINES).reverse());
    while (this.calls.children.length > LINES) this.calls.lastElementChild?.remove();
    this.drawSituation();
  }

  /** What limits the alerts now. The calls so far may be later than the moment that somebody looks back at. */
  drawSituation(): void {
    const situation = this.deeds.situation();
    this.limits.replaceChildren(...limitsOf(situation).map((each) => make("p", {}, each)));
    this.calls.hidden = situation.isPast || this.calls.children.length === 0;
    this.none.hidden = !this.calls.hidden;
    this.none.textContent = situation.isPast ? "Not listed while you look back." : "None so far.";
  }

  draw(): void {
    const { rules, sound, notification, silenced, cooldownS } = this.deeds.choice();
    setAttribute(this.silence, "aria-pressed", String(silenced));
    this.silence.textContent = silenced ? "Silenced: let it sound (q)" : "Silence (q)";
    this.sound.checked = sound;
    this.notification.checked = notification;
    this.hint.textContent = hintOf(notification);
    if (document.activeElement !== this.cooldown) this.cooldown.value = `${cooldownS}`;
    const isFull = rules.length >= MOST_RULES;
    this.add.disabled = isFull;
    this.add.textContent = isFull ? `No more than ${MOST_RULES} rules` : "Add the rule";
    this.rules.replaceChildren(...(rules.length === 0 ? [make("li", {}, "No rule: nothing calls you.")] : rules.map((rule) => this.rule(rule))));
    this.showParts();
  }

  private rule(rule: Rule): HTMLElement {
    const box = make("input", { type: "checkbox" });
    box.checked = rule.active;
    const words = ruleWords(rule);
    const remove = make("button", { type: "button", "aria-label": `Delete: ${words}` }, "×");
    box.addEventListener("change", () => this.changeRules((each) => (isSame(each, rule) ? [{ ...each, active: box.checked }] : [each]), words));
    remove.addEventListener("click", () => {
      this.changeRules((each) => (isSame(each, rule) ? [] : [each]), undefined);
      (this.rules.querySelector("button") ?? this.on).focus();
    });
    return make("li", {}, make("label", {}, box, words), remove);
  }

  /** @param focused the words of the rule that has the focus afterwards: the list is made again */
  private changeRules(change: (rule: Rule) => readonly Rule[], focused: string | undefined): void {
    this.deeds.choose({ rules: this.deeds.choice().rules.flatMap(change) });
    const labels = [...this.rules.querySelectorAll("label")];
    if (focused !== undefined) labels.find(({ textContent }) => textContent === focused)?.querySelector("input")?.focus();
  }

  /** The browser is asked only here, where the trader wants it. */
  private async askForNotifications(): Promise<void> {
    const wanted = this.notification.checked;
    const granted = wanted && "Notification" in window && (await Notification.requestPermission()) === "granted";
    this.deeds.choose({ notification: granted });
    if (wanted && !granted) this.hint.textContent = REFUSED;
  }

  private offerLevels(): void {
    const levels = this.deeds.levels().slice(0, MOST_LEVELS);
    const chosen = this.levels.value;
    const kinds = [...new Set(levels.map(({ level_kind_name: kind }) => kind))].sort();
    const ofKind = kinds.map((kind) => make("option", { value: `kind:${kind}` }, `any ${spaced(kind)}`));
    const ofLevel = levels.map(({ id, level_kind_name: kind, level_price: at }) => make("option", { value: `level:${id}` }, `${spaced(kind)} ${price(at)} (${cut(id)})`));
    this.levels.replaceChildren(
      make("option", { value: "any:" }, "Any level"),
      make("optgroup", { label: "A kind" }, ...ofKind),
      make("optgroup", { label: "One level" }, ...ofLevel),
    );
    if ([...this.levels.options].some(({ value }) => value === chosen)) this.levels.value = chosen;
  }

  private newRule(): unknown {
    const [by, ...name] = this.levels.value.split(":");
    const rule = { ...NEW_RULE, on: this.on.value };
    const told: Readonly<Record<string, object>> = {
      levels: { by, name: name.join(":") },
      signal: { signal: this.signal.value },
      least: { least: this.least.value },
      within: { within: this.within.valueAsNumber },
      verdict: { verdict: this.verdict.value },
    };
    return Object.assign(rule, ...PARTS[this.on.value as Rule["on"]].map((part) => told[part]));
  }

  private showParts(): void {
    const parts = PARTS[this.on.value as Rule["on"]];
    for (const [name, part] of Object.entries(this.parts)) part.hidden = !parts.includes(name);
    this.within.disabled = !parts.includes("within"); // what is not shown is not required
  }
}

const REFUSED = "The browser does not let this page notify: allow it for this address, and open the page by https or at localhost.";

function hintOf(notification: boolean): string {
  return notification && (!("Notification" in window) || Notification.permission !== "granted") ? REFUSED : "";
}

function select(words: Readonly<Record<string, string>>): HTMLSelectElement {
  return make("select", {}, ...Object.entries(words).map(([value, text]) => make("option", { value }, text)));
}
