// @vitest-environment jsdom
// The token lens's page against a fake kernel: keys, hostile text, search in pieces, steps, a kernel that is gone.

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import widget from "../src/lens";
import type { Model } from "../src/kernel";
import type { View } from "../src/lens_protocol";
import { about, tokens } from "../src/lens_tokens";
import { browserParts, settle } from "./fake";

const HOSTILE = '<img src=x onerror="window.hacked=1"> \u202e\u200b';
const label = (key: string) => key;

function view(text: string): View {
  return {
    texts: ["<s>", text, "", "end"], pieces: ["<s>", text, "Ã", "end"], ids: [0, 7, 8, 1], starts: [0, 3, 9, 9], ends: [3, 9, 9, 12],
    states: "mtuc", special: [true, false, false, false], counts: { tokens: 2, trained: 1, unused: 1, cut: 1, dropped_turns: 0 },
    truncated: true, left_out: false, hidden: 0,
  };
}

class FakeKernel implements Model {
  asked: any[] = [];
  alive = true;
  measured = 0;
  share: number | null = null;
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
    if (this.alive) queueMicrotask(() => this.handlers.forEach((handler) => handler({ ask: message.ask, ...this.reply(message) })));
  }
  private reply(message: any): object {
    if (message.kind === "hello")
      return { split: "train", number: 0, rows: { train: 30, eval: 4 }, sources: { train: ["a", "b"], eval: ["e"] }, packing: true, max_len: 100, losses: { shown: true, measured: true, rows: 30 }, run: "r" };
    if (message.kind === "row") return { number: message.number, source: "a", row: message.number + 1, task: HOSTILE, view: view(HOSTILE) };
    if (message.kind === "find") return { number: message.row > 30 ? null : message.row - 1 };
    if (message.kind === "search") return { hits: [{ number: message.from, source: HOSTILE, row: message.from + 1, before: "<b>", match: "x", after: "" }], next: message.from + 10, total: 30 };
    if (message.kind === "measure") return { measured: (this.measured += 15), total: 30 };
    if (message.kind === "step" && this.measured < 30) return { measured: this.measured, total: 30 };
    if (message.kind === "step") return { step: message.step ?? 4, steps: 9, per_epoch: 5, of: [4, 8], layout: [[[[1, 2], [3]], []]], rows: { 1: ["a", 2, 40, 0.5], 2: ["b", 3, 50, null], 3: ["a", 4, 90, null] } };
    if (message.kind === "worst") return { by: message.by ?? "last_loss", columns: ["first_loss", "last_loss"], of: 30, rows: [{ source: HOSTILE, row: 9, tokens: 5, number: 8, first_loss: null, last_loss: 2 }] };
    if (message.kind === "stale") return { stale: [HOSTILE] };
    if (message.kind === "score") this.share = 0.25;
    const { share } = this;
    return { scoring: share === null ? null : { done: share >= 1, share, error: "" } };
  }
}

let page: HTMLElement;
let kernel: FakeKernel;
let close: () => void;
const root = () => page.querySelector<HTMLElement>(".sftkit-lens")!;
const all = (selector: string) => [...page.querySelectorAll<HTMLElement>(selector)];
const place = () => page.querySelector<HTMLInputElement>("input.number")!;

async function press(...keys: string[]): Promise<void> {
  for (const key of keys) {
    root().dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
    await settle();
  }
}

beforeEach(async () => {
  vi.useFakeTimers();
  browserParts();
  page = document.createElement("div");
  document.body.replaceChildren(page);
  kernel = new FakeKernel();
  close = widget.render({ model: kernel, el: page });
  await settle();
});
afterEach(() => {
  close();
  vi.useRealTimers();
});

test("every state has a look of its own, and hostile text stays text", () => {
  expect(all("div.tokens .tok").map((token) => token.className)).toEqual(["tok masked special", "tok trained", "tok unused", "tok cut"]);
  expect(page.querySelector("img")).toBeNull();
  const shown = all("div.tokens .tok")[1]!.textContent;
  expect(shown).toContain('<img·src=x·onerror="window.hacked=1">');
  expect(shown).toContain("⟨U+202E⟩⟨U+200B⟩");
  expect(all("div.tokens .tok")[2]!.textContent).toBe("◌"); // a token that is part of a character
});

