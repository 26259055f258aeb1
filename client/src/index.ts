export { OWN_CLOSE_CODES } from "./contract.ts";
export type * from "./contract.ts";
export type { Age, SectionFreshness } from "./freshness.ts";
export type { CloseCode } from "./close-codes.ts";
export { connect } from "./stream.ts";
export type { Freshness, Garbage, Options, Socket, State, Stream, StreamEvents } from "./stream.ts";
