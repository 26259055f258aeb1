import { ChangeDetectionStrategy, Component, inject } from "@angular/core";
import { MarketService } from "../market.service";

@Component({
  selector: "market-app",
  changeDetection: ChangeDetectionStrategy.OnPush,
  template: `<p>{{ market.state() }} {{ market.levels()?.spy?.spot }}</p>`,
})
export class AppComponent {
  readonly market = inject(MarketService);
}
