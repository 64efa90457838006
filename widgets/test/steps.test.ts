// @vitest-environment jsdom
// What outlives a reload: undo and redo of steps from before, earlier votes, instructions read once, the saved picture.

import { expect, test, vi } from "vitest";
import { keepPicture } from "../src/picture";
import { NO_OPINION } from "../src/protocol";
import { FakeKernel, settle } from "./fake";
import { close, eachOnItsPage, find, page, press, show } from "./shown";

const A = { ...NO_OPINION, verdict: "a" as const };
const B = { ...NO_OPINION, verdict: "b" as const };

eachOnItsPage();

test("steps of before the page was opened are undone and done again, also of rows whose text is not here", async () => {
  const kernel = new FakeKernel(9);
  kernel.opinions.set(5, B);
  kernel.opinions.set(7, A);
  kernel.steps = { done: [[5, NO_OPINION, A], [7, NO_OPINION, A], [5, A, B]], undone: [] }; // prettier-ignore
  await show(kernel);
  expect(find<HTMLButtonElement>(".do-undo").disabled).toBe(false);
  await press("u");
  expect([kernel.votes.at(-1)!.id, kernel.votes.at(-1)!.opinion.verdict, kernel.votes.at(-1)!.step]).toEqual(["c5", "a", "undo"]);
  expect(find(".row.open").getAttribute("aria-rowindex")).toBe("7");
  await press("u");
  expect([kernel.votes.at(-1)!.id, kernel.votes.at(-1)!.opinion.verdict]).toEqual(["c7", null]);
  await press("U");
  expect([kernel.votes.at(-1)!.id, kernel.votes.at(-1)!.opinion.verdict, kernel.votes.at(-1)!.step]).toEqual(["c7", "a", "redo"]);
  await press("b");
  expect(kernel.votes.at(-1)!.step).toBe(null);
});

test("instructions lie over the grid before the first vote, once, as safe Markdown, and come back by key and button", async () => {
  const kernel = new FakeKernel(3);
  kernel.instructions = "# Be fair\n\n<img src=x onerror=alert(1)> Read **both**.";
  await show(kernel);
  expect(find(".card .instructions strong").textContent).toBe("both");
  expect(page.querySelectorAll(".card img").length).toBe(0);
  await press("a");
  expect(kernel.votes.length).toBe(0); // nobody votes under the card
  find(".card header button").click();
  expect(page.querySelector(".card")).toBe(null);
  await press("i");
  expect(find(".card .instructions h1").textContent).toBe("Be fair");
  await press("Escape");
  find(".do-instructions").click();
  expect(page.querySelector(".card .instructions")).not.toBe(null);
  await press("Escape");
  close();
  page.replaceChildren();
  await show(kernel); // loaded anew
  expect(page.querySelector(".card")).toBe(null);
});

test("without instructions there is neither a button nor a line on the key card", async () => {
  await show(new FakeKernel(3));
  expect(find(".do-instructions").hidden).toBe(true);
  await press("i");
  expect(page.querySelector(".card")).toBe(null);
  await press("?");
  expect(find(".card").textContent).toContain("grid.key.full");
  expect(find(".card").textContent).not.toContain("grid.key.instructions");
});

test("earlier votes are asked for when the rater opens them, and are text", async () => {
  const kernel = new FakeKernel(3);
  kernel.opinions.set(0, A);
  const evil = "<img src=x onerror=alert(1)>";
  kernel.earlier = [
    { rater: "", when: "2026-01-31T12:00:00Z", opinion: { ...B, note: evil, tags: [evil], scores: { safety: { b: 2, a: 4 } } }, undo: false },
    { rater: evil, when: "2026-01-31T12:01:00Z", opinion: { ...NO_OPINION, ranking: { a: 2, b: 1, c: 2 } }, undo: false },
    { rater: "", when: "2026-01-31T12:02:00Z", opinion: NO_OPINION, undo: true },
  ];
  await show(kernel);
  await press("k");
  expect(page.querySelector(".earlier")).toBe(null); // the fake's rows have rating 0 until they are rated here
  await press("b");
  await press("k");
  expect(kernel.asked.includes("history")).toBe(false);
  const box = find<HTMLDetailsElement>(".earlier");
  box.open = true;
  box.dispatchEvent(new Event("toggle"));
  await settle();
  const cells = [...box.querySelectorAll("tbody tr")].map((row) => [...row.children].slice(1).map((cell) => cell.textContent));
  expect(cells).toEqual([
    ["grid.history.you", "grid.b", "safety: A 4, B 2", evil + evil],
    [evil, "B > A = C", "", ""],
    ["grid.history.you", "grid.history.taken_back (grid.history.undo)", "", ""],
  ]);
  expect(box.querySelectorAll("img").length).toBe(0);
});

test("the saved picture of this grid, and of no other, is put into the notebook's cells", () => {
  const set = vi.fn();
  const html = (name: string) => ({ data: { "text/html": `<div class="sftkit-picture" data-grid="${name}">` } });
  const outputs = (...found: object[]) => ({ length: found.length, get: (n: number) => found[n] as {}, set });
  const manager = { context: { model: { cells: [{}, { outputs: outputs({ data: {} }, {}, html("g1")) }, { outputs: outputs(html("g2")) }] } } };
  keepPicture(manager, "g1", { "text/html": "new" });
  expect(set.mock.calls).toEqual([[2, { output_type: "display_data", data: { "text/html": "new" }, metadata: {} }]]);
  for (const none of [undefined, {}, { context: {} }]) keepPicture(none, "g1", {}); // hosts without a notebook model
});
