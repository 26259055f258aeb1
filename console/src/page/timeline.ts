/** The time line below the chart: a bar from the open of the session to now, by which somebody goes back and returns. */

import type { Disconnect, Replay, Status } from "../feed.ts";
import { newYork } from "../market/clock.ts";
import {
  type Action,
  type Due,
  type Jumps,
  type Moment,
  NOW,
  NO_JUMPS,
  SPEEDS,
  type Shown,
  type Span,
  actionOf,
  due,
  hasArrived,
  isJump,
  momentAt,
  moved,
  shareOf,
  speedAfter,
  speedWords,
  valueText,
  wanted,
} from "../market/timeline.ts";
import { type Played, type PlayedThen, type Put, isApart, isTouched } from "../market/windows.ts";
import { StyleCell, TextCell, byId, make, setAttribute } from "./cells.ts";
import { KeptPast } from "./kept_past.ts";

const TOLD_MS = 10_000; // how long the bar says that this is the present again
const LINE = 40; // characters beside the buttons
const AWAITED_MS = 2_000; // for a jump to show; then the bar shows where the replay is
const REFUSED = new Set([4005, 4006]); // the gateway's close codes for what it was asked

export class TimeLine {
  private readonly kept: KeptPast;
  private readonly bar = make("div", { class: "bar-of-time" });
  private readonly handle = make("div", { role: "slider", tabindex: "0", "aria-label": "Moment that is shown", "aria-orientation": "horizontal", class: "handle" });
  private readonly place = new StyleCell(this.bar, "--at");
  private readonly begin = new TextCell(make("span", { class: "end number" }));
  private readonly end = new TextCell(make("span", { class: "end number" }));
  private readonly moment = new TextCell(make("span", { class: "moment number" }));
  private readonly note = new TextCell(make("span", { class: "told", role: "status" }));
  private readonly play = make("button", { type: "button", class: "step", "aria-keyshortcuts": "Space" });
  private readonly playSign = new TextCell(this.play);
  private readonly speeds = make("select", { "aria-label": "Speed of the replay" });
  private readonly now = make("button", { type: "button", class: "now", "aria-keyshortcuts": "n Escape" }, "Now (n)");
  private readonly off = make("p", { class: "off" });
  private readonly offWords = new TextCell(this.off);
  private readonly controls: HTMLElement;
  private stream: Replay | undefined;
  private said: Status | undefined;
  private speed = 1;
  private jumps: Jumps = NO_JUMPS;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private awaited: { readonly moment: Moment; readonly untilMs: number } | undefined;
  private dragged: Moment | undefined;
  private asked = false; // for the past, on this connection
  private told = "";
  private toldUntilMs = 0;
  private leads = false; // somebody has put the replay here, and not in another window
  /** When somebody last put the replay anywhere, in whichever window; ms since 1970, 0 for never. */
  sinceMs = 0;
  private shared: PlayedThen | undefined;
  private awaits: Put | undefined; // told by another window before this one has a frame
  private followed: { readonly isPast: boolean; readonly tsMs: number } | undefined;

  /**
   * @param element a group
   * @param url of the stream
   * @param token for the gateway
   * @param tell says something to ears
   * @param share tells the other windows where somebody has put the replay
   */
  constructor(
    private readonly element: HTMLElement,
    url: string,
    token: () => string | undefined,
    private readonly tell: (words: string) => void,
    private readonly share: (put: Put) => void,
  ) {
    this.kept = new KeptPast(url, token, () => this.draw());
    const [back, on] = [this.button("◂", "One message back", -1), this.button("▸", "One message on", 1)];
    this.speeds.append(...SPEEDS.map((speed) => make("option", { value: `${speed}` }, speedWords(speed))));
    this.bar.append(make("div", { class: "gone-by" }), this.handle);
    this.controls = make(
      "div",
      { class: "controls" },
      make("div", { class: "buttons" }, back, this.play, on, this.speeds, this.moment.element, this.note.element, this.now),
      make("div", { class: "line" }, this.begin.element, this.bar, this.end.element),
    );
    element.append(this.controls, this.off);
    this.play.addEventListener("click", () => this.act({ does: "play" }));
    this.now.addEventListener("click", () => this.live());
    this.speeds.addEventListener("change", () => this.playAt(Number(this.speeds.value)));
    this.bar.addEventListener("pointerdown", (event) => this.grab(event));
    this.bar.addEventListener("pointermove", (event) => this.drag(event));
    this.bar.addEventListener("pointerup", () => this.drop());
    this.bar.addEventListener("pointercancel", () => this.drop());
    document.addEventListener("keydown", (event) => this.press(event));
    this.draw();
  }

  /** Whether the past is shown. */
  get isPast(): boolean {
    return this.said?.replay !== undefined;
  }

  // -- what comes ----------------------------------------------------------------------------------------------------

  /** Another connection for good: it begins in the present. */
  connected(stream: Replay): void {
    this.stream = stream;
    this.asked = false;
    this.kept.ask();
  }

