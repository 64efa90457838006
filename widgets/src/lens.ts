// The token lens, browser half: sftkit/widgets/token_lens.py is the kernel half and speaks lens_protocol.ts with it.
// anywidget calls `render` for every view. Rows that were looked at stay here, so that they need no kernel any more.

import { h, labelled, type Label } from "./dom";
import { Questions, Unreachable, type Model } from "./kernel";
import type { Ask, Go, Row, Setup, Split } from "./lens_protocol";
import { RowPanel } from "./lens_row";
import { StepPanel } from "./lens_step";
import { WorstPanel } from "./lens_worst";

const KEPT = 500; // rows
const PATIENCE_MS = 4000;
const SLOW = ["worst", "score", "stale"]; // answered from a thread, in their own time
const TABS = ["row", "step", "worst"] as const;
type Tab = (typeof TABS)[number];

class Lens {
  private readonly questions: Questions<Ask>;
  private readonly label: Label;
  private readonly root: HTMLElement;
  private readonly body = h("div", { class: "body" });
  private readonly stale = h("div", { role: "status" });
  private readonly errors = h("div", { class: "errors", role: "alert" });
  private readonly rows = new Map<string, Row>();
  private readonly search: HTMLInputElement;
  private readonly place = h("input", { type: "number", min: 1, class: "number" });
  private readonly sources = h("select", {});
  private readonly tabs = new Map<Tab, HTMLButtonElement>();
  private setup!: Setup;
  private split: Split = "train";
  private number = 0;
  private tab: Tab = "row";
  private rowPanel!: RowPanel;
  private stepPanel!: StepPanel;
  private worstPanel!: WorstPanel;

  constructor(model: Model, element: HTMLElement) {
    this.label = labelled(model.get("_labels") as Record<string, string>);
    this.questions = new Questions<Ask>(model, (message: Partial<Go>) => message.kind === "go" && this.setup && this.bring(message as Go));
    this.search = h("input", { type: "search", placeholder: this.label("lens.search"), "aria-label": this.label("lens.search") });
    this.root = h(
      "div",
      // JupyterLab's own shortcuts (a, b, m, x, …) act on the cell: they must not see what is typed here
      { class: "sftkit-lens", tabindex: 0, "data-lm-suppress-shortcuts": "true", role: "region", "aria-label": this.label("lens.title") },
      this.body,
      this.errors,
    );
    this.root.addEventListener("keydown", this.keydown);
    element.append(this.root);
    void this.open();
  }

  close(): void {
    this.worstPanel?.close();
    this.rowPanel?.clear();
    this.questions.close();
  }

  /** A question; when its answer takes long, the page says that the kernel is busy or gone. */
  private readonly ask = async <Reply>(question: Ask): Promise<Reply> => {
    const waits = this.setup && !SLOW.includes(question.kind);
    const late = waits ? setTimeout(() => this.fail(new Unreachable()), PATIENCE_MS) : 0;
    try {
      return await this.questions.ask<Reply>(question);
    } finally {
      clearTimeout(late);
    }
  };

  private async open(): Promise<void> {
    const say = (key: string) => this.body.replaceChildren(h("p", { class: "quiet empty" }, this.label(key)));
    say("lens.loading");
    const late = setTimeout(() => say("lens.no_kernel"), PATIENCE_MS);
    try {
      this.start(await this.ask<Setup>({ kind: "hello" }));
    } catch (error) {
      this.fail(error);
    } finally {
      clearTimeout(late);
    }
  }

  private start(setup: Setup): void {
    this.setup = setup;
    ({ split: this.split, number: this.number } = setup);
    const go = (number: number) => void this.go(number);
    const fail = (error: unknown) => this.fail(error);
    this.rowPanel = new RowPanel(this.ask, this.label, go, (number) => this.turnTo("step", number));
    this.stepPanel = new StepPanel(this.ask, this.label, setup.max_len, setup.packing, (number) => this.fetch("train", number), (number) => this.trained(number), fail);
    this.worstPanel = new WorstPanel(this.ask, this.label, setup.losses, (number) => this.trained(number), fail);
    this.body.replaceChildren(this.bar(), this.stale, this.rowPanel.element);
    this.turnTo("row");
    if (setup.run) void this.ask<{ stale: string[] }>({ kind: "stale" }).then((reply) => this.warn(reply.stale), fail);
  }

  private warn(sources: string[]): void {
    this.stale.replaceChildren(...sources.map((name) => h("p", { class: "warning" }, `⚠ ${this.label("lens.stale", { name })}`)));
  }

  private bar(): HTMLElement {
    const { label } = this;
    const shown = TABS.filter((tab) => tab !== "worst" || this.setup.run);
    for (const tab of shown) this.tabs.set(tab, h("button", { type: "button", role: "tab", onclick: () => this.turnTo(tab) }, label(`lens.tab.${tab}`)));
    const button = (by: number, text: string, key: string) =>
      h("button", { type: "button", "aria-label": label(key), title: label(key), onclick: () => void this.go(this.number + by) }, text);
    this.place.setAttribute("aria-label", label("lens.go"));
    this.place.title = `${label("lens.go")} (g)`;
    this.place.addEventListener("change", () => void this.find());
    this.sources.setAttribute("aria-label", label("lens.source"));
    this.sources.addEventListener("change", () => void this.find(1));
    this.search.addEventListener("keydown", (event) => event.key === "Enter" && void this.lookFor());
    this.search.addEventListener("search", () => this.search.value || this.rowPanel.clear());
    this.fillSources();
    return h("div", { class: "bar" }, h("span", { role: "tablist", class: "tabs" }, ...this.tabs.values()), this.splits(),
      this.sources, button(-1, "‹", "lens.before"), this.place, button(1, "›", "lens.after"), h("span", { class: "gap" }), this.search);
  }

