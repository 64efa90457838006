// Beginnings of prompts and answers for the closed rows, fetched from the kernel in pages: what is in sight first, then
// what lies around it. The two questions on their way at most are never about a place that the rater has long left.

import type { Preview } from "./protocol";

export const PAGE = 25; // rows
const AT_ONCE = 2; // questions on their way
const RUN = 4; // pages of one question

export class Previews<Row = Preview> {
  private readonly rows: (Row | undefined)[] = [];
  private readonly asked = new Set<number>(); // pages
  private busy = 0;
  private wanted: () => Iterable<number> = () => [];

  constructor(
    private total: number,
    private readonly fetch: (from: number, to: number) => Promise<{ rows: Row[] }>,
    private readonly arrived: (from: number, to: number) => void,
  ) {}

  of(row: number): Row | undefined {
    return this.rows[row];
  }

  /** There are more rows now: the last page, which was not full, is fetched again. */
  grow(total: number): void {
    this.asked.delete(Math.floor(this.total / PAGE));
    this.total = total;
  }

  /** wanted: rows, what is wanted most first; read anew for every question. */
  need(wanted: () => Iterable<number>): void {
    this.wanted = wanted;
    while (this.busy < AT_ONCE && this.askNext());
  }

  private askNext(): boolean {
    for (const row of this.wanted()) {
      const page = Math.floor(row / PAGE);
      if (this.asked.has(page)) continue;
      void this.ask(page, this.runFrom(page));
      return true;
    }
    return false;
  }

  /** How many pages from this one on are wanted and not asked for: they come with one question. */
  private runFrom(page: number): number {
    const wanted = new Set<number>();
    for (const row of this.wanted()) wanted.add(Math.floor(row / PAGE));
    let pages = 1;
    while (pages < RUN && wanted.has(page + pages) && !this.asked.has(page + pages)) pages++;
    return pages;
  }

  private async ask(page: number, pages: number): Promise<void> {
    const numbers = Array.from({ length: pages }, (_, n) => page + n);
    numbers.forEach((number) => this.asked.add(number));
    const [from, to] = [page * PAGE, Math.min((page + pages) * PAGE, this.total)];
    this.busy++;
    try {
      const { rows } = await this.fetch(from, to);
      rows.forEach((preview, n) => (this.rows[from + n] = preview));
      this.busy--;
    } catch {
      this.busy--;
      numbers.forEach((number) => this.asked.delete(number)); // asked again at the next scroll
      return;
    }
    this.arrived(from, to);
    this.need(this.wanted);
  }
}
