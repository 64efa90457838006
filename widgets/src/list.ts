// The table: prompts down, the answers across. Only rows in sight are in the page, and their texts come a page at a
// time (previews.ts); the focused row is open, with everything in full, and a button leads back to it from afar.

import type { Look } from "./detail";
import { h, type Label } from "./dom";
import { PAGE, Previews } from "./previews";
import { LETTERS, type Preview, type State } from "./protocol";
import type { GridState } from "./state";

const SPARE = 12; // rows kept above and below those in sight
const NEAR = PAGE; // rows whose texts are fetched around those in sight, before the rater has scrolled
const FAR = 24 * PAGE; // and after
const LINES = [1, 3, 6] as const; // of text in a closed row

export class List {
  readonly element: HTMLElement;
  private readonly scroller: HTMLElement;
  private readonly top: HTMLElement;
  private readonly space: HTMLElement;
  private readonly here: HTMLButtonElement;
  private readonly height: HTMLSelectElement;
  private readonly rows = new Map<number, HTMLElement>();
  private readonly previews: Previews;
  private open: HTMLElement | null = null;
  private readonly resized = new ResizeObserver(() => this.back());
  private order: number[] | null = null; // rows that a filter keeps, and the focused one; null for all
  private filter: number[] | null = null;
  private full = false;
  private lines = 3;
  private at = 0; // where the rater scrolled to, px
  private scrolled = false;
  private downwards = true;
  private frame = 0;

  constructor(
    private readonly state: GridState,
    private readonly label: Label,
    fetch: (from: number, to: number) => Promise<{ rows: Preview[] }>,
    private readonly pick: (row: number) => void,
  ) {
    this.previews = new Previews(state.total, fetch, () => this.render());
    this.height = this.heights();
    this.top = h("div", { class: "top", role: "rowgroup" }, this.head());
    this.space = h("div", { class: "space", role: "rowgroup" });
    this.scroller = h(
      "div",
      { class: "table", role: "table", "aria-label": label("grid.table"), "aria-rowcount": state.total + 1, "aria-colcount": state.sides.length + 3 },
      this.top,
      this.space,
    );
    this.here = h("button", { type: "button", class: "here", hidden: true, onclick: () => this.home() });
    this.element = h("div", { class: "list" }, this.scroller, this.here);
    this.element.style.setProperty("--sides", String(state.sides.length));
    this.measure();
    this.scroller.addEventListener("scroll", () => this.soon());
    this.resized.observe(this.scroller);
  }

  /** Many short rows, or the open one alone; `look` as the rater has it. Drawn by the next show, replace or render. */
  arrange({ full, dense }: Pick<Look, "full" | "dense">): void {
    this.full = full;
    this.lines = dense ? Number(this.height.value) : 3;
    this.element.classList.toggle("dense", dense);
    this.measure();
  }

  /** Show these rows alone, in their order from top to bottom; null for all. The focused one is always there. */
  only(rows: number[] | null): void {
    this.filter = rows;
    this.withFocus();
    this.render();
  }

  /** Open the focused row with `detail` in it and bring it to the top. */
  show(detail: HTMLElement): void {
    this.withFocus();
    this.replace(detail);
    this.home();
  }

  /** Give the open row another content, where it stands. */
  replace(detail: HTMLElement): void {
    if (this.open) this.resized.unobserve(this.open);
    this.open?.remove();
    const row = h("div", { class: "row open", role: "row", "aria-current": "true", "aria-rowindex": this.state.focus + 2 });
    row.append(h("div", { class: "detail", role: "cell", "aria-colspan": this.state.sides.length + 3 }, detail));
    this.open = row;
    this.resized.observe(row);
    this.space.append(row);
    this.render();
  }

  scrollBy(pages: number): void {
    this.scroller.scrollBy({ top: pages * this.scroller.clientHeight });
  }

  close(): void {
    cancelAnimationFrame(this.frame);
    this.resized.disconnect();
  }

