/** What was, by requests beside the stream. */

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { events, history, RefusedError } from "@spymaster/client/past";
import { GatewayProcesses } from "./gateway-processes.ts";
import { until } from "./recorder.ts";
import { event, events as told, MisbehavingServer } from "./sockets.ts";

let server: MisbehavingServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

async function serve(status: number, body: string): Promise<string> {
  server = await MisbehavingServer.open();
  server.answer = (response) => void response.writeHead(status).end(body);
  return server.url.replace("/ws", "/gw/ws");
}

test("a request has the path prefix and the token of the stream, and what is asked for", async () => {
  const url = await serve(200, '{"count": 1}');
  const [from, to] = [new Date(5_000), "-1h"];
  await history(url, { token: () => Promise.resolve("secret"), from, to, step: 5, fields: ["spot", "flow"], levels: ["a b"] });
  await events(url, { since: "a-1-1", kinds: ["signal"] });
  await events(`${url}?token=secret&kinds=VWAP`);
  assert.deepEqual(
    server!.asked.map(({ url, headers }) => [url, headers.authorization]),
    [
      ["/gw/history?from=5000&to=-1h&step=5&fields=spot%2Cflow&levels=a+b", "Bearer secret"],
      ["/gw/events?since=a-1-1&kinds=signal", undefined],
      ["/gw/events?token=secret", undefined],
    ],
  );
});

for (const [body, message] of [
  ['{"detail": "step accepts 1 to 3600"}', "step accepts 1 to 3600"],
  ["<html>", "Bad Request"],
] as const)
  test(`a refusal with ${body} says why`, async () => {
    const url = await serve(400, body);
    await assert.rejects(history(url), (error) => {
      assert.ok(error instanceof RefusedError);
      assert.deepEqual([error.status, error.message], [400, message]);
      return true;
    });
  });

const first = { ...told("a-1-1", event("e1"), event("e2")), more: true };
const second = { ...told("a-2-2", event("e3"), event("e1", { count: 2 })), more: true };
const last = { ...told("a-9-9", event("e4")), more: false };

async function servePages(...pages: object[]): Promise<string> {
  const url = await serve(200, "");
  server!.answer = (response, nth) => void response.end(JSON.stringify(pages[Math.min(nth, pages.length) - 1]));
  return url;
}

test("pages of events are asked for until all is there", async () => {
  const all = await events(await servePages(first, second, last), { kinds: ["signal"] });
  assert.deepEqual(Object.keys(all), ["cursor", "complete", "events"]);
  assert.deepEqual([all.cursor, all.complete], ["a-9-9", true]);
  assert.deepEqual(all.events.map(({ id, count }) => [id, count]), [["e2", 1], ["e3", 1], ["e1", 2], ["e4", 1]]);
  const asked = server!.asked.map(({ url }) => url);
  assert.deepEqual(asked, ["", "&since=a-1-1", "&since=a-2-2"].map((since) => `/gw/events?kinds=signal${since}`));
});

for (const pages of [[{ ...first, complete: false }, last], [first, { ...last, complete: false }]])
  test(`events are complete where each page is: ${pages.map(({ complete }) => complete)}`, async () => {
    assert.equal((await events(await servePages(...pages))).complete, false);
  });

test("a gateway whose pages never end is left", async () => {
  assert.equal((await events(await servePages(first))).complete, false);
  assert.equal(server!.asked.length, 100);
});

test("on a server that renders a page, a relative address is an error and no crash", async () => {
  await assert.rejects(events("/ws/stream"));
});

// -- the real gateway --------------------------------------------------------------------------------------------------

let gateway: GatewayProcesses;
before(async () => {
  gateway = await GatewayProcesses.open();
});
after(() => gateway.close());

test("the real gateway answers with points and events", async () => {
  const at = 1_700_000_000_000;
  for (const [n, signal] of ["NEUTRAL", "BREAK", "REJECT"].entries()) {
    const levels = [{ id: "VWAP", kind: "VWAP", price: 687.25, signal, direction: "SUPPORT" }];
    await gateway.publish("levels.signals", { ts: at + n * 1_000, spy: { spot: 690 + n }, levels });
  }
  const found = () => history(gateway.url, { from: at, to: at + 3_000, step: 1 }).catch(() => undefined);
  await until(async () => (await found())?.spy?.close[2] === 692, "the history is read");
  const day = (await found())!;
  assert.deepEqual([day.from_ms, day.step_ms, day.count, day.spy!.open], [at, 1_000, 3, [690, 691, 692]]);
  const [vwap] = day.levels!;
  assert.deepEqual(vwap!.signal.map((place) => day.signals![place!]), ["NO_TRADE", "BREAK", "BOUNCE"]);
  const told = await events(gateway.url, { kinds: ["signal"] });
  assert.deepEqual(told.events.map(({ before, after }) => [before, after]), [
    ["NO_TRADE", "BREAK"],
    ["BREAK", "BOUNCE"],
  ]);
  const later = await events(gateway.url, { since: told.cursor });
  assert.deepEqual([later.events, later.complete], [[], true]);
});
