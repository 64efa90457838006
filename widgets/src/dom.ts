// Elements in one call, labels, and a clock that stops when nobody is there.

type Child = Node | string | null | undefined | false;
type Props = Record<string, string | number | boolean | ((event: any) => void) | null | undefined>;

/** <tag class="…">: attributes as given, "on…" as listeners, false and null left out. Text is always text. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child): child is Node | string => !!child));
  return element;
}

export type Label = (key: string, values?: Record<string, string | number>) => string;

/** Labels come from the kernel in the language asked for; {name} is filled in from `values`. */
export function labelled(labels: Record<string, string>): Label {
  return (key, values = {}) =>
    (labels[key] ?? key).replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

/**
 * Seconds of attention: time between two signs of life counts up to half a minute, more than that is a pause; and none of
 * it while the page is out of sight.
 */
export class Attention {
  private last = Date.now();
  private sum = 0;

  constructor() {
    document.addEventListener("visibilitychange", this.seen);
  }

  alive = (): void => {
    const now = Date.now();
    if (!document.hidden) this.sum += Math.min(now - this.last, 30_000);
    this.last = now;
  };

  reset(): void {
    this.last = Date.now();
    this.sum = 0;
  }

  get seconds(): number {
    this.alive();
    return Math.round(this.sum) / 1000;
  }

  close(): void {
    document.removeEventListener("visibilitychange", this.seen);
  }

  /** The page went out of sight, so that the time until now counts, or came back, so that it does not. */
  private readonly seen = (): void => {
    const now = Date.now();
    if (document.hidden) this.sum += Math.min(now - this.last, 30_000);
    this.last = now;
  };
}