  /**
   * Levels of a status. Returns whether they follow those before: otherwise what was seen so far is no past of theirs.
   *
   * @param tsMs Core's time
   */
  follow(said: Status | undefined, tsMs: number): boolean {
    this.heed(said);
    const { followed: before, isPast } = this;
    this.followed = { isPast, tsMs };
    if (!isPast) this.kept.reach(tsMs);
    return before === undefined || (before.isPast === isPast && !(isPast && isJump(before.tsMs, tsMs, said?.replay?.paused)));
  }

  heed(said: Status | undefined): void {
    const before = this.said?.replay;
    this.said = said;
    const replay = said?.replay;
    if (before !== undefined && replay === undefined) this.returned();
    if (replay !== undefined && before === undefined) this.toldUntilMs = 0;
    if (replay !== undefined) this.speed = replay.speed;
    if (this.awaited !== undefined && hasArrived(this.awaited.moment, replay)) this.awaited = undefined;
    if (this.awaits !== undefined && said !== undefined) this.goAlong(this.awaits);
    this.tellOthers(replay);
    this.draw();
  }

  /** A connection ended. Returns whether it was for what the time line asked: then it takes another connection. */
  ended({ code, reason, explanation }: Disconnect): boolean {
    if (!this.asked || !REFUSED.has(code)) return false; // the stream goes on where it was
    this.say(`Not played: ${reason || explanation}. This is the present.`);
    this.asked = false;
    this.awaited = this.dragged = undefined;
    this.jumps = NO_JUMPS;
    return true;
  }

  /** The others go there, too. */
  private tellOthers(replay: Played | undefined): void {
    const nowMs = performance.now();
    if (!this.leads || replay?.at_ms === 0 || !isTouched(this.shared, replay, nowMs)) return;
    this.shared = { replay, nowMs };
    this.share({ replay: replay && { at_ms: replay.at_ms, paused: replay.paused, speed: replay.speed }, sinceMs: this.sinceMs });
  }

  /** Somebody has put the replay there in another window. What is older than what somebody did here has crossed with it. */
  goAlong(put: Put): void {
    const { replay, sinceMs } = put;
    if (sinceMs < this.sinceMs) return;
    this.awaits = this.said === undefined ? put : undefined; // a connection that is being opened takes no jump
    if (this.said !== undefined) {
      if (replay === undefined) this.live();
      else this.goAlongTo(replay);
      this.leads = false;
      this.shared = { replay, nowMs: performance.now() };
    }
    this.sinceMs = sinceMs;
  }

  /** Somebody puts the replay here: the other windows go along. */
  private lead(): void {
    this.leads = true;
    this.sinceMs = Math.max(Date.now(), this.sinceMs + 1); // a clock may be set back
  }

  private goAlongTo(replay: Played): void {
    const { at_ms: atMs, paused, speed } = replay;
    if (speed !== this.speed) this.playAt(speed);
    if (paused !== (this.said?.replay?.paused === true)) paused ? this.stream?.pause() : this.stream?.resume();
    const shown = this.shownMoment();
    if (shown === NOW || isApart(shown, replay)) this.go(atMs);
  }

  private returned(): void {
    this.say("This is the present again.");
    this.jumps = { ...this.jumps, waiting: undefined };
  }

  private say(words: string): void {
    this.told = words;
    this.toldUntilMs = performance.now() + TOLD_MS;
    this.tell(words);
    setTimeout(() => this.draw(), TOLD_MS + 50);
    this.draw();
  }

  // -- what somebody does --------------------------------------------------------------------------------------------

  /** Back to the present. Returns whether the past was shown, or asked for. */
  live(): boolean {
    if (!this.isPast && this.shownMoment() === NOW) return false;
    this.dragged = undefined;
    this.go(NOW);
    return true;
  }

  act(action: Action): void {
    const { span } = this.kept;
    if (span === undefined) return;
    switch (action.does) {
      case "move":
        return this.go(moved(this.shownMoment(), action.byMs, span));
      case "step":
        return this.step(action.by, span);
      case "go":
        return action.to === "begin" ? this.go(span.fromMs) : void this.live();
      case "speed":
        return this.playAt(speedAfter(this.speed, action.by));
      case "play":
        return this.playOrPause(span);
    }
  }

  private playAt(speed: number): void {
    this.lead();
    this.speed = speed;
    if (this.stream !== undefined) this.stream.speed = speed;
    this.draw();
  }

  private playOrPause({ toMs }: Span): void {
    this.lead();
    const replay = this.said?.replay;
    if (replay?.paused === true) return this.stream?.resume();
    this.stream?.pause();
    if (replay === undefined) this.send(toMs);
  }

  /** In the present there is nothing to go on to, and going back begins with standing still. */
  private step(by: number, span: Span): void {
    this.lead();
    if (this.isPast) this.stream?.step(by);
    else if (by < 0) this.playOrPause(span);
  }

  /** Now, or as soon as the jump before has had its time. */
  private go(moment: Moment): void {
    if (moment === NOW && !this.isPast && !this.asked) return;
    this.lead();
    this.awaited = { moment, untilMs: performance.now() + AWAITED_MS };
    this.carry(wanted(this.jumps, moment, performance.now()));
    this.draw();
  }

