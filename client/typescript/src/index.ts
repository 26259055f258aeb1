export { CLOSE_CODES } from "./contract.js";
export type * from "./contract.js";
export type { Age, SectionFreshness } from "./freshness.js";
export type { Disconnect } from "./disconnect.js";
export type { Token } from "./http.js";
export type { Shape } from "./shape.js";
export { connect } from "./stream.js";
export type { EventNews, Freshness, InvalidFrame, Options, Socket, State, Stream, StreamEvents } from "./stream.js";
