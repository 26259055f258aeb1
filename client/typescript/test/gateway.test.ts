/** Against the real gateway, with a real NATS behind it. */

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { connect, type Options, type Stream } from "@spymaster/client";
import { WebSocket } from "./sockets.ts";
import { GatewayProcesses } from "./gateway-processes.ts";
import { Recorder, until } from "./recorder.ts";

let gateway: GatewayProcesses;
let streams: Stream[];
let ts = 1;

before(async () => {
  gateway = await GatewayProcesses.open();
});
after(() => gateway.close());
beforeEach(async () => {
  streams = [];
  await gateway.levels(++ts);
});
afterEach(() => streams.forEach((stream) => stream.close()));

/**
 * A stream that judges by the changes alone, since what is published here has the time of 1970, and takes its time to call
 * anything late: nothing here depends on how fast the machine is.
 */
function open(options: Options = {}): Recorder {
  const unhurried = { status: false, lateAfterMs: 30_000, staleAfterMs: 60_000, longestPauseMs: 500 } as const;
  const stream = connect(gateway.url, { WebSocket, ...unhurried, ...options });
  streams.push(stream);
  return new Recorder(stream);
}

/** One that has seen the first frame and another. */
async function live(options: Options = {}): Promise<Recorder> {
  const recorder = open(options);
  await recorder.newest(ts);
  await gateway.levels(++ts);
  await recorder.passes("live");
  await recorder.newest(ts);
  return recorder;
}

test("the first frame is the last known state, and only the next one is live", async () => {
  const recorder = open();
  assert.equal(recorder.stream.state, "connecting");
  await recorder.newest(ts);
  assert.deepEqual(recorder.states, ["late"]);
  await gateway.levels(++ts);
  await recorder.newest(ts);
  assert.deepEqual(recorder.states, ["late", "live"]);
});

test("listeners get levels, flow and viewport when they are new, and only then", async () => {
  await gateway.flow(7);
  const recorder = await live();
  const { levels, flow } = recorder.stream.payload!;
  const [level] = levels!.levels;
  assert.deepEqual([level!.level_kind_name, level!.direction, level!.signal], ["VWAP", "DOWN", "BOUNCE"]);
  assert.deepEqual([flow, recorder.flows, recorder.viewports], [{ n: 7 }, [7], []]);
  await gateway.flow(8);
  await until(() => recorder.flows.length === 2, "the new flow");
  assert.equal(recorder.stream.payload!.levels, levels, "the same object");
  await gateway.levels(++ts, { viewport: { targets: [], n: 9 } });
  await recorder.newest(ts);
  await gateway.levels(++ts);
  await until(() => recorder.viewports.length === 2, "its viewport, and the end of it");
  assert.deepEqual([recorder.flows, recorder.viewports], [[7, 8], [{ targets: [], n: 9 }, undefined]]);
});

test("a listener that was removed gets no more events", async () => {
  const recorder = await live();
  const told: number[] = [];
  const stop = recorder.stream.on("levels", (levels) => told.push(levels.ts));
  await gateway.levels(++ts);
  await until(() => told.length === 1, "the news");
  stop();
  await gateway.levels(++ts);
  await recorder.newest(ts);
  assert.deepEqual(told, [ts - 1]);
});

test("levels that stop are late, then stale, then live again, while flow goes on", async () => {
  const recorder = await live({ lateAfterMs: 400, staleAfterMs: 900 });
  const going = setInterval(() => void gateway.flow(Date.now()), 100);
  try {
    await recorder.passes("live", "late", "stale");
    const { levels, flow } = recorder.stream.freshness;
    assert.equal(levels?.state, "stale");
    assert.ok(flow!.ageMs < levels.ageMs);
  } finally {
    clearInterval(going);
  }
  await gateway.levels(++ts);
  await recorder.passes("stale", "live");
});

test("a NATS outage makes it stale without a new connection, and it recovers by itself", async () => {
  const recorder = await live({ lateAfterMs: 400, staleAfterMs: 900 });
  await gateway.do("kill NATS");
  await recorder.passes("late", "stale");
  assert.equal(recorder.stream.payload?.levels?.ts, ts, "the last state stays");
  await gateway.do("start NATS");
  await gateway.levels(++ts);
  await recorder.passes("live");
  assert.deepEqual(recorder.disconnects, []);
});

test("a restart of the gateway is a disconnect with its close code, and then a new connection", async () => {
  const recorder = await live();
  await gateway.do("stop the gateway");
  await recorder.passes("live", "connecting");
  assert.deepEqual([recorder.disconnects[0]!.code, recorder.disconnects[0]!.reconnect], [1001, true]);
  assert.match(recorder.disconnects[0]!.explanation, /stopping/);
  await until(() => recorder.disconnects.length > 2, "attempts that fail");
  assert.deepEqual(recorder.stream.lastDisconnect, recorder.disconnects.at(-1));
  assert.equal(recorder.stream.lastDisconnect!.code, 1006);
  await gateway.do("start the gateway");
  await recorder.passes("connecting", "late");
  await gateway.levels(++ts);
  await recorder.newest(ts);
  assert.equal(recorder.stream.state, "live");
});