  /** Draw the rows in sight again, for instance after a state has changed. */
  render(): void {
    const focus = this.placeOf(this.state.focus);
    const extra = Math.max(0, (this.open?.offsetHeight ?? 0) - this.row);
    const total = this.count;
    // below the last row stays room, so that every row can be opened at the same place, under the head
    const room = focus * this.row + this.scroller.clientHeight - this.top.offsetHeight;
    this.space.style.height = this.full ? "auto" : `${Math.max(total * this.row + extra, room)}px`;
    if (this.open) this.open.style.top = this.full ? "" : `${focus * this.row}px`;
    const { scrollTop, clientHeight } = this.scroller;
    const [from, to] = this.full ? [0, 0] : inSight(scrollTop, clientHeight, focus, extra, total, this.row);
    const wanted = new Set<number>();
    for (let place = from; place < to; place++) if (place !== focus) wanted.add(this.rowOf(place));
    for (const [row, element] of this.rows) {
      if (wanted.has(row)) continue;
      element.remove();
      this.rows.delete(row);
    }
    for (const row of wanted) this.place(row, focus, extra);
    this.pointHome(focus, extra);
    if (!this.full) this.previews.need(() => this.wanted(from, to));
  }

  private get row(): number {
    return rowHeight(this.lines);
  }

  private get count(): number {
    return this.order?.length ?? this.state.total;
  }

  private rowOf(place: number): number {
    return this.order ? this.order[place]! : place;
  }

  private placeOf(row: number): number {
    if (!this.order) return row;
    let [low, high] = [0, this.order.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.order[middle]! < row) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private withFocus(): void {
    const { filter } = this;
    const { focus } = this.state;
    this.order = filter && [...new Set([...filter, focus])].sort((x, y) => x - y);
  }

  private home(): void {
    this.render();
    this.at = this.scroller.scrollTop = this.full ? 0 : this.placeOf(this.state.focus) * this.row;
    this.render();
  }

  /** JupyterLab takes cells far out of sight from the page, and their scroll position is lost with that. */
  private back(): void {
    this.render();
    if (this.scroller.clientHeight > 0 && this.scroller.scrollTop !== this.at) this.scroller.scrollTop = this.at;
  }

  private soon(): void {
    const { scrollTop, clientHeight } = this.scroller;
    if (clientHeight > 0 && scrollTop !== this.at) {
      this.downwards = scrollTop > this.at;
      this.scrolled ||= Math.abs(scrollTop - this.placeOf(this.state.focus) * this.row) > 1;
      this.at = scrollTop;
    }
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.render());
  }

  /** Rows whose texts are wanted: those in sight, then outwards, the way the rater scrolls first. */
  private *wanted(from: number, to: number): Generator<number> {
    for (let place = from; place < to; place++) yield this.rowOf(place);
    const reach = this.scrolled ? FAR : NEAR;
    for (let step = 0; step < reach; step += PAGE / 5) {
      const [below, above] = [to + step, from - 1 - step];
      for (const place of this.downwards ? [below, above] : [above, below]) if (place >= 0 && place < this.count) yield this.rowOf(place);
    }
  }

  private place(row: number, focus: number, extra: number): void {
    const state = this.state.states[row]!;
    const preview = this.previews.of(row);
    const flag = this.state.comparisons.get(row)?.opinion.flag ?? preview?.flag;
    const look = `${state}${preview ? "+" : ""}${flag ? "!" : ""}`;
    let element = this.rows.get(row);
    if (element?.dataset["look"] !== look) {
      const fresh = this.compact(row, state, preview, !!flag);
      fresh.dataset["look"] = look;
      if (element) element.replaceWith(fresh);
      else this.space.append(fresh);
      this.rows.set(row, (element = fresh));
    }
    const place = this.placeOf(row);
    const top = `${place * this.row + (place > focus ? extra : 0)}px`;
    if (element.style.top !== top) element.style.top = top;
  }

