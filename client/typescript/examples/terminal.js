import { connect } from "@spymaster/client";
import WebSocket from "ws"; // Node 22 and later need no package: leave out this line and the option

const stream = connect("ws://localhost:8000/ws/stream", { WebSocket });
stream.on("levels", ({ spy, levels }) => {
  const signals = levels.filter((level) => level.signal !== "NO_TRADE");
  const words = signals.map((level) => `${level.signal} ${level.level_kind_name} ${level.level_price.toFixed(2)}`);
  console.log(`spot ${spy.spot}, ${levels.length} levels: ${words.join(", ") || "no trade"}`);
});
stream.on("state", (state) => console.log(state.toUpperCase()));
