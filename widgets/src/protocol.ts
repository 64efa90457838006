// What the page and the kernel say to each other. Answers are known here as "a" (left) and "b" (right) only: which
// model stands where is known to the kernel alone.

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
}

export interface Saved {
  row: number;
  state: State;
  opinion: Opinion;
  rating: number;
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
  | ({ kind: "vote" } & Vote);

/** The part of anywidget's model that is used here. */
export interface Model {
  get(name: string): unknown;
  send(content: unknown): void;
  on(event: string, handler: (message: any) => void): void;
  off(event: string, handler: (message: any) => void): void;
}

/** No kernel is behind this view any more. */
export class Unreachable extends Error {}

/** Questions to the kernel, each answered by one message that carries its number. */
export class Kernel {
  private readonly name = Math.random().toString(36).slice(2); // of this view: another one may show the same widget
  private readonly waiting = new Map<string, { done: (reply: any) => void; failed: (error: Error) => void }>();
  private count = 0;

  constructor(
    private readonly model: Model,
    private readonly savedElsewhere: (saved: Saved) => void,
  ) {
    model.on("msg:custom", this.receive);
  }

  ask(request: { kind: "hello" }): Promise<Setup>;
  ask(request: { kind: "rows"; from: number; to: number }): Promise<{ rows: Preview[] }>;
  ask(request: { kind: "row"; row: number }): Promise<Comparison>;
  ask(request: { kind: "vote" } & Vote): Promise<Saved>;
  ask(request: Request): Promise<unknown> {
    const ask = `${this.name}:${++this.count}`;
    return new Promise((done, failed) => {
      this.waiting.set(ask, { done, failed });
      try {
        this.model.send({ ...request, ask });
      } catch {
        failed(new Unreachable()); // after a restart of the kernel
      }
    });
  }

  close(): void {
    this.model.off("msg:custom", this.receive);
    this.waiting.clear();
  }

  private readonly receive = (message: { ask?: string; error?: string }): void => {
    const question = this.waiting.get(message.ask ?? "");
    if (!question) {
      if ("state" in message) this.savedElsewhere(message as unknown as Saved);
      return;
    }
    this.waiting.delete(message.ask ?? "");
    if (message.error === undefined) question.done(message);
    else question.failed(new Error(message.error));
  };
}
