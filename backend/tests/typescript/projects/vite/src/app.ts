import { createElement, type ReactElement } from "react";
import { useMarket } from "./use-market";

export function App(): ReactElement {
  const { payload, state } = useMarket();
  return createElement("p", null, `${state} ${payload?.levels?.spy.spot ?? "?"}`);
}
