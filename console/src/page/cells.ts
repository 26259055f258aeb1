/** The few things that the page does to the document, each only when it changes something. */

type Attributes = Readonly<Record<string, string>>;

/** An element with its attributes and children. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

export function makeSvg<K extends keyof SVGElementTagNameMap>(tag: K, attributes: Attributes): SVGElementTagNameMap[K] {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** The element of an id that index.html has. */
export function byId(id: string): HTMLElement {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`index.html has no #${id}`);
  return element;
}

/** A text that is written only where it changed. */
export class TextCell {
  readonly element: HTMLElement;
  private readonly node: Text;

  /** What the element says so far stays until something is shown. */
  constructor(element: HTMLElement) {
    this.element = element;
    this.node = document.createTextNode(element.textContent);
    element.replaceChildren(this.node);
  }

  show(text: string): void {
    if (this.node.data !== text) this.node.data = text;
  }
}

export function setAttribute(element: Element, name: string, value: string): void {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** A CSS property that is written only where it changed. */
export class StyleCell {
  private written = "";

  constructor(
    private readonly element: HTMLElement | SVGElement,
    private readonly property: string,
  ) {}

  set(value: string): void {
    if (this.written === value) return;
    this.written = value;
    this.element.style.setProperty(this.property, value);
  }
}

/** Puts `elements` into `parent` in this order, moving only what stands elsewhere. */
export function order(parent: Element, elements: readonly Element[]): void {
  let next = parent.firstElementChild;
  for (const element of elements) {
    if (element === next) next = next.nextElementSibling;
    else parent.insertBefore(element, next);
  }
}

const toStart: [HTMLElement, string][] = [];

/** Starts the animation of a class again, also while it runs. */
export function flash(element: HTMLElement, name: string): void {
  element.classList.remove(name);
  if (toStart.push([element, name]) === 1) queueMicrotask(startAll);
}

/** A restart needs a layout between: one for all that an update flashes. */
function startAll(): void {
  void document.body.offsetWidth;
  for (const [element, name] of toStart.splice(0)) element.classList.add(name);
}
