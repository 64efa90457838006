// One row whole: its cells, a conversation turn by turn, as plain text; a cell is changed where it stands.

import { h, type Label } from "./dom";
import type { Cell, Whole } from "./dataset_protocol";
import { signs } from "./dataset_signs";

export interface RowActions {
  save(number: number, cell: Cell, text: string): Promise<void>;
  toggle(whole: Whole): void;
  move(by: number): void;
  close(): void;
}

export class RowPanel {
  readonly element = h("section", { class: "whole", hidden: true });
  private whole: Whole | null = null;
  private editing: HTMLTextAreaElement | null = null;

  constructor(
    private readonly label: Label,
    private readonly actions: RowActions,
  ) {
    this.element.setAttribute("aria-label", label("dataset.row_open"));
  }

  get shown(): Whole | null {
    return this.whole;
  }

  get number(): number | null {
    return this.whole?.preview.number ?? null;
  }

  /** Whether a text is being changed and not saved: then nothing else may take its place. */
  get busy(): boolean {
    return this.editing !== null && this.editing.value !== this.editing.defaultValue;
  }

  show(whole: Whole): void {
    const { label } = this;
    this.whole = whole;
    this.editing = null;
    const { preview } = whole;
    const button = (key: string, text: string, action: () => void) => h("button", { type: "button", title: label(key), "aria-label": label(key), onclick: action }, text);
    const out = h("button", { type: "button", class: "toggle", onclick: () => this.actions.toggle(whole) }, label(preview.excluded ? "dataset.include" : "dataset.exclude"));
    const head = h(
      "div",
      { class: "bar" },
      button("dataset.before", "‹", () => this.actions.move(-1)),
      button("dataset.after", "›", () => this.actions.move(1)),
      h("b", {}, `${whole.source} · ${label("dataset.row", { n: whole.row.toLocaleString("en") })}`),
      ...(preview.excluded ? [h("span", { class: "mark out" }, label("dataset.excluded"))] : []),
      ...whole.marks.map((mark) => h("span", { class: "mark" }, mark)),
      h("span", { class: "gap" }),
      out,
      button("dataset.close_row", "×", () => this.actions.close()),
    );
    const fault = whole.fault ?? preview.fault;
    this.element.replaceChildren(head, ...(fault ? [h("p", { class: "warning" }, `⚠ ${fault}`)] : []), ...whole.cells.map((cell) => this.cell(cell)));
    this.element.hidden = false;
  }

  close(): void {
    this.whole = null;
    this.editing = null;
    this.element.hidden = true;
    this.element.replaceChildren();
  }

  /** Begin to change a cell: the answer, where there is one. */
  edit(): void {
    const cells = [...this.element.querySelectorAll<HTMLButtonElement>("button.edit")];
    const answers = cells.filter((cell) => cell.dataset.role === "assistant");
    (answers.at(-1) ?? cells[0])?.click();
  }

  private cell(cell: Cell): HTMLElement {
    const { label } = this;
    const edit = h("button", { type: "button", class: "edit", "data-role": cell.role, "aria-label": label("dataset.edit_of", { name: cell.name }), onclick: () => this.change(cell, box) }, label("dataset.edit"));
    const role = ["system", "user", "assistant", "task"].includes(cell.role) ? label(`dataset.role.${cell.role}`) : cell.role;
    const head = h("div", { class: "cell-head" }, h("b", {}, role || cell.name), role ? h("span", { class: "quiet" }, cell.name) : null, h("span", { class: "gap" }), cell.fixed ? h("span", { class: "quiet" }, label("dataset.fixed")) : edit);
    const text = h("div", { class: "text", dir: "auto", tabindex: 0 }, ...(cell.text ? signs(cell.text) : [h("i", { class: "quiet" }, label("dataset.nothing"))]));
    const box = h("article", { class: `part ${cell.role === "assistant" ? "answer" : ""}` }, head, text);
    if (cell.was !== undefined) box.append(h("details", { class: "was" }, h("summary", {}, label("dataset.was")), h("div", { class: "text", dir: "auto" }, ...signs(cell.was || label("dataset.nothing")))));
    return box;
  }

  private change(cell: Cell, box: HTMLElement): void {
    if (this.editing) {
      this.editing.focus();
      return;
    }
    const { label } = this;
    const number = this.whole!.preview.number;
    const field = h("textarea", { rows: Math.min(16, 2 + cell.text.split("\n").length + Math.floor(cell.text.length / 90)), dir: "auto", "aria-label": cell.name });
    field.defaultValue = field.value = cell.text;
    const save = h("button", { type: "button", class: "save", onclick: () => void this.save(number, cell, field) }, label("dataset.save"));
    const back = h("button", { type: "button", onclick: () => this.leave() }, label("dataset.cancel"));
    field.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.leave();
      else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) void this.save(number, cell, field);
      else return;
      event.preventDefault();
    });
    box.querySelector(".text")!.replaceWith(h("div", { class: "editor" }, field, h("div", { class: "bar" }, save, back, h("span", { class: "quiet" }, label("dataset.save_key")))));
    box.querySelector("button.edit")?.remove();
    this.editing = field;
    field.focus();
  }

  private async save(number: number, cell: Cell, field: HTMLTextAreaElement): Promise<void> {
    if (field.value === cell.text) return this.leave();
    field.disabled = true;
    try {
      await this.actions.save(number, cell, field.value);
    } catch (error) {
      field.disabled = false;
      throw error;
    }
  }

  private leave(): void {
    if (this.whole) this.show(this.whole);
    this.element.focus();
  }
}
