// A kernel made of a few lines, and what jsdom lacks. It keeps every message, so that a test can look at the votes.

import { vi } from "vitest";
import type { Comparison, Earlier, Filtered, JudgeVerdict, Model, Opinion, Saved, Side, Step, Vote } from "../src/protocol";
import { NO_OPINION } from "../src/protocol";
import { stateOf } from "../src/state";

export function browserParts(): void {
  vi.stubGlobal("ResizeObserver", class { observe() {} unobserve() {} disconnect() {} });
  if (typeof Element !== "undefined") {
    Element.prototype.scrollIntoView = () => {};
    Element.prototype.scrollBy = () => {};
  }
  // this Node's own localStorage hides jsdom's
  const kept = new Map<string, string>();
  vi.stubGlobal("localStorage", {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
    removeItem: (key: string) => void kept.delete(key),
    get length() {
      return kept.size;
    },
  });
}

export class FakeKernel implements Model {
  votes: Vote[] = [];
  opinions = new Map<number, Opinion>();
  judges: JudgeVerdict[] = []; // what judges said, of any row
  mayAskJudges = true;
  asked: string[] = []; // kinds of questions
  alive = true;
  refuse = "";
  instructions = "";
  steps: Record<"done" | "undone", Step[]> = { done: [], undone: [] };
  earlier: Earlier[] = [];
  project = false;
  dimensions = ["honesty", "safety"];
  closed = new Set<number>(); // rows that others have
  filter: Filtered = { text: "", rows: null, fault: null };
  private handlers: ((message: any) => void)[] = [];
  private cuts: (() => void)[] = [];
  private held: any[] = [];

  constructor(
    readonly total: number,
    readonly answers: Partial<Record<Side, string>> = { a: "left", b: "right" },
  ) {}

  get(): unknown {
    return {}; // without labels their keys are shown
  }

  on(event: string, handler: (message: any) => void): void {
    if (event === "msg:custom") this.handlers.push(handler);
    else if (event === "comm_live_update") this.cuts.push(handler as () => void);
  }

  off(_event: string, handler: (message: any) => void): void {
    this.handlers = this.handlers.filter((known) => known !== handler);
  }

  send(message: any): void {
    if (!this.alive) return void this.held.push(message);
    const reply = this.refuse && message.kind === "vote" ? { error: this.refuse } : this.reply(message);
    queueMicrotask(() => this.handlers.forEach((handler) => handler({ ask: message.ask, ...reply })));
  }

  /** A busy kernel answers at last. */
  wake(): void {
    this.alive = true;
    for (const message of this.held.splice(0)) this.send(message);
  }

  /** JupyterLab cuts its widgets off when the kernel restarts: nothing is answered any more. */
  restart(): void {
    this.alive = false;
    this.cuts.forEach((cut) => cut());
  }

  /** A message that answers no question. */
  tell(message: object): void {
    this.handlers.forEach((handler) => handler(message));
  }

  state(row: number) {
    return this.closed.has(row) ? "x" : stateOf(this.opinions.get(row) ?? NO_OPINION, this.sides.length);
  }

  private get sides(): Side[] {
    return Object.keys(this.answers) as Side[];
  }

  private get states(): string {
    return Array.from({ length: this.total }, (_, row) => this.state(row)).join("");
  }

  private next(after: number): number | null {
    const rows = Array.from({ length: this.total }, (_, n) => (after + 1 + n) % this.total);
    return rows.find((row) => ".o".includes(this.state(row))) ?? null;
  }

  private reply(message: any): object {
    this.asked.push(message.kind);
    switch (message.kind) {
      case "hello":
        return this.hello();
      case "rows": {
        const preview = (row: number) => ({ prompt: `prompt ${row}`, task: "qa", answers: Object.values(this.answers), flag: false });
        return { rows: Array.from({ length: message.to - message.from }, (_, n) => preview(message.from + n)) };
      }
      case "row":
        return this.comparison(message.row);
      case "next":
        return { row: this.next(message.row) };
      case "hold":
        return { closed: this.closed.has(message.row) ? "others have it" : null };
      case "filter":
        return (this.filter = message.text === "?" ? { ...this.filter, text: "?", fault: "what is ?" } : { text: message.text, rows: message.text ? [1, 3] : null, fault: null });
      case "progress":
        return { states: this.states, all: { votes: 3, needed: 8, raters: [{ rater: "bo", votes: 2, leased: 1, seconds: 4 }] } };
      case "reveal":
        queueMicrotask(() => this.tell({ revealed: true }));
        return {};
      case "history":
        return { earlier: this.earlier };
      case "judge":
        return { judges: this.opinions.get(Number(message.id.slice(1)))?.verdict ? this.judges : [] };
    }
    return this.vote(message);
  }

  private hello(): object {
    const anchors = { 1: "bad", 3: "so so", 5: "good" };
    const dimensions = this.dimensions.map((name) => ({ name, label: name, anchors }));
    const project = this.project ? { name: "pilot", overlap: 1 } : null;
    return { grid: "g1", columns: this.sides.length, states: this.states, order: null, dimensions, tags: ["too long"], filterable: { task: ["qa", "math"] }, filter: this.filter, project, judges: this.mayAskJudges, instructions: this.instructions, steps: this.steps, revealed: false };
  }

  private comparison(row: number): Comparison {
    const prompt = [{ role: "user", content: `prompt ${row}` }];
    const opinion = this.opinions.get(row) ?? NO_OPINION;
    const answers = this.sides.map((side) => ({ side, text: this.answers[side]!, cut: false }));
    const said = { opinion, rating: 0, judged: this.judged(opinion) };
    return { row, id: `c${row}`, prompt, task: "qa", reference: "ref", answers, names: null, closed: null, ...said };
  }

  private judged(opinion: Opinion): number {
    return opinion.verdict ? this.judges.length : 0;
  }

  private vote(vote: Vote): Saved {
    if (!this.votes.some(({ key }) => key === vote.key)) this.votes.push(vote);
    const row = Number(vote.id.slice(1));
    this.opinions.set(row, vote.opinion);
    return { row, state: this.state(row), opinion: vote.opinion, rating: this.votes.length, judged: this.judged(vote.opinion), stale: false, next: vote.next ? this.next(row) : null };
  }
}

/** Let messages and promises through. */
export async function settle(ms = 0): Promise<void> {
  for (let n = 0; n < 5; n++) await Promise.resolve();
  await vi.advanceTimersByTimeAsync(ms);
}
