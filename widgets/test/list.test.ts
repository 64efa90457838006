// @vitest-environment jsdom
// The table on its own: which rows are drawn, where, with which texts, in every mode.

import { beforeEach, expect, test, vi } from "vitest";
import { inSight, List, rowHeight } from "../src/list";
import type { Preview } from "../src/protocol";
import { GridState } from "../src/state";
import { browserParts } from "./fake";

const ROW = rowHeight(3);
const HEIGHT = 10 * ROW;
let list: List;
let state: GridState;
const asked: [number, number][] = [];

function show(total: number, columns = 3): HTMLElement {
  state = new GridState(".".repeat(total), [], columns, null);
  const fetch = async (from: number, to: number) => {
    asked.push([from, to]);
    const preview = (row: number): Preview => ({ prompt: `prompt ${row}`, task: "", answers: Array.from({ length: columns }, (_, n) => `${row}:${n}`), flag: row === 1 });
    return { rows: Array.from({ length: to - from }, (_, n) => preview(from + n)) };
  };
  list = new List(state, (key) => key, fetch, (row) => state.go(row));
  document.body.replaceChildren(list.element);
  const table = list.element.querySelector<HTMLElement>(".table")!;
  Object.defineProperty(table, "clientHeight", { value: HEIGHT });
  list.show(document.createElement("p"));
  return table;
}

const drawn = () => [...document.querySelectorAll(".space .row")].map((row) => Number(row.getAttribute("aria-rowindex")) - 2).sort((x, y) => x - y);
const row = (number: number) => document.querySelector<HTMLElement>(`[aria-rowindex="${number + 2}"]`)!;

async function scroll(table: HTMLElement, top: number): Promise<void> {
  table.scrollTop = top;
  table.dispatchEvent(new Event("scroll"));
  await vi.waitFor(() => expect(drawn()).toContain(Math.floor(top / ROW)));
}

beforeEach(() => {
  browserParts();
  asked.length = 0;
});

test("rows in sight and a few more are drawn, wherever one scrolls, however many there are", async () => {
  const table = show(10_000);
  expect(drawn().length).toBeLessThan(40);
  await scroll(table, 5000 * ROW);
  const rows = drawn().filter((number) => number !== 0);
  expect([rows[0]! < 5000, rows.at(-1)! > 5010, rows.length < 50]).toEqual([true, true, true]);
  expect(row(5003).style.top).toBe(`${5003 * ROW}px`);
  await vi.waitFor(() => expect(row(5003).textContent).toContain("prompt 5003"));
  expect(row(5003).textContent).toContain("5003:2"); // the third answer
});

test("before a scroll little is fetched, after it what lies ahead", async () => {
  const table = show(10_000);
  await vi.waitFor(() => expect(row(5).classList.contains("coming")).toBe(false));
  expect(asked.reduce((sum, [from, to]) => sum + to - from, 0)).toBeLessThanOrEqual(75);
  await scroll(table, 60 * ROW);
  await vi.waitFor(() => expect(asked.some(([from]) => from > 300)).toBe(true));
  await scroll(table, 300 * ROW);
  expect(row(305).classList.contains("coming")).toBe(false);
});

test("a row says whether it is flagged, voted on, without text yet", async () => {
  show(30);
  expect(row(1).classList.contains("coming")).toBe(true);
  await vi.waitFor(() => expect(row(1).querySelector(".flagged")?.getAttribute("aria-label")).toBe("grid.flagged"));
  state.states[2] = "b";
  list.render();
  expect(row(2).querySelector(".won")?.textContent).toBe("2:1");
  expect(row(2).querySelector(".badge")?.getAttribute("aria-label")).toBe("grid.b");
});

test("a filter leaves its rows and the open one, close to each other", () => {
  show(1000);
  state.go(7);
  list.only([3, 500, 900]);
  expect(drawn().filter((number) => number !== 0)).toEqual([3, 500, 900]);
  expect([3, 500, 900].map((number) => row(number).style.top)).toEqual(["0px", `${2 * ROW}px`, `${3 * ROW}px`]);
  list.only(null);
  expect(row(8).style.top).toBe(`${8 * ROW}px`);
});

test("many rows: lower ones, of as many lines as wanted; the whole window: the open one alone", () => {
  show(1000);
  list.arrange({ full: false, dense: true });
  list.render();
  const few = drawn().length;
  expect(row(4).style.top).toBe(`${4 * rowHeight(1)}px`);
  const lines = document.querySelector<HTMLSelectElement>(".lines")!;
  lines.value = "6";
  lines.dispatchEvent(new Event("change"));
  expect(row(4).style.top).toBe(`${4 * rowHeight(6)}px`);
  expect(drawn().length).toBeLessThan(few);
  list.arrange({ full: true, dense: false });
  list.render();
  expect(drawn()).toEqual([0]);
});

test("far from the open row a button leads back to it", async () => {
  const table = show(1000);
  const here = document.querySelector<HTMLButtonElement>(".here")!;
  expect(here.hidden).toBe(true);
  await scroll(table, 400 * ROW);
  expect(here.hidden).toBe(false);
  expect(here.textContent).toMatch(/^↑/);
  here.click();
  expect([table.scrollTop, here.hidden]).toEqual([0, true]);
});

test("screen readers are told how many rows and columns there are, and what is in them", () => {
  const table = show(1000, 6);
  expect([table.getAttribute("role"), table.getAttribute("aria-rowcount"), table.getAttribute("aria-colcount")]).toEqual(["table", "1001", "9"]);
  expect(table.querySelectorAll("[role=columnheader]").length).toBe(9);
  expect(row(3).querySelectorAll("[role=cell]").length).toBe(9);
  expect(document.querySelector(".open [role=cell]")?.getAttribute("aria-colspan")).toBe("9");
});

test("inSight", () => {
  expect(inSight(0, 740, 0, 0, 1000, 74)).toEqual([0, 23]);
  expect(inSight(7400, 740, 0, 740, 1000, 74)).toEqual([78, 113]); // the open row above took ten rows' place
  expect(inSight(7400, 740, 100, 10_000, 1000, 74)).toEqual([88, 113]); // nothing but the open row is seen
});
