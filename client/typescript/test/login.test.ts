/** A gateway that asks for a token. */

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { connect, type Options, type Stream } from "@spymaster/client";
import { WebSocket } from "./sockets.ts";
import { GatewayProcesses } from "./gateway-processes.ts";
import { Recorder, until } from "./recorder.ts";

const [OLD, NEW] = ["0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"];

let gateway: GatewayProcesses;
let streams: Stream[] = [];

before(async () => {
  gateway = await GatewayProcesses.open(OLD);
  await gateway.levels(1);
});
after(() => gateway.close());
afterEach(() => streams.splice(0).forEach((stream) => stream.close()));

function open(options: Options): Recorder {
  const stream = connect(gateway.url, { WebSocket, longestPauseMs: 200, ...options });
  streams.push(stream);
  return new Recorder(stream);
}

test("a viewer with the token is admitted", async () => {
  await open({ token: OLD }).newest(1);
});

for (const [what, token] of [
  ["no token", undefined],
  ["a wrong one", NEW],
] as const)
  test(`a viewer with ${what} is refused, tries again, and stays without a payload`, async () => {
    const recorder = open({ token });
    await until(() => recorder.disconnects.length > 2, "some attempts");
    assert.deepEqual([recorder.disconnects[0]!.code, recorder.stream.payload], [1006, undefined]);
  });

test("a token that is withdrawn ends the stream, and a new one begins it anew", async () => {
  const recorder = open({ token: OLD });
  await recorder.newest(1);
  await gateway.allow(NEW);
  await recorder.passes("closed");
  assert.deepEqual([recorder.stream.lastDisconnect!.code, recorder.stream.lastDisconnect!.reconnect], [4004, false]);
  await open({ token: () => Promise.resolve(NEW) }).newest(1);
});
