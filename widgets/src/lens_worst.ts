// The third panel: the rows of the highest loss, while training and, once measured, before and after it.

import { h, type Label } from "./dom";
import type { Asker, Loss, Scoring, Setup, Worst } from "./lens_protocol";

const POLL_MS = 1000;

export class WorstPanel {
  readonly element = h("div", { class: "panel" });
  private readonly head = h("div", { class: "facts" });
  private readonly rows = h("div", { class: "wide" });
  private readonly measure: HTMLButtonElement;
  private readonly stop: HTMLButtonElement;
  private readonly status = h("span", { class: "quiet", role: "status" });
  private readonly bar = h("progress", { max: 1, value: 0 });
  private by: Loss | undefined;
  private timer = 0;

  constructor(
    private readonly ask: Asker,
    private readonly label: Label,
    private readonly losses: Setup["losses"],
    private readonly go: (number: number) => void,
    private readonly fail: (error: unknown) => void,
  ) {
    this.measure = h("button", { type: "button", onclick: () => void this.score() }, label("lens.score", { n: losses.rows }));
    this.stop = h("button", { type: "button", onclick: () => void this.ask<Scoring>({ kind: "stop" }).catch(fail) }, label("lens.stop"));
    this.bar.setAttribute("aria-label", label("lens.score", { n: losses.rows }));
    this.element.append(this.head, this.rows);
  }

  async open(by: Loss | undefined = this.by): Promise<void> {
    this.head.replaceChildren(...(this.losses.measured ? [this.measure] : []), this.bar, this.status, this.stop);
    this.bar.hidden = this.stop.hidden = true;
    if (!this.losses.shown && !this.losses.measured) return this.rows.replaceChildren(h("p", { class: "quiet" }, this.label("lens.no_losses")));
    if (this.losses.measured) void this.follow(false);
    this.rows.replaceChildren(h("p", { class: "quiet" }, this.label("lens.loading")));
    try {
      this.draw(await this.ask<Worst>({ kind: "worst", ...(by ? { by } : {}) }));
    } catch (error) {
      this.rows.replaceChildren(h("p", { class: "quiet" }, error instanceof Error ? error.message : String(error)));
    }
  }

  close(): void {
    clearTimeout(this.timer);
  }

  private draw(worst: Worst): void {
    this.by = worst.by;
    const sorter = (name: Loss) =>
      h("th", { class: "figure", "aria-sort": name === worst.by ? "descending" : null },
        h("button", { type: "button", title: this.label(`lens.why.${name}`), onclick: () => void this.open(name) }, this.label(`lens.${name}`), name === worst.by ? " ▾" : ""));
    const head = h("tr", {}, h("th", {}, this.label("lens.source")), h("th", { class: "figure" }, this.label("lens.row_head")), h("th", { class: "figure" }, this.label("lens.tokens_head")), ...worst.columns.map(sorter));
    const figure = (value: number | null | undefined) => (value === null || value === undefined ? "" : value.toFixed(3));
    const line = (row: Worst["rows"][number]) => {
      const { number } = row;
      const open = number === null ? String(row.row) : h("button", { type: "button", class: "link", onclick: () => this.go(number) }, String(row.row));
      return h("tr", {}, h("td", {}, row.source), h("td", { class: "figure" }, open), h("td", { class: "figure" }, String(row.tokens)), ...worst.columns.map((name) => h("td", { class: "figure" }, figure(row[name]))));
    };
    const caption = h("caption", {}, this.label("lens.worst_of", { n: worst.rows.length, total: worst.of }));
    this.rows.replaceChildren(h("table", {}, caption, h("thead", {}, head), h("tbody", {}, ...worst.rows.map(line))));
  }

  private async score(): Promise<void> {
    this.measure.disabled = true;
    try {
      await this.ask<Scoring>({ kind: "score" });
      await this.follow(true);
    } catch (error) {
      this.measure.disabled = false;
      this.fail(error);
    }
  }

  /** Show how far the measurement is; at its end, the table with what it found. */
  private async follow(begun: boolean): Promise<void> {
    clearTimeout(this.timer);
    try {
      const { scoring } = await this.ask<Scoring>({ kind: "scoring" });
      const over = !scoring || scoring.done;
      this.measure.disabled = !over;
      this.bar.hidden = this.stop.hidden = over;
      this.bar.value = scoring?.share ?? 0;
      this.status.textContent = over ? (scoring?.error ?? "") : this.label("lens.scoring", { share: Math.round(100 * scoring.share) });
      if (!over) this.timer = setTimeout(() => void this.follow(true), POLL_MS) as unknown as number;
      else if (begun && !scoring?.error) void this.open("tuned_loss");
    } catch (error) {
      this.fail(error);
    }
  }
}
