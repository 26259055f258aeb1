/** What is decided in values: pauses, disconnects, freshness. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { CLOSE_CODES, type Age, type SectionStatus, type Status } from "@spymaster/client";
import { Cadence, stateOf } from "../dist/freshness.js";
import { disconnectOf, pauseMs } from "../dist/disconnect.js";
import { Line } from "../dist/line.js";
import { isBehind } from "../dist/status.js";
import { section, status } from "./sockets.ts";

const [FIRST, LONGEST] = [250, 10_000];

for (const [failures, bound] of [
  [0, 250],
  [1, 500],
  [5, 8_000],
  [6, 10_000],
  [2_000, 10_000],
] as const)
  test(`after ${failures} failures the pause is anything up to ${bound} ms`, () => {
    for (const random of [0, 0.5, 1]) assert.equal(pauseMs(failures, FIRST, LONGEST, random), random * bound);
  });

for (const [reason, askedMs] of [
  ["full; reconnect in 5 s", 5_000],
  ["reconnect in 2.5 s", 2_500],
  ["reconnect in 30s", 30_000],
  ["reconnect in 99999 s", 600_000],
  ["reconnect", 0],
  ["", 0],
] as const)
  test(`a close reason that says "${reason}" is obeyed first`, () => {
    assert.equal(pauseMs(0, FIRST, LONGEST, 0, reason), askedMs);
    assert.equal(pauseMs(0, FIRST, LONGEST, 1, reason), askedMs + 250, "and not by all at once");
  });

test("a close code of the gateway means what the gateway's table says", () => {
  assert.ok(1001 in CLOSE_CODES);
  for (const [code, [explanation, reconnect]] of Object.entries(CLOSE_CODES))
    assert.deepEqual(disconnectOf(+code, "said"), { code: +code, reason: "said", explanation, reconnect });
});

for (const [code, reconnect] of [
  [1000, true],
  [1002, false],
  [1003, false],
  [1005, true],
  [1006, true],
  [1007, false],
  [1008, true], // the gateway says so for too many messages, and when
  [1009, false],
  [1011, true],
  [1012, true],
  [1013, true],
  [4999, true],
] as const)
  test(`after ${code} it ${reconnect ? "connects again" : "stays away"}`, () => {
    assert.equal(disconnectOf(code, "").reconnect, reconnect);
  });

/** A section that changed every `gapMs` up to 10 s, ten times or more. */
function usual(gapMs: number): Cadence {
  const cadence = new Cadence();
  for (let now = 10_000 - 20 * gapMs; now <= 10_000; now += gapMs) cadence.add(now, false, false);
  return cadence;
}

for (const [gapMs, liveUntil, lateUntil] of [
  [100, 500, 2_500],
  [250, 875, 2_500],
  [400, 1_250, 3_200],
  [1_000, 2_750, 8_000],
] as const)
  test(`what comes every ${gapMs} ms is late after ${liveUntil} ms and stale after ${lateUntil} ms`, () => {
    const state = (ageMs: number) => usual(gapMs).at(10_000 + ageMs, {})?.state;
    assert.deepEqual([state(0), state(liveUntil), state(liveUntil + 1)], ["live", "live", "late"]);
    assert.deepEqual([state(lateUntil), state(lateUntil + 1)], ["late", "stale"]);
  });

test("the limits can be given", () => {
  const state = (ageMs: number) => usual(250).at(10_000 + ageMs, { lateAfterMs: 100, staleAfterMs: 200 })?.state;
  assert.deepEqual([state(100), state(101), state(200), state(201)], ["live", "late", "late", "stale"]);
});

test("what never came has no age", () => {
  assert.equal(new Cadence().at(1, {}), undefined);
});

test("the first of a connection is never live, and the next one is", () => {
  const cadence = new Cadence();
  cadence.add(0, true, false);
  assert.deepEqual(cadence.at(0, {}), { state: "late", ageMs: 0, usualMs: undefined });
  assert.equal(cadence.at(60_000, {})?.state, "stale");
  cadence.add(100, false, false);
  assert.equal(cadence.at(100, {})?.state, "live");
});

