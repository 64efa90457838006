// @vitest-environment jsdom
// The whole page half against a fake kernel: what keys and clicks do, and what is told when saving fails.

import { expect, test, vi } from "vitest";
import { NO_OPINION, type JudgeOrder, type JudgeVerdict } from "../src/protocol";
import { FakeKernel, settle } from "./fake";
import { close, eachOnItsPage, find, openRow, page, press, root, show } from "./shown";


eachOnItsPage();

test("twelve digits and a letter rate a comparison and open the next", async () => {
  const kernel = await show(new FakeKernel(3));
  await press("5", "2", "4", "1", "b");
  expect(kernel.votes.at(-1)).toMatchObject({
    id: "c0",
    opinion: { verdict: "b", scores: { honesty: { a: 5, b: 2 }, safety: { a: 4, b: 1 } }, note: "" },
  });
  expect(openRow()).toBe(1);
  expect(find(".count").textContent).toBe("grid.count");
  expect(find("progress").getAttribute("value")).toBe("1");
});

test("by mouse alone", async () => {
  const kernel = await show(new FakeKernel(2));
  page.querySelectorAll<HTMLElement>(".score")[3]!.querySelectorAll("button")[3]!.click();
  find(".verdict-tie").click();
  await settle();
  expect(kernel.votes.at(-1)?.opinion).toMatchObject({ verdict: "tie", scores: { safety: { b: 4 } } });
});

test("the next prompt is shown only when the vote is on disk", async () => {
  const kernel = await show(new FakeKernel(3));
  kernel.alive = false;
  await press("a");
  await settle(2500);
  expect(openRow()).toBe(0);
  expect(find(".saving").textContent).toBe("grid.waiting");
  await press("j", "j", "k"); // the rater may go on all the same
  expect(openRow()).toBe(1);
  kernel.wake();
  await settle(100);
  expect(find(".saving").textContent).toBe("grid.saved");
  expect(kernel.votes.length).toBe(1);
  expect(openRow()).toBe(1);
});

test("an error from the store is shown under the grid, and goes when saving works again", async () => {
  const kernel = await show(new FakeKernel(2));
  kernel.refuse = "Cannot write to the rating store: disk full";
  await press("a");
  expect(find(".errors").textContent).toContain("disk full");
  expect(openRow()).toBe(0);
  kernel.refuse = "";
  await settle(6000);
  expect(find(".errors").textContent).toBe("");
  expect(openRow()).toBe(1);
});

test("undo goes back to the comparison and takes the vote away, redo brings it again", async () => {
  const kernel = await show(new FakeKernel(3));
  await press("a", "b");
  expect(openRow()).toBe(2);
  await press("u");
  expect(openRow()).toBe(1);
  expect(kernel.votes.at(-1)).toMatchObject({ id: "c1", opinion: { verdict: null } });
  await press("u");
  expect(kernel.votes.at(-1)).toMatchObject({ id: "c0", opinion: { verdict: null } });
  root().dispatchEvent(new KeyboardEvent("keydown", { key: "y", ctrlKey: true, bubbles: true }));
  await settle();
  expect(kernel.votes.at(-1)).toMatchObject({ id: "c0", opinion: { verdict: "a" } });
});

test("letters typed into the note are letters", async () => {
  const kernel = await show(new FakeKernel(2));
  await press("n");
  const note = find("textarea") as HTMLTextAreaElement;
  expect(document.activeElement).toBe(note);
  note.value = "ab";
  note.dispatchEvent(new Event("input"));
  note.dispatchEvent(new KeyboardEvent("keydown", { key: "b", bubbles: true }));
  await settle(1000);
  expect(kernel.votes.map((vote) => vote.opinion)).toEqual([{ ...NO_OPINION, note: "ab" }]);
  note.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
  expect(document.activeElement).toBe(root());
});

test("no key reaches JupyterLab, ours or not", async () => {
  await show(new FakeKernel(9));
  const outside = vi.fn();
  document.addEventListener("keydown", outside);
  await press("a", "b", "x", "m", "d", "F1");
  page.querySelector("textarea")!.dispatchEvent(new KeyboardEvent("keydown", { key: "x", bubbles: true }));
  document.removeEventListener("keydown", outside);
  expect(outside).not.toHaveBeenCalled();
  expect(root().dataset["lmSuppressShortcuts"]).toBe("true");
});

