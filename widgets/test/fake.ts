// A kernel made of a few lines, and what jsdom lacks. It keeps every message, so that a test can look at the votes.

import { vi } from "vitest";
import type { Comparison, JudgeVerdict, Model, Opinion, Saved, Vote } from "../src/protocol";
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
  asked: string[] = []; // kinds of questions
  alive = true;
  refuse = "";
  private handlers: ((message: any) => void)[] = [];
  private held: any[] = [];

  constructor(
    readonly total: number,
    readonly answers: { a: string; b: string } = { a: "left", b: "right" },
  ) {}

  get(): unknown {
    return {}; // without labels their keys are shown
  }

  on(_event: string, handler: (message: any) => void): void {
    this.handlers.push(handler);
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

  state(row: number) {
    return stateOf(this.opinions.get(row) ?? NO_OPINION);
  }

  private reply(message: any): object {
    this.asked.push(message.kind);
    if (message.kind === "hello") {
      const states = Array.from({ length: this.total }, (_, row) => this.state(row)).join("");
      const anchors = { 1: "bad", 3: "so so", 5: "good" };
      const dimensions = ["honesty", "safety"].map((name) => ({ name, label: name, anchors }));
      const filter = { text: "", rows: null, error: null };
      return { grid: "g1", columns: 2, states, order: null, dimensions, tags: [], filterable: {}, filter, project: null, revealed: false };
    }
    if (message.kind === "rows") {
      const preview = (row: number) => ({ prompt: `prompt ${row}`, task: "qa", answers: [this.answers.a, this.answers.b], flag: false });
      return { rows: Array.from({ length: message.to - message.from }, (_, n) => preview(message.from + n)) };
    }
    if (message.kind === "row") return this.comparison(message.row);
    if (message.kind === "judge") return { judges: this.opinions.get(Number(message.id.slice(1)))?.verdict ? this.judges : [] };
    return this.vote(message);
  }

  private comparison(row: number): Comparison {
    const prompt = [{ role: "user", content: `prompt ${row}` }];
    const opinion = this.opinions.get(row) ?? NO_OPINION;
    const answers = (["a", "b"] as const).map((side) => ({ side, text: this.answers[side], cut: false }));
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
    return { row, state: stateOf(vote.opinion), opinion: vote.opinion, rating: this.votes.length, judged: this.judged(vote.opinion), stale: false, next: null };
  }
}

/** Let messages and promises through. */
export async function settle(ms = 0): Promise<void> {
  for (let n = 0; n < 5; n++) await Promise.resolve();
  await vi.advanceTimersByTimeAsync(ms);
}
