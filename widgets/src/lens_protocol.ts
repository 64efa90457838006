// What the lens's page asks and what sftkit/widgets/token_lens.py answers. Rows are numbered from 0 as the trainer takes
// them; `source` and `row` (from 1) say where one stands in the data.

export type Split = "train" | "eval";
export type State = "t" | "m" | "u" | "c"; // trained, masked, unused (follows the last trained token), cut by max_len

export interface Setup {
  split: Split;
  number: number;
  rows: Partial<Record<Split, number>>;
  sources: Record<Split, string[]>;
  packing: boolean;
  max_len: number;
  losses: { shown: boolean; measured: boolean; rows: number }; // rows: how many are measured at a time
  run: string;
}

/** Sent unasked: `lens.go` was called. */
export interface Go {
  kind: "go";
  split: Split;
  number: number;
}

export interface View {
  texts: string[];
  pieces: string[]; // as the vocabulary spells the token
  ids: number[];
  starts: number[];
  ends: number[];
  states: string; // a State a token
  special: boolean[];
  counts: { tokens: number; trained: number; unused: number; cut: number; dropped_turns: number };
  truncated: boolean;
  left_out: boolean;
  hidden: number; // tokens that were too many to send
}

export interface Row {
  number: number;
  source: string;
  row: number;
  task: string;
  view?: View;
  fault?: string;
}

export interface Hit {
  number: number;
  source: string;
  row: number;
  before: string;
  match: string;
  after: string;
}

export interface Measured {
  measured: number;
  total: number;
}

export interface Step {
  step: number;
  steps: number;
  per_epoch: number;
  of: number[]; // the steps of the row asked for, one an epoch
  layout: number[][][][]; // rank, micro-batch, sequence, row number
  rows: Record<string, [source: string, row: number, tokens: number, loss: number | null]>; // loss: when it was trained
}

export type Loss = "first_loss" | "last_loss" | "change" | "base_loss" | "tuned_loss" | "gain";

export interface Worst {
  by: Loss;
  columns: Loss[];
  of: number;
  rows: ({ source: string; row: number; tokens: number; number: number | null } & Partial<Record<Loss, number | null>>)[];
}

export interface Scoring {
  scoring: { done: boolean; share: number; error: string } | null;
}

export type Ask =
  | { kind: "hello" }
  | { kind: "row"; split: Split; number: number; look?: boolean }
  | { kind: "find"; split: Split; source: string; row: number }
  | { kind: "search"; split: Split; text: string; from: number }
  | { kind: "step"; step?: number; number?: number }
  | { kind: "measure" }
  | { kind: "worst"; by?: Loss; limit?: number }
  | { kind: "stale" }
  | { kind: "score" }
  | { kind: "stop" }
  | { kind: "scoring" };

export type Asker = <Reply>(question: Ask) => Promise<Reply>;
