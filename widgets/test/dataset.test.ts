// @vitest-environment jsdom
// The page of a data set against a fake kernel: hostile text, only rows in sight in the page, keys, edits, questions asked
// twice, a search that goes on in pieces, a profile under way.

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import widget from "../src/dataset";
import { percentage, placeOf } from "../src/dataset_figures";
import { signs } from "../src/dataset_signs";
import type { Model } from "../src/kernel";
import { browserParts, settle } from "./fake";

const HOSTILE = '<img src=x onerror="window.hacked=1"><b>bold</b>';
const TOTAL = 500_000;

class FakeKernel implements Model {
  asked: any[] = [];
  progress: { done: number; total: number } | null = null;
  out = new Set<number>();
  text = "";
  undo = 0;
  private handlers: ((message: any) => void)[] = [];

  get(): unknown {
    return {};
  }
  on(_event: string, handler: (message: any) => void): void {
    this.handlers.push(handler);
  }
  off(): void {
    this.handlers = [];
  }
  send(message: any): void {
    this.asked.push(message);
    queueMicrotask(() => this.handlers.forEach((handler) => handler({ ask: message.ask, ...this.reply(message) })));
  }
  of(kind: string): any[] {
    return this.asked.filter((message) => message.kind === kind);
  }
  private counts(): object {
    return { edited: this.text ? 1 : 0, excluded: this.out.size, undo: this.undo, behind: this.undo > 0 };
  }
  private preview(number: number): object {
    return { number, source: 0, row: number + 1, excluded: this.out.has(number), edited: false, prompt: HOSTILE, answer: `answer ${number}`, task: HOSTILE, turns: 2, language: "en", length: 9 };
  }
  private reply(message: any): object {
    const { kind } = message;
    if (kind === "hello") return { rows: TOTAL, sources: [HOSTILE, "b"], faults: [HOSTILE], ...this.counts() };
    if (kind === "figures") return { figures: this.progress ? null : FIGURES, progress: this.progress, failed: "", behind: false };
    if (kind === "look") return message.text ? { look: 2, count: 0, scanned: 0, total: 30 } : { look: 1, count: message.only ? 7 : TOTAL, scanned: 9, total: 9 };
    if (kind === "more") return { look: 2, count: this.of("more").length * 2, scanned: this.of("more").length * 10, total: 30 };
    if (kind === "rows") return { rows: Array.from({ length: message.to - message.from }, (_, n) => this.preview(message.from + n)) };
    if (kind === "row") {
      const cell = { way: ["messages", 1, "content"], name: "messages › 2", role: "assistant", text: this.text || HOSTILE, fixed: false };
      return { source: HOSTILE, row: message.number + 1, preview: this.preview(message.number), marks: [HOSTILE], cells: [{ way: ["prompt"], name: "prompt", role: "user", text: "", fixed: false, was: HOSTILE }, cell, { way: ["n"], name: "n", role: "", text: "3", fixed: true }] };
    }
    if (kind === "changes") return { changes: [{ id: "i", op: "edit", source: "b", row: 3, number: null, field: HOSTILE, before: HOSTILE, after: "", reason: HOSTILE, by: HOSTILE, at: "2026-11-25T10:00:00+00:00", state: "lost" }], count: 1, reverted: 0, files: [HOSTILE], broken: [HOSTILE] };
    if (kind === "edit") this.text = message.text;
    if (kind === "exclude") for (const number of message.numbers ?? message.places ?? [...Array(7).keys()]) message.back ? this.out.delete(number) : this.out.add(number);
    if (kind === "edit" || kind === "exclude") this.undo++;
    if (kind === "undo") this.undo--, this.out.clear(), (this.text = "");
    return this.counts();
  }
}

