// The second panel: the rows of one optimizer step as they lie, packed or not, with their borders.

import { h, type Label } from "./dom";
import type { Asker, Measured, Row, Step } from "./lens_protocol";
import { tokens } from "./lens_tokens";

const AT_ONCE = 20_000; // rows that are measured unasked

export class StepPanel {
  readonly element = h("div", { class: "panel" });
  private readonly head = h("div", { class: "facts" });
  private readonly laid = h("div", { class: "laid" });
  private readonly input = h("input", { type: "number", min: 1, class: "number" });
  private step: Step | null = null;
  private current = -1;

  constructor(
    private readonly ask: Asker,
    private readonly label: Label,
    private readonly maxLen: number,
    private readonly packing: boolean,
    private readonly row: (number: number) => Promise<Row>,
    private readonly go: (number: number) => void,
    private readonly fail: (error: unknown) => void,
  ) {
    this.input.setAttribute("aria-label", label("lens.step"));
    this.input.addEventListener("change", () => void this.open({ step: Number(this.input.value) || 1 }));
    this.element.append(this.head, this.laid);
  }

  move(by: number): void {
    if (this.step) void this.open({ step: Math.min(Math.max(this.step.step + by, 1), this.step.steps) });
  }

  /** Show a step, or the one that trains a row. What is not measured yet is, in pieces. */
  async open(which: { step?: number; number?: number }): Promise<void> {
    if (which.number !== undefined) this.current = which.number;
    try {
      const reply = await this.ask<Step | Measured | { absent: true; steps: number }>({ kind: "step", ...which });
      if ("measured" in reply) return this.offer(reply, which);
      if ("absent" in reply) return this.say(this.label("lens.in_no_step"));
      this.draw(reply);
    } catch (error) {
      this.fail(error);
    }
  }

  private say(text: string, ...more: HTMLElement[]): void {
    this.head.replaceChildren();
    this.laid.replaceChildren(h("p", { class: "quiet" }, text), ...more);
  }

  private offer({ total }: Measured, which: { step?: number; number?: number }): void {
    if (total <= AT_ONCE) return void this.measure(which);
    const begin = h("button", { type: "button", onclick: () => void this.measure(which) }, this.label("lens.measure", { n: total }));
    this.say(this.label("lens.why_measure"), begin);
  }

  private async measure(which: { step?: number; number?: number }): Promise<void> {
    const bar = h("progress", { max: 1, value: 0, "aria-label": this.label("lens.measuring", { done: 0, total: "" }) });
    const text = h("span", { class: "quiet", role: "status" });
    this.head.replaceChildren();
    this.laid.replaceChildren(h("p", {}, bar, " ", text));
    try {
      for (let reply: Measured = { measured: 0, total: 1 }; reply.measured < reply.total && this.laid.contains(bar); ) {
        reply = await this.ask<Measured>({ kind: "measure" });
        bar.value = reply.measured / reply.total;
        text.textContent = this.label("lens.measuring", { done: reply.measured, total: reply.total });
      }
      if (this.laid.contains(bar)) await this.open(which);
    } catch (error) {
      this.fail(error);
    }
  }

  private draw(step: Step): void {
    this.step = step;
    this.input.max = String(step.steps);
    this.input.value = String(step.step);
    const sequences = step.layout.flat(2);
    const lengths = Object.values(step.rows).map(([, , length]) => length);
    const sum = lengths.reduce((a, b) => a + b, 0);
    const button = (by: number, text: string, name: string, off: boolean) =>
      h("button", { type: "button", "aria-label": this.label(name), title: this.label(name), disabled: off, onclick: () => this.move(by) }, text);
    const figures = { rows: lengths.length, tokens: sum, sequences: sequences.length, share: Math.round((100 * sum) / (sequences.length * this.maxLen)) };
    this.head.replaceChildren(
      h("b", {}, this.label("lens.step")),
      button(-1, "‹", "lens.step_before", step.step === 1),
      this.input,
      h("span", {}, this.label("lens.step_of", { total: step.steps, epoch: Math.ceil(step.step / step.per_epoch) })),
      button(1, "›", "lens.step_after", step.step === step.steps),
      h("span", { class: "quiet" }, this.label(this.packing ? "lens.step_packed" : "lens.step_unpacked", figures)),
    );
    if (step.of.length > 1) this.head.append(h("span", {}, this.label("lens.row_is_in")), ...step.of.map((one) => h("button", { type: "button", class: "link", onclick: () => void this.open({ step: one }) }, this.label("lens.also", { n: one }))));
    const scale = this.packing ? this.maxLen : Math.max(...lengths, 1);
    this.laid.replaceChildren(...step.layout.flatMap((hand, rank) => hand.flatMap((micro, number) => this.micro(step, hand, micro, rank, number, scale))));
  }

  private micro(step: Step, _hand: number[][][], micro: number[][], rank: number, number: number, scale: number): HTMLElement[] {
    const key = step.layout.length > 1 ? "lens.micro_of_rank" : "lens.micro";
    const title = h("h4", {}, this.label(key, { n: number + 1, rank }));
    if (micro.length === 0) return [title, h("p", { class: "quiet" }, this.label("lens.micro_empty"))];
    return [title, ...micro.map((rows) => this.sequence(step, rows, scale))];
  }

  /** One sequence as a strip: a band for each row, as wide as it is long; below it, when opened, the rows' texts. */
  private sequence(step: Step, rows: number[], scale: number): HTMLElement {
    const length = rows.reduce((sum, row) => sum + step.rows[row]![2], 0);
    const several = new Set(Object.values(step.rows).map(([source]) => source)).size > 1;
    const bands = rows.map((number) => {
      const [source, row, tokens, loss] = step.rows[number]!;
      const told = { row: several ? `${source} · ${row}` : row, tokens, loss: loss?.toFixed(3) ?? "" };
      const name = this.label(loss === null ? "lens.band" : "lens.band_loss", told);
      const style = `flex-grow:${tokens}`;
      const attributes = { type: "button", class: "band", style, title: name, "aria-label": name, "aria-current": number === this.current ? "true" : null };
      return h("button", { ...attributes, onclick: () => this.go(number) }, String(row));
    });
    const free = h("span", { class: "free", style: `flex-grow:${Math.max(0, scale - length)}` });
    const texts = h("div", { class: "texts" });
    const fold = h("button", { type: "button", class: "fold", "aria-expanded": "false", "aria-label": this.label("lens.unfold"), title: this.label("lens.unfold") }, "▸");
    fold.addEventListener("click", () => void this.unfold(fold, texts, step, rows));
    const figure = h("span", { class: "quiet figure" }, this.packing ? `${length} / ${scale}` : String(length));
    return h("div", { class: "sequence" }, h("div", { class: "strip" }, fold, h("div", { class: "bands" }, ...bands, free), figure), texts);
  }

  private async unfold(fold: HTMLElement, texts: HTMLElement, step: Step, rows: number[]): Promise<void> {
    const open = fold.getAttribute("aria-expanded") !== "true";
    fold.setAttribute("aria-expanded", String(open));
    fold.textContent = open ? "▾" : "▸";
    texts.replaceChildren();
    if (!open) return;
    try {
      for (const number of rows) {
        const found = await this.row(number);
        const [source, row] = step.rows[number]!;
        const name = h("button", { type: "button", class: "link", onclick: () => this.go(number) }, `${source} · ${this.label("lens.row", { n: row })}`);
        if (found.view) texts.append(h("div", { class: "neighbour" }, name, tokens(found.view, this.label)));
      }
    } catch (error) {
      this.fail(error);
    }
  }
}
