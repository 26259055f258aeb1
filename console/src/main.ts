/** The console: a stream comes in, the parts of the page show it. */

import "./style.css";
import { type Freshness, type LevelSignal, type LevelsPayload, type Replay, type Shape, type State, type Status as Said, type Stream, at } from "./feed.ts";
import { attention, first, isNewSweep } from "./market/attention.ts";
import { nearestLevels } from "./market/bounds.ts";
import { changes } from "./market/changes.ts";
import { isFiltered, type Row, rowsOf, togglePin } from "./market/choice.ts";
import { type Instrument, type Instruments, instruments } from "./market/instruments.ts";
import { LevelPasts } from "./market/level_past.ts";
import type { ChartChoice } from "./market/spans.ts";
import { sectionsOf } from "./market/windows.ts";
import { price } from "./market/words.ts";
import { Alarm, type Told } from "./page/alarm.ts";
import { Announcer } from "./page/announcer.ts";
import { TextCell, byId, setAttribute } from "./page/cells.ts";
import { SpotChart } from "./page/chart.ts";
import { ChartControls } from "./page/chart_controls.ts";
import { Choices } from "./page/choices.ts";
import { deliver } from "./page/delivery.ts";
import { Help, TokenDialog } from "./page/dialogs.ts";
import { First } from "./page/first.ts";
import { Ladder, keyed } from "./page/ladder.ts";
import type { Look } from "./page/level_row.ts";
import { Past } from "./page/past.ts";
import { Probe } from "./page/probe.ts";
import { Sheet } from "./page/sheet.ts";
import { Status } from "./page/status.ts";
import { Strikes } from "./page/strikes.ts";
import { Tape } from "./page/tape.ts";
import { Theme } from "./page/theme.ts";
import { timeLine } from "./page/timeline.ts";
import { Windows } from "./page/windows.ts";

const STREAM = "ws/stream"; // beside the page, wherever a proxy puts it
const HIDDEN_RATE = 2; // frames a second, half of Core's
const TICK_MS = 250; // the clock and the ages, also while nothing arrives

const spot = new TextCell(byId("spot"));
const bid = new TextCell(byId("bid"));
const ask = new TextCell(byId("ask"));
const instrument = new TextCell(byId("instrument"));
const otherName = new TextCell(byId("other-name"));
const otherSpot = new TextCell(byId("other-spot"));
const chartTitle = new TextCell(byId("chart-title"));
const chartProgress = new TextCell(byId("chart-progress"));
const count = new TextCell(byId("levels-count"));
const announcer = new Announcer(byId("announcer"));
const windows = new Windows(announcer, { onSelected: select, onReplay: (put) => line.goAlong(put), onDuty: askForShown });
const status = new Status(windows.title);
const chartControls = new ChartControls(onChartChoice);
const chart = new SpotChart(byId("chart"), chartControls.choice);
const strikes = new Strikes(byId("strikes"), byId("measure") as HTMLSelectElement);
const sheet = new Sheet(byId("sheet"), () => byId("ladder").focus({ preventScroll: true }), pin);
const ladder = new Ladder(byId("ladder"), onActive, openSheet, (away) => (byId("centre").hidden = !away));
const choices = new Choices(byId("filter") as HTMLDetailsElement, onChoice);
const help = new Help(byId("help"));
const theme = new Theme(byId("theme"), () => chart.restyle());
const probe = new Probe();
const tokenDialog = new TokenDialog(() => listen());
const past = new Past(chartControls.choice.span, STREAM, () => tokenDialog.token, {
  filled: onFilled,
  events: () => alarm.limit(),
  flow: () => strikes.showPast(past.flow),
  scores: (told) => {
    pasts.fill(told);
    showAgain();
  },
});
const tape = new Tape(() => past.events, past.spotAt, (id) => openSheet(keyOf(id)));
const alarm = new Alarm(byId("alerts"), byId("calls"), announcer, told, (count) => status.called(count), (level) => look(keyOf(level)));

