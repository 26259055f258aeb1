import { provideZonelessChangeDetection } from "@angular/core";
import { bootstrapApplication, type BootstrapContext } from "@angular/platform-browser";
import { provideServerRendering, RenderMode, withRoutes } from "@angular/ssr";
import { AppComponent } from "./app/app.component";

const routes = withRoutes([{ path: "**", renderMode: RenderMode.Prerender }]);
const providers = [provideZonelessChangeDetection(), provideServerRendering(routes)];

export default (context: BootstrapContext) => bootstrapApplication(AppComponent, { providers }, context);
