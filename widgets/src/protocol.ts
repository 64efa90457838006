// What the page and the kernel say to each other. Answers are known here by the letters of their places alone, "a" to
// "f" from left to right: which model stands where is known to the kernel until the rater has it revealed.

import { Questions, type Model } from "./kernel";

export { Unreachable, type Model } from "./kernel";

export type Side = "a" | "b" | "c" | "d" | "e" | "f";
export const LETTERS: readonly Side[] = ["a", "b", "c", "d", "e", "f"];
export type Verdict = "a" | "tie" | "b" | "both_bad" | "skipped";

/** All that a rater says about one comparison; nothing said at all is an empty opinion. */
export interface Opinion {
  verdict: Verdict | null; // of a pair; "skipped" of any
  ranking: Partial<Record<Side, number>>; // of more than two: 1 is best, equal numbers are ties; a vote once all have one
  scores: Record<string, Partial<Record<Side, number>>>;
  note: string;
  tags: string[];
  flag: boolean;
  reason: string | null; // of a skip
}

export const NO_OPINION: Opinion = { verdict: null, ranking: {}, scores: {}, note: "", tags: [], flag: false, reason: null };

export interface Dimension {
  name: string;
  label: string;
  anchors: Record<string, string>;
}

/**
 * One state a comparison, as a character: "." nothing said, "o" begun without a verdict, "a", "b" and "t" the verdict, "n"
 * both bad, "r" ranked, "s" skipped, "x" closed: others are rating it, or have rated it often enough.
 */
export type State = "." | "o" | "a" | "t" | "b" | "n" | "r" | "s" | "x";

export interface Setup {
  grid: string; // the same for the same store, rater, answers and seed: names what is kept in the browser
  columns: number; // answers side by side, 2 to 6
  states: string; // one State a comparison
  order: number[] | null; // rows in the order in which they are to be rated; null for top to bottom
  dimensions: Dimension[];
  tags: string[]; // suggested: those given before
  filterable: Record<string, string[]>; // columns that a filter may name, with the values to choose from
  filter: Filtered;
  project: { name: string; overlap: number } | null;
  judges: boolean; // what judges said may be looked at, after a vote
  instructions: string; // Markdown of whoever made the project; "" for none
  steps: Record<"done" | "undone", Step[]>; // what can be undone and done again, the next one last
  revealed: boolean; // the models' names may be shown
}

/** A change of one row's opinion: before and after. */
export type Step = [row: number, before: Opinion, after: Opinion];

/** What was said of a row before. */
export interface Earlier {
  rater: string; // "" for the one who rates here
  when: string; // ISO 8601, UTC
  opinion: Opinion;
  undo: boolean; // it took something back
}

export interface Preview {
  prompt: string;
  task: string;
  answers: string[]; // left to right
  flag: boolean;
}

export interface Answer {
  side: Side;
  text: string;
  cut: boolean; // ended at the token limit
}

export interface Comparison {
  row: number;
  id: string; // outlives a restart of the kernel, unlike the row
  prompt: { role: string; content: string }[];
  task: string;
  reference: string;
  answers: Answer[]; // left to right
  names: Partial<Record<Side, string>> | null; // the models', once they were revealed
  opinion: Opinion;
  rating: number; // id of the newest rating in the store, 0 for none
  judged: number; // judges whose verdict may be looked at: none before there is a vote
  closed: string | null; // why it cannot be rated now
}

/** What a filter keeps; `rows` is null where there is no filter. */
export interface Filtered {
  text: string;
  rows: number[] | null;
  fault: string | null; // what is wrong with the text; the filter before it stays
}

/** One call of a judge, in the page's sides. */
export interface JudgeOrder {
  first: Side | null; // which answer stood first; null where each was judged alone
  verdict: Side | "tie" | "unscored";
  reason: string; // why there is no verdict
  scores: Record<string, Partial<Record<Side, { score: number; quote: string }>>>;
  why: Partial<Record<Side, string>>; // of a rule that is no model
  flags: Partial<Record<Side, string[]>>; // words of the answer that speak to the judge
  labels: Record<string, Side>; // the names that the answers bore
  reasoning: string;
  request: { role: string; content: string }[] | null; // null: it cannot be rebuilt
  reply: string | null;
  facts: { tokens_in: number | null; tokens_out: number | null; price: number | null; served_by: string | null };
}

