// A data set, browser half: sftkit/widgets/dataset_view.py is the kernel half and speaks dataset_protocol.ts with it.

import { changes } from "./dataset_changes";
import { figures } from "./dataset_figures";
import type { Ask, Cell, Change, Changes, Counts, Figured, Found, Preview, Setup, Sort, Whole, Wish } from "./dataset_protocol";
import { RowPanel } from "./dataset_row";
import { Table } from "./dataset_table";
import { h, labelled, type Label } from "./dom";
import { Questions, Unreachable, type Model } from "./kernel";

const PATIENCE_MS = 4000;
const AGAIN_MS = 400; // between two looks at how far the profile is
const TYPING_MS = 250; // after the last key before a search begins

class DatasetPage {
  private readonly questions: Questions<Ask>;
  private readonly label: Label;
  private readonly root: HTMLElement;
  private readonly body = h("div", { class: "body" });
  private readonly errors = h("div", { class: "errors", role: "alert" });
  private readonly about = h("div", { class: "about" });
  private readonly search: HTMLInputElement;
  private readonly only = h("span", { class: "only" });
  private readonly count = h("span", { class: "count quiet", role: "status" });
  private readonly bulk = h("span", { class: "bulk" });
  private readonly undo: HTMLButtonElement;
  private readonly list = h("details", { class: "changed" });
  private readonly table: Table;
  private readonly panel: RowPanel;
  private setup!: Setup;
  private wish: Wish = { only: "", text: "", sort: "row", down: false };
  private found: Found | null = null;
  private asked = 0; // the number of the newest look: what an older one still brings is dropped
  private timer = 0;
  private typing = 0;
  private closed = false;

  constructor(model: Model, element: HTMLElement) {
    const label = (this.label = labelled(model.get("_labels") as Record<string, string>));
    this.questions = new Questions<Ask>(model);
    this.search = h("input", { type: "search", placeholder: label("dataset.search"), "aria-label": label("dataset.search") });
    this.search.addEventListener("input", () => {
      clearTimeout(this.typing);
      this.typing = window.setTimeout(() => void this.look({ text: this.search.value }), TYPING_MS);
    });
    this.undo = h("button", { type: "button", disabled: true, title: `${label("dataset.undo")} (u)`, onclick: () => void this.change({ kind: "undo" }) }, label("dataset.undo"));
    this.table = new Table(
      label,
      (look, from, to) => this.ask<{ rows: Preview[] }>({ kind: "rows", look, from, to }),
      { open: (number) => void this.open(number), sort: (by) => this.sort(by), pick: (places) => this.picked(places) },
      () => this.setup?.sources ?? [],
    );
    this.panel = new RowPanel(label, {
      save: (number, cell, text) => this.save(number, cell, text),
      toggle: (whole) => void this.toggleOne(whole),
      move: (by) => this.table.move(by),
      close: () => this.shut(),
    });
    this.list.addEventListener("toggle", () => this.list.open && void this.listChanges());
    this.root = h(
      "div",
      // JupyterLab's own shortcuts (a, b, m, x, …) act on the cell: they must not see what is typed here
      { class: "sftkit-dataset", tabindex: 0, "data-lm-suppress-shortcuts": "true", role: "region", "aria-label": label("dataset.title") },
      this.body,
      this.errors,
    );
    this.root.addEventListener("keydown", this.keydown);
    element.append(this.root);
    void this.start();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    clearTimeout(this.typing);
    this.table.close();
    this.questions.close();
  }

  /** A question; when its answer takes long, the page says that the kernel is busy or gone. */
  private readonly ask = async <Reply>(question: Ask): Promise<Reply> => {
    const late = this.setup ? setTimeout(() => this.fail(new Unreachable()), PATIENCE_MS) : 0;
    try {
      const reply = await this.questions.ask<Reply>(question);
      if (this.errors.dataset.late) this.quiet();
      return reply;
    } finally {
      clearTimeout(late);
    }
  };

