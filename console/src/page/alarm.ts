/** Calls the trader: in the page, in its title, by sound and by notification. */

import type { LevelsPayload } from "../feed.ts";
import { type AlertChoice, type MarketEvent, readAlerts } from "../market/alert_rules.ts";
import { Alerts, type Call, type Moment } from "../market/alerts.ts";
import type { Instruments } from "../market/instruments.ts";
import type { Verdict } from "../market/verdict.ts";
import { AlertDialog } from "./alert_dialog.ts";
import type { Announcer } from "./announcer.ts";
import { setAttribute } from "./cells.ts";
import { Calls } from "./calls.ts";
import { Chime } from "./chime.ts";
import { onChosenElsewhere } from "./kept.ts";

const STORED = "spymaster.alerts";
const LINES = 3; // of a notification

/** What only the stream knows, and whether it is for this window to call. */
export type Told = Pick<Moment, "serverMs" | "isReplay" | "isAlone"> & { readonly isCalling: boolean };

export class Alarm {
  private readonly alerts = new Alerts(readAlerts(localStorage.getItem(STORED)));
  private readonly dialog: AlertDialog;
  private readonly calls: Calls;
  private readonly chime = new Chime();
  private levels: LevelsPayload["levels"] = [];
  private unseen = 0;
  private isPast = false;

  /**
   * @param button opens the settings
   * @param element where calls are shown
   * @param told asked at each call
   * @param onTitle how many calls the title tells
   * @param onChosen the id of the level of a call
   */
  constructor(
    private readonly button: HTMLElement,
    element: HTMLElement,
    private readonly announcer: Announcer,
    private readonly told: () => Told,
    onTitle: (count: number) => void,
    private readonly onChosen: (level: string) => void,
  ) {
    this.dialog = new AlertDialog({
      choice: () => this.alerts.choice,
      choose: (change) => this.choose(change),
      levels: () => this.levels,
      situation: () => ({ ...this.told(), isPast: this.isPast }),
      tryIt: () => this.chime.play("BREAK"),
    });
    this.calls = new Calls(element, onChosen, (unseen, inTitle) => {
      this.unseen = unseen;
      onTitle(inTitle);
      this.draw();
    });
    button.addEventListener("click", () => this.open());
    onChosenElsewhere(STORED, (text) => this.take(readAlerts(text)));
    for (const act of ["pointerdown", "keydown"]) addEventListener(act, () => queueMicrotask(() => this.draw()));
    this.draw();
  }

  /** What happened, each event once. */
  add(events: readonly MarketEvent[]): void {
    this.tell(this.alerts.add(events, this.moment()));
  }

  see(payload: LevelsPayload, instruments: Instruments): void {
    this.levels = payload.levels;
    this.tell(this.alerts.see(payload, instruments, this.moment()));
  }

  /** What limits the alerts may be other than before. */
  limit(): void {
    this.dialog.drawSituation();
  }

  /** Another time is looked at. */
  begin(isPast: boolean): void {
    this.isPast = isPast;
    this.alerts.begin();
    this.dialog.drawSituation();
  }

  judge(verdict: Verdict): void {
    this.tell(this.alerts.judge(verdict, this.moment()));
  }

  silence(): void {
    this.choose({ silenced: !this.alerts.choice.silenced });
    this.announcer.say(this.alerts.choice.silenced ? "Alerts are silenced" : "Alerts sound again");
  }

  open(): void {
    this.calls.clear();
    this.dialog.open();
  }

  private moment(): Moment {
    const isAway = document.hidden || !document.hasFocus();
    return { ...this.told(), nowMs: performance.now(), wallMs: Date.now(), isAway };
  }

  private tell(calls: readonly Call[]): void {
    const last = calls.at(-1);
    if (last === undefined) return;
    this.dialog.list(calls);
    if (!this.told().isCalling) return; // another window does
    const marked = calls.filter(({ ways }) => ways.mark);
    this.calls.add(marked);
    for (const { words, level } of marked) if (level !== "") this.announcer.say(`Alert: ${words}`, true); // a verdict is said in any case
    const loud = calls.find(({ ways }) => ways.sound);
    if (loud !== undefined) this.chime.play(loud.signal);
    this.notify(calls.filter(({ ways }) => ways.notification));
  }

  /** One for all that was found at once; the same words in another tab replace it. */
  private notify(calls: readonly Call[]): void {
    const [first, ...others] = calls;
    if (first === undefined || !("Notification" in window) || Notification.permission !== "granted") return;
    const body = others.slice(0, LINES).map(({ words }) => words).join("\n");
    try {
      const notification = new Notification(first.words, { body, tag: first.words, silent: true });
      notification.addEventListener("click", () => {
        window.focus();
        notification.close();
        this.calls.clear();
        if (first.level !== "") this.onChosen(first.level);
      });
    } catch {
      this.choose({ notification: false }); // a phone's browser has them for service workers only
    }
  }

  private choose(change: Partial<AlertChoice>): void {
    this.take({ ...this.alerts.choice, ...change });
    localStorage.setItem(STORED, JSON.stringify(this.alerts.choice));
  }

  private take(choice: AlertChoice): void {
    this.alerts.choice = choice;
    this.dialog.draw();
    this.draw();
  }

  private draw(): void {
    const { silenced, sound } = this.alerts.choice;
    const waits = sound && !silenced && this.chime.isBlocked;
    const state = silenced ? "silenced" : waits ? "blocked" : "on";
    const words = { silenced: "Silenced", blocked: "Click for sound", on: "Alerts" }[state];
    const text = this.unseen > 0 ? `${words} ${this.unseen}` : words;
    if (this.button.textContent !== text) this.button.textContent = text;
    setAttribute(this.button, "data-alerts", state);
    setAttribute(this.button, "data-unseen", String(this.unseen > 0));
  }
}
