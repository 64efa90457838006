// The table of runs: what it shows and selects (runs_state.ts), and what the page makes of keys and frames (runs.ts).
// @vitest-environment jsdom

import { beforeEach, describe, expect, it } from "vitest";
import { labelled } from "../src/dom";
import table from "../src/runs";
import { bytes, duration, Runs, words, type Row } from "../src/runs_state";

function row(id: string, more: Partial<Row> = {}): Row {
  const created = Number(id.replace(/\D/g, "")) || 0;
  return { id, state: "finished", step: 5, total_steps: 10, loss: 1, eval_loss: null, created, seconds: 60, model: "data/tiny", dataset: "rows.jsonl", size: 1000, checkpoints: 1, why: "", reason: "", ...more };
}

const frame = (...rows: Row[]) => ({ rows, gone: [], all: false });
const text = labelled({ "monitor.minutes": "{n} min", "monitor.hours": "{h} h {m} min" });

describe("rows", () => {
  let runs: Runs;
  beforeEach(() => {
    runs = new Runs();
    runs.take(frame(row("r1", { loss: 3 }), row("r2", { loss: null, state: "failed", why: "out of memory" }), row("r3", { loss: 2, state: "running" })));
  });

  it("stand newest first, and by any column either way, what is not known last", () => {
    expect(runs.shown).toEqual(["r3", "r2", "r1"]);
    runs.sortBy("loss");
    expect(runs.shown).toEqual(["r3", "r1", "r2"]);
    runs.sortBy("loss");
    expect(runs.shown).toEqual(["r1", "r3", "r2"]);
    runs.sortBy("state");
    expect(runs.shown).toEqual(["r3", "r2", "r1"]);
  });

  it("are filtered by words and by state", () => {
    runs.filter("MEMORY tiny", "");
    expect(runs.shown).toEqual(["r2"]);
    runs.filter("", "active");
    expect(runs.shown).toEqual(["r3"]);
    runs.filter("nothing", "");
    expect(runs.shown).toEqual([]);
  });

  it("out of sight are not selected, so that nobody deletes them", () => {
    runs.select(["r1", "r2"], true);
    runs.filter("memory", "");
    expect([...runs.selected]).toEqual(["r2"]);
    runs.take({ rows: [], gone: ["r2"], all: false });
    expect(runs.selected.size).toBe(0);
  });

  it("offer what makes sense for them", () => {
    runs.select(["r1", "r2", "r3"], true);
    const ids = (action: Parameters<Runs["able"]>[0]) => runs.able(action).map((one) => one.id);
    expect(ids("stop")).toEqual(["r3"]);
    expect(ids("delete")).toEqual(["r1", "r2"]);
    expect(ids("resume")).toEqual(["r2"]);
    expect(ids("open")).toEqual([]);
    expect(ids("compare")).toEqual(["r1", "r2", "r3"]);
    runs.take(frame(row("r2", { state: "failed", checkpoints: 0 })));
    expect(ids("resume")).toEqual([]);
  });

  it("that a whole frame leaves out are gone", () => {
    expect(runs.take({ rows: [row("r9")], gone: [], all: true })).toEqual(new Set(["r9", "r1", "r2", "r3"]));
    expect(runs.shown).toEqual(["r9"]);
  });
});

it("figures are said as people say them", () => {
  expect([0, 999, 1234, 56_789_000, 1.2e10].map(bytes)).toEqual(["0 B", "999 B", "1.2 kB", "57 MB", "12 GB"]);
  expect(duration(150, text)).toBe("3 min");
  expect(duration(3700, text)).toBe("1 h 2 min");
  expect(words(row("r", { model: "/a/b/llama/" }), "model", text)).toBe("llama");
  expect(words(row("r", { size: null }), "size", text)).toBe("…");
});

class FakeModel {
  sent: any[] = [];
  traits: Record<string, any> = { _labels: {}, frame: 0 };
  private handlers: Record<string, (message?: any) => void> = {};
  get = (name: string) => this.traits[name];
  set = (name: string, value: unknown) => void (this.traits[name] = value);
  save_changes = () => {};
  send = (message: unknown) => void this.sent.push(message);
  on = (event: string, handler: (message: any) => void) => void (this.handlers[event] = handler);
  off = (event: string) => void delete this.handlers[event];
  tell(message: unknown): void {
    this.handlers["msg:custom"]?.(message);
    this.traits.frame++;
    this.handlers["change:frame"]?.();
  }
  get acts() {
    return this.sent.filter((message) => message.kind === "act");
  }
}

describe("the page", () => {
  let model: FakeModel;
  let el: HTMLElement;
  let close: () => void;
  const lines = () => [...el.querySelectorAll<HTMLElement>("tr[data-id]")];
  const press = (key: string, more = {}) => document.activeElement!.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));
  const button = (name: string) => el.querySelector<HTMLButtonElement>(`button.${name}`)!;

  beforeEach(() => {
    document.body.replaceChildren((el = document.createElement("div")));
    close = table.render({ model: (model = new FakeModel()) as any, el });
    model.tell({ all: true, gone: [], rows: [row("r1"), row("r2", { state: "running" }), row("r3", { id: "<img src=x onerror=alert(1)>", created: 3 })] });
  });

  it("says that it is there, what it has taken in, and when it goes", () => {
    expect(model.sent[0]).toMatchObject({ kind: "hello", seen: 0, shown: true });
    expect(model.sent.at(-1)).toEqual({ seen: 1 });
    close();
    expect(model.sent.at(-1)).toEqual({ view: model.sent[0].view, shown: false });
  });

  it("shows text as text", () => {
    expect(el.querySelector("img")).toBeNull();
    expect(lines()[0]!.textContent).toContain("<img src=x");
  });

  it("keeps the focus when rows change place, and other rows as they are", () => {
    const [, second, third] = lines();
    second!.focus();
    model.tell(frame(row("r4", { created: 9 })));
    expect(document.activeElement).toBe(second);
    expect(lines()[2]).toBe(second);
    expect(lines()[3]).toBe(third);
  });

  it("is worked by keys: arrows, space, shift, enter, escape", () => {
    lines()[0]!.focus();
    press("ArrowDown");
    press(" ");
    expect(model.traits.selected).toEqual(["r2"]);
    press("ArrowDown", { shiftKey: true });
    expect(model.traits.selected).toEqual(["r2", "r1"]);
    press("Enter");
    expect(model.acts).toEqual([{ kind: "act", act: "open", ids: ["r1"] }]);
    press("Escape");
    expect(model.traits.selected).toEqual([]);
  });

  it("asks before it deletes, and takes the question back when the selection changes", () => {
    lines()[2]!.click();
    press("Delete");
    button("delete").click();
    expect(model.acts).toEqual([]);
    model.tell(frame(row("r2", { state: "running", step: 6 }))); // news does not take the question away
    expect(el.querySelector(".asked button.yes")).not.toBeNull();
    lines()[0]!.click();
    expect(el.querySelector(".asked button.yes")).toBeNull();
    button("delete").click();
    button("yes").click();
    expect(model.acts.at(-1)).toEqual({ kind: "act", act: "delete", ids: ["r1", "<img src=x onerror=alert(1)>"] });
  });

  it("says when there is nothing", () => {
    expect(el.querySelector(".empty")!.textContent).toBe("");
    model.tell({ rows: [], gone: ["r1", "r2", "<img src=x onerror=alert(1)>"], all: false });
    expect(el.querySelector(".empty")!.textContent).toBe("runs.none");
  });
});