  private async start(): Promise<void> {
    const say = (key: string) => this.body.replaceChildren(h("p", { class: "quiet empty" }, this.label(key)));
    say("dataset.loading");
    const late = setTimeout(() => say("dataset.no_kernel"), PATIENCE_MS);
    try {
      this.setup = await this.ask<Setup>({ kind: "hello" });
      this.draw();
      this.counts(this.setup);
      await Promise.all([this.look({}), this.figures()]);
    } catch (error) {
      this.fail(error);
    } finally {
      clearTimeout(late);
    }
  }

  private draw(): void {
    const { label, setup } = this;
    const names = setup.sources.join(", ");
    const head = h("div", { class: "bar head" }, h("b", { class: "names", title: names }, names), h("span", { class: "quiet" }, label("dataset.rows_in_all", { n: setup.rows.toLocaleString("en") })), h("span", { class: "gap" }), this.undo);
    const tools = h("div", { class: "bar tools" }, this.search, this.only, this.count, h("span", { class: "gap" }), this.bulk);
    const faults = setup.faults.map((fault) => h("p", { class: "warning" }, `⚠ ${fault}`));
    this.body.replaceChildren(head, ...faults, this.about, tools, this.table.element, this.panel.element, this.list);
    this.table.fit(setup.rows);
    this.picked([]);
  }

  // the figures

  private async figures(): Promise<void> {
    if (this.closed) return;
    const told = await this.ask<Figured>({ kind: "figures" });
    const { label } = this;
    const again = (key: string) => h("button", { type: "button", class: "measure", onclick: () => void this.measure() }, label(key));
    if (told.progress) {
      const { done, total } = told.progress;
      const bar = h("progress", { max: Math.max(1, total), "aria-label": label("dataset.profiling", { done: "", total: "" }) });
      bar.value = done;
      const words = label("dataset.profiling", { done: done.toLocaleString("en"), total: total.toLocaleString("en") });
      this.about.replaceChildren(h("div", { class: "running", role: "status" }, bar, h("span", { class: "quiet" }, words)));
      this.timer = window.setTimeout(() => void this.figures().catch((error) => this.fail(error)), AGAIN_MS);
      return;
    }
    if (told.failed) this.about.replaceChildren(h("p", { class: "warning" }, `⚠ ${told.failed} `, again("dataset.measure_again")));
    else if (!told.figures) this.about.replaceChildren(h("p", { class: "quiet" }, `${label("dataset.not_measured")} `, again("dataset.measure")));
    else {
      const pick = (key: string, name: string) => void this.look({ only: key }, name);
      this.about.replaceChildren(figures(told.figures, label, pick), h("p", { class: "behind quiet", hidden: !told.behind }, `${label("dataset.behind")} `, again("dataset.measure_again")));
      this.table.columnsAre(told.figures.columns, this.wish);
      this.columns = told.figures.columns;
      this.table.refresh(); // languages and lengths are known now
    }
  }

  private columns: string[] = [];

  private async measure(): Promise<void> {
    try {
      await this.ask({ kind: "measure" });
      await this.figures();
    } catch (error) {
      this.fail(error);
    }
  }

  // the list of rows

  private name = ""; // of the figure that the list is restricted to

  private async look(wish: Partial<Wish>, name?: string): Promise<void> {
    this.wish = { ...this.wish, ...wish };
    if (name !== undefined || wish.only === "") this.name = name ?? "";
    const mine = ++this.asked;
    this.restricted();
    try {
      let found = await this.ask<Found>({ kind: "look", ...this.wish });
      if (mine !== this.asked) return;
      this.found = found;
      this.table.show(found, this.words(found));
      this.told();
      while (found.scanned < found.total && mine === this.asked && !this.closed) {
        found = await this.ask<Found>({ kind: "more", look: found.look });
        if (mine !== this.asked) return;
        this.found = found;
        this.table.grow(found.count, this.words(found));
        this.told();
      }
      if (name !== undefined) this.table.element.scrollIntoView({ block: "nearest" });
    } catch (error) {
      this.fail(error);
    }
  }

