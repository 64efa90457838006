// @vitest-environment jsdom
// The open row on its own: prompt, two to six answers, their difference, copies, long ones cut short.

import { beforeEach, expect, test, vi } from "vitest";
import { detail, type Look } from "../src/detail";
import { fill } from "../src/full";
import { NO_OPINION, type Comparison, type Opinion } from "../src/protocol";
import { browserParts } from "./fake";

const label = (key: string, values?: Record<string, string | number>) => `${key}${values ? ` ${Object.values(values).join(" ")}` : ""}`;
const nobody = { of: () => [], earlier: async () => [], dimensions: [] };
let look: Look;
let resized: () => void;

function comparison(texts: string[], more: Partial<Comparison> = {}): Comparison {
  const answers = texts.map((text, n) => ({ side: "abcdef"[n] as "a", text, cut: n === 1 }));
  const prompt = [{ role: "user", content: "What is it?" }];
  return { row: 4, id: "c4", prompt, task: "qa", reference: "", answers, names: null, opinion: NO_OPINION, rating: 0, judged: 0, closed: null, ...more };
}

function show(shown: Comparison): HTMLElement {
  const element = detail(shown, look, nobody, label, (change) => Object.assign(look, change));
  document.body.replaceChildren(element);
  return element;
}

const all = (selector: string) => [...document.body.querySelectorAll<HTMLElement>(selector)];
const press = (text: RegExp, n = 0) => all("button").filter((button) => text.test(button.textContent))[n]!.click();

beforeEach(() => {
  browserParts();
  look = { view: "markdown", diff: ["a", "b"], reference: true, full: false, dense: false };
  vi.stubGlobal("ResizeObserver", class { constructor(done: () => void) { resized = done; } observe() {} unobserve() {} disconnect() {} }); // prettier-ignore
});

test("two to six answers, each a labelled section with its letter", () => {
  for (const count of [2, 3, 6]) {
    show(comparison(Array(count).fill("text")));
    expect(all(".answer").map((answer) => answer.querySelector(".letter")!.textContent)).toEqual([..."ABCDEF"].slice(0, count));
    expect(all(".answers")[0]!.classList.contains(`of-${count}`)).toBe(true);
    expect(all(".answer")[0]!.getAttribute("aria-label")).toBe("grid.answer A");
  }
  expect(all(".answer footer").filter((footer) => footer.textContent === "grid.cut").length).toBe(1);
});

test("system prompt, turns and task; a long system prompt is folded", () => {
  const prompt = [
    { role: "system", content: "Be brief." },
    { role: "user", content: "Hello" },
    { role: "assistant", content: "Hi" },
    { role: "user", content: "<b>Why?</b>" },
  ];
  show(comparison(["x", "y"], { prompt }));
  expect(all(".turn .role").map((role) => role.textContent)).toEqual(["system", "user", "assistant", "user"].map((role) => `grid.role.${role}`));
  expect(all(".question .chip")[0]!.textContent).toBe("qa");
  expect(all(".turn").at(-1)!.textContent).toContain("<b>Why?</b>");
  expect(all("details.system")[0]!.hasAttribute("open")).toBe(true);
  show(comparison(["x", "y"], { prompt: [{ role: "system", content: "long ".repeat(200) }] }));
  expect(all("details.system")[0]!.hasAttribute("open")).toBe(false);
});

test("names, ranks, verdicts and why a row is closed are said, as text", () => {
  show(comparison(["x", "y", "z"], { names: { a: "<i>m1</i>", b: "m2", c: "m3" }, opinion: { ...NO_OPINION, ranking: { a: 2, b: 1, c: 2 } }, closed: "Bob <b>has</b> it" }));
  expect(all(".name").map((name) => name.textContent)).toEqual(["<i>m1</i>", "m2", "m3"]);
  expect(all(".said").map((said) => said.textContent)).toEqual(["grid.rank 2", "grid.rank 1", "grid.rank 2"]);
  expect(all(".chosen .letter").map((letter) => letter.textContent)).toEqual(["B"]);
  expect(all("[role=note]")[0]!.textContent).toBe("Bob <b>has</b> it");
  const chosen = (opinion: Partial<Opinion>) => (show(comparison(["x", "y"], { opinion: { ...NO_OPINION, ...opinion } })), all(".chosen").length);
  expect([chosen({ verdict: "a" }), chosen({ verdict: "tie" }), chosen({ verdict: "both_bad" }), chosen({})]).toEqual([1, 2, 0, 0]);
});

test("raw shows what was written, letter by letter", () => {
  look.view = "raw";
  show(comparison(["**x** <i>y</i>", ""]));
  expect(all(".raw")[0]!.textContent).toBe("**x** <i>y</i>");
  expect(all(".answer")[1]!.textContent).toContain("grid.empty_answer");
});

test("the difference of two: both texts whole, what is not shared marked on each side", () => {
  look.view = "diff";
  show(comparison(["one two <b>", "one three <b>"]));
  expect(all(".diff").map((diff) => diff.textContent)).toEqual(["one two <b>", "one three <b>"]);
  expect(all("mark").map((mark) => mark.textContent)).toEqual(["two", "three"]);
  expect(all(".compare select").length).toBe(0); // nothing to choose
  expect(all(".content .quiet")[0]!.textContent).toBe("grid.diff.only 1 B");
});

