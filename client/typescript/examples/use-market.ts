import { connect, type Payload, type State } from "@spymaster/client";
import { useEffect, useState } from "react";

export function useMarket(url = "/ws/stream"): { payload: Payload | undefined; state: State } {
  const [payload, setPayload] = useState<Payload>();
  const [state, setState] = useState<State>("connecting");
  useEffect(() => {
    const stream = connect(url);
    stream.on("payload", setPayload);
    stream.on("state", setState);
    return () => stream.close();
  }, [url]);
  return { payload, state };
}
