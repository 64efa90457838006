// The rows, of which only those in sight are in the page: their texts come from the kernel a page at a time.

import { h, type Label } from "./dom";
import { Previews } from "./previews";
import type { Found, Preview, Sort } from "./dataset_protocol";
import { signs } from "./dataset_signs";

const ROW = 46; // px: two lines
const TALL = 370; // px of the whole table
const SPARE = 8; // rows kept above and below those in sight
const HEADS: { sort?: Sort; name: string }[] = [
  { sort: "row", name: "row" },
  { sort: "task", name: "task" },
  { sort: "language", name: "language" },
  { sort: "turns", name: "turns" },
  { sort: "length", name: "length" },
  { name: "prompt" },
  { name: "answer" },
];
// More pixels than browsers allow an element: beyond it, scrolling is scaled.
const TALLEST = 8_000_000;

export interface Actions {
  open(number: number): void;
  sort(by: Sort): void;
  pick(places: number[]): void;
}

export class Table {
  readonly element: HTMLElement;
  private readonly head = h("div", { class: "heads", role: "row" });
  private readonly space = h("div", { class: "space", role: "rowgroup" });
  private readonly scroller: HTMLElement;
  private readonly empty = h("p", { class: "quiet empty", role: "status" });
  private readonly lines = new Map<number, HTMLElement>();
  private readonly resized = new ResizeObserver(() => this.render());
  private previews: Previews<Preview> | null = null;
  private look = 0;
  private count = 0;
  private at = 0; // the place that the keys are on
  private from = 0; // where a selection by shift began
  private picked = new Set<number>(); // places
  private opened: number | null = null;
  private columns: string[] = ["row"];
  private sorted: { sort: Sort; down: boolean } = { sort: "row", down: false };

  constructor(
    private readonly label: Label,
    private readonly fetch: (look: number, from: number, to: number) => Promise<{ rows: Preview[] }>,
    private readonly actions: Actions,
    private readonly sources: () => string[],
  ) {
    this.scroller = h(
      "div",
      { class: "rows", role: "grid", tabindex: 0, "aria-label": label("dataset.rows"), "aria-multiselectable": "true" },
      h("div", { class: "top", role: "rowgroup" }, this.head),
      this.space,
      this.empty,
    );
    this.element = this.scroller;
    this.scroller.addEventListener("scroll", () => this.render());
    this.scroller.addEventListener("keydown", this.keydown);
    this.space.addEventListener("click", this.clicked);
    this.resized.observe(this.scroller);
    this.drawHead();
  }

  /** Of data with few rows the table is low; it stays as it is while a list of some of them is shown. */
  fit(rows: number): void {
    this.scroller.style.height = `${Math.min(TALL, 46 + Math.max(2, rows) * ROW)}px`;
  }

  close(): void {
    this.resized.disconnect();
  }

  /** Another list of rows: from its top, with nothing picked. */
  show(found: Found, words: string): void {
    this.look = found.look;
    this.scroller.scrollTop = 0;
    this.at = this.from = 0;
    this.picked = new Set();
    this.anew(found.count);
    this.say(words);
    this.tell();
  }

  /** The same list, which has grown. */
  grow(count: number, words: string): void {
    this.count = count;
    this.previews?.grow(count);
    this.say(words);
    this.render();
  }

  /** The same rows, changed: their texts are fetched again. */
  refresh(): void {
    this.anew(this.count);
  }

  columnsAre(columns: string[], sorted: { sort: Sort; down: boolean }): void {
    this.columns = ["row", ...columns];
    this.sorted = sorted;
    this.drawHead();
  }

  mark(opened: number | null): void {
    this.opened = opened;
    this.render();
  }

  /** Places of the rows picked; of the row that the keys are on, where none is. */
  get chosen(): number[] {
    return this.picked.size ? [...this.picked].sort((a, b) => a - b) : this.count ? [this.at] : [];
  }

  get list(): number {
    return this.look;
  }

  /** Whether all rows chosen are left out already. */
  get chosenAreOut(): boolean {
    return this.chosen.every((place) => this.previews?.of(place)?.excluded);
  }

  get pickedCount(): number {
    return this.picked.size;
  }

  move(by: number): void {
    this.goTo(this.at + by, false, true);
  }

  focus(): void {
    this.scroller.focus({ preventScroll: true });
  }

  private anew(count: number): void {
    this.count = count;
    const { look } = this;
    this.previews = new Previews<Preview>(count, (from, to) => this.fetch(look, from, to), () => this.look === look && this.render());
    for (const line of this.lines.values()) line.dataset.stale = "1";
    this.render();
  }

  private say(words: string): void {
    this.empty.textContent = this.count ? "" : words;
    this.empty.hidden = this.count > 0;
  }

  private drawHead(): void {
    const heads = HEADS.map(({ sort, name }) => {
      const text = this.label(`dataset.column.${name}`);
      const able = sort !== undefined && this.columns.includes(sort);
      const order = !able ? undefined : this.sorted.sort !== sort ? "none" : this.sorted.down ? "descending" : "ascending";
      const inside = able ? h("button", { type: "button", onclick: () => this.actions.sort(sort) }, text) : h("span", {}, text);
      return h("div", { class: `cell ${name}`, role: "columnheader", "aria-sort": order }, inside);
    });
    this.head.replaceChildren(h("div", { class: "cell check" }), ...heads);
  }

  // Rows further down than an element may be tall are reached by scaling the scroll.
  private get height(): number {
    return Math.min(this.count * ROW, TALLEST);
  }

  private get first(): number {
    const room = Math.max(1, this.height - this.inner);
    const last = Math.max(0, this.count - this.inner / ROW);
    return this.height < TALLEST ? this.scroller.scrollTop / ROW : (this.scroller.scrollTop / room) * last;
  }

