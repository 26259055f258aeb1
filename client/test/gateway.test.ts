/** Against the real gateway, with a real NATS behind it. */

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { connect, type Options, type Stream } from "@spymaster/client";
import { WebSocket } from "./sockets.ts";
import { Stage } from "./stage.ts";
import { Diary, until } from "./waiting.ts";

let stage: Stage;
let streams: Stream[];
let ts = 1;

before(async () => {
  stage = await Stage.open();
});
after(() => stage.close());
beforeEach(async () => {
  streams = [];
  await stage.levels(++ts);
});
afterEach(() => streams.forEach((stream) => stream.close()));

/** A stream that takes its time to call anything late: nothing here depends on how fast the machine is. */
function open(options: Options = {}): Diary {
  const unhurried = { lateAfterMs: 30_000, staleAfterMs: 60_000, longestPauseMs: 500 };
  const stream = connect(stage.url, { WebSocket, ...unhurried, ...options });
  streams.push(stream);
  return new Diary(stream);
}

/** One that has seen the first frame and another. */
async function live(options: Options = {}): Promise<Diary> {
  const diary = open(options);
  await diary.newest(ts);
  await stage.levels(++ts);
  await diary.passes("live");
  await diary.newest(ts);
  return diary;
}

test("the first frame is the last known state, and only the next one is live", async () => {
  const diary = open();
  assert.equal(diary.stream.state, "connecting");
  await diary.newest(ts);
  assert.deepEqual(diary.states, ["late"]);
  await stage.levels(++ts);
  await diary.newest(ts);
  assert.deepEqual(diary.states, ["late", "live"]);
});

test("levels, flow and viewport are told of when they are new, and only then", async () => {
  await stage.flow(7);
  const diary = await live();
  const { levels, flow } = diary.stream.payload!;
  const [level] = levels!.levels;
  assert.deepEqual([level!.level_kind_name, level!.direction, level!.signal], ["VWAP", "DOWN", "BOUNCE"]);
  assert.deepEqual([flow, diary.flows, diary.viewports], [{ n: 7 }, [7], []]);
  await stage.flow(8);
  await until(() => diary.flows.length === 2, "the new flow");
  assert.equal(diary.stream.payload!.levels, levels, "the same object");
  await stage.levels(++ts, { viewport: { targets: [], n: 9 } });
  await diary.newest(ts);
  await stage.levels(++ts);
  await until(() => diary.viewports.length === 2, "its viewport, and the end of it");
  assert.deepEqual([diary.flows, diary.viewports], [[7, 8], [{ targets: [], n: 9 }, undefined]]);
});

test("whoever has had enough is not told any more", async () => {
  const diary = await live();
  const told: number[] = [];
  const stop = diary.stream.on("levels", (levels) => told.push(levels.ts));
  await stage.levels(++ts);
  await until(() => told.length === 1, "the news");
  stop();
  await stage.levels(++ts);
  await diary.newest(ts);
  assert.deepEqual(told, [ts - 1]);
});

test("levels that stop are late, then stale, then live again, while flow goes on", async () => {
  const diary = await live({ lateAfterMs: 400, staleAfterMs: 900 });
  const going = setInterval(() => void stage.flow(Date.now()), 100);
  try {
    await diary.passes("live", "late", "stale");
    const { levels, flow } = diary.stream.freshness;
    assert.equal(levels?.state, "stale");
    assert.ok(flow!.ageMs < levels.ageMs);
  } finally {
    clearInterval(going);
  }
  await stage.levels(++ts);
  await diary.passes("stale", "live");
});

test("a NATS outage makes it stale without a new connection, and it recovers by itself", async () => {
  const diary = await live({ lateAfterMs: 400, staleAfterMs: 900 });
  await stage.do("kill NATS");
  await diary.passes("late", "stale");
  assert.equal(diary.stream.payload?.levels?.ts, ts, "the last state stays");
  await stage.do("start NATS");
  await stage.levels(++ts);
  await diary.passes("live");
  assert.deepEqual(diary.closings, []);
});

test("a restart of the gateway is told with its goodbye, and followed by a new connection", async () => {
  const diary = await live();
  await stage.do("stop the gateway");
  await diary.passes("live", "connecting");
  assert.deepEqual([diary.closings[0]!.code, diary.closings[0]!.reconnect], [1001, true]);
  assert.match(diary.closings[0]!.meaning, /stopping/);
  await until(() => diary.closings.length > 2, "attempts that fail");
  assert.deepEqual(diary.stream.closing, diary.closings.at(-1));
  assert.equal(diary.stream.closing!.code, 1006);
  await stage.do("start the gateway");
  await diary.passes("connecting", "late");
  await stage.levels(++ts);
  await diary.newest(ts);
  assert.equal(diary.stream.state, "live");
});

test("a gateway that dies without a word is missed too", async () => {
  const diary = await live();
  await stage.do("kill the gateway");
  await diary.passes("live", "connecting");
  assert.equal(diary.closings[0]!.code, 1006);
  await stage.do("start the gateway");
  await diary.passes("connecting", "late");
});

test("a line that is silent for too long is left for a new one", async () => {
  const diary = await live({ silenceLimitMs: 500 });
  await stage.do("freeze the gateway");
  await diary.passes("live", "connecting");
  assert.deepEqual([diary.closings[0]!.code, diary.closings[0]!.reason], [1006, "silent for too long"]);
  await until(() => diary.closings.length > 2, "attempts that nobody answers");
  await stage.do("thaw the gateway");
  await diary.passes("connecting", "late");
});

test("a poisoned message changes nothing", async () => {
  const diary = await live();
  for (const body of ["hello", '{"levels": 7}', '{"ts": 1, "levels": [', "[]"]) await stage.publish("levels.signals", body);
  await stage.levels(++ts);
  await diary.newest(ts);
  assert.deepEqual([diary.levels.slice(-2), diary.garbage, diary.closings], [[ts - 1, ts], [], []]);
});

test("after close it is quiet for good", async () => {
  const diary = await live();
  diary.stream.close();
  diary.stream.close();
  assert.deepEqual(diary.states, ["late", "live", "closed"]);
  const seen = diary.payloads.length;
  const another = open();
  await stage.levels(++ts);
  await another.newest(ts);
  assert.deepEqual([diary.payloads.length, diary.states.at(-1)], [seen, "closed"]);
});
