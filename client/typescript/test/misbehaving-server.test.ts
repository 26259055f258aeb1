/** What no gateway does, or not when one likes: a server that misbehaves on demand. */

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { CLOSE_CODES, connect, type Options, type Status, type Stream } from "@spymaster/client";
import { WebSocket as WebSocketOfWs } from "ws";
import { frame, MisbehavingServer, section, status, WebSocket } from "./sockets.ts";
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

function open(server: MisbehavingServer, options: Options = {}): Recorder {
  const stream: Stream = connect(server.url, { WebSocket, firstPauseMs: 10, longestPauseMs: 20, ...options });
  ends.push(() => stream.close());
  return new Recorder(stream);
}

// -- close codes ------------------------------------------------------------------------------------------------------

for (const [code, [explanation, reconnect]] of [...Object.entries(CLOSE_CODES), ["1000", ["closed", true]] as const])
  test(`${code} of the gateway: ${reconnect ? "it comes back" : "it stays away"}`, async () => {
    const server = await serve((peer, nth) => nth === 1 && peer.close(+code, "said"));
    const recorder = open(server);
    await until(() => recorder.disconnects.length === 1, "the disconnect");
    assert.deepEqual(recorder.disconnects, [{ code: +code, reason: "said", explanation, reconnect }]);
    if (reconnect) await until(() => server.peers.length === 2, "it comes back");
    else assert.equal(recorder.stream.state, "closed");
  });

for (const code of [1002, 1003, 1007, 1009])
  test(`${code}, which would happen again: it stays away`, async () => {
    const server = await serve((peer) => peer.close(code));
    const recorder = open(server);
    await recorder.passes("closed");
    assert.deepEqual([recorder.stream.lastDisconnect!.code, recorder.stream.lastDisconnect!.reconnect], [code, false]);
    assert.equal(server.peers.length, 1);
  });

test("it names the state that it had, so that the gateway tells what it missed", async () => {
  const server = await serve((peer, nth) => {
    peer.send(frame(nth, { status: status({ seq: 30 + nth, epoch: "18ec-2" }) }));
    if (nth === 1) setTimeout(() => peer.close(1001), 20);
  });
  open(server);
  await until(() => server.requests.length === 2, "it comes back");
  const since = server.requests.map(({ url }) => new URL(url!, server.url).searchParams.get("since"));
  assert.deepEqual(since, [null, "18ec-2:31"]);
});

// -- frames ----------------------------------------------------------------------------------------------------------

const INVALID_FRAMES = {
  "no JSON": "hello",
  "nothing": "",
  "cut off": frame(2).slice(0, -3),
  "a number": "7",
  "null": "null",
  "an array": "[]",
  "levels that are no object": '{"levels": 7}',
  "levels that are null": '{"levels": null}',
  "levels without a list": '{"levels": {"ts": 1}}',
  "a flow that is a list": '{"flow": []}',
  "a viewport that is a string": '{"viewport": "x"}',
  "bytes": Buffer.from(frame(2)),
};

for (const [name, invalid] of Object.entries(INVALID_FRAMES))
  test(`a frame that is ${name} is counted, reported and skipped`, async () => {
    const server = await serve((peer) => peer.send(frame(1)));
    const recorder = open(server);
    await recorder.newest(1);
    server.send(invalid, invalid);
    await until(() => recorder.invalid.length === 2, "the invalid frames are reported");
    assert.deepEqual(recorder.invalid.map(({ count }) => count), [1, 2]);
    assert.ok(recorder.invalid[0]!.error instanceof Error);
    assert.deepEqual([recorder.stream.payload?.levels?.ts, recorder.stream.state], [1, "late"], "nothing has changed");
    server.send(frame(3));
    await recorder.newest(3);
    assert.deepEqual([recorder.levels, recorder.disconnects, server.peers.length], [[1, 3], [], 1]);
  });

test("the same again is no news, and does not make it live", async () => {
  const server = await serve((peer) => peer.send(frame(1)));
  const recorder = open(server);
  await recorder.newest(1);
  server.send(frame(1), frame(1), "end");
  await until(() => recorder.invalid.length === 1, "all of them");
  assert.deepEqual([recorder.levels, recorder.states], [[1], ["late"]]);
});