  private words(found: Found): string {
    return this.label(found.scanned < found.total ? "dataset.searching" : this.wish.text || this.wish.only ? "dataset.none_found" : "dataset.no_rows", { done: found.scanned.toLocaleString("en"), total: found.total.toLocaleString("en") });
  }

  private told(): void {
    const { found, label } = this;
    if (!found) return;
    const [n, done, total] = [found.count, found.scanned, found.total].map((figure) => figure.toLocaleString("en")) as [string, string, string];
    this.count.textContent = label(found.scanned < found.total ? "dataset.found_so_far" : "dataset.found", { n, done, total });
    this.picked([]);
  }

  private restricted(): void {
    this.only.replaceChildren();
    this.only.hidden = !this.wish.only;
    if (!this.wish.only) return;
    const off = h("button", { type: "button", "aria-label": this.label("dataset.all_rows"), title: this.label("dataset.all_rows"), onclick: () => void this.look({ only: "" }) }, "×");
    this.only.append(h("span", {}, this.name), off);
  }

  private sort(by: Sort): void {
    const down = this.wish.sort === by && !this.wish.down;
    this.wish = { ...this.wish, sort: by, down };
    this.table.columnsAre(this.columns, this.wish);
    void this.look({});
  }

  /** What can be done with the rows picked, or with all of a list that is not all there is. */
  private picked(places: number[]): void {
    const { label, found } = this;
    const button = (key: string, n: number, all: boolean, back: boolean) =>
      h("button", { type: "button", class: back ? "include" : "exclude", onclick: () => (all ? this.askAll(back) : void this.leaveOut(false, back)) }, label(key, { n: n.toLocaleString("en") }));
    const whole = found !== null && found.scanned === found.total && found.count > 0 && found.count < (this.setup?.rows ?? 0);
    if (places.length) this.bulk.replaceChildren(button("dataset.exclude_picked", places.length, false, false), button("dataset.include_picked", places.length, false, true));
    else if (whole) this.bulk.replaceChildren(this.wish.only === "excluded" ? button("dataset.include_all", found.count, true, true) : button("dataset.exclude_all", found.count, true, false));
    else this.bulk.replaceChildren();
    if (this.setup && found) void this.questions.ask({ kind: "select", look: found.look, places }).catch(() => {});
  }

  /** Asked twice: the second button, beside the question, acts. */
  private askAll(back: boolean): void {
    const n = (this.found?.count ?? 0).toLocaleString("en");
    const yes = h("button", { type: "button", class: "yes", onclick: () => void this.leaveOut(true, back) }, this.label("dataset.yes"));
    const no = h("button", { type: "button", onclick: () => this.picked([]) }, this.label("dataset.no"));
    this.bulk.replaceChildren(h("span", { role: "alert" }, this.label(back ? "dataset.include_all_sure" : "dataset.exclude_all_sure", { n })), yes, no);
    no.focus();
  }

  // one row

  private async open(number: number): Promise<void> {
    if (this.panel.busy) return this.fail(this.label("dataset.unsaved"));
    try {
      const whole = await this.ask<Whole>({ kind: "row", number });
      this.quiet();
      this.panel.show(whole);
      this.table.mark(number);
    } catch (error) {
      this.fail(error);
    }
  }

  private shut(): void {
    this.panel.close();
    this.table.mark(null);
    this.table.focus();
  }

  private async save(number: number, cell: Cell, text: string): Promise<void> {
    await this.change({ kind: "edit", number, way: cell.way, text });
    this.table.focus();
  }

  private async toggleOne(whole: Whole): Promise<void> {
    const { number, excluded } = whole.preview;
    await this.change({ kind: "exclude", numbers: [number], back: excluded });
  }

  private async leaveOut(all: boolean, back: boolean): Promise<void> {
    const places = all ? null : this.table.chosen;
    if (places && !places.length) return;
    await this.change({ kind: "exclude", look: this.table.list, places, back, reason: all ? this.reason() : "" });
    this.table.unpick();
  }

