// @vitest-environment jsdom
// Every hostile string, wherever a string of others may stand in the grid: it becomes text, and harmless tags. The corpus is
// also opened in a real browser (tests/browser/test_rate.py) and written into the reports (tests/test_xss.py).

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import * as code from "../src/grid_code";
import * as math from "../src/grid_math";
import widget from "../src/grid";
import { safeMarkdown } from "../src/markdown";
import { Parts } from "../src/parts";
import { NO_OPINION, type JudgeVerdict } from "../src/protocol";
import { browserParts, FakeKernel, settle } from "./fake";
import corpus from "./xss_corpus.json";

const HTML = "a b blockquote br code del em h1 h2 h3 h4 h5 h6 hr i li ol p pre s span strong sub sup table tbody td th thead tr u ul var";
const MATHML = "math mrow mi mn mo ms mtext mspace msub msup msubsup mfrac msqrt mroot munder mover munderover mtable mtr mtd mpadded mphantom mstyle menclose semantics annotation merror mlabeledtr";
const ALLOWED = new Set(`${HTML} ${MATHML}`.split(" "));
const parts = new Parts(async (name) => (name === "code" ? code : math) as any);

/** What stands on the page that must not: active elements, handlers, addresses, styles that reach out. */
function dangers(root: ParentNode): string[] {
  const found: string[] = [];
  for (const element of root.querySelectorAll("*")) {
    if (!ALLOWED.has(element.localName)) found.push(`<${element.localName}>`);
    for (const { name, value } of element.attributes) {
      const address = /^(?:xlink:)?href$|^src$|action$|^ping$|^srcdoc$|^background$|^data$/.test(name);
      if (name.startsWith("on") || (address && !/^(?:https?:|mailto:)/.test(value))) found.push(`${name}=${value}`);
      if (name === "style" && /url|expression|import|fixed|absolute/i.test(value)) found.push(`style=${value}`);
      if (name === "id" || name === "name") found.push(`${name}=${value}`);
    }
  }
  return found;
}

const texts = [...new Set(corpus.map(({ text }) => text))];
const some = texts.filter((_, n) => n % 4 === 0); // a page of jsdom is slow; the real browser opens all of them

test("there are more than a hundred, of every kind", () => {
  expect(texts.length).toBeGreaterThan(100);
  const kinds = new Set(corpus.map(({ kind }) => kind));
  for (const kind of ["tags", "events", "svg", "math", "css", "urls", "markdown", "katex", "templates", "unicode", "mutation"]) expect(kinds).toContain(kind);
});

test.each(corpus)("as Markdown: $kind $text", async ({ text }) => {
  const place = document.createElement("div");
  document.body.replaceChildren(place);
  place.append(safeMarkdown(text, parts), safeMarkdown(`before\n\n${text}\n\n| a | b |\n|---|---|\n| ${text} | x |`, parts));
  await new Promise((done) => setTimeout(done)); // the parts
  expect(dangers(place)).toEqual([]);
  expect((window as any).pwned).toBeUndefined();
  expect(({} as any).pwned).toBeUndefined();
});

function verdict(text: string): JudgeVerdict {
  const order = {
    first: "a", verdict: "a", reason: text, scores: { honesty: { a: { score: 3, quote: text } } }, why: { a: text }, flags: { a: [text] },
    labels: { [text]: "a" }, reasoning: text, request: [{ role: text, content: text }], reply: text,
    facts: { tokens_in: 1, tokens_out: 1, price: 0, served_by: text },
  } as unknown as JudgeVerdict["orders"][number]; // prettier-ignore
  return { rater: text, sides: ["a", "b"], verdict: "a", orders: [order] };
}

