/** The stream from a moment on. */

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import type { ReplayStatus } from "@spymaster/client";
import { at, type Moment, type Replay, type ReplayOptions } from "@spymaster/client/past";
import { event, events, frame, MisbehavingServer, section, status, WebSocket } from "./sockets.ts";
import { GatewayProcesses } from "./gateway-processes.ts";
import { Recorder, until } from "./recorder.ts";

let ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const said: object[] = [];

async function serve(...[welcome = () => undefined]: Parameters<typeof MisbehavingServer.open>): Promise<MisbehavingServer> {
  said.length = 0;
  const server = await MisbehavingServer.open((peer, nth) => {
    peer.on("message", (text) => said.push(JSON.parse(String(text)).replay));
    welcome(peer, nth);
  });
  ends.push(() => server.close());
  return server;
}

function open(url: string, moment: Moment, options: ReplayOptions = {}): { recorder: Recorder; replay: Replay } {
  const replay = at(url, moment, { WebSocket, firstPauseMs: 10, longestPauseMs: 20, ...options });
  ends.push(() => replay.close());
  return { recorder: new Recorder(replay), replay };
}

/** A frame of the past; its levels have the time that is shown. */
function past(at_ms: number, further: Partial<ReplayStatus> = {}, epoch = "x-past-1"): string {
  const replay = { at_ms, speed: 1, paused: false, ...further };
  const levels = section({ verdict: "replay", age_ms: 9_000_000, published_ms: at_ms });
  return frame(at_ms, { status: status({ epoch, seq: at_ms, cause: "past", explanation: "The past.", levels, replay }) });
}

function present(ts: number, further: object = {}): string {
  return frame(ts, { status: status({ epoch: "live", seq: ts, levels: section({ published_ms: ts }) }), ...further });
}

const asked = (server: MisbehavingServer) =>
  server.requests.map(({ url }) => {
    const { at, speed } = Object.fromEntries(new URL(url!, "http://gateway").searchParams);
    return [at, speed];
  });

/** The newest connection is gone, and another one is there. */
async function reconnected(server: MisbehavingServer): Promise<void> {
  const before = server.peers.length;
  server.peers.at(-1)!.close(1001);
  await until(() => server.peers.length === before + 1, "another connection");
}

test("it asks for the moment, and is a replay for as long as its frames are of the past", async () => {
  const server = await serve((peer) => peer.send(past(5_000, { speed: 4 })));
  const { recorder, replay } = open(server.url, new Date(5_000), { speed: 4 });
  await recorder.newest(5_000);
  assert.deepEqual(asked(server), [["5000", "4"]]);
  assert.deepEqual([replay.state, replay.replay, replay.speed], ["replay", { at_ms: 5_000, speed: 4, paused: false }, 4]);
  assert.equal(replay.freshness.levels!.state, "replay", "it is old, and that is no fault");
  server.send(present(9_000));
  await recorder.newest(9_000);
  assert.deepEqual([recorder.states, replay.replay, recorder.disconnects], [["replay", "live"], undefined, []]);
});

test("before its first message it is a replay without a place", async () => {
  const replay = { at_ms: 0, speed: 1, paused: false };
  const server = await serve((peer) => peer.send(JSON.stringify({ status: status({ cause: "past", replay }) })));
  const { recorder } = open(server.url, "-2h");
  await recorder.passes("replay");
  await reconnected(server);
  assert.deepEqual(asked(server), [["-2h", undefined], ["-2h", undefined]]);
});

test("it is directed by messages", async () => {
  const server = await serve((peer) => peer.send(past(5_000)));
  const { recorder, replay } = open(server.url, 5_000);
  await recorder.newest(5_000);
  replay.pause();
  replay.speed = 10;
  replay.step(-3);
  replay.seek("2026-11-25T10:31:04-05:00");
  replay.resume();
  replay.live();
  await until(() => said.length === 6, "all");
  assert.deepEqual(said, [
    { paused: true },
    { speed: 10 },
    { step: -3 },
    { at: "2026-11-25T10:31:04-05:00", speed: 10, paused: true },
    { paused: false },
    { at: "live" },
  ]);
});

test("a reconnection goes on from the moment that was shown, as fast, and stands still where it stood still", async () => {
  const server = await serve((peer, nth) => peer.send(past(4_000 + 1_000 * nth, { speed: 2, paused: nth === 2 }, `x-${nth}`)));
  const { recorder, replay } = open(server.url, "-2h");
  await recorder.newest(5_000);
  await reconnected(server);
  await recorder.newest(6_000);
  assert.deepEqual(said, []);
  await reconnected(server);
  await until(() => said.length === 1, "it stands still");
  assert.deepEqual(said, [{ at: 6_000, speed: 2, paused: true }]);
  replay.close();
  assert.deepEqual(asked(server), [["-2h", undefined], ["5000", "2"], ["6000", "2"]]);
});

