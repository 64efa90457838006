// The grid on a page against a fake kernel, and hands on its keys.

import { afterEach, beforeEach, vi } from "vitest";
import widget from "../src/grid";
import { browserParts, type FakeKernel, settle } from "./fake";

export let page: HTMLElement;
let closing: () => void;

export const root = () => page.querySelector<HTMLElement>(".sftkit-grid")!;
export const find = <T extends HTMLElement>(selector: string) => page.querySelector<T>(selector)!;
export const openRow = () => Number(find(".row.open").getAttribute("aria-rowindex")) - 2;

/** An empty page before each test, and the grid closed after it. height: of whatever is on it; jsdom lays nothing out. */
export function eachOnItsPage(height?: number): void {
  beforeEach(() => {
    vi.useFakeTimers();
    browserParts();
    if (height) vi.spyOn(HTMLElement.prototype, "clientHeight", "get").mockReturnValue(height);
    closing = () => {};
    page = document.createElement("div");
    document.body.replaceChildren(page);
  });
  afterEach(() => {
    close();
    vi.useRealTimers();
    if (height) vi.restoreAllMocks();
  });
}

export const close = () => closing();

export async function show(kernel: FakeKernel, ms = 0): Promise<FakeKernel> {
  closing = widget.render({ model: kernel, el: page });
  await settle(ms);
  return kernel;
}

export async function press(...keys: string[]): Promise<void> {
  for (const key of keys) {
    root().dispatchEvent(new KeyboardEvent("keydown", { key, shiftKey: /^[A-Z]$/.test(key), bubbles: true, cancelable: true }));
    await settle();
  }
}
