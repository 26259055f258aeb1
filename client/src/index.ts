export { CLOSINGS } from "./contract.ts";
export type * from "./contract.ts";
export type { Age, SectionFreshness } from "./freshness.ts";
export type { Closing } from "./goodbyes.ts";
export { connect } from "./stream.ts";
export type { Freshness, Garbage, Options, Socket, State, Stream, StreamEvents } from "./stream.ts";