test("a reconnection after the present was reached is one to the present", async () => {
  const server = await serve((peer, nth) => nth === 1 && peer.send(past(5_000)));
  const { recorder } = open(server.url, 5_000);
  await recorder.newest(5_000);
  server.send(present(9_000));
  await recorder.newest(9_000);
  await reconnected(server);
  assert.deepEqual(asked(server), [["5000", undefined], [undefined, undefined]]);
});

test("what is asked for while it connects is asked for by the connection", async () => {
  const server = await serve((peer, nth) => nth === 1 && peer.send(past(9_000)));
  const { recorder, replay } = open(server.url, 9_000);
  await recorder.newest(9_000);
  const stop = replay.on("disconnect", () => {
    stop();
    replay.seek(3_000);
    replay.speed = 7;
    replay.pause();
  });
  await reconnected(server);
  await until(() => said.length === 1, "it stands still");
  assert.deepEqual([asked(server)[1], said], [["3000", "7"], [{ at: 3_000, speed: 7, paused: true }]]);
  server.send(past(3_000, { speed: 7, paused: true }, "x-past-2"));
  await recorder.newest(3_000);
  assert.deepEqual(recorder.disconnects.length, 1, "an older state is what was asked for, and no lagging gateway");
});

test("from the present it goes to the past, and back, on the same connection", async () => {
  const server = await serve((peer) => peer.send(present(9_000)));
  const { recorder, replay } = open(server.url, "live");
  await recorder.newest(9_000);
  replay.seek(5_000);
  await until(() => said.length === 1, "the message");
  server.send(present(9_001), past(5_000));
  await recorder.newest(5_000);
  await reconnected(server);
  assert.deepEqual(asked(server), [[undefined, undefined], ["5000", "1"]]);
});

test("events that happened while it showed the past are asked for when it is back", async () => {
  const server = await serve((peer) => peer.send(present(9_000, { events: events("a-1-1", event("e1")) })));
  server.answer = (response) => void response.end(JSON.stringify(events("a-9-1", event("e1"), event("e2"), event("e3"))));
  const { recorder } = open(server.url, "live", { events: true });
  await until(() => recorder.events.length === 1, "the first");
  server.send(past(5_000), present(9_002, { events: events("a-3-1", event("e3")) }));
  await until(() => recorder.events.length === 3, "all");
  assert.deepEqual([recorder.events, server.asked[0]!.url], [["e1 1", "e3 1", "e2 1"], "/events?since=a-1-1"]);
});

// -- the real gateway --------------------------------------------------------------------------------------------------

test("the real gateway: it plays, stands still, steps, jumps, survives a restart, and reaches the present", async () => {
  const gateway = await GatewayProcesses.open();
  ends.push(() => gateway.close());
  const begin = Date.now() - 20_000;
  await gateway.flow(1);
  for (let n = 0; n < 20; n++) await gateway.levels(begin + n * 1_000);
  const address = gateway.url.replace("ws:", "http:").replace("/ws/stream", "/events");
  await until(async () => (await fetch(address)).ok, "its history is read");
  const { recorder, replay } = open(gateway.url, begin + 2_000, { paused: true, longestPauseMs: 500 });
  await until(() => replay.replay?.paused === true, "it stands still");
  await recorder.newest(begin + 2_000);
  assert.equal(replay.state, "replay");
  replay.step(3);
  await recorder.newest(begin + 5_000);
  replay.step(-1);
  await recorder.newest(begin + 4_000);
  replay.seek(begin + 10_000);
  await recorder.newest(begin + 10_000);
  await until(() => replay.replay?.paused === true, "it stands still there too");
  await gateway.do("stop the gateway");
  await recorder.passes("connecting");
  await gateway.do("start the gateway");
  await recorder.passes("connecting", "replay");
  replay.step(1);
  await recorder.newest(begin + 11_000);
  replay.speed = 60;
  replay.resume();
  await recorder.newest(begin + 19_000);
  await until(async () => {
    await gateway.levels(Date.now());
    return replay.replay === undefined && replay.state !== "connecting";
  }, "the present");
  assert.deepEqual([...recorder.levels].slice(-1), [replay.payload!.levels!.ts]);
});
