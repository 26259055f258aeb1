/** What happened: each event once, whatever the client skips and misses. */

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { connect, type Options, type Stream } from "@spymaster/client";
import { event, events, frame, MisbehavingServer, status, WebSocket } from "./sockets.ts";
import { GatewayProcesses } from "./gateway-processes.ts";
import { Recorder, until } from "./recorder.ts";

let ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function serve(...welcome: Parameters<typeof MisbehavingServer.open>): Promise<MisbehavingServer> {
  const server = await MisbehavingServer.open(...welcome);
  ends.push(() => server.close());
  return server;
}

function open(url: string, options: Options = {}): Recorder {
  const stream: Stream = connect(url, { WebSocket, events: true, firstPauseMs: 10, longestPauseMs: 20, ...options });
  ends.push(() => stream.close());
  return new Recorder(stream);
}

const query = (url: string | undefined, name: string) => new URL(url!, "http://gateway").searchParams.get(name);

test("it asks for events, and again with another shape, where the option says so", async () => {
  const said: string[] = [];
  const server = await serve((peer) => {
    peer.send(frame(1));
    peer.on("message", (text) => said.push(String(text)));
  });
  const recorder = open(server.url);
  await recorder.newest(1);
  recorder.stream.change({ rate: 2 });
  await until(() => said.length === 1, "the other shape");
  assert.deepEqual(JSON.parse(said[0]!), { subscribe: { rate: 2, status: true, events: true } });
  const plain = open(server.url, { events: undefined });
  await plain.newest(1);
  assert.deepEqual(server.requests.map(({ url }) => query(url, "events")), ["1", null]);
});

test("all events are told at once, also those of frames that no listener sees", async () => {
  const server = await serve((peer) => peer.send(frame(1, { events: events("a-1-1") })));
  let deliver = () => {};
  const recorder = open(server.url, { schedule: (act) => (deliver = act) });
  await until(() => recorder.stream.payload !== undefined, "the first frame");
  for (let n = 2; n < 100; n++) server.send(frame(n, { events: events(`a-${n}-1`, event(`e${n}`), event(`f${n}`)) }));
  await until(() => recorder.events.length === 2 * 98, "all events");
  assert.deepEqual([recorder.events.slice(0, 3), recorder.payloads], [["e2 1", "f2 1", "e3 1"], []]);
  deliver();
  assert.deepEqual(recorder.levels, [99]);
  assert.ok(!("events" in recorder.stream.payload!), "they are told apart from the state");
});

test("events alone are no news of the state, and beside a status they take no section away", async () => {
  const server = await serve((peer) => peer.send(frame(1, { status: status(), events: events("a-1-1") })));
  const recorder = open(server.url);
  await recorder.newest(1);
  server.send(JSON.stringify({ status: status(), events: events("a-2-1", event("e")) }));
  await until(() => recorder.events.length === 1, "the event");
  assert.deepEqual([recorder.stream.payload?.levels?.ts, recorder.payloads.length], [1, 1]);
});

test("a listener of events finds the state that they belong to", async () => {
  const server = await serve((peer) => peer.send(frame(1)));
  const recorder = open(server.url);
  await recorder.newest(1);
  const shown: unknown[] = [];
  recorder.stream.on("events", () => shown.push(recorder.stream.payload?.levels?.ts));
  server.send(frame(2, { events: events("a-2-1", event("e")) }));
  await until(() => shown.length === 1, "the event");
  assert.deepEqual(shown, [2]);
});

test("an event comes again when it counts one more, and not else", async () => {
  const server = await serve((peer) => {
    for (const count of [1, 1, 2, 2, 1]) peer.send(frame(1, { events: events("a-1-1", event("e", { count })) }));
    peer.send(frame(2));
  });
  const recorder = open(server.url);
  await recorder.newest(2);
  assert.deepEqual(recorder.events, ["e 1", "e 2"]);
});

test("a frame whose events are no list is invalid", async () => {
  const server = await serve((peer) => peer.send(frame(1, { events: { cursor: "a-1-1", complete: true, events: 7 } })));
  const recorder = open(server.url);
  await until(() => recorder.invalid.length === 1, "it is reported");
});

/** A server whose second connection tells too little. */
async function forgetful(): Promise<MisbehavingServer> {
  return serve((peer, nth) => {
    if (nth === 1) {
      peer.send(frame(1, { events: events("a-1-1", event("e1")) }));
      setTimeout(() => peer.close(1001), 20);
    } else peer.send(frame(9, { events: { ...events("a-9-1", event("e9")), complete: false } }));
  });
}

test("a reconnection names the cursor, and what its frames do not tell is asked for, each once", async () => {
  const server = await forgetful();
  server.answer = (response) =>
    response.end(JSON.stringify(events("a-9-1", event("e1"), event("e2"), event("e3", { count: 4 }), event("e9"))));
  const recorder = open(server.url.replace("/ws", "/gw/ws"), { token: () => Promise.resolve("secret") });
  await until(() => recorder.events.length === 4, "what was missed");
  assert.deepEqual(recorder.events, ["e1 1", "e9 1", "e2 1", "e3 4"]);
  assert.deepEqual(server.requests.map(({ url }) => query(url, "events_since")), [null, "a-1-1"]);
  const [request] = server.asked;
  assert.equal(request!.url, "/gw/events?since=a-1-1");
  assert.equal(request!.headers.authorization, "Bearer secret");
  assert.deepEqual([server.asked.length, recorder.incomplete], [1, 0]);
});

