/** A server that renders a page imports and constructs the client, and must not notice. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { connect } from "@spymaster/client";

const NOTHING = class {
  constructor() {
    throw new Error("no connection is wanted");
  }
} as never;

test("a relative URL without a page opens nothing and stays connecting", () => {
  const stream = connect("/ws/stream", { WebSocket: NOTHING });
  assert.equal(stream.state, "connecting");
  assert.equal(stream.payload, undefined);
  assert.equal(stream.freshness.levels, undefined);
  stream.close();
  assert.equal(stream.state, "closed");
});

test("a wrong URL throws at once", () => {
  assert.throws(() => connect("ws://", { WebSocket: NOTHING }), TypeError);
});

/** What a program prints on both outputs, in a Node without a WebSocket; it ends by itself. */
function printed(program: string): string {
  const without = "delete globalThis.WebSocket; const { connect } = await import('@spymaster/client');";
  const command = `exec "${process.execPath}" --input-type=module -e "$PROGRAM" 2>&1`;
  return execFileSync("sh", ["-c", command], {
    env: { ...process.env, PROGRAM: without + program },
    encoding: "utf8",
    timeout: 20_000,
  });
}

test("without a WebSocket a relative URL is silent, and the program ends", () => {
  assert.equal(printed("console.log(connect('/ws/stream').state)"), "connecting\n");
});

test("without a WebSocket an absolute URL is explained, once and without an exception", () => {
  const said = printed(`
    const stream = connect('ws://localhost:1/ws/stream');
    stream.on('disconnect', ({ code, reconnect }) => console.log(code, reconnect, stream.state));
  `);
  assert.match(said, /^@spymaster\/client: no WebSocket here: pass one as options.WebSocket/);
  assert.match(said, /1006 false connecting\n$/);
});

test("a stream without a WebSocket that is closed at once tells no disconnect", () => {
  const said = printed(`
    const stream = connect('ws://localhost:1/ws/stream');
    stream.on('disconnect', () => console.log('disconnect'));
    stream.close();
    setTimeout(() => console.log(stream.state));
  `);
  assert.match(said, /`ws` for example\nclosed\n$/);
});
