// What judges said of comparisons that have a vote: fetched when it is to be shown, forgotten when the vote is taken back.

import type { Comparison, JudgeVerdict, Saved } from "./protocol";

export class Judging {
  private readonly seen = new Map<number, JudgeVerdict[]>(); // by row
  private readonly asking = new Set<number>();
  newest: number | null = null; // the row voted on last, when there is a judge's verdict on it

  constructor(
    private readonly ask: (id: string) => Promise<{ judges: JudgeVerdict[] }>,
    private readonly arrived: (row: number) => void,
    private readonly failed: (error: unknown) => void,
  ) {}

  /** undefined while the kernel is being asked. */
  of({ row, id }: Comparison): JudgeVerdict[] | undefined {
    if (!this.seen.has(row) && !this.asking.has(row)) void this.fetch(row, id);
    return this.seen.get(row);
  }

  saved({ row, judged }: Saved): void {
    if (!judged) this.seen.delete(row);
    this.newest = judged ? row : this.newest === row ? null : this.newest;
  }

  private async fetch(row: number, id: string): Promise<void> {
    this.asking.add(row);
    try {
      const { judges } = await this.ask(id);
      this.seen.set(row, judges);
      this.asking.delete(row);
      this.arrived(row);
    } catch (error) {
      this.asking.delete(row);
      this.failed(error);
    }
  }
}
