// How far all raters of a project are: asked for every few seconds, one question at a time, and only in sight of somebody.

import type { Progress } from "./protocol";

const EVERY_MS = 4000;
const PATIENCE_MS = 60_000; // after which an answer is taken for lost, with the kernel that owed it

export interface Told {
  all: Progress | null;
  states: string;
}

export class Team {
  private readonly timer: number;
  private asked = 0; // when the answer that is awaited was asked for, ms; 0 for none

  constructor(
    private readonly inSight: () => boolean,
    private readonly ask: () => Promise<Told>,
    private readonly told: (progress: Told) => void,
  ) {
    this.timer = setInterval(() => void this.look(), EVERY_MS) as unknown as number;
    void this.look();
  }

  close(): void {
    clearInterval(this.timer);
  }

  private async look(): Promise<void> {
    if (Date.now() - this.asked < PATIENCE_MS || document.hidden || !this.inSight()) return;
    this.asked = Date.now();
    try {
      this.told(await this.ask());
    } catch {
      /* a vote or the next row says what is wrong; the next look may go well */
    } finally {
      this.asked = 0;
    }
  }
}
