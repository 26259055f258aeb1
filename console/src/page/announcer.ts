/** Tells a screen reader what changed, at most once in a while: a reader that is never silent is switched off. */

const PAUSE_MS = 4_000;
const AT_ONCE = 2;

export class Announcer {
  private waiting: string[] = [];
  private quietUntilMs = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly element: HTMLElement) {}

  say(words: string): void {
    this.waiting.push(words);
    this.timer ??= setTimeout(() => this.speak(), Math.max(0, this.quietUntilMs - performance.now()));
  }

  private speak(): void {
    this.timer = undefined;
    this.quietUntilMs = performance.now() + PAUSE_MS;
    const last = this.waiting.slice(-AT_ONCE);
    const others = this.waiting.length - last.length;
    this.waiting = [];
    this.element.textContent = (others > 0 ? `${others} changes before. ` : "") + last.join(". ");
  }
}