const FIGURES = {
  rows: 100,
  facts: [{ name: HOSTILE, value: "3" }],
  findings: [
    { key: "kind:html", name: "HTML", text: HOSTILE, count: 7, share: 0.07, level: "warn" },
    { key: "kind:echo", name: "echo", text: "", count: 0, share: 0, level: "warn" },
  ],
  fates: [{ key: "trained", name: "trained", count: 93 }],
  lengths: [{ name: "whole", bins: [{ key: "whole:0-9", from: 0, to: 9, count: 90 }, { key: "whole:10-99", from: 10, to: 99, count: 10 }], limit: 64 }],
  unit: "tokens",
  tables: [{ name: "tasks", about: "", shares: Array.from({ length: 12 }, (_, n) => ({ key: `task:${n}`, name: HOSTILE, count: 12 - n })) }],
  columns: ["task", "language", "turns", "length"],
};

let page: HTMLElement;
let kernel: FakeKernel;
let close: () => void;

async function open(progress: FakeKernel["progress"] = null): Promise<void> {
  kernel = new FakeKernel();
  kernel.progress = progress;
  page = document.createElement("div");
  document.body.append(page);
  close = widget.render({ model: kernel, el: page });
  await settle(10);
}

function press(key: string, more: KeyboardEventInit = {}): Promise<void> {
  (page.querySelector(".rows") as HTMLElement).dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));
  return settle(10);
}

function click(selector: string): Promise<void> {
  page.querySelector<HTMLElement>(selector)!.click();
  return settle(10);
}

beforeEach(() => {
  vi.useFakeTimers();
  browserParts();
});
afterEach(() => {
  close();
  page.remove();
  vi.useRealTimers();
});

test("text is text everywhere, and only rows in sight are in the page", async () => {
  await open();
  await click(".line");
  await click("button.edit");
  const list = page.querySelector<HTMLDetailsElement>(".changed")!;
  list.open = true;
  list.dispatchEvent(new Event("toggle"));
  await settle(10);
  expect(page.querySelectorAll("img, script, b b, .line b")).toHaveLength(0);
  expect(page.querySelector(".line .prompt")!.textContent).toBe(HOSTILE);
  expect(page.querySelector(".changes del")!.textContent).toBe(HOSTILE);
  expect(page.querySelectorAll(".line").length).toBeLessThan(30);
  expect((globalThis as any).hacked).toBeUndefined();
});

test("a figure leads to its rows; none of a kind is named, not shown", async () => {
  await open();
  expect([...page.querySelectorAll(".findings .chip")].map((chip) => (chip as HTMLElement).dataset.key)).toEqual(["kind:html"]);
  expect(page.querySelectorAll(".share")).toHaveLength(8);
  await click(".chart .link");
  expect(page.querySelectorAll(".share")).toHaveLength(12);
  await click('[data-key="kind:html"]');
  expect(kernel.of("look").at(-1)).toMatchObject({ only: "kind:html" });
  page.querySelector('[data-key="whole:10-99"]')!.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true }));
  await settle(10);
  expect(kernel.of("look").at(-1)).toMatchObject({ only: "whole:10-99" });
  await press("Escape");
  expect(kernel.of("look").at(-1)).toMatchObject({ only: "" });
});

test("all of a list is left out only after a second press, with the list's name as the reason", async () => {
  await open();
  expect(page.querySelector(".bulk button")).toBeNull(); // never all rows of the data at once
  await click('[data-key="kind:html"]');
  await click(".bulk .exclude");
  expect(kernel.of("exclude")).toHaveLength(0);
  expect(document.activeElement!.textContent).toBe("dataset.no");
  await click(".bulk .yes");
  expect(kernel.of("exclude")).toMatchObject([{ look: 1, places: null, back: false, reason: "HTML" }]);
});

