// What the grid knows and what can happen to it, without a page: states, focus, filter, opinions, undo and redo.

import { LETTERS, NO_OPINION, type Comparison, type Dimension, type Opinion, type Side, type State, type Step } from "./protocol";

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
  readonly sides: readonly Side[]; // of the widest row
  focus: number;
  mark: Mark = { dimension: 0, side: "a" };
  tying = false; // the next answer that is ranked ties with the one before
  kept: number[] | null = null; // rows that the filter keeps, from top to bottom; null for all
  readonly comparisons = new Map<number, Comparison>(); // those fetched so far, with the rater's present opinion
  private undone: Change[] = [];
  private done: Change[] = [];
  private readonly turn: number[]; // place of each row in the order in which they are to be rated

  constructor(
    states: string,
    readonly dimensions: Dimension[],
    columns = 2,
    private readonly order: number[] | null = null,
  ) {
    this.sides = LETTERS.slice(0, columns);
    this.states = [...states] as State[];
    this.turn = [];
    order?.forEach((row, place) => (this.turn[row] = place));
    this.focus = Math.max(0, this.nextUnrated(null) ?? 0);
  }

  get total(): number {
    return this.states.length;
  }

  count(...wanted: State[]): number {
    return this.states.filter((state) => wanted.includes(state)).length;
  }

  get rated(): number {
    return ratedIn(this.states);
  }

  get current(): Comparison | undefined {
    return this.comparisons.get(this.focus);
  }

  get opinion(): Opinion {
    return this.current?.opinion ?? NO_OPINION;
  }

  /** The answers of the open row; of the widest one while its text is on the way. */
  get places(): readonly Side[] {
    return this.current?.answers?.map(({ side }) => side) ?? this.sides;
  }

  /** Whether the open row is put in an order, as more than two answers are. */
  get ranks(): boolean {
    return this.places.length > 2;
  }

  /**
   * The row to rate after `row`, in the order of the queue and from its start again when there is none behind; null when
   * all that the filter keeps are rated, skipped or closed. From null: the first one.
   */
  nextUnrated(row: number | null): number | null {
    const start = row === null ? 0 : (this.order ? (this.turn[row] ?? -1) : row) + 1;
    const kept = this.kept && new Set(this.kept);
    for (let step = 0; step < this.total; step++) {
      const place = (start + step) % this.total;
      const at = this.order ? this.order[place]! : place;
      if ((this.states[at] === "." || this.states[at] === "o") && (!kept || kept.has(at))) return at;
    }
    return null;
  }

  go(row: number): void {
    this.focus = Math.min(Math.max(row, 0), this.total - 1);
    this.mark = { dimension: 0, side: "a" };
    this.tying = false;
  }

  /** The row `steps` further down among those that the filter keeps. */
  from(row: number, steps: number): number {
    if (!this.kept) return row + steps;
    const here = this.kept.findIndex((kept) => kept >= row); // the focused row may be one that the filter drops
    const place = here < 0 ? this.kept.length : here;
    const onOne = this.kept[place] === row || steps <= 0 ? place + steps : place + steps - 1;
    return this.kept[Math.min(Math.max(onOne, 0), this.kept.length - 1)] ?? row;
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
    this.states[row] = stateOf(opinion, comparison?.answers?.length ?? this.sides.length);
  }

  /**
   * Close and open rows as the kernel knew them a moment ago; whether any changed. What this rater has said stays: it may
   * be newer than that.
   */
  refresh(states: string): boolean {
    const before = this.states.join("");
    if (states.length !== before.length || states === before) return false;
    const others = (state: string | undefined) => state === "." || state === "x";
    this.states = this.states.map((state, row) => (others(state) && others(states[row]) ? (states[row] as State) : state));
    return this.states.join("") !== before;
  }

  /** The steps of before this page was opened, as the store has them. */
  recall({ done, undone }: Record<"done" | "undone", Step[]>): void {
    const change = ([row, before, after]: Step) => ({ row, before, after });
    [this.done, this.undone] = [done.map(change), undone.map(change)];
  }

  /** The row that undo or redo would change; null when there is none. */
  rowOf(step: "undo" | "redo"): number | null {
    return (step === "undo" ? this.done : this.undone).at(-1)?.row ?? null;
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
    this.tying = false;
    this.set(change.row, change[which]);
    return change.row;
  }

  /** Move the mark by whole cells: across the answers, down the dimensions. It stops at the edges. */
  moveMark(dimensions: number, sides: number): void {
    const within = (n: number, last: number) => Math.max(Math.min(n, last), 0);
    this.mark = {
      dimension: within(this.mark.dimension + dimensions, this.dimensions.length - 1),
      side: this.places[within(this.places.indexOf(this.mark.side) + sides, this.places.length - 1)]!,
    };
  }

  /** The next cell to score: A, then B and so on, then the next dimension. */
  advanceMark(): void {
    const side = this.places[this.places.indexOf(this.mark.side) + 1];
    if (side) this.mark = { ...this.mark, side };
    else if (this.mark.dimension < this.dimensions.length - 1)
      this.mark = { dimension: this.mark.dimension + 1, side: this.places[0]! };
  }
}

