/** A gateway that asks who is there. */

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { connect, type Options, type Stream } from "@spymaster/client";
import { WebSocket } from "./sockets.ts";
import { Stage } from "./stage.ts";
import { Diary, until } from "./waiting.ts";

const [OLD, NEW] = ["0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"];

let stage: Stage;
let streams: Stream[] = [];

before(async () => {
  stage = await Stage.open(OLD);
  await stage.levels(1);
});
after(() => stage.close());
afterEach(() => streams.splice(0).forEach((stream) => stream.close()));

function open(options: Options): Diary {
  const stream = connect(stage.url, { WebSocket, longestPauseMs: 200, ...options });
  streams.push(stream);
  return new Diary(stream);
}

test("who has the token is let in", async () => {
  await open({ token: OLD }).newest(1);
});

for (const [what, token] of [
  ["no token", undefined],
  ["a wrong one", NEW],
] as const)
  test(`who has ${what} is refused, tries again, and stays without a payload`, async () => {
    const diary = open({ token });
    await until(() => diary.closings.length > 2, "some attempts");
    assert.deepEqual([diary.closings[0]!.code, diary.stream.payload], [1006, undefined]);
  });

test("a token that is withdrawn ends the stream, and a new one begins it anew", async () => {
  const diary = open({ token: OLD });
  await diary.newest(1);
  await stage.allow(NEW);
  await diary.passes("closed");
  assert.deepEqual([diary.stream.closing!.code, diary.stream.closing!.reconnect], [4004, false]);
  await open({ token: () => Promise.resolve(NEW) }).newest(1);
});