test("Markdown, raw and difference are buttons too", () => {
  show(comparison(["**x**", "y"]));
  const pressed = () => all(".views button").filter((button) => button.getAttribute("aria-pressed") === "true").map((button) => button.textContent);
  expect(pressed()).toEqual(["grid.view.markdown"]);
  press(/view.raw/);
  expect([pressed(), look.view, all(".raw")[0]!.textContent]).toEqual([["grid.view.raw"], "raw", "**x**"]);
  press(/view.diff/);
  expect([pressed(), look.view, all(".diff").length]).toEqual([["grid.view.diff"], "diff", 2]);
  press(/view.markdown/);
  expect(all("strong")[0]!.textContent).toBe("x");
});

test("of several, which two are compared is chosen, and stays chosen for other rows", () => {
  look.view = "diff";
  show(comparison(["same x", "same y", "same z"]));
  expect(all(".diff").length).toBe(2);
  const pick = (n: number, side: string) => {
    const select = all(".compare select")[n] as HTMLSelectElement;
    select.value = side;
    select.dispatchEvent(new Event("change"));
  };
  pick(1, "c");
  expect(look.diff).toEqual(["a", "c"]);
  expect(all("mark").map((mark) => mark.textContent)).toEqual(["x", "z"]);
  pick(0, "c"); // the same as the other: they change places
  expect(look.diff).toEqual(["c", "a"]);
  show(comparison(["p", "q"])); // a row with two only
  expect(all(".diff").length).toBe(2);
});

function makeLong(height: number): void {
  for (const content of all(".content")) {
    Object.defineProperty(content, "scrollHeight", { value: height, configurable: true });
    content.style.setProperty("--shortened", "420px");
  }
  resized();
}

test("long answers are cut short, one is opened by its button, all by the other, for every row", () => {
  const shown = comparison(["x ".repeat(2000), "y ".repeat(2000)]);
  show(shown);
  makeLong(430);
  expect(all(".answer.long").length).toBe(0); // a few pixels more are no reason to cut
  makeLong(2000);
  expect(all(".answer.long:not(.all)").length).toBe(2);
  press(/grid.show_here 4,000 A/);
  expect(all(".answer.all .letter").map((letter) => letter.textContent)).toEqual(["A"]);
  expect(all(".answer .more button").map((button) => button.getAttribute("aria-expanded"))).toEqual(["true", "true", "false", "false"]);
  show(shown); // drawn again after a vote
  expect(all(".answer.all").length).toBe(1);
  press(/grid.show_everywhere/);
  expect([all(".answer.all").length, look.expanded]).toEqual([2, true]);
  show(comparison(["z", "w"]));
  expect(all(".answer.all").length).toBe(2);
  press(/grid.shorten_everywhere/);
  expect([all(".answer.all").length, look.expanded]).toEqual([0, false]);
});

test("a long prompt and a long reference are cut short as answers are, and opened by their buttons or with all", () => {
  const turns = [{ role: "user", content: "why? ".repeat(900) }, { role: "assistant", content: "so. ".repeat(900) }, { role: "user", content: "and?" }];
  const shown = comparison(["x", "y"], { prompt: turns, reference: "fact ".repeat(900) });
  show(shown);
  for (const content of all(".fold .content")) {
    Object.defineProperty(content, "scrollHeight", { value: content.textContent.length > 100 ? 900 : 20, configurable: true });
    content.style.setProperty("--shortened", "190px");
  }
  resized();
  expect(all(".fold").map((fold) => fold.classList.contains("long"))).toEqual([true, true, false, true]);
  press(/grid.show_text 3,600/);
  expect(all(".fold").map((fold) => fold.classList.contains("all"))).toEqual([false, true, false, false]);
  show(shown); // drawn again after a vote
  expect(all(".fold.all").length).toBe(1);
  press(/grid.shorten_text/);
  expect(all(".fold.all").length).toBe(0);
  press(/grid.show_everywhere/);
  expect([all(".fold.all").length, all(".answer.all").length]).toEqual([4, 2]);
});

test("an answer or the prompt is copied as it was written, and that is said", async () => {
  const writeText = vi.fn(async (_: string) => {});
  vi.stubGlobal("navigator", { clipboard: { writeText } });
  show(comparison(["**x**", "y"], { prompt: [{ role: "system", content: "s" }, { role: "user", content: "u" }] }));
  for (const n of [0, 1]) press(/^grid.copy$/, n === 0 ? 1 : 0);
  await vi.waitFor(() => expect(all(".copy [role=status]")[0]!.textContent).toBe("grid.copied"));
  expect(writeText.mock.calls.map(([text]) => text)).toEqual(["**x**", "system: s\n\nuser: u"]);
});

test("a browser that does not allow copying is asked the old way, and a failure is said", async () => {
  vi.stubGlobal("navigator", {});
  show(comparison(["x", "y"]));
  press(/^grid.copy$/, 1);
  await vi.waitFor(() => expect(all(".copy [role=status]")[0]!.textContent).toBe("grid.not_copied"));
  expect(document.querySelectorAll("textarea").length).toBe(0);
});

test("the whole window: a layer of its own where the browser has one, and back", () => {
  const root = document.createElement("div");
  document.body.replaceChildren(root);
  fill(root, true); // jsdom has no popovers
  expect(root.classList.contains("full")).toBe(true);
  fill(root, false);
  root.showPopover = vi.fn();
  root.hidePopover = vi.fn();
  fill(root, true);
  expect([root.getAttribute("popover"), vi.mocked(root.showPopover).mock.calls.length]).toEqual(["manual", 1]);
  fill(root, true);
  expect(vi.mocked(root.showPopover).mock.calls.length).toBe(1);
  fill(root, false);
  expect([root.hasAttribute("popover"), root.classList.contains("full")]).toEqual([false, false]);
});
