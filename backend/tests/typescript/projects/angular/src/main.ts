import { bootstrapApplication, provideClientHydration } from "@angular/platform-browser";
import { provideZonelessChangeDetection } from "@angular/core";
import { AppComponent } from "./app/app.component";

bootstrapApplication(AppComponent, { providers: [provideZonelessChangeDetection(), provideClientHydration()] });