test("a lost connection makes what was live late, and its gap does not count", () => {
  const cadence = usual(250);
  cadence.interrupt();
  assert.equal(cadence.at(10_000, {})?.state, "late");
  cadence.add(70_000, true, false);
  cadence.add(70_250, false, false);
  assert.deepEqual(cadence.at(70_250, {}), { state: "live", ageMs: 0, usualMs: 250 });
});

test("a gap in which frames were skipped does not count", () => {
  const cadence = usual(250);
  cadence.add(70_000, false, true);
  assert.deepEqual(cadence.at(70_000, {}), { state: "live", ageMs: 0, usualMs: 250 });
});

test("one long gap in ten is not usual", () => {
  const cadence = usual(250);
  cadence.add(14_000, false, false);
  assert.equal(cadence.at(14_000, {})?.usualMs, 250);
});

/** 0 to 1, the same again for the same seed: mulberry32. */
function randomOf(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A section whose changes come about every `gapMs` and are read at repaints; other frames come between. */
class Simulation {
  readonly cadence = new Cadence();
  now = 1_000;
  #random: () => number;
  #gapMs: number;
  #repaintMs: number;
  #unread: { at: number; changes: boolean } | undefined;
  #skipped = false;

  constructor(seed: number, gapMs: number, repaintMs: number) {
    this.#random = randomOf(seed);
    this.#gapMs = gapMs;
    this.#repaintMs = repaintMs;
  }

  live(forMs: number): void {
    const until = this.now + forMs;
    let next = this.now;
    for (; this.now < until; this.now += 1) {
      const isOther = this.#random() < 0.004; // a frame of another section, four a second
      if (this.now >= next || isOther) {
        this.#skipped = this.#unread !== undefined;
        const changes: boolean = this.now >= next || this.#unread?.changes === true;
        this.#unread = { at: this.now, changes };
        if (this.now >= next) next = this.now + this.#gapMs * (0.7 + 0.6 * this.#random());
      }
      if (this.now % this.#repaintMs === 0) this.#read();
    }
    this.#read();
  }

  #read(): void {
    if (this.#unread?.changes) this.cadence.add(this.#unread.at, false, this.#skipped);
    this.#unread = undefined;
  }
}

test("after an outage, what stops again is late and stale after its usual limits", () => {
  const random = randomOf(7);
  for (let seed = 1; seed <= 300; seed += 1) {
    const gapMs = [100, 250, 400, 1_000][seed % 4]!;
    const simulation = new Simulation(seed, gapMs, [1, 16, 250, 1_000][(seed >> 2) % 4]!);
    const outageMs = 8 * 1.3 * gapMs + 2_500 + 30_000 * random();
    for (const [liveMs, silentMs] of [[10_000, outageMs], [5_000, 0]] as const) {
      simulation.live(liveMs);
      simulation.now += Math.ceil(silentMs);
    }
    const longestGapMs = Math.max(1_000, 1.3 * gapMs + 1_000); // nothing may be known, and repaints delay what is read
    const state = (ageMs: number) => simulation.cadence.at(simulation.now + ageMs, {})?.state;
    const found = `seed ${seed}: ${gapMs} ms, usual ${simulation.cadence.at(simulation.now, {})?.usualMs}`;
    assert.notEqual(state(2.5 * longestGapMs + 250), "live", found);
    assert.equal(state(8 * longestGapMs), "stale", found);
    if (gapMs <= 250) assert.equal(state(8_001), "stale", found);
  }
});

test("ten seconds live, ten seconds of outage, five live: stale 2.5 s later, not 10 s", () => {
  const simulation = new Simulation(1, 250, 16);
  simulation.live(10_000);
  simulation.now += 10_000;
  simulation.live(5_000);
  assert.equal(simulation.cadence.at(simulation.now + 2_800, {})?.state, "stale");
  assert.ok(simulation.cadence.at(simulation.now, {})!.usualMs! < 400);
});

test("long gaps that are alike are the pace of a slow producer, three in a row; others are outages", () => {
  for (const [gapsMs, usualMs] of [
    [[10_000], 250],
    [[10_000, 10_000], 250],
    [[10_000, 11_000, 9_000], 10_000],
    [[10_000, 250, 10_000, 250, 10_000], 250],
    [[10_000, 60_000, 10_000], 250],
  ] as const) {
    const cadence = usual(250);
    let now = 10_000;
    for (const gapMs of gapsMs) cadence.add((now += gapMs), false, false);
    assert.equal(cadence.at(now, {})?.usualMs, usualMs, String(gapsMs));
  }
});

// -- by the gateway's status --------------------------------------------------------------------------------------------

const NO_LIMITS = {};

function judged(of: Partial<SectionStatus>, sinceMs: number, gapMs = 250, further: Partial<Status> = {}): Age | undefined {
  return usual(gapMs).judged(section(of), status(further), sinceMs, NO_LIMITS)?.state;
}

test("the age is the gateway's, and goes on", () => {
  const found = new Cadence().judged(section({ age_ms: 150_000, verdict: "stale" }), status(), 700, NO_LIMITS);
  assert.deepEqual(found, { state: "stale", ageMs: 150_700, usualMs: undefined });
  assert.equal(new Cadence().judged(undefined, status(), 0, NO_LIMITS), undefined);
});

for (const [verdict, state] of [
  ["live", "live"],
  ["late", "late"],
  ["stale", "stale"],
  ["replay", "replay"],
  ["closed", "market_closed"],
  ["invented", "late"],
] as const)
  test(`a section that the gateway calls ${verdict} is ${state}, whatever its age`, () => {
    for (const age_ms of [0, 5_000, 1e9]) assert.equal(judged({ verdict, age_ms }, 1_000), state);
  });

for (const [gapMs, liveUntil, lateUntil] of [
  [250, 2_750, 3_000],
  [1_000, 2_750, 8_000],
  [5_000, 12_750, 40_000],
] as const)
  test(`what is live every ${gapMs} ms is late ${liveUntil} ms after the gateway was heard, and stale after ${lateUntil} ms`, () => {
    const ages = [liveUntil, liveUntil + 1, lateUntil, lateUntil + 1];
    assert.deepEqual(ages.map((ms) => judged({}, ms, gapMs)), ["live", "late", "late", "stale"]);
  });

test("a closed market is calm until it opens, also without the gateway", () => {
  const market = { ...status().market, open: false, opens_ms: status().sent_ms + 60_000 };
  const states = [1_000, 59_999, 60_000].map((ms) => judged({ verdict: "closed" }, ms, 250, { market }));
  assert.deepEqual(states, ["market_closed", "market_closed", "stale"]);
});

test("limits that were given count beside the verdict", () => {
  const limits = { lateAfterMs: 100, staleAfterMs: 200 };
  const of = (age_ms: number) => usual(250).judged(section({ age_ms }), status(), 0, limits)?.state;
  assert.deepEqual([of(100), of(101), of(201)], ["live", "late", "stale"]);
});

const ALL = { levels: true, flow: true };

for (const [levels, flow, of, asks, state] of [
  ["live", "live", {}, ALL, "live"],
  ["live", "late", {}, ALL, "late"],
  ["live", "stale", {}, ALL, "late"],
  ["live", "market_closed", {}, ALL, "live"],
  ["stale", "live", {}, ALL, "stale"],
  ["live", "replay", {}, ALL, "replay"],
  ["stale", "replay", {}, ALL, "replay"],
  ["market_closed", "stale", {}, ALL, "market_closed"],
  [undefined, "live", {}, ALL, "live"],
  [undefined, "live", { cause: "levels_silent" }, ALL, "late"],
  [undefined, "stale", { cause: "levels_silent" }, ALL, "stale"],
  [undefined, "live", { cause: "levels_silent" }, { levels: false, flow: true }, "live"],
  ["live", undefined, { cause: "flow_silent" }, ALL, "late"],
  ["live", undefined, { cause: "flow_silent" }, { levels: true, flow: false }, "live"],
  ["live", "live", { cause: "spot_missing" }, ALL, "late"],
  ["live", "live", { cause: "gateway_draining" }, ALL, "live"],
  [undefined, undefined, { cause: "no_message" }, ALL, "late"],
  [undefined, undefined, { market: { ...status().market, open: false } }, ALL, "market_closed"],
] as const)
  test(`${levels} levels and ${flow} flow, ${JSON.stringify(of)}, of ${JSON.stringify(asks)}: ${state}`, () => {
    assert.equal(stateOf(levels, flow, status(of), asks), state);
  });

// -- the line ---------------------------------------------------------------------------------------------------------

test("a line is dead after three heartbeats and its longest gap of the last minutes", () => {
  const line = new Line(0);
  line.arrived(500);
  assert.deepEqual([line.isDead(30_500, 30_000), line.isDead(30_501, 30_000)], [false, true], "before a status");
  line.delayMs(500, status());
  assert.deepEqual([line.isDead(4_000, 30_000), line.isDead(4_001, 30_000)], [false, true]);
  line.arrived(3_000);
  assert.deepEqual([line.isDead(8_500, 30_000), line.isDead(8_501, 30_000)], [false, true], "a slow line");
  for (let now = 4_000; now <= 200_000; now += 1_000) line.arrived(now);
  assert.deepEqual([line.isDead(204_000, 30_000), line.isDead(204_001, 30_000)], [false, true], "it is long ago");
});

test("the delay is what a frame was longer on its way than the quickest, whatever the two clocks say", () => {
  for (const aheadMs of [-1e9, 0, 1e9]) {
    const line = new Line(0);
    const delayMs = (sentMs: number, tookMs: number) =>
      line.delayMs(sentMs + tookMs, status({ sent_ms: sentMs + aheadMs }));
    assert.deepEqual([delayMs(0, 80), delayMs(1_000, 50), delayMs(2_000, 41_000)], [0, 0, 40_950]);
  }
});

// -- the order of states; backend/tests/client/test_lagging_gateway.py has the same cases ------------------------------------

const NOW_MS = 1_700_000_000_000;

/** The status of a state whose sections NATS took then; undefined: the gateway does not tell when. */
function told(epoch: string, seq: number, publishedMs: { levels?: number | undefined; flow?: number | undefined }): Status {
  const sections = Object.entries(publishedMs).map(([name, at]) => [name, section({ published_ms: at as number })]);
  return status({ epoch, seq, ...Object.fromEntries(sections) });
}

for (const [epoch, seq, other, before, expected] of [
  ["a", 4, { levels: NOW_MS }, { levels: NOW_MS }, true],
  ["a", 5, { levels: NOW_MS }, { levels: NOW_MS }, false],
  ["a", 6, { levels: NOW_MS - 9_000 }, { levels: NOW_MS }, false],
  ["a", 6, {}, { levels: NOW_MS }, false],
  ["b", 4, { levels: NOW_MS }, { levels: NOW_MS }, false],
  ["b", 5, { levels: NOW_MS - 1_000 }, { levels: NOW_MS }, false],
  ["b", 5, { levels: NOW_MS - 1_001 }, { levels: NOW_MS }, true],
  ["b", 6, { levels: NOW_MS - 1_001 }, { levels: NOW_MS }, true],
  ["b", 5, { levels: NOW_MS + 9_000 }, { levels: NOW_MS }, false],
  ["b", 5, { levels: NOW_MS + 9_000, flow: NOW_MS - 1_001 }, { levels: NOW_MS, flow: NOW_MS }, true],
  ["b", 5, { levels: NOW_MS }, { levels: NOW_MS, flow: NOW_MS }, false],
  ["b", 5, { flow: NOW_MS - 9_000 }, { levels: NOW_MS }, false],
  ["b", 5, {}, { levels: NOW_MS }, true],
  ["b", 5, {}, { flow: NOW_MS }, true],
  ["b", 5, {}, {}, false],
  ["b", 5, { levels: NOW_MS - 9_000 }, {}, false],
  ["b", 5, { levels: undefined }, { levels: NOW_MS }, false],
  ["b", 5, { levels: NOW_MS - 9_000 }, { levels: undefined }, false],
] as const)
  test(`${epoch}:${seq} of ${JSON.stringify(other)} is ${expected ? "" : "not "}behind a:5 of ${JSON.stringify(before)}`, () => {
    assert.equal(isBehind(told(epoch, seq, other), told("a", 5, before)), expected);
  });
