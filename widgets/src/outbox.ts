// Votes on their way to the store. Each is kept in the browser until the kernel says that it is on disk, so that a busy
// or dead kernel, a closed lid or a reloaded page loses none; what is left is sent again when a kernel answers.

import type { Opinion, Saved, Vote } from "./protocol";

const DRAFT_MS = 700; // scores and notes come in bursts; a verdict is sent at once
const RETRY_MS = 5000;

interface Entry extends Vote {
  since: number; // when its first change was made, ms
  sent: boolean;
  timer: number;
}

export class Outbox {
  private readonly entries = new Map<string, Entry>();
  private readonly place: string;

  constructor(
    grid: string,
    private readonly send: (vote: Vote) => Promise<Saved>,
    private readonly saved: (saved: Saved, vote: Vote) => void,
    private readonly failed: (error: unknown) => void,
    private readonly changed: () => void,
  ) {
    this.place = `sftkit-unsaved-${grid}`;
    for (const vote of this.load()) {
      this.entries.set(vote.id, { ...vote, restored: true, since: Date.now(), sent: false, timer: 0 });
      void this.deliver(vote.id);
    }
  }

  /** Votes that are not on disk yet. */
  get size(): number {
    return this.entries.size;
  }

  /** Milliseconds that the oldest of those sent has waited. */
  get waited(): number {
    const sent = [...this.entries.values()].filter((entry) => entry.sent);
    return Math.max(0, ...sent.map((entry) => Date.now() - entry.since));
  }

  opinion(id: string): Opinion | undefined {
    return this.entries.get(id)?.opinion;
  }

  /** A newer opinion on the same comparison takes the place of one that was not acknowledged yet: it holds all of it. */
  put(vote: Omit<Vote, "key" | "restored">, now: boolean): void {
    const old = this.entries.get(vote.id);
    clearTimeout(old?.timer);
    const entry = { ...vote, key: newKey(), restored: false, since: old?.since ?? Date.now(), sent: false, timer: 0 };
    this.entries.set(vote.id, entry);
    this.keep();
    if (now) void this.deliver(vote.id);
    else entry.timer = this.later(DRAFT_MS, vote.id);
    this.changed();
  }

  /** Send all again at once: the kernel is back. */
  resend(): void {
    for (const id of this.entries.keys()) void this.deliver(id);
  }

  /** Send what still waits for its burst to end, for instance before another comparison is shown. */
  flush(): void {
    for (const entry of this.entries.values()) if (!entry.sent) void this.deliver(entry.id);
  }

  close(): void {
    this.flush();
    for (const entry of this.entries.values()) clearTimeout(entry.timer);
  }

  private later(wait: number, id: string): number {
    return setTimeout(() => void this.deliver(id), wait) as unknown as number;
  }

  private async deliver(id: string): Promise<void> {
    const entry = this.entries.get(id);
    if (!entry) return;
    clearTimeout(entry.timer);
    entry.timer = this.later(RETRY_MS, id);
    entry.sent = true;
    const { since: _since, sent: _sent, timer: _timer, ...vote } = entry;
    try {
      const saved = await this.send(vote);
      if (this.entries.get(id)?.key !== vote.key) return; // a newer one is under way
      clearTimeout(entry.timer);
      this.entries.delete(id);
      this.keep();
      this.saved(saved, vote);
    } catch (error) {
      this.failed(error); // stays here and is tried again
    }
    this.changed();
  }

  // the browser may refuse storage (private windows, sandboxed frames): the page's memory is then all there is
  private keep(): void {
    try {
      if (this.entries.size === 0) localStorage.removeItem(this.place);
      else localStorage.setItem(this.place, JSON.stringify([...this.entries.values()]));
    } catch {
      /* see above */
    }
  }

  private load(): Entry[] {
    try {
      return JSON.parse(localStorage.getItem(this.place) ?? "[]");
    } catch {
      return [];
    }
  }
}

function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join("-");
}