  private splits(): HTMLElement | null {
    if (!this.setup.rows.eval) return null;
    const options = (["train", "eval"] as const).map((split) => h("option", { value: split, selected: split === this.split }, this.label(`lens.split.${split}`)));
    const choice = h("select", { class: "split", "aria-label": this.label("lens.split") }, ...options);
    choice.addEventListener("change", () => {
      this.split = choice.value as Split;
      this.rowPanel.clear();
      this.fillSources();
      void this.go(0);
    });
    return choice;
  }

  private fillSources(): void {
    const names = this.setup.sources[this.split];
    this.sources.replaceChildren(...names.map((name) => h("option", { value: name }, name)));
    this.sources.hidden = names.length < 2;
  }

  private turnTo(tab: Tab, number?: number): void {
    this.tab = tab;
    for (const [name, button] of this.tabs) button.setAttribute("aria-selected", String(name === tab));
    const panel = { row: this.rowPanel, step: this.stepPanel, worst: this.worstPanel }[tab];
    this.body.lastElementChild?.replaceWith(panel.element);
    if (tab === "row") void this.go(this.number);
    else if (tab === "worst") void this.worstPanel.open();
    else void this.stepPanel.open(number === undefined ? { step: 1 } : { number });
  }

  /** A row of the training data, from another panel. */
  private trained(number: number): void {
    this.bring({ split: "train", number });
  }

  /** A row, whatever is in view. */
  private bring({ split, number }: Pick<Go, "split" | "number">): void {
    if (this.split !== split) {
      this.split = split;
      const choice = this.root.querySelector<HTMLSelectElement>("select.split");
      if (choice) choice.value = split;
      this.fillSources();
    }
    this.number = number;
    this.turnTo("row");
  }

  private async go(number: number): Promise<void> {
    const total = this.setup.rows[this.split] ?? 0;
    const { split } = this;
    this.number = Math.min(Math.max(number, 0), total - 1);
    if (this.tab !== "row") return this.turnTo("row");
    const wanted = this.number;
    try {
      const row = await this.fetch(split, wanted, true);
      this.errors.replaceChildren();
      if (wanted !== this.number || split !== this.split) return; // gone on meanwhile
      this.place.value = String(row.row);
      this.sources.value = row.source;
      this.rowPanel.show(row, total, split === "train");
      for (const next of [wanted + 1, wanted - 1]) if (next >= 0 && next < total) void this.fetch(split, next).catch(() => {});
    } catch (error) {
      this.fail(error);
    }
  }

  private async fetch(split: Split, number: number, look = false): Promise<Row> {
    const key = `${split}:${number}`;
    const known = this.rows.get(key);
    if (known && look) void this.ask<Row>({ kind: "row", split, number, look }).catch(() => {});
    if (known) return known;
    const row = await this.ask<Row>({ kind: "row", split, number, look });
    if (this.rows.size >= KEPT) this.rows.delete(this.rows.keys().next().value!);
    this.rows.set(key, row);
    return row;
  }

  private async find(row = Number(this.place.value)): Promise<void> {
    const source = this.sources.value;
    try {
      const { number } = await this.ask<{ number: number | null }>({ kind: "find", split: this.split, source, row });
      if (number === null) this.fail(this.label("lens.not_there", { n: row, source }));
      else await this.go(number);
    } catch (error) {
      this.fail(error);
    }
  }

  private async lookFor(): Promise<void> {
    if (this.tab !== "row") this.turnTo("row");
    try {
      await this.rowPanel.find(this.split, this.search.value);
    } catch (error) {
      this.fail(error);
    }
  }

  private fail(error: unknown): void {
    const known = error instanceof Unreachable ? this.label("lens.no_kernel") : null;
    const text = known ?? (error instanceof Error ? error.message : String(error));
    const close = h("button", { type: "button", "aria-label": this.label("lens.close"), onclick: () => this.errors.replaceChildren() }, "×");
    this.errors.replaceChildren(h("span", {}, text), close);
  }

  private readonly keydown = (event: KeyboardEvent): void => {
    event.stopPropagation();
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const field = (event.target as HTMLElement).closest("input, select");
    if (field) {
      if (event.key === "Escape") this.root.focus({ preventScroll: true });
      return;
    }
    const by = this.tab === "step" ? (n: number) => this.stepPanel.move(n) : (n: number) => void this.go(this.number + n);
    const keys: Record<string, () => void> = {
      ArrowLeft: () => by(-1),
      ArrowRight: () => by(1),
      "/": () => this.search.select(),
      g: () => this.place.select(),
      "[": () => this.tab === "row" && this.rowPanel.move(-1),
      "]": () => this.tab === "row" && this.rowPanel.move(1),
    };
    const action = this.setup && Object.hasOwn(keys, event.key) ? keys[event.key] : undefined;
    if (!action) return;
    event.preventDefault();
    action();
  };
}

function render({ model, el }: { model: Model; el: HTMLElement }): () => void {
  const lens = new Lens(model, el);
  return () => lens.close();
}

export default { render };
