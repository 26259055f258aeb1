/** Requests to the gateway of a stream, beside the stream. */

/** A token, or what is called for one before each attempt. */
export type Token = string | (() => string | Promise<string>) | undefined;

const LIMIT_MS = 30_000;

/** A request that was answered with an error. */
export class RefusedError extends Error {
  readonly status: number;

  constructor(status: number, detail: string) {
    super(detail);
    this.status = status;
  }
}

/** The URL of the stream with its scheme; empty where it is relative and there is no page that it could be relative to. */
export function absolute(url: string): string {
  const base = globalThis.location?.href;
  if (base === undefined && !/^[a-z][a-z0-9+.-]*:/i.test(url)) return "";
  const found = new URL(url, base);
  found.protocol = found.protocol.replace("http", "ws");
  return found.href;
}

/** The answer to `path` beside the stream at `url`, with the path prefix and the token of that. */
export async function get<T>(url: string, path: string, query: object, token: Token): Promise<T> {
  const address = new URL(`../${path}`, absolute(url));
  address.protocol = address.protocol.replace("ws", "http");
  const inUrl = new URL(absolute(url)).searchParams.get("token");
  for (const [name, value] of Object.entries({ token: inUrl ?? undefined, ...query }))
    if (value !== undefined) address.searchParams.set(name, String(value));
  const sent = typeof token === "function" ? await token() : token;
  const headers: Record<string, string> = sent === undefined ? {} : { Authorization: `Bearer ${sent}` };
  const answer = await fetch(address, { headers, signal: AbortSignal.timeout(LIMIT_MS) });
  const body = await answer.text();
  if (answer.ok) return JSON.parse(body) as T;
  let { statusText: detail } = answer;
  try {
    detail = JSON.parse(body).detail;
  } catch {
    // the page of a proxy
  }
  throw new RefusedError(answer.status, detail);
}