const line = timeLine(STREAM, () => tokenDialog.token, (words) => announcer.say(words), (put) => windows.play(put));
const firstPart = new First(byId("first"), look);
let pasts = new LevelPasts();
let stream: Replay | undefined;
let refused = false;
let lastState: State = "connecting";
let isPast = false; // what the gateway shows
let isOfPast = false; // the newest levels
let newestFlow: Readonly<Record<string, unknown>> = {};
let newestLevels: LevelsPayload | undefined;
let newestRows: ReadonlyMap<string, Row> = new Map();
let firstKeys: readonly string[] = [];
let named: Instrument | undefined; // the last main instrument that had a spot
let seen: ReadonlyMap<string, LevelSignal> | undefined;
let selectedElsewhere: string | undefined; // a row that is not here yet

// -- input ------------------------------------------------------------------------------------------------------------

function listen(): void {
  stream?.close();
  refused = false;
  lastState = "connecting";
  const { token } = tokenDialog;
  const opened = (stream = at(STREAM, "live", { ...shown(), token, events: true, schedule: deliver }));
  opened.on("levels", takeLevels);
  opened.on("flow", takeFlow);
  opened.on("freshness", (freshness) => showFreshness(opened, freshness));
  opened.on("status", heed);
  opened.on("disconnect", (disconnect) => {
    if (line.ended(disconnect)) listen();
    else void askForToken(opened);
  });
  opened.on("state", (state) => fillPast(state));
  opened.on("events", (news) => {
    past.hear(news);
    alarm.add(news.events);
  });
  line.connected(opened);
}

/** With the first frame of a connection: its events begin there, and what the page did not see is asked for. */
function fillPast(state: State): void {
  if (state !== "connecting" && state !== "closed" && lastState === "connecting") past.ask();
  lastState = state;
}

/** What the page shows; a hidden page only has to know the newest when it is looked at again. */
function shown(): Shape {
  const isNamed = Object.keys(newestFlow).length > 0;
  return { sections: sectionsOf(windows.panel, windows.calls, isNamed), rate: document.hidden ? HIDDEN_RATE : undefined };
}

function askForShown(): void {
  stream?.change(shown());
}

/** A browser does not learn why a WebSocket was refused: an HTTP route says it. */
async function askForToken(of: Stream): Promise<void> {
  if (!(await probe.isRefused(tokenDialog.token)) || of !== stream || refused) return;
  refused = true;
  of.close();
  tokenDialog.ask();
}

/** A hidden page calls, and draws when it is looked at again. */
function takeLevels(payload: LevelsPayload): void {
  newestLevels = payload;
  const follows = line.follow(stream?.status, payload.ts);
  turn();
  isOfPast = isPast;
  if (!follows) beginAgain(payload.ts);
  const both = instrumentsOf(payload);
  if (!isPast) alarm.see(payload, both);
  if (!document.hidden) showLevels(payload, both);
}

function takeFlow(flow: Readonly<Record<string, unknown>>): void {
  const isFirst = Object.keys(newestFlow).length === 0;
  newestFlow = flow;
  if (isFirst && windows.panel !== undefined) askForShown(); // it may be there for the name of the instrument alone
  heed(stream?.status);
  if (!document.hidden) showFlow(flow);
}

function heed(said: Said | undefined): void {
  line.heed(said);
  windows.played({ replay: said?.replay, sinceMs: line.sinceMs });
  turn();
}

/** To the past, or back to the present, which went on. What is past calls nobody. */
function turn(): void {
  if (line.isPast === isPast) return;
  isPast = line.isPast;
  alarm.begin(isPast);
}

/** Another moment is shown: what was seen before is no past of it. */
function beginAgain(atMs: number): void {
  pasts = new LevelPasts();
  seen = undefined;
  past.begin(isPast ? atMs : undefined);
  pasts.tell(past.events);
  if (!document.hidden) showFlow(flowThere());
}

/** The newest one may be of another moment, and names the instrument. */
function flowThere(): Readonly<Record<string, unknown>> {
  return stream?.payload?.flow ?? {};
}

function instrumentsOf(payload: LevelsPayload): Instruments {
  const both = instruments(payload, newestFlow, named);
  if (both.main.spot !== null) named = both.main;
  return both;
}

/** By the gateway's clock, which NATS and the events share better than this machine does. */
function told(): Told {
  const said = stream?.status;
  const lineDelayMs = stream?.freshness.lineDelayMs ?? 0;
  const isReplay = said?.replay !== undefined || said?.cause === "replay" || stream?.state === "replay";
  return { serverMs: said === undefined ? Date.now() : said.sent_ms + lineDelayMs, isReplay, isAlone: past.isAlone, isCalling: windows.calls };
}