  private get inner(): number {
    return Math.max(ROW, this.scroller.clientHeight - this.head.offsetHeight);
  }

  private render(): void {
    this.space.style.height = `${this.height}px`;
    const first = this.first;
    const begin = Math.max(0, Math.floor(first) - SPARE);
    const end = Math.min(this.count, Math.ceil(first + this.inner / ROW) + SPARE);
    for (const [place, line] of this.lines) {
      if (place >= begin && place < end) continue;
      line.remove();
      this.lines.delete(place);
    }
    for (let place = begin; place < end; place++) this.draw(place, this.scroller.scrollTop + (place - first) * ROW);
    this.previews?.need(() => span(Math.max(0, Math.floor(first)), end));
  }

  private draw(place: number, top: number): void {
    const row = this.previews?.of(place);
    let line = this.lines.get(place);
    if (!line || line.dataset.stale || (row && line.dataset.empty)) {
      const made = this.line(place, row);
      line ? line.replaceWith(made) : this.space.append(made);
      this.lines.set(place, (line = made));
    }
    line.style.transform = `translateY(${top}px)`;
    line.setAttribute("aria-selected", String(this.picked.has(place)));
    line.classList.toggle("at", place === this.at);
    line.classList.toggle("open", row !== undefined && row.number === this.opened);
    const check = line.querySelector<HTMLInputElement>("input");
    if (check) check.checked = this.picked.has(place);
  }

  private line(place: number, row: Preview | undefined): HTMLElement {
    const line = h("div", { class: "line", role: "row", "data-place": place, "aria-rowindex": place + 2, "data-empty": row ? null : "1" });
    if (!row) return line;
    const { label } = this;
    line.classList.toggle("excluded", row.excluded);
    const sources = this.sources();
    const check = h("input", { type: "checkbox", tabindex: -1, "aria-label": label("dataset.pick", { n: row.row }) });
    const number = h("div", { class: "cell row", role: "gridcell" }, row.row.toLocaleString("en"));
    if (sources.length > 1) number.append(h("small", { title: sources[row.source] ?? null }, name(sources[row.source] ?? "")));
    if (row.edited) number.append(h("em", {}, label("dataset.edited")));
    if (row.excluded) number.append(h("em", {}, label("dataset.excluded")));
    const cell = (kind: string, text: string) => h("div", { class: `cell ${kind}`, role: "gridcell", dir: "auto" }, ...signs(text));
    line.append(h("div", { class: "cell check" }, check), number, cell("task", row.task), cell("language", row.language ?? ""));
    line.append(cell("turns", row.turns ? String(row.turns) : ""), cell("length", row.length?.toLocaleString("en") ?? ""));
    if (row.fault) line.append(h("div", { class: "cell fault", role: "gridcell" }, `⚠ ${row.fault} `, h("span", { class: "quiet" }, row.prompt)));
    else line.append(cell("prompt", row.prompt), cell("answer", row.answer));
    return line;
  }

  // what a person does

  private readonly clicked = (event: MouseEvent): void => {
    const line = (event.target as Element).closest<HTMLElement>("[data-place]");
    if (!line) return;
    const place = Number(line.dataset.place);
    const box = (event.target as Element).closest(".check");
    if (event.shiftKey) this.pickTo(place);
    else if (box || event.ctrlKey || event.metaKey) this.toggle(place);
    else this.openAt(place);
    this.focus();
  };

  private readonly keydown = (event: KeyboardEvent): void => {
    if (event.altKey || event.ctrlKey || event.metaKey || (event.target as Element).closest("button, input")) return;
    const page = Math.max(1, Math.floor(this.inner / ROW) - 1);
    const to = { ArrowDown: this.at + 1, ArrowUp: this.at - 1, PageDown: this.at + page, PageUp: this.at - page, Home: 0, End: this.count - 1 }[event.key];
    if (to !== undefined) this.goTo(to, event.shiftKey, false);
    else if (event.key === "Enter") this.openAt(this.at);
    else if (event.key === " ") this.toggle(this.at);
    else return;
    event.preventDefault();
  };

  private goTo(place: number, picking: boolean, open: boolean): void {
    if (!this.count) return;
    this.at = Math.min(Math.max(place, 0), this.count - 1);
    if (picking) this.pickTo(this.at);
    else this.from = this.at;
    this.intoSight();
    this.render();
    if (open) this.openAt(this.at);
  }

  private intoSight(): void {
    const seen = this.inner / ROW;
    const { first } = this;
    if (this.at >= first && this.at + 1 <= first + seen) return;
    const wanted = this.at < first ? this.at : this.at + 1 - seen;
    const room = Math.max(1, this.height - this.inner);
    const last = Math.max(1, this.count - seen);
    this.scroller.scrollTop = this.height < TALLEST ? wanted * ROW : (wanted / last) * room;
  }

  private pickTo(place: number): void {
    const [low, high] = [Math.min(this.from, place), Math.max(this.from, place)];
    this.picked = new Set(span(low, high + 1));
    this.at = place;
    this.tell();
  }

  private toggle(place: number): void {
    if (!this.picked.delete(place)) this.picked.add(place);
    this.at = this.from = place;
    this.tell();
  }

  unpick(): void {
    this.picked = new Set();
    this.tell();
  }

  private tell(): void {
    this.render();
    this.actions.pick(this.picked.size ? this.chosen : []);
  }

  private openAt(place: number): void {
    const row = this.previews?.of(place);
    this.at = this.from = place;
    this.render();
    if (row) this.actions.open(row.number);
  }
}

function* span(from: number, to: number): Generator<number> {
  for (let n = from; n < to; n++) yield n;
}

function name(path: string): string {
  return path.split("/").pop() ?? path;
}
