/** A WebSocket for Node 20, which has none of its own, and a server that does what no gateway would. */

import type { Event, Options, SectionStatus, Status } from "@spymaster/client";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { WebSocket as WebSocketOfWs, WebSocketServer, type WebSocket as Peer } from "ws";

/** The runtime's own where there is one, so that both kinds are tested. */
export const WebSocket: Options["WebSocket"] = globalThis.WebSocket ?? WebSocketOfWs;

export class MisbehavingServer {
  readonly requests: IncomingMessage[] = [];
  readonly peers: Peer[] = [];
  /** The plain requests. */
  readonly asked: IncomingMessage[] = [];
  /** Called with each of them, and with how many there have been. */
  answer: (response: ServerResponse, nth: number) => void = (response) => void response.writeHead(404).end();
  #http: Server = createServer((request, response) => this.answer(response, this.asked.push(request)));
  #server: WebSocketServer = new WebSocketServer({ server: this.#http });

  private constructor(welcome: (peer: Peer, nth: number) => void) {
    this.#http.listen(0, "127.0.0.1");
    this.#server.on("connection", (peer, request) => {
      this.requests.push(request);
      welcome(peer, this.peers.push(peer));
    });
  }

  /** `welcome` is called with each viewer, and with how many there have been. */
  static async open(welcome: (peer: Peer, nth: number) => void = () => undefined): Promise<MisbehavingServer> {
    const server = new MisbehavingServer(welcome);
    await once(server.#http, "listening");
    return server;
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#http.address() as AddressInfo).port}/ws/stream`;
  }

  /** To the newest viewer. */
  send(...frames: (string | Buffer)[]): void {
    for (const frame of frames) this.peers.at(-1)!.send(frame);
  }

  async close(): Promise<void> {
    for (const peer of this.peers) peer.terminate();
    this.#server.close();
    this.#http.closeAllConnections();
    this.#http.close();
    await once(this.#http, "close");
  }
}

export function frame(ts: number, further: object = {}): string {
  return JSON.stringify({ levels: { ts, spy: { spot: 1, bid: null, ask: null }, levels: [] }, ...further });
}

/** An event, known by its id and count. */
export function event(id: string, further: Partial<Event> = {}): Event {
  const when = { seq: 1, ts: 1, server_ms: 1, first_ts: 1 };
  const level = { level: "VWAP", level_kind: "VWAP", price: 1, spot: 1, score: 50, confidence: "HIGH" };
  return { id, kind: "signal", ...when, ...level, before: "NO_TRADE", after: "BREAK", count: 1, ...further };
}

/** A section `events`, or an answer of `/events`. */
export function events(cursor: string, ...of: Event[]): { cursor: string; complete: boolean; events: Event[] } {
  return { cursor, complete: true, events: of };
}

/** What the gateway says of one section. */
export function section(further: Partial<SectionStatus> = {}): SectionStatus {
  return { seq: 1, age_ms: 0, published_ms: 1_700_000_000_000, core_lag_ms: 0, verdict: "live", ...further };
}

/** A section `status` of a market that trades. */
export function status(further: Partial<Status> = {}): Status {
  const market = { name: "XNYS", open: true, sentence: "Open; closes 16:00.", opens_ms: null, closes_ms: null };
  const calm = { seq: 1, epoch: "e", sent_ms: 1_700_000_000_000, heartbeat_ms: 1_000, skipped: { frames: 0, why: null } };
  return { ...calm, cause: null, explanation: null, market, ...further };
}