function showLevels(payload: LevelsPayload, both: Instruments = instrumentsOf(payload)): void {
  showSpots(both);
  if (isOfPast) status.arrivedOfPast();
  else status.arrived(payload.ts, Date.now());
  const change = past.add(payload, both);
  if (isOfPast) pasts.tell(past.events); // a replay's frames tell none
  const levels = nearestLevels(payload.levels, both);
  choices.offer(levels);
  const rows = rowsOf(keyed(levels), choices.choice, both);
  newestRows = rows;
  showCount(payload.levels.length, rows);
  for (const { key, level } of rows.values()) {
    pasts.add({ atMs: payload.ts, key, id: level.id, signal: level.signal, score: level.break_score_smooth, swept: level.sweep_detected });
  }
  const attentions = [...rows.values()].map((row) => {
    return attention(row, pasts.of(row.key), both.of(row.level.level_price).spot, payload.ts);
  });
  const chosen = first(attentions, firstKeys);
  firstKeys = chosen.map(({ key }) => key);
  firstPart.show(chosen, rows);
  ladder.show(rows, pasts, both, (key) => lookOf(key, payload.ts));
  if (selectedElsewhere !== undefined) select(selectedElsewhere);
  strikes.showSpot(both);
  const { session, signals: flips } = past;
  chart.show({ tsMs: payload.ts, rows, instruments: both, session, change, flips, withGone: !isFiltered(choices.choice) });
  tellChanges(payload.ts, rows, both);
  if (sheet.of !== undefined) sheet.show(ladder.row(sheet.of));
}

/** More is known of what is shown: no frame may come soon that shows it. */
function showAgain(): void {
  if (newestLevels !== undefined && !document.hidden) showLevels(newestLevels);
}

function lookOf(key: string, atMs: number): Look {
  const past = pasts.of(key);
  return { rank: firstKeys.indexOf(key) + 1, newSweep: past !== undefined && isNewSweep(past, atMs) };
}

function showSpots({ main, other }: Instruments): void {
  instrument.show(main.name);
  chartTitle.show(`${main.name} and levels`);
  spot.show(price(main.spot));
  setAttribute(document.documentElement, "data-spot", main.spot === null ? "missing" : "there");
  bid.show(price(main.bid));
  ask.show(price(main.ask));
  otherName.show(other?.name ?? "");
  otherSpot.show(price(other?.spot));
  byId("other-part").hidden = other === undefined;
}

function showFlow(flow: Readonly<Record<string, unknown>>): void {
  past.addFlow(flow, newestLevels?.ts ?? Date.now());
  strikes.show(flow, past.flow);
  const isNamed = newestLevels === undefined || instruments(newestLevels, flow, named).main.name === instrument.element.textContent;
  if (newestLevels !== undefined && !isNamed) showLevels(newestLevels);
}

/** How many levels there are, and how many of them the page shows. */
function showCount(all: number, rows: ReadonlyMap<string, Row>): void {
  const shown = [...rows.values()].reduce((sum, { levels }) => sum + levels.length, 0);
  setAttribute(count.element, "data-all", `${all}`);
  count.show(shown === all ? `${all}` : `${shown} of ${all}${isFiltered(choices.choice) ? "" : ", nearest to spot"}`);
  byId("no-levels").hidden = rows.size > 0;
  byId("no-levels").textContent = all === 0 ? "No levels yet." : "No level passes the filter.";
}

/** What is shown changed, and the market did not. */
function onChoice(): void {
  seen = undefined;
  past.showOther();
  if (newestLevels !== undefined) showLevels(newestLevels);
}

function tellChanges(tsMs: number, rows: ReadonlyMap<string, Row>, both: Instruments): void {
  const levels = new Map([...rows].map(([key, { level }]) => [key, level]));
  const found = changes(seen, levels);
  seen = levels;
  tape.show(); // also for what became of a signal
  if (isOfPast) return; // what is told is of the present
  for (const { words } of found.filter(({ signal }) => signal !== undefined)) announcer.say(words);
  past.see(levels, tsMs, (price) => both.of(price).spot);
}