test("keys go from row to row and from token to token, and none leaves the lens", async () => {
  const outside = vi.fn();
  document.body.addEventListener("keydown", outside);
  await press("ArrowRight", "ArrowRight", "ArrowLeft", "x", "]", "]");
  expect(place().value).toBe("2");
  expect(all(".here")).toEqual([all("div.tokens .tok")[1]]);
  expect(page.querySelector(".detail")!.textContent).toContain("lens.trained");
  expect(outside).not.toHaveBeenCalled();
});

test("rows seen before need no kernel; another one says that it is gone", async () => {
  await press("ArrowRight");
  kernel.alive = false;
  await press("ArrowLeft");
  expect(place().value).toBe("1");
  expect(page.querySelector(".errors")!.textContent).toBe("");
  await press("ArrowRight", "ArrowRight", "ArrowRight");
  await vi.advanceTimersByTimeAsync(4100);
  expect(page.querySelector(".errors")!.textContent).toContain("lens.no_kernel");
});

test("a row that is not drawn is told", async () => {
  place().value = "99";
  place().dispatchEvent(new Event("change"));
  await settle();
  expect(page.querySelector(".errors")!.textContent).toContain("lens.not_there");
});

test("a search goes through all rows in pieces and lists what it finds", async () => {
  const search = page.querySelector<HTMLInputElement>('input[type="search"]')!;
  search.value = "x";
  search.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
  await settle();
  await settle();
  expect(kernel.asked.filter((message) => message.kind === "search").map((message) => message.from)).toEqual([0, 10, 20]);
  expect(all(".hits li")).toHaveLength(3);
  expect(all(".hits mark")[0]!.textContent).toBe("x");
  expect(page.querySelector(".hits b img")).toBeNull();
  all(".hits button")[2]!.click();
  await settle();
  expect(place().value).toBe("21");
});

test("a step is measured first, then shown with a band for each row; a click opens the row", async () => {
  all(".link")[0]!.click();
  await settle();
  await settle();
  expect(kernel.asked.filter((message) => message.kind === "measure")).toHaveLength(2);
  expect(all(".sequence")).toHaveLength(2);
  expect(all(".band").map((band) => band.style.flexGrow)).toEqual(["40", "50", "90"]);
  expect(all(".band").map((band) => band.title)).toEqual(["lens.band_loss", "lens.band", "lens.band"]);
  expect(all(".free").map((free) => (free as HTMLElement).style.flexGrow)).toEqual(["10", "10"]);
  await press("ArrowRight");
  expect(kernel.asked.at(-1)).toMatchObject({ kind: "step", step: 5 });
  all(".fold")[0]!.click();
  await settle();
  expect(all(".neighbour")).toHaveLength(2);
  all(".band")[2]!.click();
  await settle();
  expect(place().value).toBe("4");
});

test("the worst rows are sorted by a click on a column, and lead to the row", async () => {
  all('[role="tab"]')[2]!.click();
  await settle();
  expect(all("td").map((cell) => cell.textContent)).toEqual([HOSTILE, "9", "5", "", "2.000"]);
  all("th button")[0]!.click();
  await settle();
  expect(kernel.asked.at(-1)).toMatchObject({ kind: "worst", by: "first_loss" });
  all("td .link")[0]!.click();
  await settle();
  expect(place().value).toBe("9");
});

test("what is said of a token names id, spelling, place and state", () => {
  const told = about(view("a"), 1, label);
  for (const part of ["lens.token", "lens.id", '"a"', "lens.span", "lens.trained"]) expect(told).toContain(part);
  expect(about(view("a"), 0, label)).toContain("lens.special");
  expect(tokens({ ...view("a"), hidden: 9 }, label).textContent).toContain("lens.hidden");
});

test("rows are measured before and after with progress, and then sorted by the loss after", async () => {
  all('[role="tab"]')[2]!.click();
  await settle();
  const [measure, stop] = all(".facts > button") as HTMLButtonElement[];
  expect(stop!.hidden).toBe(true);
  measure!.click();
  await settle();
  await settle();
  expect(page.querySelector("progress")!.value).toBe(0.25);
  expect(measure!.disabled && !stop!.hidden).toBe(true);
  kernel.share = 1;
  await settle(1100);
  await settle();
  expect(kernel.asked.filter((message) => message.kind === "worst").at(-1)).toMatchObject({ by: "tuned_loss" });
  expect(measure!.disabled || !stop!.hidden).toBe(false);
});

test("data that are not those of the run are told", () => {
  expect(page.querySelector(".warning")!.textContent).toContain("lens.stale");
  expect(page.querySelector(".warning img")).toBeNull();
});
