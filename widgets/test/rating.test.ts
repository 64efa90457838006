// @vitest-environment jsdom
// Everything that can be said about a row, by keys and by mouse, against a fake kernel: rankings, both bad, tags, flags,
// skips; the filter; rows that others have; a kernel that was restarted.

import { expect, test, vi } from "vitest";
import { allDone, Bar } from "../src/panels";
import { NO_OPINION } from "../src/protocol";
import { GridState } from "../src/state";
import { FakeKernel, settle } from "./fake";
import { close, eachOnItsPage, find, openRow, page, press, show } from "./shown";

const FOUR = { a: "one", b: "two", c: "three", d: "four" };

const last = (kernel: FakeKernel) => kernel.votes.at(-1)!.opinion;
const button = (text: string) => [...page.querySelectorAll("button")].find((one) => one.textContent!.startsWith(text))!;

async function type(field: HTMLInputElement, text: string, key = "Enter"): Promise<void> {
  field.focus();
  field.value = text;
  field.dispatchEvent(new Event("input"));
  field.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  await settle();
}

eachOnItsPage(600);

test("letters in order of quality rank four answers, = ties, and only a whole ranking goes on", async () => {
  const kernel = await show(new FakeKernel(3, FOUR));
  await press("c", "a", "=", "b");
  expect(openRow()).toBe(0);
  expect(find(".rank-hint").textContent).toContain("grid.rank.next");
  expect([...page.querySelectorAll(".zone")].map((zone) => zone.querySelectorAll(".chip-side").length)).toEqual([1, 2, 0, 0]);
  await press("d");
  expect(last(kernel)).toMatchObject({ verdict: null, ranking: { c: 1, a: 2, b: 2, d: 3 } });
  expect(openRow()).toBe(1);
});

test("a placed letter is taken out again; undo and redo go place by place and across prompts", async () => {
  const kernel = await show(new FakeKernel(2, FOUR));
  await press("a", "b", "a", "d", "c", "a");
  expect(last(kernel).ranking).toEqual({ b: 1, d: 2, c: 3, a: 4 });
  expect(openRow()).toBe(1);
  await press("u");
  expect(openRow()).toBe(0);
  expect(last(kernel).ranking).toEqual({ b: 1, d: 2, c: 3 });
  await press("u", "u", "U");
  await settle(1000);
  expect(last(kernel).ranking).toEqual({ b: 1, d: 2 });
});

test("by mouse: a click places next in line or takes out, a drop places where it falls, gaps close at the end", async () => {
  const kernel = await show(new FakeKernel(2, { a: "x", b: "y", c: "z" }));
  find(".tray .chip-side[data-side=b]").click();
  const drop = new Event("drop", { bubbles: true, cancelable: true });
  Object.assign(drop, { dataTransfer: { getData: () => "a" } });
  page.querySelectorAll(".zone")[2]!.dispatchEvent(drop);
  find(".zone .chip-side[data-side=b]").click();
  await settle(1000);
  expect(last(kernel).ranking).toEqual({ a: 3 });
  find(".tray .chip-side[data-side=c]").click();
  find(".tray .chip-side[data-side=b]").click();
  await settle();
  expect(last(kernel).ranking).toEqual({ c: 1, b: 2, a: 3 });
});

test("a letter that names an answer ranks it; with Shift it is the command", async () => {
  const kernel = await show(new FakeKernel(2, { ...FOUR, e: "five", f: "six" }));
  await press("f", "F");
  await settle(1000);
  expect(last(kernel)).toMatchObject({ ranking: { f: 1 }, flag: true });
});