const OF_VERDICT = { a: "a", b: "b", tie: "t", both_bad: "n", skipped: "s" } as const;

export function stateOf(opinion: Opinion, answers: number): State {
  if (opinion.verdict) return OF_VERDICT[opinion.verdict];
  if (answers > 2 && Object.keys(opinion.ranking).length >= answers) return "r";
  return same(opinion, NO_OPINION) ? "." : "o";
}

/** How many of these are rated: a skip is none. */
export function ratedIn(states: Iterable<string>): number {
  return [...states].filter((state) => "atbnr".includes(state)).length;
}

/** Whether it needs nothing more: a verdict, a whole ranking, or a skip. */
export function isComplete(opinion: Opinion, answers: number): boolean {
  return ![".", "o"].includes(stateOf(opinion, answers));
}

/** The opinion with one score set, or taken away when `value` is null. */
export function withScore(opinion: Opinion, name: string, side: Side, value: number | null): Opinion {
  const { [name]: old, ...scores } = opinion.scores;
  const pair = { ...old };
  if (value === null) delete pair[side];
  else pair[side] = value;
  return { ...opinion, scores: Object.keys(pair).length ? { ...scores, [name]: pair } : scores };
}

/** The opinion with a verdict on the pair; a skip ends with it. */
export function withVerdict(opinion: Opinion, verdict: Opinion["verdict"]): Opinion {
  return { ...opinion, verdict, reason: null };
}

/**
 * The opinion with `side` at the place `rank`, or next in line (beside the last one if `tying`), or, where it has a place
 * already, without it. Once all have a place, the places are counted anew from 1 without a gap.
 */
export function withRank(opinion: Opinion, side: Side, sides: readonly Side[], rank?: number | null, tying = false): Opinion {
  const ranking = { ...opinion.ranking };
  const old = ranking[side];
  delete ranking[side];
  const taken = Object.values(ranking);
  const last = Math.max(0, ...taken);
  const free = last < sides.length ? last + 1 : sides.map((_, n) => n + 1).find((n) => !taken.includes(n))!;
  const place = rank === undefined ? (old ? null : tying && last ? last : free) : rank;
  const placed = place === null ? ranking : { ...ranking, [side]: place };
  const skipped = opinion.verdict === "skipped" ? { verdict: null, reason: null } : {};
  const whole = Object.keys(placed).length === sides.length;
  const closeUp = place === null && hasNoGap(opinion.ranking); // the others move up; gaps made by hand stay
  return { ...opinion, ...skipped, ranking: whole || closeUp ? dense(placed) : placed };
}

function hasNoGap(ranking: Opinion["ranking"]): boolean {
  const ranks = Object.values(ranking);
  return new Set(ranks).size === Math.max(0, ...ranks);
}

function dense(ranking: Opinion["ranking"]): Opinion["ranking"] {
  const ranks = Object.entries(ranking) as [string, number][];
  const steps = [...new Set(ranks.map(([, rank]) => rank))].sort((x, y) => x - y);
  return Object.fromEntries(ranks.map(([side, rank]) => [side, steps.indexOf(rank) + 1]));
}

export function withTag(opinion: Opinion, tag: string, there: boolean): Opinion {
  const clean = tag.trim().replace(/\s+/g, " ");
  const others = opinion.tags.filter((known) => known !== clean);
  return !clean || (there && others.length < opinion.tags.length) ? opinion : { ...opinion, tags: there ? [...others, clean] : others };
}

function onlyNote(x: Opinion, y: Opinion): boolean {
  return x.note !== y.note && same({ ...x, note: "" }, { ...y, note: "" });
}

export function same(x: Opinion, y: Opinion): boolean {
  const names = new Set([...Object.keys(x.scores), ...Object.keys(y.scores)]);
  const scores = [...names].every((name) => LETTERS.every((s) => x.scores[name]?.[s] === y.scores[name]?.[s]));
  const ranks = LETTERS.every((side) => x.ranking[side] === y.ranking[side]);
  const tags = x.tags.length === y.tags.length && x.tags.every((tag, n) => tag === y.tags[n]);
  const plain = x.verdict === y.verdict && x.note === y.note && x.flag === y.flag && (x.reason ?? "") === (y.reason ?? "");
  return scores && ranks && tags && plain;
}
