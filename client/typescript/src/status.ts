/** How the state of one status stands to that of another. Rules only. */

import type { Status } from "./contract.js";

const ALIKE_MS = 1_000; // two gateways tell the time of one message by their own clocks, until JetStream tells it

/** Whether they are of one state of the stream: then a frame without sections changes none. */
export function sameState(status: Status, other: Status | undefined): boolean {
  return status.seq === other?.seq && status.epoch === other.epoch;
}

/**
 * Whether a gateway tells with `status` of a state older than the one `shown`. States of one epoch are numbered; those of
 * two are compared by the messages in them. A gateway that knows no message knows less than was shown.
 */
export function isBehind(status: Status, shown: Status): boolean {
  if (status.epoch === shown.epoch) return status.seq < shown.seq;
  if (!status.levels && !status.flow) return !!(shown.levels || shown.flow);
  const isOlder = (name: "levels" | "flow") => status[name]?.published_ms! < shown[name]?.published_ms! - ALIKE_MS;
  return isOlder("levels") || isOlder("flow"); // false where one of them has no such section
}
