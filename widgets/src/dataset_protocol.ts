// What the page of a data set asks and what sftkit/widgets/dataset_view.py answers. Rows are numbered from 0 through all
// sources; `source` and `row` (from 1) say where one stands in its file.

export interface Counts {
  edited: number; // rows of which a cell is changed
  excluded: number;
  undo: number; // actions of this view that can be taken back
  behind: boolean; // the figures are of before the last change
}

export interface Setup extends Counts {
  rows: number;
  sources: string[];
  faults: string[]; // why the columns of a source cannot be told
}

export interface Finding {
  key: string;
  name: string;
  text: string; // what it means
  count: number;
  share: number;
  level: string; // "stop", "warn" or "inform"
}

export interface Bars {
  name: string;
  bins: { key: string; from: number; to: number; count: number }[];
  limit: number | null; // max_len, where the figures are tokens of whole rows
}

export interface Share {
  key: string;
  name: string;
  count: number;
}

export interface Figures {
  rows: number;
  facts: { name: string; value: string }[];
  findings: Finding[];
  fates: Share[]; // trained, cut, filtered; none without a tokenizer
  lengths: Bars[];
  unit: string; // "tokens" or "characters"
  tables: { name: string; about: string; shares: Share[] }[];
  columns: string[]; // that rows can be sorted by
}

export interface Figured {
  figures: Figures | null;
  progress: { done: number; total: number } | null;
  failed: string;
  behind: boolean;
}

export interface Found {
  look: number;
  count: number;
  scanned: number;
  total: number;
}

export interface Preview {
  number: number;
  source: number;
  row: number;
  excluded: boolean;
  edited: boolean;
  prompt: string;
  answer: string;
  task: string;
  turns: number;
  fault?: string;
  language?: string;
  length?: number; // prompt and answer together, in the figures' unit
}

export interface Cell {
  way: (string | number)[];
  name: string;
  role: string;
  text: string;
  was?: string;
  fixed: boolean;
}

export interface Whole {
  source: string;
  row: number;
  preview: Preview;
  marks: string[]; // names of what was found about it
  cells: Cell[];
  fault?: string;
}

export interface Change {
  id: string;
  op: "edit" | "exclude";
  source: string;
  row: number;
  number: number | null; // null: its row is not there any more
  field: string;
  before?: string;
  after?: string;
  reason: string;
  by: string;
  at: string;
  state: "applied" | "moved" | "lost";
}

export interface Changes {
  changes: Change[];
  count: number;
  reverted: number;
  files: string[];
  broken: string[];
}

export type Sort = "row" | "task" | "language" | "turns" | "length";

export interface Wish {
  only: string; // the key of a figure; "": all rows
  text: string;
  sort: Sort;
  down: boolean;
}

/** Rows of a list that the kernel gave, by their places in it; null: all of them. */
export interface Places {
  look: number;
  places: number[] | null;
}

export type Ask =
  | { kind: "hello" | "measure" | "figures" | "undo" | "changes" }
  | ({ kind: "look" } & Wish)
  | { kind: "more"; look: number }
  | { kind: "rows"; look: number; from: number; to: number }
  | { kind: "row"; number: number }
  | ({ kind: "select" } & Places)
  | { kind: "edit"; number: number; way: (string | number)[]; text: string }
  | ({ kind: "exclude"; back?: boolean; reason?: string } & (Places | { numbers: number[] }))
  | { kind: "revert"; source: string; id: string };

export type Asker = <Reply>(question: Ask) => Promise<Reply>;