export interface JudgeVerdict {
  rater: string;
  sides: [Side, Side]; // the answers that it compared
  verdict: Side | "tie" | "inconsistent" | "unscored";
  orders: JudgeOrder[];
}

export interface Saved {
  row: number;
  state: State;
  opinion: Opinion;
  rating: number;
  judged: number;
  stale: boolean; // the store held a newer opinion; it was kept and is the one given here
  next: number | null; // the row to rate next, which is this rater's until it is rated; null when there is none
}

export interface Vote {
  id: string;
  opinion: Opinion;
  seconds: number;
  key: string; // unique, so that a vote can be sent again without being counted twice
  base: number; // id of the rating that the page knew
  restored: boolean; // kept in the browser since before a reload or restart
  next: boolean; // the rater waits for the next row
  step: "undo" | "redo" | null; // how it came about, where it is no new opinion
}

/** How far all raters of a project are. */
export interface Progress {
  votes: number; // beyond the overlap they do not count
  needed: number;
  raters: { rater: string; votes: number; leased: number; seconds: number | null }[]; // seconds: the median of a vote
}

export type Request =
  | { kind: "hello" | "progress" | "reveal" }
  | { kind: "rows"; from: number; to: number }
  | { kind: "row" | "hold" | "next"; row: number }
  | { kind: "judge" | "history"; id: string }
  | { kind: "filter"; text: string }
  | { kind: "part"; name: string }
  | ({ kind: "vote" } & Vote);

/** What the kernel tells unasked: a vote that another view cast, or what Python's `grid.filter` and `grid.reveal` did. */
export interface News {
  saved(saved: Saved): void;
  filtered(filter: Filtered): void;
  revealed(): void;
  pictured(picture: Record<string, string>): void; // the saved picture anew, by MIME type
  gone(): void; // the kernel was restarted
  back(): void;
}

/** What the grid asks, each with its answer. */
export class Kernel {
  private readonly questions: Questions<Request>;

  constructor(model: Model, news: News) {
    const tell = (message: object) => {
      if ("state" in message) news.saved(message as Saved);
      else if ("filter" in message) news.filtered(message.filter as Filtered);
      else if ("revealed" in message) news.revealed();
      else if ("picture" in message) news.pictured(message.picture as Record<string, string>);
    };
    this.questions = new Questions(model, tell, news.gone, news.back);
  }

  ask(request: { kind: "hello" }): Promise<Setup>;
  ask(request: { kind: "rows"; from: number; to: number }): Promise<{ rows: Preview[] }>;
  ask(request: { kind: "row"; row: number }): Promise<Comparison>;
  ask(request: { kind: "next"; row: number }): Promise<{ row: number | null }>; // -1: from the start
  ask(request: { kind: "hold"; row: number }): Promise<{ closed: string | null }>;
  ask(request: { kind: "judge"; id: string }): Promise<{ judges: JudgeVerdict[] }>;
  ask(request: { kind: "history"; id: string }): Promise<{ earlier: Earlier[] }>;
  ask(request: { kind: "filter"; text: string }): Promise<Filtered>;
  ask(request: { kind: "progress" }): Promise<{ all: Progress | null; states: string }>;
  ask(request: { kind: "reveal" }): Promise<object>;
  ask(request: { kind: "part"; name: string }): Promise<{ source: string }>;
  ask(request: { kind: "vote" } & Vote): Promise<Saved>;
  ask(request: Request): Promise<unknown> {
    return this.questions.ask(request, request.kind !== "vote" && request.kind !== "progress"); // those have their own way
  }

  close(): void {
    this.questions.close();
  }
}
