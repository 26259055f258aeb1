/** How large everything is: the style sheet chooses it by the size of the window, and the browser's own text size counts too. */

const USUAL = 10; // pixels of a rem for which lengths are written

/** What a length of 1 is in pixels, for what is laid out by script. */
export function unit(): number {
  return parseFloat(getComputedStyle(document.documentElement).fontSize) / USUAL || 1;
}