  /** The row that is open, where the keys are in it; else those picked, or the one that the keys are on. */
  private async leaveOutChosen(at: Node): Promise<void> {
    const { number } = this.panel;
    if (number === null || this.table.pickedCount || this.table.element.contains(at)) return this.leaveOut(false, this.table.chosenAreOut);
    if (this.panel.shown) await this.toggleOne(this.panel.shown);
  }

  /** What the list was restricted to is the reason of leaving all of it out. */
  private reason(): string {
    return [this.name, this.wish.text && `“${this.wish.text}”`].filter(Boolean).join(", ");
  }

  private async change(question: Ask): Promise<void> {
    try {
      this.counts(await this.ask<Counts>(question));
      this.quiet();
      this.table.refresh();
      const { number } = this.panel;
      if (number !== null) this.panel.show(await this.ask<Whole>({ kind: "row", number }));
      if (this.list.open) await this.listChanges();
      if (this.wish.only === "edited" || this.wish.only === "excluded") await this.look({});
    } catch (error) {
      this.fail(error);
    }
  }

  private counts(counts: Counts): void {
    const { label } = this;
    const figure = (key: "edited" | "excluded") =>
      h("button", { type: "button", class: "link", "data-key": key, disabled: !counts[key], onclick: () => void this.look({ only: key }, label(`dataset.${key}`)) }, label(`dataset.count.${key}`, { n: counts[key].toLocaleString("en") }));
    this.undo.disabled = !counts.undo;
    const summary = h("summary", {}, h("b", {}, label("dataset.changes")), " ", figure("edited"), " ", figure("excluded"));
    this.list.querySelector("summary")?.remove();
    this.list.prepend(summary);
    const behind = this.about.querySelector<HTMLElement>(".behind");
    if (behind) behind.hidden = !counts.behind;
  }

  private async listChanges(): Promise<void> {
    try {
      const list = await this.ask<Changes>({ kind: "changes" });
      const made = changes(list, this.setup.sources, this.label, (number) => void this.open(number), (change: Change) => void this.change({ kind: "revert", source: change.source, id: change.id }));
      this.list.replaceChildren(this.list.querySelector("summary")!, made);
    } catch (error) {
      this.fail(error);
    }
  }

  private fail(error: unknown): void {
    const late = error instanceof Unreachable;
    const text = late ? this.label("dataset.no_kernel") : error instanceof Error ? error.message : String(error);
    const close = h("button", { type: "button", "aria-label": this.label("dataset.close"), onclick: () => this.quiet() }, "×");
    this.errors.replaceChildren(h("span", {}, text), close);
    if (late) this.errors.dataset.late = "1";
  }

  private quiet(): void {
    this.errors.replaceChildren();
    delete this.errors.dataset.late;
  }

  private readonly keydown = (event: KeyboardEvent): void => {
    event.stopPropagation();
    const field = (event.target as HTMLElement).closest("input[type=search], textarea, select");
    if ((event.ctrlKey || event.metaKey) && event.key === "z" && !field) {
      event.preventDefault();
      if (!this.undo.disabled) void this.change({ kind: "undo" });
      return;
    }
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (field) {
      if (event.key === "Escape" && field === this.search) this.table.focus();
      return;
    }
    const keys: Record<string, () => void> = {
      "/": () => this.search.select(),
      x: () => void this.leaveOutChosen(event.target as Node),
      e: () => this.panel.edit(),
      u: () => this.undo.disabled || void this.change({ kind: "undo" }),
      Escape: () => (this.table.pickedCount ? this.table.unpick() : this.panel.number === null ? void this.look({ only: "" }) : this.shut()),
    };
    const action = this.setup && Object.hasOwn(keys, event.key) ? keys[event.key] : undefined;
    if (!action) return;
    event.preventDefault();
    action();
  };
}

function render({ model, el }: { model: Model; el: HTMLElement }): () => void {
  const page = new DatasetPage(model, el);
  return () => page.close();
}

export default { render };
