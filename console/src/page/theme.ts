/** The dark or light theme: that of the system until the user chooses one. */

import { onChosenElsewhere } from "./kept.ts";

const STORED = "spymaster.theme";
const LIGHT = matchMedia("(prefers-color-scheme: light)");

export class Theme {
  constructor(
    private readonly button: HTMLElement,
    private readonly onChange: () => void,
  ) {
    button.addEventListener("click", () => this.toggle());
    LIGHT.addEventListener("change", () => this.apply());
    onChosenElsewhere(STORED, () => this.apply());
    this.apply();
  }

  toggle(): void {
    localStorage.setItem(STORED, this.isLight() ? "dark" : "light");
    this.apply();
  }

  private apply(): void {
    const light = this.isLight();
    document.documentElement.dataset["theme"] = light ? "light" : "dark";
    this.button.textContent = light ? "Dark" : "Light";
    this.button.setAttribute("aria-label", `Change to ${light ? "dark" : "light"}`);
    this.onChange();
  }

  private isLight(): boolean {
    return (localStorage.getItem(STORED) ?? (LIGHT.matches ? "light" : "dark")) === "light";
  }
}

/** A colour of the style sheet, as the theme has it now. */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
