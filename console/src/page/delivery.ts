/** When the page is given a frame: before the next repaint; at once while it is hidden, which has none and has to call. */

let waiting: (() => void) | undefined;

export function deliver(frame: () => void): void {
  waiting = frame;
  if (document.hidden) run();
  else requestAnimationFrame(run);
}

function run(): void {
  const frame = waiting;
  waiting = undefined;
  frame?.();
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) run(); // the repaint that it waited for does not come
});
