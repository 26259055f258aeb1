import { connect, CLOSE_CODES, type Disconnect, type LevelsPayload } from "@spymaster/client";
import { LEVEL_SIGNAL } from "@spymaster/client/field-descriptions";
import WebSocket from "ws";

console.log(1001 in CLOSE_CODES, LEVEL_SIGNAL.distance.unit);
const stream = connect(process.argv[2]!, { WebSocket });
stream.on("levels", ({ spy }: LevelsPayload) => console.log(stream.state, spy.spot));
stream.on("disconnect", ({ code, explanation }: Disconnect) => console.log(code, explanation));