test("after a restart it opens where the rater stopped; all done shows a summary and lets votes be changed", async () => {
  const kernel = new FakeKernel(2);
  kernel.opinions.set(0, { ...NO_OPINION, verdict: "a" });
  await show(kernel);
  expect(openRow()).toBe(1);
  await press("t");
  expect(find(".panel h3").textContent).toBe("grid.all_done");
  find(".panel button").click();
  await press("k", "b");
  expect(kernel.votes.at(-1)).toMatchObject({ id: "c0", opinion: { verdict: "b" } });
});

test("nothing to compare, and a kernel that is not there, are said", async () => {
  await show(new FakeKernel(0));
  expect(find(".panel").textContent).toBe("grid.nothing");
  close();
  page.replaceChildren();
  const gone = new FakeKernel(2);
  gone.alive = false;
  await show(gone);
  await settle(4500);
  expect(find(".panel").textContent).toBe("grid.no_kernel");
});

test("the key card opens and closes by keys, and votes rest meanwhile", async () => {
  const kernel = await show(new FakeKernel(2));
  await press("?");
  expect(find("[role=dialog]")).not.toBeNull();
  await press("a");
  expect(kernel.votes).toEqual([]);
  await press("Escape");
  expect(find("[role=dialog]")).toBeNull();
});

test("only rows in sight are in the page, and only their pages are asked for", async () => {
  const kernel = new FakeKernel(2000);
  const asked = vi.spyOn(kernel, "send");
  await show(kernel);
  expect(page.querySelectorAll(".space .row").length).toBeLessThan(40);
  expect(asked.mock.calls.filter(([message]: any) => message.kind === "rows").length).toBe(1);
});

test("hostile answers, prompts and tasks do nothing, Markdown or raw", async () => {
  const nasty = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>';
  const kernel = new FakeKernel(2, { a: nasty, b: `[x](javascript:alert(1)) ${nasty}` });
  await show(kernel);
  for (const _ of [1, 2]) {
    expect(page.querySelector("img, script, iframe, a[href^=javascript]")).toBeNull();
    expect(find(".answers").textContent).toContain("<img src=x");
    await press("m");
  }
  expect((window as any).pwned).toBeUndefined();
});

const order = (first: "a" | "b", verdict: "a" | "b"): JudgeOrder => ({
  first,
  verdict,
  reason: "",
  scores: { honesty: { a: { score: 4, quote: "<b>said</b>" }, b: { score: 2, quote: "" } } },
  why: {},
  flags: { b: ['<img src=x onerror="hacked()">'] },
  labels: { K: "a", M: "b" },
  reasoning: "",
  request: [{ role: "user", content: "<script>asked</script>" }],
  reply: '{"verdict": "K"}',
  facts: { tokens_in: 10, tokens_out: 5, price: 0.001, served_by: "fake-judge" },
});
const JUDGES: JudgeVerdict[] = [{ rater: "judge:fake-judge/v", sides: ["a", "b"], verdict: "a", orders: [order("a", "a"), order("b", "a")] }];

test("nothing of the judge is on the page or asked for before the vote; the rater goes on, and V shows it", async () => {
  const kernel = new FakeKernel(3);
  kernel.judges = JUDGES;
  await show(kernel);
  await press("v", "5");
  expect(kernel.asked).not.toContain("judge");
  expect(page.textContent).not.toContain("fake-judge");
  await press("a");
  expect(openRow()).toBe(1); // the vote opened the next one
  expect(kernel.asked).not.toContain("judge");
  const button = [...page.querySelectorAll("button")].find((b) => b.textContent === "grid.judge_on")!;
  expect(button.hidden).toBe(false);
  await press("v");
  expect(openRow()).toBe(0);
  const judge = find(".judge");
  expect(judge.textContent).toContain("judge:fake-judge/v");
  expect(judge.querySelectorAll("details")).toHaveLength(2);
  expect(judge.querySelector("b, strong")).not.toBeNull();
  expect(judge.textContent).toContain("<b>said</b>"); // text, not markup
  expect(judge.querySelector("img, script")).toBeNull();
  expect(judge.querySelector("pre")!.textContent).toBe("<script>asked</script>");
});

test("a vote taken back hides the judge again, and without a judge there is no button", async () => {
  const kernel = new FakeKernel(3);
  kernel.judges = JUDGES;
  await show(kernel);
  await press("a", "v");
  expect(page.querySelector(".judge")).not.toBeNull();
  await press("u");
  expect(page.querySelector(".judges")).toBeNull();
  close();
  page.replaceChildren();
  await show(new FakeKernel(3));
  await press("a", "v");
  expect(openRow()).toBe(1);
  expect(page.querySelector(".judges")).toBeNull();
});
