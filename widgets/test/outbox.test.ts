import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Outbox } from "../src/outbox";
import { NO_OPINION, type Opinion, type Saved, type Vote } from "../src/protocol";
import { browserParts, settle } from "./fake";

let sent: Vote[];
let answer: (vote: Vote) => Promise<Saved>;
let saved: Vote[];
let failed: unknown[];

const ok = async (vote: Vote): Promise<Saved> => ({ row: 0, state: "a", opinion: vote.opinion, rating: 1, judged: 0, stale: false, next: null });
const open = () =>
  new Outbox("g", (vote) => (sent.push(vote), answer(vote)), (_, vote) => saved.push(vote), (error) => failed.push(error), () => {});
const put = (box: Outbox, opinion: Partial<Opinion>, now: boolean) =>
  box.put({ id: "c1", base: 0, seconds: 1, next: false, step: null, opinion: { ...NO_OPINION, ...opinion } }, now);

beforeEach(() => {
  vi.useFakeTimers();
  browserParts();
  [sent, saved, failed, answer] = [[], [], [], ok];
});
afterEach(() => void vi.useRealTimers());

test("a verdict goes at once and is forgotten once it is on disk", async () => {
  const box = open();
  put(box, { verdict: "a" }, true);
  expect([sent.length, box.size]).toEqual([1, 1]);
  await settle();
  expect([saved.length, box.size, localStorage.length]).toEqual([1, 0, 0]);
});

test("a burst of scores is one message, and a verdict carries them", async () => {
  const box = open();
  for (const value of [1, 2, 3]) put(box, { scores: { safety: { a: value } } }, false);
  await settle(300);
  expect(sent.length).toBe(0);
  await settle(500);
  expect(sent.map((vote) => vote.opinion.scores)).toEqual([{ safety: { a: 3 } }]);
  put(box, { scores: { safety: { a: 4 } } }, false);
  put(box, { scores: { safety: { a: 4 } }, verdict: "b" }, true);
  await settle(2000);
  expect(sent.length).toBe(2);
});

test("no answer: sent again under the same key until there is one", async () => {
  answer = () => new Promise(() => {});
  const box = open();
  put(box, { verdict: "a" }, true);
  await settle(11_000);
  expect(sent.length).toBe(3);
  expect(new Set(sent.map((vote) => vote.key)).size).toBe(1);
  expect(box.waited).toBeGreaterThan(10_000);
  answer = ok;
  await settle(5_000);
  expect([box.size, saved.length]).toEqual([0, 1]);
});

test("an error is told, and the vote is kept and tried again", async () => {
  answer = () => Promise.reject(new Error("disk full"));
  const box = open();
  put(box, { verdict: "a" }, true);
  await settle();
  expect([String(failed[0]), box.size]).toEqual(["Error: disk full", 1]);
  answer = ok;
  await settle(6_000);
  expect(box.size).toBe(0);
});

test("an acknowledgement of an older opinion does not stand for the newer one", async () => {
  const answers: (() => void)[] = [];
  answer = (vote) => new Promise((done) => answers.push(() => void ok(vote).then(done)));
  const box = open();
  put(box, { verdict: "a" }, true);
  put(box, { verdict: "b" }, true);
  answers[0]!();
  await settle();
  expect([box.size, saved.length]).toEqual([1, 0]);
  answers[1]!();
  await settle();
  expect([box.size, saved.map((vote) => vote.opinion.verdict)]).toEqual([0, ["b"]]);
});

test("what was not saved outlives the page", async () => {
  answer = () => new Promise(() => {});
  const before = open();
  put(before, { verdict: "a", note: "数" }, true);
  const key = sent[0]!.key;
  before.close();
  answer = ok;
  const after = open();
  expect(after.opinion("c1")?.note).toBe("数");
  await settle();
  expect(sent.at(-1)).toMatchObject({ key, restored: true });
  expect([after.size, localStorage.length]).toEqual([0, 0]);
});

test("a browser that refuses storage, or holds rubbish there, is no obstacle", async () => {
  localStorage.setItem("sftkit-unsaved-g", "{rubbish");
  expect(open().size).toBe(0);
  vi.stubGlobal("localStorage", undefined);
  const box = open();
  put(box, { verdict: "a" }, true);
  await settle();
  expect(box.size).toBe(0);
});
