// The table: prompts down, the two answers across. Only rows in sight are in the page, and their texts are fetched a
// page at a time; the focused row is open, with everything in full.

import { h, type Label } from "./dom";
import { LETTERS, type Preview, type State } from "./protocol";
import type { GridState } from "./state";

const ROW = 74; // px, as in grid.css
const PAGE = 50;
const SPARE = 6; // rows kept above and below those in sight

export class List {
  readonly element: HTMLElement;
  private readonly top: HTMLElement;
  private readonly space: HTMLElement;
  private readonly rows = new Map<number, HTMLElement>();
  private readonly previews: (Preview | undefined)[] = [];
  private readonly asked = new Set<number>();
  private open: HTMLElement | null = null;
  private readonly resized = new ResizeObserver(() => this.back());
  private at = 0; // where the rater scrolled to, px
  private frame = 0;

  constructor(
    private readonly state: GridState,
    private readonly label: Label,
    private readonly fetch: (from: number, to: number) => Promise<{ rows: Preview[] }>,
    private readonly pick: (row: number) => void,
  ) {
    const names = ["#", label("grid.prompt"), ...state.sides.map((side) => side.toUpperCase()), label("grid.verdict")];
    const head = h("div", { class: "row head", role: "row" });
    head.append(...names.map((name) => h("div", { role: "columnheader" }, name)));
    this.space = h("div", { class: "space", role: "rowgroup" });
    this.top = h("div", { class: "top", role: "rowgroup" }, head);
    this.element = h(
      "div",
      { class: "table", role: "table", "aria-label": label("grid.table"), "aria-rowcount": state.total + 1 },
      this.top,
      this.space,
    );
    this.element.addEventListener("scroll", () => this.soon());
    this.resized.observe(this.element);
  }

  /** Open the focused row with `detail` in it and bring it to the top. */
  show(detail: HTMLElement): void {
    this.replace(detail);
    this.render();
    this.at = this.element.scrollTop = this.state.focus * ROW;
    this.render();
  }

  /** Give the open row another content, where it stands. */
  replace(detail: HTMLElement): void {
    if (this.open) this.resized.unobserve(this.open);
    this.open?.remove();
    const row = h("div", { class: "row open", role: "row", "aria-current": "true", "aria-rowindex": this.state.focus + 2 });
    row.append(h("div", { class: "detail", role: "cell" }, detail));
    this.open = row;
    this.resized.observe(row);
    this.space.append(row);
    this.render();
  }

  scrollBy(pages: number): void {
    this.element.scrollBy({ top: pages * this.element.clientHeight });
  }

  close(): void {
    cancelAnimationFrame(this.frame);
    this.resized.disconnect();
  }

  /** Draw the rows in sight again, for instance after a state has changed. */
  render(): void {
    const { focus, total } = this.state;
    const extra = Math.max(0, (this.open?.offsetHeight ?? 0) - ROW);
    // below the last row stays room, so that every row can be opened at the same place, under the head
    const room = focus * ROW + this.element.clientHeight - this.top.offsetHeight;
    this.space.style.height = `${Math.max(total * ROW + extra, room)}px`;
    if (this.open) this.open.style.top = `${focus * ROW}px`;
    const { scrollTop, clientHeight } = this.element;
    const [from, to] = inSight(scrollTop, clientHeight, focus, extra, total);
    for (const [row, element] of this.rows) {
      if (row >= from && row < to && row !== focus) continue;
      element.remove();
      this.rows.delete(row);
    }
    for (let row = from; row < to; row++) if (row !== focus) this.place(row, extra);
    this.need(from, to);
  }

  /** JupyterLab takes cells far out of sight from the page, and their scroll position is lost with that. */
  private back(): void {
    this.render();
    if (this.element.clientHeight > 0 && this.element.scrollTop !== this.at) this.element.scrollTop = this.at;
  }

  private soon(): void {
    if (this.element.clientHeight > 0) this.at = this.element.scrollTop;
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.render());
  }

  private place(row: number, extra: number): void {
    const state = this.state.states[row]!;
    const look = `${state}${this.previews[row] ? "+" : ""}`;
    let element = this.rows.get(row);
    if (element?.dataset["look"] !== look) {
      const fresh = this.compact(row, state);
      fresh.dataset["look"] = look;
      if (element) element.replaceWith(fresh);
      else this.space.append(fresh);
      this.rows.set(row, (element = fresh));
    }
    element.style.top = `${row * ROW + (row > this.state.focus ? extra : 0)}px`;
  }

  private compact(row: number, state: State): HTMLElement {
    const preview = this.previews[row];
    const cell = (column: number) => {
      const side = LETTERS[column]!;
      const answer = preview?.answers[column];
      const text = answer?.trim() === "" ? h("i", {}, this.label("grid.empty_answer")) : answer;
      return h("div", { class: `cell ${side} ${state === side ? "won" : ""}`, role: "cell" }, h("span", {}, text));
    };
    return h(
      "div",
      { class: `row state-${state === "." ? "none" : state}`, role: "row", "aria-rowindex": row + 2, onclick: () => this.pick(row) },
      h("div", { class: "number", role: "cell" }, String(row + 1)),
      h("div", { class: "cell prompt", role: "cell" }, h("span", {}, preview?.task && chip(preview.task), preview?.prompt ?? "…")),
      ...this.state.sides.map((_, column) => cell(column)),
      h("div", { class: "mark", role: "cell" }, verdictMark(state, this.label)),
    );
  }

  private need(from: number, to: number): void {
    for (let page = Math.floor(from / PAGE); page * PAGE < to; page++) {
      if (this.asked.has(page)) continue;
      this.asked.add(page);
      const start = page * PAGE;
      this.fetch(start, Math.min(start + PAGE, this.state.total)).then(
        ({ rows }) => {
          rows.forEach((preview, n) => (this.previews[start + n] = preview));
          this.render();
        },
        () => this.asked.delete(page), // asked again at the next scroll
      );
    }
  }
}

/** First and last-plus-one row to draw, when the row `focus` is `extra` px taller than the others. */
export function inSight(top: number, height: number, focus: number, extra: number, total: number): [number, number] {
  const rowAt = (y: number) => {
    if (y < focus * ROW) return Math.floor(y / ROW);
    return Math.max(focus, Math.floor((y - extra) / ROW));
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
  return h("span", { class: `badge badge-${state}`, title: label(key), "aria-label": label(key) }, text);
}
