import { Injectable, signal, type OnDestroy } from "@angular/core";
import { connect, type LevelsPayload, type Payload, type State } from "@spymaster/client";

@Injectable({ providedIn: "root" })
export class MarketService implements OnDestroy {
  private readonly stream = connect("/ws/stream");
  readonly levels = signal<LevelsPayload | undefined>(undefined);
  readonly flow = signal<Payload["flow"]>(undefined);
  readonly state = signal<State>(this.stream.state);

  constructor() {
    this.stream.on("levels", (levels) => this.levels.set(levels));
    this.stream.on("flow", (flow) => this.flow.set(flow));
    this.stream.on("state", (state) => this.state.set(state));
  }

  ngOnDestroy(): void {
    this.stream.close();
  }
}
