// What the page and the kernel say to each other. Answers are known here as "a" (left) and "b" (right) only: which
// model stands where is known to the kernel alone.

import { Questions, type Model } from "./kernel";

export { Unreachable, type Model } from "./kernel";

export type Side = "a" | "b";
export type Verdict = Side | "tie";
export const SIDES: readonly Side[] = ["a", "b"];

/** All that a rater says about one comparison; nothing said at all is an empty opinion. */
export interface Opinion {
  verdict: Verdict | null;
  scores: Record<string, Partial<Record<Side, number>>>;
  note: string;
}

export const NO_OPINION: Opinion = { verdict: null, scores: {}, note: "" };

export interface Dimension {
  name: string;
  label: string;
  anchors: Record<string, string>;
}

/** One state a comparison, as a character: "." unrated, "o" begun without a verdict, else the verdict. */
export type State = "." | "o" | "a" | "t" | "b";

export interface Setup {
  grid: string; // the same for the same store, rater, answers and seed: names what is kept in the browser
  states: string; // one State a comparison
  dimensions: Dimension[];
}

export interface Preview {
  prompt: string;
  task: string;
  a: string;
  b: string;
}

export interface Comparison {
  row: number;
  id: string; // outlives a restart of the kernel, unlike the row
  prompt: { role: string; content: string }[];
  task: string;
  reference: string;
  a: string;
  b: string;
  cut: Side[]; // answers that ended at the token limit
  opinion: Opinion;
  rating: number; // id of the newest rating in the store, 0 for none
  judged: number; // judges whose verdict may be looked at: none before there is a vote
}

/** One call of a judge, in the page's sides. */
export interface JudgeOrder {
  first: Side | null; // which answer stood first; null where each was judged alone
  verdict: Verdict | "unscored";
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
  verdict: Verdict | "inconsistent" | "unscored";
  orders: JudgeOrder[];
}

export interface Saved {
  row: number;
  state: State;
  opinion: Opinion;
  rating: number;
  judged: number;
  stale: boolean; // the store held a newer opinion; it was kept and is the one given here
}

export interface Vote {
  id: string;
  opinion: Opinion;
  seconds: number;
  key: string; // unique, so that a vote can be sent again without being counted twice
  base: number; // id of the rating that the page knew
  restored: boolean; // kept in the browser since before a reload or restart
}

export type Request =
  | { kind: "hello" }
  | { kind: "rows"; from: number; to: number }
  | { kind: "row"; row: number }
  | { kind: "judge"; id: string }
  | ({ kind: "vote" } & Vote);

/** What the grid asks, each with its answer; a vote that another view cast is told unasked. */
export class Kernel {
  private readonly questions: Questions<Request>;

  constructor(model: Model, savedElsewhere: (saved: Saved) => void) {
    this.questions = new Questions(model, (message) => "state" in message && savedElsewhere(message as Saved));
  }

  ask(request: { kind: "hello" }): Promise<Setup>;
  ask(request: { kind: "rows"; from: number; to: number }): Promise<{ rows: Preview[] }>;
  ask(request: { kind: "row"; row: number }): Promise<Comparison>;
  ask(request: { kind: "judge"; id: string }): Promise<{ judges: JudgeVerdict[] }>;
  ask(request: { kind: "vote" } & Vote): Promise<Saved>;
  ask(request: Request): Promise<unknown> {
    return this.questions.ask(request);
  }

  close(): void {
    this.questions.close();
  }
}
