// Texts of closed rows: what is in sight first, few questions at a time, none twice, and again after a failure.

import { expect, test } from "vitest";
import { PAGE, Previews } from "../src/previews";

function kernel(total: number) {
  const asked: [number, number][] = [];
  const waiting: { done: () => void; fail: () => void }[] = [];
  const fetch = (from: number, to: number) => {
    asked.push([from, to]);
    const rows = Array.from({ length: to - from }, (_, n) => ({ prompt: `${from + n}`, task: "", answers: [], flag: false }));
    return new Promise<{ rows: typeof rows }>((done, failed) => waiting.push({ done: () => done({ rows }), fail: () => failed(new Error("gone")) }));
  };
  const previews = new Previews(total, fetch, () => {});
  const answer = async (how: "done" | "fail" = "done") => {
    waiting.shift()?.[how]();
    for (let n = 0; n < 5; n++) await Promise.resolve();
  };
  return { asked, previews, answer };
}

const rows = (...numbers: number[]) => () => numbers;

test("pages beside each other are one question, and none is asked for twice", async () => {
  const { asked, previews, answer } = kernel(1000);
  previews.need(rows(0, PAGE, 2 * PAGE));
  previews.need(rows(0, PAGE));
  expect(asked).toEqual([[0, 3 * PAGE]]);
  await answer();
  expect(previews.of(PAGE)?.prompt).toBe(String(PAGE));
  previews.need(rows(5));
  expect(asked.length).toBe(1);
});

test("two questions at a time; the third is about where the rater is then, not where he was", async () => {
  const { asked, previews, answer } = kernel(100_000);
  for (const row of [0, 5000, 10_000, 20_000, 30_000]) previews.need(rows(row)); // a bar dragged down
  expect(asked.map(([from]) => from)).toEqual([0, 5000]);
  await answer();
  expect(asked.map(([from]) => from)).toEqual([0, 5000, 30_000]);
});

test("the last page ends with the table; a question that failed is asked again", async () => {
  const { asked, previews, answer } = kernel(PAGE + 3);
  previews.need(rows(PAGE + 1));
  expect(asked).toEqual([[PAGE, PAGE + 3]]);
  await answer("fail");
  expect(previews.of(PAGE)).toBeUndefined();
  previews.need(rows(PAGE + 1));
  await answer();
  expect(previews.of(PAGE + 2)?.prompt).toBe(String(PAGE + 2));
});