test("a gateway that dies without a word is missed too", async () => {
  const recorder = await live();
  await gateway.do("kill the gateway");
  await recorder.passes("live", "connecting");
  assert.equal(recorder.disconnects[0]!.code, 1006);
  await gateway.do("start the gateway");
  await recorder.passes("connecting", "late");
});

test("a line that is silent for too long is left for a new one", async () => {
  const recorder = await live({ silenceLimitMs: 500 });
  await gateway.do("freeze the gateway");
  await recorder.passes("live", "connecting");
  assert.deepEqual([recorder.disconnects[0]!.code, recorder.disconnects[0]!.reason], [1006, "silent for too long"]);
  await until(() => recorder.disconnects.length > 2, "attempts that nobody answers");
  await gateway.do("thaw the gateway");
  await recorder.passes("connecting", "late");
});

test("a poisoned message changes nothing", async () => {
  const recorder = await live();
  for (const body of ["hello", '{"levels": 7}', '{"ts": 1, "levels": [', "[]"]) await gateway.publish("levels.signals", body);
  await gateway.levels(++ts);
  await recorder.newest(ts);
  assert.deepEqual([recorder.levels.slice(-2), recorder.invalid, recorder.disconnects], [[ts - 1, ts], [], []]);
});

test("after close it is quiet for good", async () => {
  const recorder = await live();
  recorder.stream.close();
  recorder.stream.close();
  assert.deepEqual(recorder.states, ["late", "live", "closed"]);
  const seen = recorder.payloads.length;
  const another = open();
  await gateway.levels(++ts);
  await another.newest(ts);
  assert.deepEqual([recorder.payloads.length, recorder.states.at(-1)], [seen, "closed"]);
});

test("a stream gets the shape that it asks for, and another one when it changes", async () => {
  await gateway.flow(7);
  const recorder = open({ sections: ["levels"], kinds: ["VWAP"] });
  await recorder.newest(ts);
  assert.deepEqual(Object.keys(recorder.stream.payload!), ["levels"]);
  recorder.stream.change({ sections: ["flow"], near: 25 });
  await until(() => recorder.stream.payload?.flow !== undefined, "the flow");
  assert.equal(JSON.stringify(recorder.stream.payload), '{"flow":{"n":7}}');
  recorder.stream.change({ kinds: ["STRIKE"] });
  await until(() => recorder.stream.payload?.levels !== undefined, "the levels");
  assert.deepEqual(recorder.stream.payload!.levels!.levels, []);
});

test("a shape that changes while it connects is the one that counts", async () => {
  await gateway.flow(7);
  const recorder = open({ sections: ["levels"] });
  recorder.stream.change({ sections: ["flow"] });
  await until(() => recorder.stream.payload?.flow !== undefined, "the flow");
  assert.deepEqual(Object.keys(recorder.stream.payload!), ["flow"]);
});

// -- by the status of the gateway, which knows Core's time ---------------------------------------------------------------

/** Levels and flow of now, ten times a second, until `end` is called. */
function publishing(): () => void {
  const going = setInterval(() => {
    void gateway.levels((ts = Date.now()));
    void gateway.flow(ts);
  }, 100);
  return () => clearInterval(going);
}

test("the status tells a replay, what is live, and that Core is silent; the connection stays", async () => {
  const recorder = open({ status: undefined, lateAfterMs: undefined, staleAfterMs: undefined });
  await recorder.passes("replay");
  const end = publishing();
  try {
    await recorder.passes("live");
    const { levels, flow } = recorder.stream.freshness;
    assert.ok(levels!.ageMs < 2_000 && flow!.state === "live");
  } finally {
    end();
  }
  await recorder.passes("stale");
  assert.equal(recorder.stream.status!.cause, "core_silent");
  const told = recorder.statuses.length;
  await until(() => recorder.statuses.length > told + 5, "heartbeats, for longer than a dead line has");
  assert.deepEqual([recorder.disconnects, recorder.stream.state], [[], "stale"]);
  const later = open({ status: undefined, lateAfterMs: undefined, staleAfterMs: undefined });
  await later.passes("stale");
  assert.ok(later.stream.freshness.levels!.ageMs >= 5_000, "its first frame is as old as it is");
});

test("a gateway that freezes is missed after three heartbeats, and prices are stale meanwhile", async () => {
  const end = publishing();
  const recorder = open({ status: undefined, lateAfterMs: undefined, staleAfterMs: undefined });
  try {
    await recorder.passes("live");
  } finally {
    end();
  }
  await gateway.do("freeze the gateway");
  const frozen = Date.now();
  await recorder.passes("connecting");
  assert.equal(recorder.disconnects[0]!.reason, "silent for too long");
  assert.ok(Date.now() - frozen < 10_000, "not thirty seconds");
  await until(() => recorder.stream.freshness.levels?.state === "stale", "stale");
  await gateway.do("thaw the gateway");
  await until(() => recorder.stream.state !== "connecting", "it is back");
});