test("what frames do not tell comes in pages", async () => {
  const server = await forgetful();
  server.answer = (response, nth) =>
    response.end(JSON.stringify(nth === 1 ? { ...events("a-2-1", event("e2")), more: true } : events("a-9-1", event("e3"))));
  const recorder = open(server.url);
  await until(() => recorder.events.length === 4, "what was missed");
  assert.deepEqual(recorder.events, ["e1 1", "e9 1", "e2 1", "e3 1"]);
  assert.deepEqual(server.asked.map(({ url }) => url), ["/events?since=a-1-1", "/events?since=a-2-1"]);
});

test("a token in the address of the stream is one for its events too", async () => {
  const server = await forgetful();
  open(`${server.url}?token=secret`);
  await until(() => server.asked.length > 0, "the request");
  assert.equal(server.asked[0]!.url, "/events?token=secret&since=a-1-1");
});

test("a gateway that has not read back to them yet is asked again", async () => {
  const server = await forgetful();
  server.answer = (response, nth) => {
    if (nth === 1) response.writeHead(503).end('{"detail": "later"}');
    else response.end(JSON.stringify({ ...events("a-9-1", event(`e${nth}`)), complete: nth === 4 }));
  };
  const recorder = open(server.url);
  await until(() => recorder.events.length === 5, "all of them");
  assert.deepEqual(recorder.events, ["e1 1", "e9 1", "e2 1", "e3 1", "e4 1"]);
  assert.deepEqual([server.asked.length, recorder.incomplete], [4, 0]);
});

test("an answer of a gateway that has read less than the frame told is not all", async () => {
  const server = await forgetful();
  server.answer = (response, nth) =>
    response.end(JSON.stringify(events(nth === 1 ? "a-8-7" : "a-9-0", event("e2"), ...(nth === 1 ? [] : [event("e3")]))));
  const recorder = open(server.url);
  await until(() => recorder.events.length === 4, "all of them");
  assert.deepEqual(recorder.events, ["e1 1", "e9 1", "e2 1", "e3 1"]);
  assert.deepEqual(server.asked.map(({ url }) => url), ["/events?since=a-1-1", "/events?since=a-1-1"]);
  assert.equal(recorder.incomplete, 0);
});

for (const [what, answer, requests] of [
  ["will not tell them", [404, '{"detail": "nothing at /events"}'], 1],
  ["has them no longer", [200, JSON.stringify({ ...events("b-1-1"), complete: false })], 9],
] as const)
  test(`a gateway that ${what} makes them incomplete, which is said once`, async () => {
    const server = await forgetful();
    server.answer = (response) => void response.writeHead(answer[0]).end(answer[1]);
    const recorder = open(server.url);
    await until(() => recorder.incomplete === 1, "it is said");
    assert.deepEqual([server.asked.length, recorder.events], [requests, ["e1 1", "e9 1"]]);
  });

test("a gateway that has read nothing so far has no cursor to go on from", async () => {
  const server = await serve((peer, nth) => {
    peer.send(frame(nth, { events: { ...events(nth === 2 ? "-0-0" : `a-${nth}-1`), complete: nth !== 2 } }));
    if (nth < 3) setTimeout(() => peer.close(1001), 20);
  });
  server.answer = (response) => void response.end(JSON.stringify(events("a-2-1", event("e2"))));
  const recorder = open(server.url);
  await until(() => server.requests.length === 3 && recorder.events.length > 0, "it comes back twice");
  assert.deepEqual(server.requests.map(({ url }) => query(url, "events_since")), [null, "a-1-1", "a-1-1"]);
  assert.deepEqual(recorder.events, ["e2 1"]);
});

// -- the real gateway --------------------------------------------------------------------------------------------------

test("the real gateway: all signals come, also those of the time without a connection and without a gateway", async () => {
  const gateway = await GatewayProcesses.open();
  ends.push(() => gateway.close());
  let ts = Date.now();
  const signal = (word: string) =>
    gateway.publish("levels.signals", {
      ts: ++ts,
      spy: { spot: 687.5 },
      levels: [{ id: "VWAP", kind: "VWAP", price: 687.25, signal: word, direction: "SUPPORT" }],
    });
  await signal("NEUTRAL");
  const address = gateway.url.replace("ws:", "http:").replace("/ws/stream", "/events");
  await until(async () => (await fetch(address)).ok, "its history is read");
  const recorder = open(gateway.url, { longestPauseMs: 500 });
  const told: string[] = [];
  recorder.stream.on("events", ({ events: news }) =>
    told.push(...news.filter(({ kind }) => kind === "signal").map(({ before, after }) => `${before} ${after}`)),
  );
  await recorder.newest(ts);
  await signal("BREAK");
  await until(() => told.length === 1, "the first");
  await gateway.do("stop the gateway");
  await until(() => recorder.disconnects.length > 0, "it is gone");
  await signal("REJECT");
  await signal("NEUTRAL");
  await gateway.do("start the gateway");
  await until(() => told.length === 3, `what was missed, after ${told}`);
  await signal("CONTESTED");
  await signal("BREAK");
  await until(() => told.length === 4, `one more after ${told}`);
  assert.deepEqual(told, ["NO_TRADE BREAK", "BREAK BOUNCE", "BOUNCE NO_TRADE", "NO_TRADE BREAK"]);
  assert.equal(recorder.incomplete, 0);
});