test("keys move, pick, leave out, take back and undo", async () => {
  await open();
  await press("ArrowDown");
  await press("x");
  expect(kernel.of("exclude").at(-1)).toMatchObject({ places: [1], back: false });
  await press("x");
  expect(kernel.of("exclude").at(-1)).toMatchObject({ places: [1], back: true });
  await press("ArrowDown", { shiftKey: true });
  await press("ArrowDown", { shiftKey: true });
  expect(kernel.of("select").at(-1)).toMatchObject({ places: [1, 2, 3] });
  await press("x");
  expect(kernel.of("exclude").at(-1)).toMatchObject({ places: [1, 2, 3], back: false });
  await press("u");
  await press("z", { ctrlKey: true });
  expect(kernel.of("undo")).toHaveLength(2);
  await press("End");
  expect(page.querySelector(".line.at")!.getAttribute("data-place")).toBe(String(TOTAL - 1));
  expect(kernel.of("rows").at(-1).to).toBe(TOTAL);
});

test("x means the row that is open where the keys are in it, and the row of the table where they are there", async () => {
  await open();
  await click(".line");
  await press("ArrowDown");
  await press("x");
  expect(kernel.of("exclude").at(-1)).toMatchObject({ places: [1] });
  page.querySelector(".whole .part .text")!.dispatchEvent(new KeyboardEvent("keydown", { key: "x", bubbles: true, cancelable: true }));
  await settle(10);
  expect(kernel.of("exclude").at(-1)).toMatchObject({ numbers: [0], back: false });
});

test("a cell is edited where it stands; a text that is not saved keeps its place", async () => {
  await open();
  await click(".line");
  await press("e");
  const box = page.querySelector("textarea")!;
  expect(box.value).toBe(HOSTILE);
  box.value = "better";
  await press("ArrowDown");
  await press("Enter");
  expect(page.querySelector(".errors")!.textContent).toContain("dataset.unsaved");
  expect(page.querySelector("textarea")).toBe(box);
  box.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", ctrlKey: true, bubbles: true, cancelable: true }));
  await settle(10);
  expect(kernel.of("edit")).toMatchObject([{ number: 0, way: ["messages", 1, "content"], text: "better" }]);
  expect(page.querySelector("textarea")).toBeNull();
  expect(page.querySelector(".part.answer .text")!.textContent).toBe("better");
  await press("e");
  page.querySelector("textarea")!.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true, cancelable: true }));
  expect(page.querySelector("textarea")).toBeNull();
  expect(kernel.of("edit")).toHaveLength(1);
  expect(page.querySelectorAll(".part button.edit")).toHaveLength(2); // the third cell is no text
});

test("a search goes on in pieces and its rows come as they are found", async () => {
  await open();
  const search = page.querySelector<HTMLInputElement>("input[type=search]")!;
  search.value = "lima";
  search.dispatchEvent(new Event("input"));
  await settle(300);
  await settle(10);
  expect(kernel.of("more")).toHaveLength(3);
  expect(kernel.of("rows").filter(({ look }) => look === 2).at(-1)).toMatchObject({ to: 6 });
  expect(page.querySelectorAll(".line:not([data-empty])")).toHaveLength(6);
});

test("a profile under way shows how far it is, then its figures", async () => {
  await open({ done: 40, total: 100 });
  expect(page.querySelector("progress")!.value).toBe(40);
  kernel.progress = null;
  await settle(500);
  expect(page.querySelector(".chip")).not.toBeNull();
  expect(page.querySelector("progress")).toBeNull();
});

test("what shows nothing or turns the text around stands as its number", () => {
  const shown = (text: string) => signs(text).map((part) => (typeof part === "string" ? part : `[${part.textContent}]`)).join("");
  expect(shown("a\u202eb\u200b\u0007")).toBe("a[U+202E]b[U+200B][U+0007]");
  expect(shown("line\n\ttab 👩\u200d🔬 می\u200cخواهم 利马")).toBe("line\n\ttab 👩\u200d🔬 می\u200cخواهم 利马");
});

test("shares and the place of a length", () => {
  expect([0, 0.0004, 0.034, 0.5].map(percentage)).toEqual(["0 %", "<0.1 %", "3.4 %", "50 %"]);
  expect(placeOf(FIGURES.lengths[0]!, 55)).toBeCloseTo(1.506, 2);
  expect(placeOf(FIGURES.lengths[0]!, 100)).toBe(-1);
});