test("both bad, flag, tags and a note are parts of one opinion, each undone by itself", async () => {
  const kernel = await show(new FakeKernel(2));
  await press("f", "g");
  const field = find<HTMLInputElement>(".tag-field");
  expect(document.activeElement).toBe(field);
  await type(field, " off  topic ");
  await type(field, "too", "Tab"); // the first suggestion
  await settle(1000);
  expect(last(kernel)).toEqual({ ...NO_OPINION, flag: true, tags: ["off topic", "too long"] });
  await type(field, "", "Backspace");
  await press("x");
  expect(last(kernel)).toEqual({ ...NO_OPINION, verdict: "both_bad", flag: true, tags: ["off topic"] });
  await press("u", "u");
  await settle(1000);
  expect(last(kernel)).toEqual({ ...NO_OPINION, flag: true, tags: ["off topic", "too long"] });
});

test("a tag typed without Enter belongs to the row it was typed on, not to the next one", async () => {
  const kernel = await show(new FakeKernel(2));
  await press("g");
  const field = find<HTMLInputElement>(".tag-field");
  field.value = "too short";
  find(".verdict").focus(); // as a click would
  find(".verdict").click();
  await settle(1000);
  expect(last(kernel)).toEqual({ ...NO_OPINION, verdict: "a", tags: ["too short"] });
  expect([openRow(), field.value]).toEqual([1, ""]);
});

test("a skip needs a reason, by digit or typed, and opens the next row; a verdict ends it", async () => {
  const kernel = await show(new FakeKernel(3));
  await press("s");
  const panel = find(".skip");
  panel.querySelector("button")!.dispatchEvent(new KeyboardEvent("keydown", { key: "2", bubbles: true, cancelable: true }));
  await settle();
  expect(last(kernel)).toEqual({ ...NO_OPINION, verdict: "skipped", reason: "cannot_judge" });
  expect([openRow(), find(".skip")]).toEqual([1, null]);
  await press("s");
  await type(find<HTMLInputElement>(".skip input"), "no time");
  expect(last(kernel).reason).toBe("no time");
  await press("k", "a");
  expect(last(kernel)).toEqual({ ...NO_OPINION, verdict: "a" });
  await press("s", "Escape");
  expect(find(".skip")).toBeNull();
});

test("the key card tells of pairs or of rankings, and of judges only where they may be asked", async () => {
  await show(new FakeKernel(1));
  await press("?");
  expect(find(".card").textContent).toContain("grid.key.both_bad");
  expect(find(".card").textContent).toContain("grid.key.judge");
  expect(find(".card").textContent).not.toContain("grid.key.tying");
  close();
  page.replaceChildren();
  await show(Object.assign(new FakeKernel(1, FOUR), { mayAskJudges: false }));
  await press("?");
  expect(find(".card").textContent).toContain("grid.key.tying");
  expect(find(".card").textContent).not.toContain("grid.key.judge");
  expect(find(".card").textContent).not.toContain("grid.key.both_bad");
});

test("a filter keeps rows; keys walk along them, and its end is said", async () => {
  const kernel = await show(new FakeKernel(5));
  await press("/");
  const field = find<HTMLInputElement>(".expression");
  expect(document.activeElement).toBe(field);
  await type(field, "flagged");
  expect(openRow()).toBe(1);
  expect(button("grid.filter.flagged").getAttribute("aria-pressed")).toBe("true");
  await press("j");
  expect(openRow()).toBe(3);
  await press("j");
  expect(openRow()).toBe(3);
  await press("a", "b");
  expect(kernel.votes.map(({ id }) => id)).toEqual(["c3", "c1"]);
  expect(find(".panel h3").textContent).toBe("grid.all_done_filter");
  button("grid.filter.clear").click();
  await settle();
  expect(openRow()).toBe(1);
  await press("Enter");
  expect(openRow()).toBe(2);
});

test("what is wrong with a filter stands under it, and the rows stay; Python's filter shows", async () => {
  const kernel = await show(new FakeKernel(5));
  await press("/");
  await type(find<HTMLInputElement>(".expression"), "?");
  expect(find(".filter-error").textContent).toBe("what is ?");
  expect(openRow()).toBe(0);
  kernel.tell({ filter: { text: "'x' in text and task == 'math'", rows: [4], fault: null } });
  await settle();
  expect(find<HTMLInputElement>("[type=search]").value).toBe("x");
  expect(find<HTMLSelectElement>(".filter select").value).toBe("math");
  expect(openRow()).toBe(4);
});

