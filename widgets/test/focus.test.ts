// @vitest-environment jsdom
// Where the keys go: what a click opened keeps them, what is drawn anew gives them back to the grid.

import { expect, test } from "vitest";
import { FakeKernel, settle } from "./fake";
import { eachOnItsPage, find, openRow, page, press, root, show } from "./shown";

const last = (kernel: FakeKernel) => kernel.votes.at(-1)!.opinion;

eachOnItsPage(600);

test("what a click opens to type or choose in keeps the keys: they are no votes", async () => {
  const kernel = await show(new FakeKernel(3));
  const click = async (one: HTMLElement) => {
    one.focus();
    one.dispatchEvent(new MouseEvent("click", { bubbles: true, detail: 1 }));
    await settle();
  };
  await click(find(".do-filter"));
  expect(document.activeElement).toBe(find(".expression"));
  await click(find(".do-filter")); // nothing in it: it is put away again
  expect([find(".filter").hidden, document.activeElement]).toEqual([true, root()]);
  await press("/");
  find(".expression").dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
  expect([find(".filter").hidden, document.activeElement]).toEqual([true, root()]);
  await click(find(".skip-button"));
  expect(document.activeElement).toBe(find(".skip button"));
  document.activeElement!.dispatchEvent(new KeyboardEvent("keydown", { key: "2", bubbles: true, cancelable: true }));
  await settle();
  expect(last(kernel)).toMatchObject({ verdict: "skipped", reason: "cannot_judge", scores: {} });
  await click(find(".do-undo"));
  expect(document.activeElement).toBe(root());
});

test("what had the focus is drawn anew: the keys stay the grid's", async () => {
  const kernel = await show(new FakeKernel(3));
  find(".row.open .views button:last-child").focus();
  document.activeElement!.dispatchEvent(new MouseEvent("click", { bubbles: true })); // Enter
  await settle();
  expect([find(".diff") !== null, document.activeElement]).toEqual([true, root()]);
  find(".row.open .question button").focus();
  await press("a");
  expect([last(kernel).verdict, openRow(), document.activeElement]).toEqual(["a", 1, root()]);
  const elsewhere = document.body.appendChild(document.createElement("input"));
  find(".row.open .question button").focus();
  elsewhere.focus();
  await press("b");
  expect(document.activeElement).toBe(elsewhere);
});

test("keys of an input method are its own: Esc drops a word and leaves no field", async () => {
  const kernel = await show(new FakeKernel(2));
  await press("n");
  const note = find("textarea");
  const escape = (isComposing: boolean) => note.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", isComposing, bubbles: true }));
  escape(true);
  expect(document.activeElement).toBe(note);
  escape(false);
  expect([document.activeElement, kernel.votes.length]).toEqual([root(), 0]);
});

test("scores that have too little room scroll along with the mark", async () => {
  const kernel = new FakeKernel(2);
  kernel.dimensions = ["one", "two", "three"];
  await show(kernel);
  const scores = find(".scores");
  Object.defineProperty(scores, "clientHeight", { value: 50 });
  Object.defineProperty(scores, "scrollHeight", { value: 90 });
  const box = (top: number, height: number) => ({ top, bottom: top + height }) as DOMRect;
  scores.getBoundingClientRect = () => box(100, 50);
  page.querySelectorAll(".dimension").forEach((one, n) => (one.getBoundingClientRect = () => box(100 + 30 * n - scores.scrollTop, 30)));
  await press("ArrowDown");
  expect(scores.scrollTop).toBe(10);
  await press("ArrowDown");
  expect(scores.scrollTop).toBe(40);
  await press("ArrowUp", "ArrowUp");
  expect(scores.scrollTop).toBe(0);
});
