/** Tells a screen reader what changed, at most once in a while: a reader that is never silent is switched off. */

const PAUSE_MS = 4_000;
const AT_ONCE = 2;

export class Announcer {
  private waiting: { words: string; isAlert: boolean }[] = [];
  private quietUntilMs = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly element: HTMLElement) {}

  /** An alert is told whatever comes after it. */
  say(words: string, isAlert = false): void {
    this.waiting.push({ words, isAlert });
    this.timer ??= setTimeout(() => this.speak(), Math.max(0, this.quietUntilMs - performance.now()));
  }

  private speak(): void {
    this.timer = undefined;
    this.quietUntilMs = performance.now() + PAUSE_MS;
    const first = this.waiting.length - AT_ONCE;
    const told = this.waiting.filter(({ isAlert }, index) => isAlert || index >= first);
    const others = this.waiting.length - told.length;
    this.waiting = [];
    this.element.textContent = (others > 0 ? `${others} changes before. ` : "") + told.map(({ words }) => words).join(". ");
  }
}
