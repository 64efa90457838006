// What two answers do not share: nothing lost, nothing marked that is shared, in spaced and unspaced writing.

import { afterEach, expect, test, vi } from "vitest";
import { count, difference, type Piece } from "../src/diff";

const text = (pieces: Piece[]) => pieces.map((piece) => piece.text).join("");
const only = (pieces: Piece[]) => pieces.filter((piece) => piece.only).map((piece) => piece.text);

afterEach(() => vi.unstubAllGlobals());

test.each([
  ["The cat sat on the mat.", "The dog sat on a mat.", ["cat", "the"], ["dog", "a"]],
  ["one two three four", "one four", ["two three "], []], // the space between two marked words is marked with them
  ["same", "same", [], []],
  ["", "all new", [], ["all new"]],
  ["他买了苹果。", "他买了香蕉。", ["苹果"], ["香蕉"]],
  ["naïve café", "naïve bar", ["café"], ["bar"]],
])("%s | %s", (left, right, onlyLeft, onlyRight) => {
  const [x, y] = difference(left, right)!;
  expect([text(x), text(y)]).toEqual([left, right]);
  expect([only(x), only(y)]).toEqual([onlyLeft, onlyRight]);
});

test("without Intl.Segmenter a Chinese character is a word", () => {
  vi.stubGlobal("Intl", {});
  const [x, y] = difference("我喜欢喝茶 now", "我喜欢喝水 now")!;
  expect([only(x), only(y)]).toEqual([["茶"], ["水"]]);
});

test("words are counted, not spaces and signs", () => {
  const [x] = difference("alpha, beta gamma! end", "end")!;
  expect(count(x)).toBe(3);
});

test("two long texts that share nothing take a moment, not a minute, and nothing of them is lost", () => {
  const made = (name: string) => Array.from({ length: 9000 }, (_, n) => `${name}${n}`).join(" ");
  const used = () => (globalThis as any).process.cpuUsage().user / 1e6; // s of the processor: the machine may be busy
  const started = used();
  const pieces = difference(made("x"), made("y"));
  expect(used() - started).toBeLessThan(5);
  expect(pieces && [text(pieces[0]), text(pieces[1])]).toEqual([made("x"), made("y")]);
}, 60_000);