test("in a project the kernel says what is next, closed rows cannot be rated, and all are shown", async () => {
  const kernel = new FakeKernel(4);
  kernel.project = true;
  kernel.closed = new Set([0, 2]);
  await show(kernel);
  expect(openRow()).toBe(1);
  expect(find(".raters summary").textContent).toBe("grid.all_count");
  expect(find(".raters tbody th").textContent).toBe("bo");
  await press("k");
  await press("a", "5");
  expect([openRow(), kernel.votes.length]).toEqual([0, 0]);
  expect(find(".dock").hasAttribute("inert")).toBe(true);
  await press("Enter", "a");
  expect(openRow()).toBe(3);
  kernel.closed.add(1); // has a vote: nothing changes for this rater
  await press("b");
  expect(find(".panel h3").textContent).toBe("grid.all_done_for_now");
  const asked = kernel.asked.filter((kind) => kind === "progress").length;
  await settle(12_500);
  expect(kernel.asked.filter((kind) => kind === "progress").length - asked).toBe(3);
});

test("one question about the others at a time, and none from a page out of sight", async () => {
  const kernel = new FakeKernel(3);
  kernel.project = true;
  await show(kernel);
  const sent = vi.spyOn(kernel, "send");
  const asked = () => sent.mock.calls.filter(([message]: any) => message.kind === "progress").length;
  kernel.alive = false;
  await settle(40_000);
  expect(asked()).toBe(1);
  kernel.wake();
  vi.spyOn(document, "hidden", "get").mockReturnValue(true);
  const before = asked();
  await settle(40_000);
  expect(asked()).toBe(before);
});

test("after a restart of the kernel the grid says what to do, counts what it keeps, and sends it when it is back", async () => {
  const kernel = await show(new FakeKernel(3));
  kernel.restart();
  await settle();
  expect(find(".errors").textContent).toBe("grid.gone_idle");
  await press("a");
  expect(find(".errors").textContent).toBe("grid.gone_why");
  await settle(9000);
  expect(find(".saving").textContent).toBe("grid.gone");
  expect(localStorage.length).toBe(1);
  close();
  page.replaceChildren();
  const again = await show(new FakeKernel(3)); // the cell was run again
  expect(again.votes.map((vote) => [vote.opinion.verdict, vote.restored])).toEqual([["a", true]]);
  expect([find(".errors").textContent, localStorage.length]).toEqual(["", 0]);
});

test("a kernel that only was away gets everything without the cell", async () => {
  const kernel = await show(new FakeKernel(3));
  kernel.restart();
  await press("b");
  kernel.wake();
  await settle(100);
  expect([find(".errors").textContent, find(".saving").textContent, kernel.votes.length]).toEqual(["", "grid.saved", 1]);
});

test("names are shown only after the second question, and then everywhere anew", async () => {
  const kernel = await show(new FakeKernel(1));
  await press("a");
  expect(kernel.asked).not.toContain("reveal");
  button("grid.reveal").click();
  await settle();
  expect(kernel.asked).not.toContain("reveal");
  button("grid.reveal.no").click();
  button("grid.reveal").click();
  const before = kernel.asked.length;
  button("grid.reveal.yes").click();
  await settle();
  expect(kernel.asked.slice(before)).toEqual(expect.arrayContaining(["reveal", "hello", "row"]));
  expect(openRow()).toBe(0);
});

