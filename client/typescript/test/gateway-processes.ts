/** The real thing, directed from here: nats-server, the gateway and a publisher, as processes of the Python side. */

import { spawn, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { createInterface, type Interface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";

const BACKEND = fileURLToPath(new URL("../../../backend/", import.meta.url));

type Action =
  | "stop the gateway"
  | "kill the gateway"
  | "start the gateway"
  | "freeze the gateway"
  | "thaw the gateway"
  | "kill NATS"
  | "start NATS";

export class GatewayProcesses {
  url = "";
  #process: ChildProcessByStdio<Writable, Readable, null>;
  #lines: Interface;
  #ended: Promise<never>;

  private constructor(tokens: string[]) {
    const python = process.env["PYTHON"] ?? ".venv/bin/python";
    this.#process = spawn(python, ["-m", "tests.typescript.gateway_processes", ...tokens], {
      cwd: BACKEND,
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#lines = createInterface({ input: this.#process.stdout });
    this.#ended = once(this.#process, "exit").then(() => Promise.reject(new Error("the gateway has ended")));
    this.#ended.catch(() => undefined);
  }

  /** With tokens, the gateway asks for one of them. */
  static async open(...tokens: string[]): Promise<GatewayProcesses> {
    const gateway = new GatewayProcesses(tokens);
    gateway.url = ((await gateway.#answer()) as { url: string }).url;
    return gateway;
  }

  async do(action: Action): Promise<void> {
    await this.#ask({ do: action });
  }

  /** Only these tokens are good from now on. */
  async allow(...tokens: string[]): Promise<void> {
    await this.#ask({ do: "allow", tokens });
  }

  /** A levels message, known by its `ts`. */
  async levels(ts: number, further: object = {}): Promise<void> {
    const levels = [{ id: "VWAP", kind: "VWAP", price: 687.25, signal: "REJECT", direction: "SUPPORT" }];
    await this.publish("levels.signals", { ts, spy: { spot: 687.5 }, levels, ...further });
  }

  /** A flow, known by its `n`. */
  async flow(n: number): Promise<void> {
    await this.publish("market.flow", { n });
  }

  /** Returns when the stream has it. A string goes as it is. */
  async publish(subject: string, body: object | string): Promise<void> {
    await this.#ask({ do: "publish", subject, body });
  }

  async close(): Promise<void> {
    this.#process.stdin.end();
    await once(this.#process, "exit");
  }

  async #ask(command: object): Promise<void> {
    this.#process.stdin.write(JSON.stringify(command) + "\n");
    await this.#answer();
  }

  async #answer(): Promise<unknown> {
    const [line] = (await Promise.race([once(this.#lines, "line"), this.#ended])) as [string];
    return JSON.parse(line);
  }
}