/** A kernel all of whose words are hostile: each row has another text of the corpus, in every place. */
function hostile(): FakeKernel {
  const kernel = new FakeKernel(some.length);
  kernel.project = true;
  const reply = (kernel as any).reply.bind(kernel);
  (kernel as any).reply = (message: any) => {
    const text = some[message.row ?? (message.id ? Number(message.id.slice(1)) : 0)]!;
    switch (message.kind) {
      case "hello":
        return { ...reply(message), dimensions: [{ name: "honesty", label: some[0], anchors: { 1: some[1], 3: some[2], 5: some[3] } }], tags: some.slice(0, 5), filterable: { task: some.slice(0, 5) } };
      case "rows":
        return { rows: some.slice(message.from, message.to).map((each) => ({ prompt: each, task: each, answers: [each, each], flag: true })) };
      case "row": {
        const prompt = ["system", "user", text].map((role) => ({ role, content: text }));
        const answers = ["a", "b"].map((side) => ({ side, text: `${text}\n${side}`, cut: true }));
        const opinion = { ...NO_OPINION, verdict: "a", note: text, tags: [text], scores: { honesty: { a: 3 } } };
        return { ...reply(message), prompt, task: text, reference: text, answers, names: { a: text, b: text }, closed: text, opinion, judged: 1 };
      }
      case "judge":
        return { judges: [verdict(text)] };
      case "progress":
        return { ...reply(message), all: { votes: 1, needed: 2, raters: some.slice(0, 5).map((rater) => ({ rater, votes: 1, leased: 1, seconds: 1 })) } };
    }
    return reply(message);
  };
  return kernel;
}

let page: HTMLElement;
let close: (() => void) | null = null;

beforeEach(() => {
  browserParts();
  page = document.createElement("div");
  document.body.replaceChildren(page);
});
afterEach(() => {
  close?.();
  close = null;
  vi.useRealTimers();
});

/** Elements that the grid itself makes, taken out before the look for what is not its own. */
const OURS = "q,div,section,header,footer,article,details,summary,button,input,textarea,progress,label,option,select,datalist,mark,kbd,dl,dt,dd,h3,caption";

function hostileParts(of: string): string[] {
  const copy = document.createElement("div");
  copy.append(...[...page.querySelectorAll(of)].map((part) => part.cloneNode(true)));
  for (const element of copy.querySelectorAll(OURS)) {
    const bad = [...element.attributes].filter(({ name }) => name.startsWith("on") || name === "srcdoc" || name === "formaction" || name === "src");
    if (!bad.length) element.replaceWith(...element.childNodes);
  }
  return dangers(copy);
}

test("in every place of the grid", async () => {
  vi.useFakeTimers();
  close = widget.render({ model: hostile(), el: page });
  await settle(50);
  const root = page.querySelector<HTMLElement>(".sftkit-grid")!;
  const press = async (key: string) => {
    root.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
    await settle();
  };
  const seen = new Set<string>();
  for (const [row, text] of some.entries()) {
    expect(page.querySelector(".row.open")?.getAttribute("aria-rowindex")).toBe(String(row + 2));
    const other = ["", "m", "d"][row % 3]!; // as Markdown, as raw text, as differences
    if (other) await press(other);
    for (const look of ["markdown", "raw", "diff"]) if (page.querySelector(`.row.open .${look}`)) seen.add(look);
    expect(hostileParts(".row.open"), text).toEqual([]);
    if (other) await press(other);
    expect(page.querySelector(".row.open .judges"), text).not.toBeNull();
    if (row % 30 === 0) expect(hostileParts(".sftkit-grid"), text).toEqual([]);
    await press("j");
  }
  for (const key of ["l", "z", "/", "g", "n", "?"]) {
    await press(key);
    expect(hostileParts(".sftkit-grid"), key).toEqual([]);
    await press("Escape");
  }
  expect([...seen].sort()).toEqual(["diff", "markdown", "raw"]);
  expect((window as any).pwned).toBeUndefined();
}, 60_000);

test("as an error", async () => {
  vi.useFakeTimers();
  const kernel = new FakeKernel(2);
  close = widget.render({ model: kernel, el: page });
  await settle();
  for (const text of some) {
    kernel.refuse = text;
    page.querySelector<HTMLElement>(".verdict-tie, .verdict-a")!.click();
    await settle(6000); // the outbox tries again
    expect(hostileParts(".sftkit-grid"), text).toEqual([]);
    expect(page.querySelector(".errors")!.textContent).toContain(text);
  }
}, 60_000);
