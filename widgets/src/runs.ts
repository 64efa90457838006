// The table of runs, browser half: sftkit/widgets/runs_table.py is the kernel half. Frames come one at a time: the
// next is sent when this page has told that it has taken in the last.

import { h, labelled, type Label } from "./dom";
import type { Model as Asked } from "./kernel";
import { bytes, COLUMNS, Runs, STATES, words, type Action, type Column, type Frame, type Row } from "./runs_state";

type Model = Asked & { set(name: string, value: unknown): void; save_changes(): void };

const NUMBERS = new Set<Column>(["loss", "eval_loss", "seconds", "size", "checkpoints"]);
const ACTIONS: readonly Action[] = ["compare", "open", "stop", "resume", "duplicate", "delete"];

class Table {
  private readonly label: Label;
  private readonly runs = new Runs();
  private readonly lines = new Map<string, HTMLTableRowElement>();
  private readonly body = h("tbody");
  private readonly empty = h("div", { class: "empty" });
  private readonly count = h("span", { class: "count", role: "status" });
  private readonly asked = h("span", { class: "asked" });
  private readonly find: HTMLInputElement;
  private readonly states: HTMLSelectElement;
  private readonly all: HTMLInputElement;
  private readonly buttons = new Map<Action, HTMLButtonElement>();
  private readonly heads = new Map<Column, HTMLTableCellElement>();
  private readonly table: HTMLTableElement;
  private order: string[] = [];
  private current = ""; // the row that the arrow keys are on
  private last = ""; // the row clicked last: where a shift-click begins
  private loaded = false;
  private readonly view = Math.random().toString(36).slice(2);

  constructor(
    private readonly model: Model,
    element: HTMLElement,
  ) {
    this.label = labelled(model.get("_labels") as Record<string, string>);
    const { label } = this;
    this.find = h("input", { type: "search", placeholder: label("runs.filter"), "aria-label": label("runs.filter"), oninput: this.filter });
    this.states = h("select", { "aria-label": label("runs.state"), onchange: this.filter }, ...this.stateChoices());
    this.all = h("input", { type: "checkbox", "aria-label": label("runs.select_all"), onchange: this.selectAll });
    this.table = h("table", { "aria-label": label("runs.table"), "aria-multiselectable": "true", role: "grid" }, this.head(), this.body);
    this.table.addEventListener("keydown", this.keydown);
    this.table.addEventListener("click", this.clicked);
    this.body.addEventListener("focusin", (event) => (this.current = lineOf(event) ?? this.current));
    this.table.addEventListener("dblclick", (event) => this.open(lineOf(event)));
    const fresh = h("button", { class: "new", onclick: () => this.act("new", []) }, label("runs.new"));
    const root = h(
      "div",
      { class: "sftkit-runs", "data-lm-suppress-shortcuts": "true" },
      h("div", { class: "bar" }, this.find, this.states, this.count, fresh),
      h("div", { class: "scroll" }, this.table, this.empty),
      h("div", { class: "bar actions" }, ...ACTIONS.map((action) => this.button(action)), this.asked),
    );
    root.addEventListener("keydown", (event) => {
      if (!(event.ctrlKey || event.altKey || event.metaKey)) event.stopPropagation(); // x would cut the cell
    });
    element.append(root);
    model.on("msg:custom", this.receive);
    model.on("change:frame", this.taken);
    this.draw(new Set());
    model.send({ kind: "hello", seen: model.get("frame"), view: this.view, shown: true });
  }

  close(): void {
    this.model.off("msg:custom", this.receive);
    this.model.off("change:frame", this.taken);
    this.model.send({ view: this.view, shown: false });
  }

  private readonly taken = (): void => this.model.send({ seen: this.model.get("frame") });

  private readonly receive = (frame: Frame): void => {
    if (!Array.isArray(frame.rows)) return;
    this.loaded = true;
    const before = this.runs.selected.size;
    this.draw(this.runs.take(frame));
    if (this.runs.selected.size !== before) this.tellSelected();
  };

  // the parts of the page

