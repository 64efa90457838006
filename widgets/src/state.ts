// What the grid knows and what can happen to it, without a page: states, focus, opinions, undo and redo.

import { LETTERS, NO_OPINION, type Comparison, type Dimension, type Opinion, type Side, type State } from "./protocol";

interface Change {
  row: number;
  before: Opinion;
  after: Opinion;
}

/** The cell of the score table that the next digit goes to. */
export interface Mark {
  dimension: number;
  side: Side;
}

export class GridState {
  states: State[];
  readonly sides: readonly Side[];
  focus: number;
  mark: Mark = { dimension: 0, side: "a" };
  readonly comparisons = new Map<number, Comparison>(); // those fetched so far, with the rater's present opinion
  private undone: Change[] = [];
  private done: Change[] = [];

  constructor(
    states: string,
    readonly dimensions: Dimension[],
    columns = 2,
  ) {
    this.sides = LETTERS.slice(0, columns);
    this.states = [...states] as State[];
    this.focus = Math.max(0, this.nextUnrated(-1) ?? 0);
  }

  get total(): number {
    return this.states.length;
  }

  count(...wanted: State[]): number {
    return this.states.filter((state) => wanted.includes(state)).length;
  }

  get rated(): number {
    return this.count("a", "t", "b");
  }

  get current(): Comparison | undefined {
    return this.comparisons.get(this.focus);
  }

  get opinion(): Opinion {
    return this.current?.opinion ?? NO_OPINION;
  }

  /** The first comparison without a verdict after `row`, from the start again when there is none; null when all have. */
  nextUnrated(row: number): number | null {
    for (let step = 1; step <= this.total; step++) {
      const at = (row + step) % this.total;
      if (this.states[at] === "." || this.states[at] === "o") return at;
    }
    return null;
  }

  go(row: number): void {
    this.focus = Math.min(Math.max(row, 0), this.total - 1);
    this.mark = { dimension: 0, side: "a" };
  }

  /** Give the focused comparison another opinion, as one step that can be undone. False when nothing changes. */
  change(after: Opinion): boolean {
    const before = this.opinion;
    if (!this.current || same(before, after)) return false;
    const last = this.done.at(-1);
    const typing = last?.row === this.focus && onlyNote(last.before, last.after) && onlyNote(before, after);
    if (typing && !this.undone.length) last.after = after; // a note is one step, not one a letter
    else this.done.push({ row: this.focus, before, after });
    this.undone = [];
    this.set(this.focus, after);
    return true;
  }

  set(row: number, opinion: Opinion): void {
    const comparison = this.comparisons.get(row);
    if (comparison) comparison.opinion = opinion;
    this.states[row] = stateOf(opinion);
  }

  get canUndo(): boolean {
    return this.done.length > 0;
  }

  get canRedo(): boolean {
    return this.undone.length > 0;
  }

  /** Take the last change back and go to its comparison; its row, or null when there is none. */
  undo(): number | null {
    return this.step(this.done, this.undone, "before");
  }

  redo(): number | null {
    return this.step(this.undone, this.done, "after");
  }

  private step(from: Change[], to: Change[], which: "before" | "after"): number | null {
    const change = from.pop();
    if (!change) return null;
    to.push(change);
    if (change.row !== this.focus) this.go(change.row);
    this.set(change.row, change[which]);
    return change.row;
  }

  /** Move the mark by whole cells: across the two answers, down the dimensions. It stops at the edges. */
  moveMark(dimensions: number, sides: number): void {
    const last = this.dimensions.length - 1;
    this.mark = {
      dimension: Math.min(Math.max(this.mark.dimension + dimensions, 0), last),
      side: sides < 0 ? "a" : sides > 0 ? "b" : this.mark.side,
    };
  }

  /** The next cell to score: A, then B, then the next dimension. */
  advanceMark(): void {
    if (this.mark.side === "a") this.mark = { ...this.mark, side: "b" };
    else if (this.mark.dimension < this.dimensions.length - 1)
      this.mark = { dimension: this.mark.dimension + 1, side: "a" };
  }
}

const OF_VERDICT = { a: "a", b: "b", tie: "t", both_bad: "n", skipped: "s" } as const;

export function stateOf(opinion: Opinion): State {
  if (opinion.verdict) return OF_VERDICT[opinion.verdict];
  return opinion.note || Object.keys(opinion.scores).length ? "o" : ".";
}

/** The opinion with one score set, or taken away when `value` is null. */
export function withScore(opinion: Opinion, name: string, side: Side, value: number | null): Opinion {
  const { [name]: old, ...scores } = opinion.scores;
  const pair = { ...old };
  if (value === null) delete pair[side];
  else pair[side] = value;
  return { ...opinion, scores: Object.keys(pair).length ? { ...scores, [name]: pair } : scores };
}

function onlyNote(x: Opinion, y: Opinion): boolean {
  return x.note !== y.note && same({ ...x, note: "" }, { ...y, note: "" });
}

function same(x: Opinion, y: Opinion): boolean {
  const names = new Set([...Object.keys(x.scores), ...Object.keys(y.scores)]);
  const scores = [...names].every((name) => LETTERS.every((s) => x.scores[name]?.[s] === y.scores[name]?.[s]));
  return scores && x.verdict === y.verdict && x.note === y.note;
}
