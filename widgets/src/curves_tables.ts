// Under the chart: what every run logged where the pointer is, the settings that differ, the rows of a step.

import { h, type Label } from "./dom";
import { value } from "./curves_format";

export interface Setup {
  names: string[];
  colours: string[];
  dashed: boolean[];
  settings: string[]; // those in which the runs differ
  values: string[][]; // of them, a row a run
}

export interface Batch {
  run: number;
  step: number;
  count: number; // rows of the step; `rows` may be fewer
  rows: [source: string, row: number, tokens: number, loss: number | null, text: string | null][];
}

const FIRST = [
  "step", "loss", "smooth", "eval_loss", "learning_rate", "grad_norm", "tokens", "tokens_per_second", "seconds", "epoch", "memory_mb",
];

/** A line a run: its colour, its name (press it to hide the run), its values. */
export class Readout {
  readonly root = h("div", { class: "readout" });
  private readonly body = h("tbody");
  private readonly head = h("tr");

  constructor(
    private readonly setup: Setup,
    private readonly label: Label,
    private readonly toggled: (run: number) => void,
  ) {
    this.root.append(h("table", {}, h("thead", {}, this.head), this.body));
  }

  show(values: Record<string, number>[], hidden: ReadonlySet<number>): void {
    const logged = new Set(values.flatMap((one) => Object.keys(one)));
    const rank = (name: string) => (FIRST.indexOf(name.split("/")[0]!) + 1 || FIRST.length + 1); // eval_loss/<task> beside eval_loss
    const names = [...logged].sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
    this.head.replaceChildren(h("th", { scope: "col" }, this.label("curves.run")), ...names.map((name) => h("th", { scope: "col" }, this.named(name))));
    this.body.replaceChildren(...this.setup.names.map((_name, run) => this.row(run, names, values[run] ?? {}, hidden.has(run))));
  }

  private row(run: number, names: string[], values: Record<string, number>, hidden: boolean): HTMLElement {
    const swatch = h("span", { class: `swatch${this.setup.dashed[run] ? " dashed" : ""}`, style: `--colour:${this.setup.colours[run]}` });
    const button = h(
      "button",
      { type: "button", "aria-pressed": String(!hidden), title: this.label("curves.hide"), onclick: () => this.toggled(run) },
      swatch,
      h("span", { class: "name" }, this.setup.names[run]!),
    );
    return h("tr", { class: hidden ? "off" : "" }, h("th", { scope: "row" }, button), ...names.map((name) => h("td", {}, value(name, values[name]))));
  }

  private named(name: string): string {
    if (name.startsWith("eval_loss/")) return `${this.label("curves.eval")} · ${name.slice(10)}`;
    const key = `curves.value.${name}`, words = this.label(key);
    return words === key ? name : words;
  }
}

/** Only what differs; nothing where nothing does. */
export function differences(setup: Setup, label: Label): HTMLElement | null {
  if (!setup.settings.length) return null;
  const head = h("tr", {}, h("th", { scope: "col" }, label("curves.run")), ...setup.settings.map((name) => h("th", { scope: "col" }, name)));
  const rows = setup.values.map((values, run) =>
    h("tr", {}, h("th", { scope: "row" }, dot(setup, run), h("span", { class: "name" }, setup.names[run]!)), ...values.map((text) => h("td", {}, text))),
  );
  const words = label("curves.differences", { n: setup.settings.length });
  return h("details", { class: "differences" }, h("summary", {}, words), h("div", { class: "scroll" }, h("table", {}, h("thead", {}, head), h("tbody", {}, ...rows))));
}

/** The rows that a step trained. Their text is text: whatever stands in it, nothing of it runs. */
export function batch(found: Batch, setup: Setup, label: Label, close: () => void): HTMLElement {
  const names = ["source", "row", "tokens", "loss", "text"].map((name) => h("th", { scope: "col" }, label(`curves.rows.${name}`)));
  const rows = found.rows.map(([source, row, tokens, loss, text]) =>
    h(
      "tr",
      {},
      h("td", { title: source }, source.split("/").pop() ?? source),
      h("td", {}, value("step", row)),
      h("td", {}, value("tokens", tokens)),
      h("td", {}, loss === null ? "–" : loss.toFixed(4)),
      h("td", { class: text === null ? "text none" : "text" }, text ?? label("curves.rows.unreadable")),
    ),
  );
  const title = label("curves.rows.title", { step: value("step", found.step), run: setup.names[found.run]!, count: value("step", found.count) });
  return panel([dot(setup, found.run), title], h("div", { class: "scroll rows" }, h("table", {}, h("thead", {}, h("tr", {}, ...names)), h("tbody", {}, ...rows))), label, close);
}

export function panel(title: (Node | string)[], body: Node, label: Label, close: () => void): HTMLElement {
  const button = h("button", { type: "button", class: "close", "aria-label": label("curves.close"), onclick: close }, "×");
  return h("section", { class: "panel" }, h("header", {}, h("span", {}, ...title), button), body);
}

const dot = (setup: Setup, run: number): HTMLElement => h("span", { class: `swatch${setup.dashed[run] ? " dashed" : ""}`, style: `--colour:${setup.colours[run]}` });