test("a listener that fails does not stop the others", async () => {
  const server = await serve((peer) => peer.send(frame(1)));
  const thrown: unknown[] = [];
  const { queueMicrotask } = globalThis;
  globalThis.queueMicrotask = (act) =>
    queueMicrotask(() => {
      try {
        act();
      } catch (error) {
        thrown.push(error);
      }
    });
  ends.push(() => (globalThis.queueMicrotask = queueMicrotask));
  const stream = connect(server.url, { WebSocket });
  ends.push(() => stream.close());
  stream.on("levels", () => {
    throw new Error("mine");
  });
  await new Recorder(stream).newest(1);
  await until(() => thrown.length === 1, "its error is not swallowed");
});

// -- a hidden page ---------------------------------------------------------------------------------------------------

/** A page as far as the client looks at one. */
class Page extends EventTarget {
  hidden = false;
  #repaints: (() => void)[] = [];

  constructor() {
    super();
    Object.assign(globalThis, { document: this, requestAnimationFrame: (act: () => void) => this.#repaints.push(act) });
    ends.push(() => {
      Reflect.deleteProperty(globalThis, "document");
      Reflect.deleteProperty(globalThis, "requestAnimationFrame");
    });
  }

  hide(): void {
    this.hidden = true;
    this.dispatchEvent(new Event("visibilitychange"));
  }

  /** Looked at again. A browser repaints then, and never while the page is hidden. */
  show(): void {
    this.hidden = false;
    this.dispatchEvent(new Event("visibilitychange"));
    this.repaint();
  }

  repaint(): void {
    for (const act of this.#repaints.splice(0)) act();
  }
}

test("a hidden page gets the newest at once when it returns, and no flood", async () => {
  const page = new Page();
  const server = await serve((peer) => peer.send(frame(1)));
  const recorder = open(server);
  await until(() => recorder.stream.payload !== undefined, "the first frame");
  page.repaint();
  assert.deepEqual(recorder.levels, [1]);
  page.hide();
  server.send(...Array.from({ length: 500 }, (_, n) => frame(2 + n)));
  await until(() => recorder.stream.payload?.levels?.ts === 501, "all of them have come");
  assert.deepEqual([recorder.levels, recorder.payloads.length], [[1], 1], "nobody is told");
  assert.equal(recorder.stream.freshness.levels?.state, "live", "yet it knows that they are fresh");
  page.show();
  assert.deepEqual([recorder.levels, recorder.payloads.length], [[1, 501], 2]);
});

test("of the frames that come between two repaints only the newest is parsed", async () => {
  const page = new Page();
  const server = await serve((peer) => peer.send(frame(1)));
  const recorder = open(server);
  await until(() => recorder.stream.payload !== undefined, "the first frame");
  page.repaint();
  const parse = JSON.parse;
  const parsed: string[] = [];
  JSON.parse = (text: string) => (parsed.push(text), parse(text));
  ends.push(() => (JSON.parse = parse));
  server.send("not even JSON", frame(2), frame(3));
  await until(() => recorder.stream.freshness.framesPerSecond > 3.5 / 5, "all of them");
  while (recorder.levels.at(-1) !== 3) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    page.repaint();
  }
  assert.ok(parsed.length <= 3);
});

test("a page that is looked at again does not wait for its next attempt", async () => {
  const page = new Page();
  const server = await serve((peer, nth) => nth === 1 && peer.close(1001, "reconnect in 500 s"));
  const recorder = open(server);
  await until(() => recorder.disconnects.length === 1, "the disconnect");
  page.hide();
  assert.equal(server.peers.length, 1);
  page.show();
  await until(() => server.peers.length === 2, "it comes back");
});

// -- tokens ---------------------------------------------------------------------------------------------------------

test("the token goes as a subprotocol, before others", async () => {
  const server = await serve();
  open(server, { token: "a.b.c", protocols: ["v1"] });
  await until(() => server.requests.length === 1, "it comes");
  assert.deepEqual(server.requests[0]!.headers["sec-websocket-protocol"]?.split(/, ?/), ["bearer", "a.b.c", "v1"]);
});

test("without a token there is no subprotocol", async () => {
  const server = await serve();
  open(server);
  await until(() => server.requests.length === 1, "it comes");
  assert.equal(server.requests[0]!.headers["sec-websocket-protocol"], undefined);
});

test("a function is asked for a token before each attempt, and may fail", async () => {
  const server = await serve((peer, nth) => nth === 1 && peer.close(1001));
  let asked = 0;
  const recorder = open(server, {
    token: async () => {
      asked += 1;
      if (asked === 2) throw new Error("no token today");
      return `t${asked}`;
    },
  });
  await until(() => server.requests.length === 2, "it comes back");
  assert.deepEqual(
    server.requests.map(({ headers }) => headers["sec-websocket-protocol"]?.split(/, ?/)[1]),
    ["t1", "t3"],
  );
  assert.deepEqual(recorder.disconnects.map(({ reason }) => reason), ["", "Error: no token today"]);
});

test("a stream that is closed while it asks for a token never connects", async () => {
  const server = await serve();
  let give: (token: string) => void = () => undefined;
  const { stream } = open(server, { token: () => new Promise((resolve) => (give = resolve)) });
  stream.close();
  give("t");
  open(server);
  await until(() => server.requests.length > 0, "the other one");
  assert.equal(server.requests[0]!.headers["sec-websocket-protocol"], undefined);
});

test("a token that never comes is asked for again, and no use when it comes too late", async () => {
  const server = await serve();
  const give: ((token: string) => void)[] = [];
  const token = () => new Promise<string>((resolve) => void give.push(resolve));
  const recorder = open(server, { token, silenceLimitMs: 100 });
  await until(() => give.length === 2, "it is asked for again");
  give[0]!("late");
  give[1]!("t");
  await until(() => server.requests.length > 0, "it comes");
  assert.match(server.requests[0]!.headers["sec-websocket-protocol"]!, /^bearer, ?t$/);
  assert.equal(recorder.disconnects[0]!.reason, "silent for too long");
});

// -- addresses and runtimes ------------------------------------------------------------------------------------------

test("http is taken for ws, and an address that is none is refused at once", async () => {
  const server = await serve((peer) => peer.send(frame(1)));
  const stream = connect(server.url.replace("ws:", "http:"), { WebSocket });
  ends.push(() => stream.close());
  await new Recorder(stream).newest(1);
  assert.throws(() => connect("ws://", { WebSocket }), TypeError);
});

test("in a page an address may be relative", async () => {
  const server = await serve((peer) => peer.send(frame(1)));
  Object.assign(globalThis, { location: { href: server.url.replace("ws:", "http:").replace("/ws/stream", "/page") } });
  ends.push(() => Reflect.deleteProperty(globalThis, "location"));
  const stream = connect("/ws/stream", { WebSocket });
  ends.push(() => stream.close());
  await new Recorder(stream).newest(1);
  assert.equal(server.requests[0]!.url, "/ws/stream?status=1");
});

test("the WebSocket of the package ws will do", async () => {
  const server = await serve((peer) => peer.send(frame(1)));
  await open(server, { WebSocket: WebSocketOfWs }).newest(1);
});

// -- shapes -----------------------------------------------------------------------------------------------------------

test("a reconnected stream asks for the shape that it changed to", async () => {
  const server = await serve((peer, nth) => nth === 1 && peer.on("message", () => peer.close(1001)));
  const recorder = open(server, { near: 25, rate: 2 });
  await until(() => server.peers.length === 1, "it comes");
  assert.equal(server.requests[0]!.url, "/ws/stream?near=25&rate=2&status=1");
  recorder.stream.change({ sections: ["levels", "flow"], near: 10 });
  await until(() => server.peers.length === 2, "it comes back");
  assert.equal(server.requests[1]!.url, "/ws/stream?sections=levels%2Cflow&near=10&status=1");
});

test("the first frame of another content may be old, that of another rate is not in doubt", async () => {
  const messages: string[] = [];
  const server = await serve((peer) => peer.on("message", (text: Buffer) => messages.push(String(text))));
  const recorder = open(server);
  await until(() => server.peers.length === 1, "it comes");
  server.send(frame(1), frame(2));
  await recorder.newest(2);
  assert.equal(recorder.stream.state, "live");
  recorder.stream.change({ rate: 5 });
  await until(() => messages.length === 1, "the message");
  server.send(frame(3));
  await recorder.newest(3);
  assert.equal(recorder.stream.state, "live");
  recorder.stream.change({ rate: 5, near: 10 });
  await until(() => messages.length === 2, "the message");
  server.send(frame(4));
  await recorder.newest(4);
  assert.equal(recorder.stream.state, "late");
  assert.deepEqual(messages, [
    '{"subscribe":{"rate":5,"status":true}}',
    '{"subscribe":{"near":10,"rate":5,"status":true}}',
  ]);
});

test("levels and contracts that did not change are the same objects", async () => {
  const server = await serve();
  const recorder = open(server);
  await until(() => server.peers.length === 1, "it comes");
  const payload = (ts: number, score: number): string =>
    JSON.stringify({
      levels: { ts, spy: {}, levels: [{ id: "A", score: 1 }, { id: "B", score }] },
      flow: { X: { v: 1 }, Y: { v: score } },
    });
  server.send(payload(1, 1));
  await recorder.newest(1);
  const before = recorder.stream.payload!;
  server.send(payload(2, 2));
  await recorder.newest(2);
  const after = recorder.stream.payload!;
  const [a, b] = [before.levels!.levels, after.levels!.levels];
  assert.deepEqual([a[0] === b[0], a[1] === b[1]], [true, false]);
  assert.deepEqual([before.flow!.X === after.flow!.X, before.flow!.Y === after.flow!.Y], [true, false]);
});

// -- the gateway's status ---------------------------------------------------------------------------------------------

const STREAM = { levels: section(), flow: section() };

function told(ts: number | undefined, further: Partial<Status> = {}, sections: Partial<Status> = STREAM): string {
  const said = { status: status({ ...sections, sent_ms: Date.now(), ...further }) };
  return ts === undefined ? JSON.stringify(said) : frame(ts, { flow: { n: ts }, ...said });
}

test("without its status a stream is asked for as before", async () => {
  const server = await serve();
  const recorder = open(server, { status: false });
  await until(() => server.peers.length === 1, "it comes");
  assert.equal(server.requests[0]!.url, "/ws/stream");
  const messages: string[] = [];
  server.peers[0]!.on("message", (text: Buffer) => messages.push(String(text)));
  server.send(frame(1));
  await recorder.newest(1);
  recorder.stream.change({ rate: 5 });
  await until(() => messages.length === 1, "the message");
  assert.deepEqual([messages, recorder.stream.status], [['{"subscribe":{"rate":5}}'], undefined]);
});

test("the first frame is live at once, or as old as the gateway says", async () => {
  const server = await serve((peer, nth) =>
    peer.send(nth === 1 ? told(1) : told(1, { levels: section({ age_ms: 150_000, verdict: "stale" }) })),
  );
  const recorder = open(server);
  await recorder.passes("live");
  server.peers[0]!.close(1001);
  await recorder.passes("live", "connecting", "stale");
  const { levels, flow, lineDelayMs } = recorder.stream.freshness;
  assert.ok(levels!.ageMs >= 150_000 && levels!.ageMs < 155_000, String(levels!.ageMs));
  assert.deepEqual([flow!.state, lineDelayMs], ["live", 0]);
});

test("a sequence that is not known yet makes a frame no older", async () => {
  const server = await serve((peer) => {
    peer.send(told(1, { levels: section({ seq: 17 }) }));
    peer.send(told(2, { seq: 2, levels: section({ seq: 0 }) }));
  });
  const recorder = open(server);
  await recorder.newest(2);
  assert.equal(recorder.stream.state, "live");
});

test("a heartbeat changes no section, and a frame of another state without any takes all", async () => {
  const server = await serve((peer) => peer.send(told(1)));
  const recorder = open(server);
  await recorder.newest(1);
  const { levels, flow } = recorder.stream.payload!;
  server.send(told(undefined, { levels: section({ verdict: "late" }), cause: "levels_silent" }));
  await recorder.passes("late");
  assert.ok(recorder.stream.payload!.levels === levels && recorder.stream.payload!.flow === flow);
  assert.equal(recorder.stream.status!.cause, "levels_silent");
  assert.deepEqual([recorder.payloads.length, recorder.statuses.map(({ cause }) => cause)], [1, [null, "levels_silent"]]);
  server.send(told(undefined, { seq: 2, cause: "no_message" }, {}));
  await until(() => recorder.payloads.length === 2, "all is gone");
  assert.deepEqual([Object.keys(recorder.stream.payload!), recorder.stream.state], [["status"], "late"]);
});

test("a heartbeat that comes before the repaint does not take the place of its frame", async () => {
  const page = new Page();
  const server = await serve((peer) => peer.send(told(1)));
  const recorder = open(server);
  await until(() => recorder.stream.payload !== undefined, "the first frame");
  page.repaint();
  const large = "x".repeat(5_000); // not parsed before it is needed
  server.send(told(2, { seq: 2, explanation: large }), told(undefined, { seq: 2, cause: "core_silent" }));
  await until(() => recorder.stream.status?.cause === "core_silent", "the heartbeat");
  assert.equal(recorder.stream.payload!.levels!.ts, 2);
  page.repaint();
  assert.deepEqual([recorder.levels, recorder.payloads.length], [[1, 2], 2]);
});

test("a gateway that is silent for three heartbeats is left, a silent Core is not", async () => {
  const server = await serve((peer, nth) => {
    const heartbeat_ms = nth === 1 ? 100 : 60_000;
    const beat = (number: number): void => {
      if (number < 10) peer.send(told(undefined, { heartbeat_ms, levels: section({ age_ms: 1e6, verdict: "stale" }) }));
      if (number < 10) setTimeout(beat, 100, number + 1);
    };
    peer.send(told(1, { heartbeat_ms }));
    beat(0);
  });
  const recorder = open(server);
  await until(() => recorder.disconnects.length === 1, "it is left");
  assert.equal(recorder.disconnects[0]!.reason, "silent for too long");
  assert.ok(recorder.statuses.length > 10, "not before its last word");
  await until(() => recorder.stream.status?.heartbeat_ms === 60_000, "another connection");
  assert.deepEqual([recorder.levels, server.peers.length], [[1], 2], "what is equal is no news");
});

test("while it is disconnected, the ages go on until prices are stale", async () => {
  const server = await serve((peer, nth) => (nth === 1 ? peer.send(told(1)) : peer.terminate()));
  const recorder = open(server);
  await recorder.passes("live");
  server.peers[0]!.terminate();
  await recorder.passes("connecting");
  assert.equal(recorder.stream.freshness.levels!.state, "live", "a moment ago");
  await until(() => recorder.stream.freshness.levels?.state === "late", "late");
  await until(() => recorder.stream.freshness.levels?.state === "stale", "stale");
  assert.deepEqual([recorder.states, recorder.stream.payload?.levels?.ts], [["live", "connecting"], 1]);
});

test("a frame that was long on its way is as old as that", async () => {
  const server = await serve((peer) => peer.send(told(1)));
  const recorder = open(server);
  await recorder.newest(1);
  server.send(told(2, { seq: 2, sent_ms: Date.now() - 41_000 }));
  await recorder.passes("stale");
  const { levels, lineDelayMs } = recorder.stream.freshness;
  assert.ok(lineDelayMs! >= 40_900 && lineDelayMs! < 45_000, String(lineDelayMs));
  assert.ok(levels!.ageMs >= lineDelayMs!);
});

// -- a gateway that lags ----------------------------------------------------------------------------------------------

const NOW_MS = 1_700_000_000_000;

/** A frame of a gateway of that epoch; without `ts` its heartbeat, and without `publishedMs` one that knows of no message. */
function of(epoch: string, seq: number, publishedMs: number | undefined, ts?: number): string {
  const at = section({ published_ms: publishedMs! });
  return told(ts, { epoch, seq }, publishedMs === undefined ? {} : { levels: at, flow: at });
}

const [OLDER, ALIVE] = [of("b", 3, NOW_MS - 60_000, 1), of("b", 3, NOW_MS - 60_000)];
const KNOWS_NOTHING = of("c", 0, undefined);

/** Each connection is to the next of these gateways, the last one for good; the first shows the newest, until it is lost. */
class Replicas {
  readonly cameMs: number[] = [];
  readonly recorder: Recorder;
  readonly server: MisbehavingServer;

  private constructor(server: MisbehavingServer, cameMs: number[]) {
    this.server = server;
    this.cameMs = cameMs;
    this.recorder = open(server);
  }

  /** With a stream that shows the newest. */
  static async open(...others: string[][]): Promise<Replicas> {
    const cameMs: number[] = [];
    const server = await serve((peer, nth) => {
      cameMs.push(Date.now());
      const frames = nth === 1 ? [of("a", 7, NOW_MS, 2)] : others[Math.min(nth - 2, others.length - 1)]!;
      for (const text of frames) peer.send(text);
    });
    const replicas = new Replicas(server, cameMs);
    await replicas.recorder.newest(2);
    return replicas;
  }

  lose(): void {
    this.server.peers[0]!.terminate();
  }

  /** What the viewer said that it had had last, at each connection. */
  get since(): (string | null)[] {
    return this.server.requests.map(({ url }) => new URL(url!, this.server.url).searchParams.get("since"));
  }
}

/** A stream that has lost the gateway which showed the newest. */
async function after(...others: string[][]): Promise<Replicas> {
  const replicas = await Replicas.open(...others);
  replicas.lose();
  return replicas;
}

/** Ten times as fast, so that no test waits for seconds. */
function hurryClock(): void {
  const { now } = Date;
  const began = now();
  Date.now = () => began + 10 * (now() - began);
  ends.push(() => (Date.now = now));
}

test("an older state that comes first is not shown", async () => {
  const { recorder } = await after([OLDER, ALIVE, of("b", 4, NOW_MS + 1, 3)]);
  await recorder.newest(3);
  await recorder.passes("live", "connecting", "live");
  assert.deepEqual([recorder.levels, recorder.flows, recorder.payloads.length], [[2, 3], [2, 3], 2]);
  assert.deepEqual(recorder.statuses.map(({ epoch, seq }) => `${epoch}:${seq}`), ["a:7", "b:4"]);
});

test("a gateway that knows nothing yet clears nothing", async () => {
  const { recorder } = await after([KNOWS_NOTHING, KNOWS_NOTHING, of("c", 1, NOW_MS + 1, 3)]);
  await recorder.newest(3);
  assert.deepEqual([recorder.payloads.map((payload) => payload.levels?.ts), recorder.disconnects.length], [[2, 3], 1]);
});

test("a heartbeat that tells a newer time shows the frame before it", async () => {
  const { recorder } = await after([OLDER, ALIVE, of("b", 3, NOW_MS)]); // as where a copy of the message has come
  await recorder.newest(1);
  assert.deepEqual(Object.keys(recorder.stream.payload!).sort(), ["flow", "levels", "status"]);
});

test("a gateway without a status is not judged", async () => {
  const { recorder } = await after([frame(1)]);
  await recorder.newest(1);
});

test("a shape of other sections is not judged", async () => {
  const replicas = await Replicas.open([JSON.stringify({ ...JSON.parse(KNOWS_NOTHING), news: { n: 1 } })]);
  const { stream } = replicas.recorder;
  stream.on("disconnect", () => stream.change({ sections: ["news"] }));
  replicas.lose();
  await until(() => Object.hasOwn(stream.payload!, "news"), "its frame");
});

test("a gateway that stays behind is left for another after three seconds", async () => {
  hurryClock();
  const replicas = await after([OLDER, ALIVE], [of("a", 8, NOW_MS + 1, 3)]);
  const { recorder, cameMs } = replicas;
  await recorder.newest(3);
  assert.deepEqual([recorder.levels, replicas.since], [[2, 3], [null, "a:7", "a:7"]]);
  assert.ok(cameMs[2]! - cameMs[1]! > 3_000, String(cameMs));
  const { code, reason, reconnect } = recorder.disconnects[1]!;
  assert.deepEqual([code, reason, reconnect], [1006, "the gateway is behind what was shown; trying another", true]);
  assert.ok(recorder.states.join().endsWith("live,connecting,live"), "connecting all the time");
});

test("where three in a row are behind, the next one is believed", async () => {
  hurryClock();
  const replicas = await after([OLDER], [KNOWS_NOTHING], [OLDER, ALIVE]);
  const { recorder, server } = replicas;
  await recorder.newest(1);
  assert.deepEqual([recorder.levels, server.peers.length, recorder.disconnects.length], [[2, 1], 5, 4]);
  server.send(of("b", 4, NOW_MS - 50_000, 4));
  await recorder.newest(4);
  server.peers.at(-1)!.terminate();
  await until(() => server.peers.length === 6, "it comes back");
  assert.deepEqual(replicas.since, [null, "a:7", "a:7", "a:7", "a:7", "b:4"]);
});
