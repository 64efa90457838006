// @vitest-environment jsdom
// A vote that the browser kept since before a restart is saved, and the row it was for is left: the next key is for the next.

import { expect, test } from "vitest";
import { NO_OPINION } from "../src/protocol";
import { FakeKernel, settle } from "./fake";
import { eachOnItsPage, openRow, page, show } from "./shown";


eachOnItsPage();

test.each([false, true])("in a project: %s", async (project) => {
  const vote = { id: "c0", opinion: { ...NO_OPINION, verdict: "a" }, seconds: 2, key: "k", base: 0, restored: false, next: false };
  localStorage.setItem("sftkit-unsaved-g1", JSON.stringify([vote]));
  const kernel = new FakeKernel(3);
  kernel.project = project;
  await show(kernel, 50);
  expect(kernel.votes).toMatchObject([{ id: "c0", restored: true, opinion: { verdict: "a" } }]);
  expect(openRow()).toBe(1);
  page.querySelector(".sftkit-grid")!.dispatchEvent(new KeyboardEvent("keydown", { key: "b", bubbles: true }));
  await settle(50);
  expect(kernel.votes.map(({ id, opinion }) => [id, opinion.verdict])).toEqual([["c0", "a"], ["c1", "b"]]); // prettier-ignore
});
