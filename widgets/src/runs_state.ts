// What the table of runs shows: rows as the kernel told them, filtered, sorted, selected. Knows nothing of the page.

import type { Label } from "./dom";

export interface Row {
  id: string;
  state: string;
  step: number;
  total_steps: number;
  loss: number | null;
  eval_loss: number | null;
  created: number; // unix seconds
  seconds: number | null;
  model: string;
  dataset: string;
  size: number | null; // bytes; null: not measured yet
  checkpoints: number;
  why: string; // of a failure, in a few words
  reason: string;
}

/** A frame: rows that are new or have changed, ids that are gone; `all`: these are all there are. */
export interface Frame {
  rows: Row[];
  gone: string[];
  all: boolean;
}

export const COLUMNS = ["state", "id", "model", "dataset", "step", "loss", "eval_loss", "seconds", "size", "checkpoints"] as const;
export type Column = (typeof COLUMNS)[number];
export const STATES = ["running", "starting", "stopping", "queued", "failed", "stopped", "finished"] as const;
export const ENDED = new Set(["stopped", "finished", "failed"]);
export type Action = "compare" | "open" | "stop" | "resume" | "duplicate" | "delete";

export class Runs {
  readonly rows = new Map<string, Row>();
  readonly selected = new Set<string>();
  sort: { column: Column; down: boolean } = { column: "id", down: true }; // newest first
  private words: string[] = [];
  private state = ""; // "": all, "active": not ended

  /** Take a frame in; the ids of the rows that are not as before. */
  take(frame: Frame): Set<string> {
    const changed = new Set([...frame.rows.map((row) => row.id), ...frame.gone]);
    const gone = frame.all ? [...this.rows.keys()].filter((id) => !changed.has(id)) : frame.gone;
    for (const id of gone) this.rows.delete(id), changed.add(id);
    for (const row of frame.rows) this.rows.set(row.id, row);
    this.keepShownSelected();
    return changed;
  }

  filter(text: string, state: string): void {
    this.words = text.toLowerCase().split(/\s+/).filter(Boolean);
    this.state = state;
    this.keepShownSelected();
  }

  /** Ids of the rows that pass the filter, in order. */
  get shown(): string[] {
    const rows = [...this.rows.values()].filter((row) => this.passes(row));
    const { column, down } = this.sort;
    const newer = (a: Row, b: Row) => b.created - a.created || b.id.localeCompare(a.id, undefined, { numeric: true });
    return rows.sort((a, b) => compare(a, b, column, down) || newer(a, b)).map((row) => row.id);
  }

  passes(row: Row): boolean {
    if (this.state === "active" ? ENDED.has(row.state) : this.state && row.state !== this.state) return false;
    const text = [row.id, row.model, row.dataset, row.state, row.why].join("\n").toLowerCase();
    return this.words.every((word) => text.includes(word));
  }

  sortBy(column: Column): void {
    const same = this.sort.column === column;
    this.sort = { column, down: same ? !this.sort.down : column === "id" };
  }

  select(ids: Iterable<string>, on: boolean): void {
    for (const id of ids) on ? this.selected.add(id) : this.selected.delete(id);
  }

  /** The selected rows that an action makes sense for: buttons are off where there are none, or too many. */
  able(action: Action): Row[] {
    const rows = [...this.selected].flatMap((id) => this.rows.get(id) ?? []);
    if (action === "compare") return rows;
    if (action === "open" || action === "duplicate") return rows.length === 1 ? rows : [];
    if (action === "stop") return rows.filter((row) => !ENDED.has(row.state) && row.state !== "stopping");
    if (action === "resume") return rows.filter((row) => ["stopped", "failed"].includes(row.state) && row.checkpoints > 0);
    return rows.filter((row) => ENDED.has(row.state) || row.state === "queued");
  }

  /** What is out of sight is not selected: nobody deletes what a filter hides. */
  private keepShownSelected(): void {
    for (const id of this.selected) {
      const row = this.rows.get(id);
      if (!row || !this.passes(row)) this.selected.delete(id);
    }
  }
}

function compare(a: Row, b: Row, column: Column, down: boolean): number {
  const [x, y] = [sortKey(a, column), sortKey(b, column)];
  if (x === null || y === null) return x === y ? 0 : x === null ? 1 : -1; // what is not known stands last, either way
  const order = typeof x === "string" ? x.localeCompare(String(y), undefined, { numeric: true }) : x - Number(y);
  return down ? -order : order;
}

function sortKey(row: Row, column: Column): string | number | null {
  if (column === "state") return (STATES as readonly string[]).indexOf(row.state);
  if (column === "id") return row.created;
  return row[column];
}

/** What a cell says. */
export function words(row: Row, column: Column, label: Label): string {
  switch (column) {
    case "state":
      return label(`runs.state.${row.state}`);
    case "model":
    case "dataset":
      return row[column].split(/[\\/]/).filter(Boolean).pop() ?? "";
    case "step":
      return `${row.step.toLocaleString("en")} / ${row.total_steps ? row.total_steps.toLocaleString("en") : "?"}`;
    case "loss":
    case "eval_loss":
      return row[column] === null ? "" : row[column].toFixed(4);
    case "seconds":
      return row.seconds === null ? "" : duration(row.seconds, label);
    case "size":
      return row.size === null ? "…" : bytes(row.size);
    case "checkpoints":
      return row.checkpoints ? String(row.checkpoints) : "";
    default:
      return row[column];
  }
}

export function duration(seconds: number, label: Label): string {
  if (seconds < 60) return label("monitor.seconds", { n: Math.ceil(seconds) });
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return label("monitor.minutes", { n: minutes });
  if (minutes < 48 * 60) return label("monitor.hours", { h: Math.floor(minutes / 60), m: minutes % 60 });
  return label("monitor.days", { d: Math.floor(minutes / 1440), h: Math.floor((minutes % 1440) / 60) });
}

export function bytes(count: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (count >= 1000 && unit < units.length - 1) (count /= 1000), unit++;
  return `${unit && count < 10 ? count.toFixed(1) : Math.round(count)} ${units[unit]}`;
}
