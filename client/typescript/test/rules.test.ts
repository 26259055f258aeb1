/** What is decided in values: pauses, disconnects, freshness. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { CLOSE_CODES } from "@spymaster/client";
import { Cadence } from "../dist/freshness.js";
import { disconnectOf, pauseMs } from "../dist/disconnect.js";

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