  private carry({ jumps, send, againMs }: Due): void {
    clearTimeout(this.timer);
    this.jumps = jumps;
    if (send !== undefined) this.send(send);
    if (againMs !== undefined) this.timer = setTimeout(() => this.carry(due(this.jumps, performance.now())), againMs);
  }

  private send(moment: Moment): void {
    this.stream?.seek(moment);
    if (moment !== NOW) this.asked = true;
    setTimeout(() => this.draw(), AWAITED_MS + 50);
  }

  private press(event: KeyboardEvent): void {
    const { target, key, shiftKey: shift } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || document.querySelector("dialog[open]") !== null) return;
    const inside = target instanceof Element ? target : document.body;
    if (inside.closest("input, select, textarea") !== null) return;
    const onTheBar = inside === this.handle;
    if (key === " " && inside.closest("button, a, summary") !== null) return;
    const elsewhere = inside !== document.body && !this.element.contains(inside) && inside.closest("#ladder") === null;
    if (elsewhere && (key === " " || key.startsWith("Arrow"))) return;
    const action = actionOf({ key, shift }, this.said?.replay?.paused === true, onTheBar);
    if (action === undefined) return;
    event.preventDefault();
    this.act(action);
  }

  private grab(event: PointerEvent): void {
    if (event.button !== 0 || this.kept.span === undefined) return;
    this.bar.setPointerCapture(event.pointerId);
    this.handle.focus({ preventScroll: true });
    event.preventDefault();
    this.dragged = this.shownMoment();
    this.drag(event);
  }

  private drag({ clientX }: PointerEvent): void {
    const { span } = this.kept;
    if (this.dragged === undefined || span === undefined) return;
    const { left, width } = this.bar.getBoundingClientRect();
    const moment = momentAt(clientX - left, width, span);
    if (moment === this.dragged) return;
    this.dragged = moment;
    if (moment !== NOW) this.go(moment); // the present is chosen where the drag ends
    this.draw();
  }

  private drop(): void {
    const moment = this.dragged;
    this.dragged = undefined;
    if (moment === NOW && (this.isPast || this.asked)) this.go(NOW);
    this.draw();
  }

  // -- what is shown -------------------------------------------------------------------------------------------------

  private get shown(): Shown {
    return { replay: this.said?.replay, speed: this.speed };
  }

  /** What is dragged to, or asked for and not there yet; else what is shown. */
  private shownMoment(): Moment {
    if (this.dragged !== undefined) return this.dragged;
    if (this.awaited !== undefined && performance.now() < this.awaited.untilMs) return this.awaited.moment;
    const atMs = this.said?.replay?.at_ms;
    return atMs === undefined || atMs === 0 ? NOW : atMs;
  }

  private draw(): void {
    const { span, reason, isOff } = this.kept;
    this.controls.hidden = span === undefined;
    this.off.hidden = span !== undefined;
    this.offWords.show(isOff ? "No time line" : "The time line is not there yet");
    setAttribute(this.off, "title", reason);
    if (span === undefined) return;
    const moment = this.shownMoment();
    const { replay } = this.shown;
    this.place.set(`${(shareOf(moment, span) * 100).toFixed(2)}%`);
    this.begin.show(newYork(span.fromMs).time.slice(0, 5));
    this.end.show(newYork(span.toMs).time.slice(0, 5));
    setAttribute(this.handle, "aria-valuemin", `${Math.round(span.fromMs / 1000)}`);
    setAttribute(this.handle, "aria-valuemax", `${Math.round(span.toMs / 1000)}`);
    setAttribute(this.handle, "aria-valuenow", `${Math.round((moment === NOW ? span.toMs : moment) / 1000)}`);
    setAttribute(this.handle, "aria-valuetext", valueText(moment, this.shown));
    setAttribute(this.element, "data-moment", moment === NOW ? "now" : "past");
    const told = performance.now() < this.toldUntilMs ? this.told : "";
    this.note.show(told);
    setAttribute(this.note.element, "data-long", String(told.length > LINE));
    this.moment.show(moment !== NOW ? newYork(moment).time : told === "" ? "Present" : "");
    const stands = replay?.paused === true;
    this.playSign.show(stands ? "▶" : "❚❚");
    setAttribute(this.play, "aria-label", stands ? "Play" : "Pause");
    this.now.hidden = replay === undefined && moment === NOW;
    if (document.activeElement !== this.speeds) this.speeds.value = `${SPEEDS.includes(this.speed) ? this.speed : 1}`;
  }

  private button(sign: string, name: string, by: number): HTMLElement {
    const button = make("button", { type: "button", class: "step", "aria-label": name, title: name }, sign);
    button.addEventListener("click", () => this.act({ does: "step", by }));
    return button;
  }
}

/** The part of the page. */
export function timeLine(
  url: string,
  token: () => string | undefined,
  tell: (words: string) => void,
  share: (put: Put) => void,
): TimeLine {
  return new TimeLine(byId("timeline"), url, token, tell, share);
}