  private compact(row: number, state: State, preview: Preview | undefined, flag: boolean): HTMLElement {
    const cell = (column: number) => {
      const side = LETTERS[column]!;
      const answer = preview?.answers[column];
      const text = answer?.trim() === "" ? h("i", {}, this.label("grid.empty_answer")) : answer;
      return h("div", { class: `cell answer-cell ${side} ${state === side ? "won" : ""}`, role: "cell" }, h("span", {}, text));
    };
    return h(
      "div",
      { class: `row state-${state === "." ? "none" : state} ${preview ? "" : "coming"}`, role: "row", "aria-rowindex": row + 2, onclick: () => this.pick(row) },
      h("div", { class: "number", role: "cell" }, String(row + 1), flag && h("span", { class: "flagged", role: "img", "aria-label": this.label("grid.flagged"), title: this.label("grid.flagged") }, "⚑")),
      h("div", { class: "cell prompt", role: "cell" }, h("span", {}, preview?.task && chip(preview.task), preview?.prompt)),
      ...this.state.sides.map((_, column) => cell(column)),
      h("div", { class: "mark", role: "cell" }, verdictMark(state, this.label)),
    );
  }

  /** The button that leads back to the open row, when that is out of sight. */
  private pointHome(focus: number, extra: number): void {
    const { scrollTop, clientHeight } = this.scroller;
    const above = focus * this.row + extra + this.row <= scrollTop;
    const below = focus * this.row >= scrollTop + clientHeight - this.top.offsetHeight;
    const away = !this.full && clientHeight > 0 && (above || below);
    if (this.here.hidden === away) this.here.hidden = !away;
    if (!away) return;
    const prompt = this.previews.of(this.state.focus)?.prompt ?? "";
    const text = `${above ? "↑" : "↓"} ${this.label("grid.back_to", { row: this.state.focus + 1 })} ${prompt}`;
    if (this.here.textContent !== text) this.here.textContent = text;
    this.here.classList.toggle("below", below);
  }

  private head(): HTMLElement {
    const head = h("div", { class: "row head", role: "row", "aria-rowindex": 1 });
    const { label, state } = this;
    const names = ["#", label("grid.prompt"), ...state.sides.map((side) => side.toUpperCase()), label("grid.verdict")];
    head.append(...names.map((name, n) => h("div", { role: "columnheader" }, name, n === 1 && this.height)));
    return head;
  }

  /** Lines of text in a row of the many-rows mode. */
  private heights(): HTMLSelectElement {
    const options = LINES.map((lines) => h("option", { value: lines }, this.label(lines === 1 ? "grid.one_line" : "grid.lines", { n: lines })));
    const select = h("select", { class: "lines", "aria-label": this.label("grid.row_height") }, ...options);
    select.addEventListener("change", () => {
      this.lines = Number(select.value);
      this.measure();
      this.home();
    });
    return select;
  }

  private measure(): void {
    this.element.style.setProperty("--row", `${this.row}px`);
    this.element.style.setProperty("--lines", String(this.lines));
  }
}

/** Height in px of a closed row with so many lines of text (13 px at 1.45), its padding and its line below. */
export function rowHeight(lines: number): number {
  return Math.ceil(lines * 13 * 1.45) + (lines === 1 ? 9 : 17);
}

/** First and last-plus-one row to draw, when the row `focus` is `extra` px taller than the others. */
export function inSight(top: number, height: number, focus: number, extra: number, total: number, row: number): [number, number] {
  const rowAt = (y: number) => {
    if (y < focus * row) return Math.floor(y / row);
    return Math.max(focus, Math.floor((y - extra) / row));
  };
  return [Math.max(0, rowAt(top) - SPARE), Math.min(total, rowAt(top + height) + 1 + SPARE)];
}

export function chip(task: string): HTMLElement {
  return h("span", { class: "chip" }, task);
}

const MARKS: Record<Exclude<State, ".">, [text: string, label: string]> = {
  o: ["…", "grid.begun"],
  a: ["A", "grid.a"],
  b: ["B", "grid.b"],
  t: ["=", "grid.tie"],
  n: ["∅", "grid.both_bad"],
  r: ["1…", "grid.ranked"],
  s: ["»", "grid.skipped"],
  x: ["×", "grid.closed"],
};

function verdictMark(state: State, label: Label): HTMLElement | null {
  if (state === ".") return null;
  const [text, key] = MARKS[state];
  return h("span", { class: `badge badge-${state}`, role: "img", title: label(key), "aria-label": label(key) }, text);
}