  private stateChoices(): HTMLOptionElement[] {
    const choice = (value: string, text: string) => h("option", { value }, text);
    const { label } = this;
    const each = STATES.map((state) => choice(state, label(`runs.state.${state}`)));
    return [choice("", label("runs.all")), choice("active", label("runs.active")), ...each];
  }

  private head(): HTMLTableSectionElement {
    const cells = COLUMNS.map((column) => {
      const cell = h(
        "th",
        { scope: "col", class: NUMBERS.has(column) ? `${column} number` : column },
        h("button", { onclick: () => this.sort(column) }, this.label(`runs.column.${column}`)),
      );
      this.heads.set(column, cell);
      return cell;
    });
    return h("thead", {}, h("tr", {}, h("th", { scope: "col", class: "check" }, this.all), ...cells));
  }

  private button(action: Action): HTMLButtonElement {
    const press = action === "delete" ? this.askDelete : () => this.act(action, this.runs.able(action).map((row) => row.id));
    const button = h("button", { class: action, disabled: true, onclick: press }, this.label(`runs.${action}`));
    this.buttons.set(action, button);
    return button;
  }

  private line(row: Row): HTMLTableRowElement {
    const check = h("input", { type: "checkbox", tabindex: -1, "aria-label": row.id });
    const cells = COLUMNS.map((column) => h("td", { class: NUMBERS.has(column) ? `${column} number` : column }));
    return h("tr", { "data-id": row.id, tabindex: -1 }, h("td", { class: "check" }, check), ...cells);
  }

  private fill(line: HTMLTableRowElement, row: Row): void {
    line.className = `is-${row.state}`;
    COLUMNS.forEach((column, place) => {
      const cell = line.cells[place + 1]!;
      const text = words(row, column, this.label);
      if (column === "state") cell.replaceChildren(h("i"), h("span", {}, text), ...(row.why ? [h("small", {}, row.why)] : []));
      else if (column === "step") cell.replaceChildren(h("span", {}, text), progress(row));
      else if (cell.textContent !== text) cell.textContent = text;
      if (column === "model" || column === "dataset") cell.title = row[column];
      if (column === "state") cell.title = row.reason;
    });
  }

  // drawing

  private draw(changed: Set<string>): void {
    const { runs } = this;
    for (const id of changed) {
      const row = runs.rows.get(id);
      const line = this.lines.get(id);
      if (!row) line?.remove(), this.lines.delete(id);
      else this.fill(line ?? this.newLine(row), row);
    }
    const order = runs.shown;
    if (order.join("\n") !== this.order.join("\n")) {
      const focused = this.body.contains(document.activeElement) && document.activeElement;
      this.order = order;
      this.body.replaceChildren(...order.map((id) => this.lines.get(id)!));
      if (focused && focused.isConnected) (focused as HTMLElement).focus({ preventScroll: true }); // moving a row takes it
    }
    if (!order.includes(this.current)) this.current = order[0] ?? "";
    this.mark();
  }

  private newLine(row: Row): HTMLTableRowElement {
    const line = this.line(row);
    this.lines.set(row.id, line);
    return line;
  }

  /** Selection, sorting, buttons, counts: everything that is not in a row's cells. */
  private mark(): void {
    const { runs, label } = this;
    for (const [id, line] of this.lines) {
      const on = runs.selected.has(id);
      line.setAttribute("aria-selected", String(on));
      (line.cells[0]!.firstChild as HTMLInputElement).checked = on;
      line.tabIndex = id === this.current ? 0 : -1;
    }
    for (const [column, head] of this.heads) {
      const { sort } = runs;
      head.setAttribute("aria-sort", sort.column !== column ? "none" : sort.down ? "descending" : "ascending");
    }
    this.all.checked = this.order.length > 0 && this.order.every((id) => runs.selected.has(id));
    this.all.indeterminate = !this.all.checked && runs.selected.size > 0;
    for (const [action, button] of this.buttons) button.disabled = !runs.able(action).length;
    const picked = runs.selected.size;
    this.count.textContent = label(picked ? "runs.selected" : "runs.count", { n: picked || this.order.length, total: runs.rows.size });
    this.empty.textContent = !this.loaded ? label("runs.loading") : runs.rows.size ? (this.order.length ? "" : label("runs.no_match")) : label("runs.none");
    this.table.hidden = !runs.rows.size;
  }

