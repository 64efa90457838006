import { expect, test } from "vitest";
import { inSight } from "../src/list";
import { NO_OPINION, type Comparison } from "../src/protocol";
import { GridState, stateOf, withScore } from "../src/state";

function grid(states: string): GridState {
  const state = new GridState(states, ["honesty", "safety"].map((name) => ({ name, label: name, anchors: {} })));
  for (let row = 0; row < states.length; row++)
    state.comparisons.set(row, { row, id: `c${row}`, opinion: NO_OPINION } as Comparison);
  return state;
}

test("opens at the first comparison without a verdict and wraps around", () => {
  const state = grid("at.ob");
  expect(state.focus).toBe(2);
  expect(state.nextUnrated(2)).toBe(3);
  expect(state.nextUnrated(3)).toBe(2);
  expect([state.rated, state.total]).toEqual([3, 5]);
  expect(grid("abt").nextUnrated(1)).toBeNull();
});

test("undo and redo restore whole opinions where they were given", () => {
  const state = grid("...");
  state.change(withScore(NO_OPINION, "safety", "a", 4));
  state.change({ ...state.opinion, verdict: "a" });
  state.go(1);
  state.change({ ...state.opinion, verdict: "tie" });
  expect(state.states.join("")).toBe("at.");
  expect(state.undo()).toBe(1);
  expect(state.undo()).toBe(0);
  expect(state.focus).toBe(0);
  expect(state.opinion).toEqual({ ...NO_OPINION, scores: { safety: { a: 4 } } });
  expect(state.states.join("")).toBe("o..");
  expect(state.redo()).toBe(0);
  expect(state.states.join("")).toBe("a..");
  state.undo();
  state.undo();
  expect(state.undo()).toBeNull();
  expect(state.states.join("")).toBe("...");
});

test("a new change ends what could be redone, and no change is no step", () => {
  const state = grid(".");
  state.change({ ...NO_OPINION, verdict: "a" });
  state.undo();
  expect(state.rowOf("redo") !== null).toBe(true);
  expect(state.change(NO_OPINION)).toBe(false);
  state.change({ ...NO_OPINION, verdict: "b" });
  expect(state.rowOf("redo") !== null).toBe(false);
});

test("typing a note is one step", () => {
  const state = grid(".");
  for (const note of ["s", "so", "so."]) state.change({ ...state.opinion, note });
  state.change({ ...state.opinion, verdict: "a" });
  state.undo();
  expect(state.opinion.note).toBe("so.");
  state.undo();
  expect(state.opinion.note).toBe("");
});

test("digits fill the table cell by cell", () => {
  const state = grid(".");
  const marks = [0, 1, 2, 3, 4].map(() => {
    const { dimension, side } = state.mark;
    state.advanceMark();
    return `${dimension}${side}`;
  });
  expect(marks).toEqual(["0a", "0b", "1a", "1b", "1b"]);
  state.moveMark(-5, -1);
  expect(state.mark).toEqual({ dimension: 0, side: "a" });
});

test("a cleared score leaves nothing behind", () => {
  const scored = withScore(NO_OPINION, "safety", "b", 2);
  expect(withScore(scored, "safety", "b", null)).toEqual(NO_OPINION);
  expect([stateOf(scored, 2), stateOf(NO_OPINION, 2), stateOf({ ...scored, verdict: "tie" }, 2)]).toEqual(["o", ".", "t"]);
});

test("rows in sight, with a tall row open", () => {
  expect(inSight(0, 740, 0, 0, 2000, 74)).toEqual([0, 23]);
  expect(inSight(74 * 1000, 740, 1000, 500, 2000, 74)).toEqual([988, 1016]); // 500 px of the open row, then the next
  expect(inSight(74 * 1999, 740, 1999, 500, 2000, 74)).toEqual([1987, 2000]);
  expect(inSight(74 * 100 + 400, 740, 100, 500, 2000, 74)).toEqual([88, 121]); // inside of the open row
});

test("news of the others close and open rows, and never overwrite what was said here", () => {
  const state = grid(".x.a");
  expect(state.refresh("x...")).toBe(true);
  expect(state.states.join("")).toBe("x..a"); // the vote is newer than the news
  expect([state.refresh("x..."), state.refresh("x..")]).toEqual([false, false]);
});
