// @vitest-environment jsdom
import { describe, expect, it } from "vitest";
import { extent, heights, Lines, nearest, type Frame, type View } from "../src/curves_data";
import { duration, heightsTold, value } from "../src/curves_format";
import { batch, differences, Readout, type Setup } from "../src/curves_tables";

const ALL: View = { axis: "step", smoothing: 0.6, span: [], evals: [""] };

/** A frame as the kernel sends it; the buffer begins at an odd place, as it may in a message. */
function frame(number: number, lines: [number, string, "set" | "add", number[], number[]][], view = ALL): [Frame, DataView] {
  const floats = new Float64Array(lines.flatMap(([, , , x, y]) => [...x, ...y]));
  const bytes = new Uint8Array(floats.byteLength + 3);
  bytes.set(new Uint8Array(floats.buffer), 3);
  const told = lines.map(([run, part, how, x]) => [run, part, how, x.length] as [number, string, "set" | "add", number]);
  return [{ kind: "frame", number, view, lines: told, reading: null, tasks: [] }, new DataView(bytes.buffer, 3)];
}

describe("frames", () => {
  it("set lines and add to them", () => {
    const lines = new Lines();
    expect(lines.take(...frame(1, [[0, "loss", "set", [1, 2], [9, 8]], [1, "eval/a b/c", "set", [2], [7]]]), ALL)).toBe(true);
    expect(lines.take(...frame(2, [[0, "loss", "add", [3], [7]]]), ALL)).toBe(true);
    expect([...lines.get(0, "loss")!.x]).toEqual([1, 2, 3]);
    expect([...lines.get(0, "loss")!.y]).toEqual([9, 8, 7]);
    expect([...lines.get(1, "eval/a b/c")!.y]).toEqual([7]);
  });

  it("that are late or of another view are dropped", () => {
    const lines = new Lines();
    lines.take(...frame(5, [[0, "loss", "set", [1], [1]]]), ALL);
    expect(lines.take(...frame(4, [[0, "loss", "set", [2], [2]]]), ALL)).toBe(false);
    const zoomed = { ...ALL, span: [1, 2] };
    expect(lines.take(...frame(6, [[0, "loss", "set", [2], [2]]]), zoomed)).toBe(false);
    expect([...lines.get(0, "loss")!.x]).toEqual([1]);
  });

  it("are drawn logged first, checkpoints last, without hidden runs and lines not asked for", () => {
    const lines = new Lines();
    const parts = ["saved", "eval", "smooth", "loss", "eval/math"].flatMap((part) => [0, 1].map((run) => [run, part, "set", [1], [1]] as never));
    lines.take(...frame(1, parts), ALL);
    expect(lines.shown(new Set([1]), ["", "math"]).map((line) => line.part)).toEqual(["loss", "smooth", "eval", "eval/math", "saved"]);
    expect(lines.shown(new Set(), []).map((line) => [line.part, line.run].join())).toEqual(["loss,0", "loss,1", "smooth,0", "smooth,1", "saved,0", "saved,1"]);
  });
});

describe("places", () => {
  const xs = new Float64Array([1, 2, 4, 8]);
  it("nearest point", () => {
    expect([-1, 1.4, 1.6, 3.5, 99].map((x) => nearest(xs, x))).toEqual([0, 0, 1, 2, 3]);
    expect(nearest(new Float64Array(0), 1)).toBe(-1);
  });
  it("ends of the axes", () => {
    const line = { run: 0, part: "loss", x: xs, y: new Float64Array([-5, 1, 3, 100]) };
    expect(extent([line])).toEqual([1, 8]);
    expect(extent([])).toBeNull();
    expect(heights([line], 2, 4, false).map((y) => +y.toFixed(2))).toEqual([0.9, 3.1]);
    expect(heights([line], 1, 8, true)[0]).toBeCloseTo(1 / 1.1);
    expect(heights([line], 20, 30, false)).toEqual([0, 1]);
    const flat = [2.1995, 2.1995 + 1e-9].map((y) => ({ ...line, x: xs.subarray(0, 1), y: new Float64Array([y]) }));
    expect(heights(flat, 0, 2, false).map((y) => +y.toFixed(2))).toEqual([2.09, 2.31]);
  });
});

it("numbers in words", () => {
  expect([0.5, 59, 185, 7_800, 187_200].map(duration)).toEqual(["0.5 s", "59 s", "3:05 min", "2:10 h", "2 d 04 h"]);
  expect(value("tokens", 1234567)).toBe("1,234,567");
  expect(value("loss", undefined)).toBe("");
});

describe("tables", () => {
  const label = (key: string, values?: object) => key + (values ? JSON.stringify(values) : "");
  const setup: Setup = { names: ["<b>a", "b"], colours: ["#111", "#222"], dashed: [false, true], settings: ["seed"], values: [["<i>1"], ["2"]] };

  it("show text as text", () => {
    const rows: [string, number, number, number | null, string | null][] = [["x/<u>.jsonl", 3, 7, 1.25, "<img src=x onerror=alert(1)>"], ["y", 1, 2, null, null]];
    const shown = [batch({ run: 0, step: 5, count: 2, rows }, setup, label, () => {}), differences(setup, label)!];
    for (const element of shown) expect(element.querySelector("img, b, i, u")).toBeNull();
    expect(shown[0]!.textContent).toContain("<img src=x onerror=alert(1)>");
    expect(shown[1]!.textContent).toContain("<i>1");
  });

  it("hide a run by its name and keep every value in its column", () => {
    const pressed: number[] = [];
    const readout = new Readout(setup, label, (run) => pressed.push(run));
    readout.show([{ loss: 1, odd: 5 }, { step: 7 }], new Set([1]));
    readout.root.querySelectorAll("button")[1]!.click();
    expect(pressed).toEqual([1]);
    expect([...readout.root.querySelectorAll("thead th")].map((th) => th.textContent)).toEqual(["curves.run", "step", "loss", "odd"]);
    expect([...readout.root.querySelectorAll("tbody tr:last-child td")].map((td) => td.textContent)).toEqual(["7", "", ""]);
  });
});

describe("the loss axis", () => {
  it("names every tick, and on a logarithmic scale the round ones alone", () => {
    expect(heightsTold([1.95, 1.975, 2], false)).toEqual(["1.95", "1.975", "2"]);
    expect(heightsTold([0.01947, null, 0.1 + 0.2, 0.5], true)).toEqual(["", "", "0.3", "0.5"]);
    expect(heightsTold([2.05, 2.06, 2.07], true)).toEqual(["2.05", "2.06", "2.07"]);
  });
});