  // what a person does

  private readonly filter = (): void => {
    this.runs.filter(this.find.value, this.states.value);
    this.draw(new Set());
    this.tellSelected();
  };

  private sort(column: Column): void {
    this.runs.sortBy(column);
    this.draw(new Set());
  }

  private readonly selectAll = (): void => this.select(this.order, this.all.checked);

  private select(ids: readonly string[], on: boolean): void {
    this.runs.select(ids, on);
    this.mark();
    this.tellSelected();
  }

  /** The kernel knows what is selected; a question about what was selected before is withdrawn. */
  private tellSelected(): void {
    this.asked.replaceChildren();
    this.model.set("selected", [...this.runs.selected]);
    this.model.save_changes();
  }

  private readonly clicked = (event: MouseEvent): void => {
    const id = lineOf(event);
    if (!id) return;
    const from = this.order.indexOf(this.last);
    const to = this.order.indexOf(id);
    this.current = this.last = id;
    if ((event.target as Element).closest("td.id")) return this.open(id);
    const on = !this.runs.selected.has(id);
    if (event.shiftKey) this.select(this.order.slice(Math.min(from, to), Math.max(from, to) + 1), true);
    else this.select([id], on);
  };

  private readonly keydown = (event: KeyboardEvent): void => {
    if (!this.body.contains(event.target as Node)) return;
    const place = this.order.indexOf(this.current);
    const last = this.order.length - 1;
    const to = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: last, PageDown: place + 10, PageUp: place - 10 }[event.key];
    if (to !== undefined) this.go(Math.max(0, Math.min(last, to)), event.shiftKey);
    else if (event.key === " ") this.select([this.current], !this.runs.selected.has(this.current));
    else if (event.key === "Enter") this.open(this.current);
    else if (event.key === "Escape") this.select([...this.runs.selected], false);
    else if (event.key === "Delete") this.askDelete();
    else return;
    event.preventDefault();
  };

  private go(place: number, selecting: boolean): void {
    const id = this.order[place];
    if (!id) return;
    if (selecting) this.select([this.current, id], true);
    this.current = id;
    this.mark();
    this.lines.get(id)!.focus();
  }

  private open(id: string | null): void {
    if (id) this.act("open", [id]);
  }

  /** Asked twice: the second button, beside the question, acts. */
  private readonly askDelete = (): void => {
    const rows = this.runs.able("delete");
    if (!rows.length) return;
    const size = rows.reduce((sum, row) => sum + (row.size ?? 0), 0);
    const names = rows.map((row) => row.id).join("\n");
    const key = rows.length === 1 ? "runs.delete_one" : "runs.delete_many";
    const no = h("button", { onclick: () => this.withdraw() }, this.label("twice.no"));
    const yes = h("button", { class: "yes", onclick: () => this.act("delete", rows.map((row) => row.id)) }, this.label("monitor.delete_sure"));
    const ask = this.label(key, { n: rows.length, id: rows[0]!.id, size: bytes(size) });
    this.asked.replaceChildren(h("span", { role: "alert", title: names }, ask), yes, no);
    no.focus();
  };

  private withdraw(): void {
    this.asked.replaceChildren();
    (this.lines.get(this.current) ?? this.find).focus();
  }

  private act(act: string, ids: string[]): void {
    this.asked.replaceChildren();
    this.model.send({ kind: "act", act, ids });
  }
}

function lineOf(event: Event): string | null {
  return (event.target as Element).closest<HTMLElement>("tr[data-id]")?.dataset.id ?? null;
}

function progress(row: Row): HTMLElement {
  const share = row.total_steps ? Math.min(1, row.step / row.total_steps) : 0;
  return h("div", { class: "track" }, h("div", { style: `width:${(share * 100).toFixed(1)}%` }));
}

export default {
  render({ model, el }: { model: Model; el: HTMLElement }): () => void {
    const table = new Table(model, el);
    return () => table.close();
  },
};