test("time out of sight, and pauses, do not count", async () => {
  const kernel = await show(new FakeKernel(2));
  const hidden = vi.spyOn(document, "hidden", "get");
  await settle(4000);
  hidden.mockReturnValue(true);
  document.dispatchEvent(new Event("visibilitychange"));
  await settle(20_000);
  hidden.mockReturnValue(false);
  document.dispatchEvent(new Event("visibilitychange"));
  await settle(3000);
  await press("a");
  expect(kernel.votes.at(-1)!.seconds).toBeCloseTo(7, 0);
});

test("a question that got lost on its way is asked again, ever more seldom", async () => {
  const kernel = new FakeKernel(2);
  const sent = vi.spyOn(kernel, "send").mockImplementation(() => {});
  await show(kernel);
  await settle(100_000);
  expect(sent).toHaveBeenCalledTimes(4); // at 0, 6, 24 and 78 s
  sent.mockRestore();
  await settle(150_000);
  expect(openRow()).toBe(0);
});

test("a rubric without dimensions leaves the verdict, and digits do nothing", async () => {
  const kernel = new FakeKernel(2);
  kernel.dimensions = [];
  await show(kernel);
  await press("ArrowDown", "5", "0", "a");
  expect(kernel.votes.map(({ opinion }) => opinion)).toEqual([{ ...NO_OPINION, verdict: "a" }]);
});

test("the end counts every kind of vote; the project's count goes on with one's own", () => {
  const said = (key: string, values?: object) => `${key} ${JSON.stringify(values)}`;
  const state = new GridState("abtnns.", []);
  const nothing = () => {};
  const actions = { unrated: nothing, undo: nothing, redo: nothing, full: nothing, dense: nothing, filter: nothing, judge: nothing, instructions: nothing, card: nothing };
  const panel = allDone(state, said, false, 0, { next: nothing, back: nothing, unfilter: nothing, reveal: async () => {} });
  expect(panel.textContent).toContain('{"a":1,"tie":1,"b":1,"both_bad":2,"ranked":0,"skipped":1}');

  const bar = new Bar(state, said, actions);
  const told = () => bar.element.querySelector(".raters summary")!;
  bar.others({ votes: 9, needed: 14, raters: [] }, "abt....");
  const first = told();
  expect(first.textContent).toContain('{"votes":11,"needed":14}'); // two more by this rater since then
  state.set(6, { ...NO_OPINION, verdict: "a" });
  bar.update({ view: "markdown", diff: ["a", "b"], reference: true, full: false, dense: false }, "saved", 0, null);
  expect(told().textContent).toContain('{"votes":12,"needed":14}');
  bar.others({ votes: 12, needed: 14, raters: [] }, "abtnnsa");
  expect([told(), told().textContent!.includes('{"votes":12')]).toEqual([first, true]); // the same one: it may have the focus
});

test("E shows all answers in full and short again, also those opened one by one", async () => {
  await show(new FakeKernel(2));
  const full = () => page.querySelectorAll(".answer.all").length;
  find(".answer .more button").click();
  expect(full()).toBe(1);
  await press("e");
  expect(full()).toBe(2);
  await press("e");
  expect(full()).toBe(0);
});

test("what others give back after the end is offered, and not taken unasked", async () => {
  const kernel = new FakeKernel(3);
  kernel.project = true;
  kernel.closed = new Set([0, 2]);
  await show(kernel);
  await press("k");
  expect(find(".dock").hasAttribute("inert")).toBe(true); // passed by while others had it
  await press("Enter", "a");
  expect(find(".panel h3").textContent).toBe("grid.all_done_for_now");
  kernel.closed.delete(0);
  const asked = kernel.asked.filter((kind) => kind === "next").length;
  await settle(5000);
  expect(find(".panel h3").textContent).toBe("grid.all_done_again");
  expect(kernel.asked.filter((kind) => kind === "next").length).toBe(asked);
  [...page.querySelectorAll<HTMLElement>(".panel button")].find((one) => one.textContent === "grid.next")!.click();
  await settle();
  expect(openRow()).toBe(0);
  await press("b");
  expect(find(".panel h3").textContent).toBe("grid.all_done_for_now");
});