function onFilled(progress: string): void {
  chartProgress.show(progress);
  chart.refill();
  tape.show();
}

function onChartChoice(choice: ChartChoice): void {
  past.choose(choice.span);
  chart.choose(choice);
  if (newestLevels !== undefined) showLevels(newestLevels);
}

past.feed.subscribe(({ events, past: isOlder }) => {
  pasts.tell(past.events);
  if (isOlder) showAgain();
  if (events.some(({ kind }) => kind === "signal")) chart.mark();
  tape.show();
});

function showFreshness(of: Stream, freshness: Freshness): void {
  if (of !== stream) return;
  const { state, status: said, lastDisconnect } = of;
  const ended = lastDisconnect?.reconnect === false ? lastDisconnect.explanation : "";
  const spoken = status.show({ state, freshness, status: said, ended }, probe.health, refused, Date.now());
  if (spoken !== undefined) announcer.say(spoken);
  if (status.verdict !== undefined) alarm.judge(status.verdict);
}

// -- keys --------------------------------------------------------------------------------------------------------------

const KEYS: Readonly<Record<string, () => void>> = {
  ArrowDown: () => ladder.move(1),
  j: () => ladder.move(1),
  ArrowUp: () => ladder.move(-1),
  k: () => ladder.move(-1),
  Enter: () => ladder.open(),
  Escape: letGo,
  1: () => look(firstPart.keyOf(1)),
  2: () => look(firstPart.keyOf(2)),
  3: () => look(firstPart.keyOf(3)),
  a: () => alarm.open(),
  c: () => ladder.centre(),
  f: () => choices.toggle(),
  l: () => chartControls.nextForm(),
  m: () => strikes.next(),
  p: () => pin(ladder.active),
  s: () => chartControls.nextSpan(),
  q: () => alarm.silence(),
  t: () => theme.toggle(),
  "?": () => help.open(),
};

function onActive(key: string | undefined): void {
  selectedElsewhere = undefined;
  chart.select(key);
  windows.select(key);
  if (sheet.isOpen && key !== undefined) openSheet(key);
}

function openSheet(key: string | undefined): void {
  const row = key === undefined ? undefined : ladder.row(key);
  if (key !== undefined && row !== undefined) sheet.open(key, row);
}

/** The row that a level is in. */
function keyOf(id: string): string | undefined {
  return [...newestRows.values()].find(({ levels }) => levels.some((level) => level.id === id))?.key;
}

/** Moves the cursor to a row. */
function look(key: string | undefined): void {
  if (key !== undefined) ladder.choose(key);
}

/** As another window of this desk does. */
function select(key: string | undefined): void {
  selectedElsewhere = key !== undefined && ladder.row(key) === undefined ? key : undefined;
  if (key === undefined) ladder.release();
  else look(key);
}

/** Pin a row, or let it go. */
function pin(key: string | undefined): void {
  const row = key === undefined ? undefined : ladder.row(key);
  if (row !== undefined) choices.choose(togglePin(choices.choice, row));
}

function letGo(): void {
  if (sheet.isOpen) sheet.close();
  else if (!line.live()) ladder.release();
}

document.addEventListener("keydown", (event) => {
  const { target, key } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]") !== null) return;
  const inside = target instanceof Element ? target : document.body;
  if (inside.closest("input, select, textarea") !== null) return;
  if (key === "Enter" && inside.closest("button, a, summary") !== null) return;
  if (key === "Escape" && inside.closest("#filter") !== null) return;
  if (key.startsWith("Arrow") && inside !== document.body && inside.closest("#ladder") === null) return;
  const act = KEYS[key];
  if (act === undefined) return;
  event.preventDefault();
  act();
});
byId("centre").addEventListener("click", () => ladder.centre());

// -- begin -------------------------------------------------------------------------------------------------------------

setInterval(() => {
  if (stream !== undefined) showFreshness(stream, stream.freshness);
}, TICK_MS);
document.addEventListener("visibilitychange", () => {
  askForShown();
  if (document.hidden) return;
  if (newestLevels !== undefined) showLevels(newestLevels);
  showFlow(flowThere());
  past.ask(); // for the time that was not drawn
});
probe.start();
listen();
