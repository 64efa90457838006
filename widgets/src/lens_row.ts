// The first panel: one row, token by token, and what a search found.

import { h, type Label } from "./dom";
import type { Asker, Hit, Row, Split } from "./lens_protocol";
import { about, facts, legend, tokens, warnings } from "./lens_tokens";

export class RowPanel {
  readonly element = h("div", { class: "panel" });
  private readonly found = h("div", { class: "found" });
  private readonly shown = h("div", { class: "shown" });
  private readonly detail = h("div", { class: "detail", role: "status" });
  private row: Row | null = null;
  private at: HTMLElement | null = null;
  private search = 0; // the number of the newest search: what an older one still brings is dropped

  constructor(
    private readonly ask: Asker,
    private readonly label: Label,
    private readonly go: (number: number) => void,
    private readonly toStep: (number: number) => void,
  ) {
    this.element.append(this.found, this.shown);
    this.shown.addEventListener("pointerover", (event) => this.point((event.target as Element).closest<HTMLElement>("[data-token]")));
    this.shown.addEventListener("click", (event) => this.point((event.target as Element).closest<HTMLElement>("[data-token]")));
  }

  show(row: Row, total: number, withStep: boolean): void {
    this.row = row;
    this.at = null;
    const head = facts(row, total, this.label);
    if (withStep && row.view && !row.view.left_out)
      head.append(h("button", { type: "button", class: "link", onclick: () => this.toStep(row.number) }, this.label("lens.to_step")));
    this.detail.textContent = this.label("lens.hover");
    if (!row.view) this.shown.replaceChildren(head, h("p", { class: "warning" }, `⚠ ${row.fault ?? ""}`));
    else this.shown.replaceChildren(head, ...warnings(row.view, this.label), tokens(row.view, this.label), this.detail, legend(this.label));
    for (const hit of this.found.querySelectorAll<HTMLElement>("[data-number]")) hit.toggleAttribute("aria-current", hit.dataset.number === String(row.number));
  }

  /** Another token is looked at: the one `by` places on from the present one. */
  move(by: number): void {
    const all = this.shown.querySelectorAll<HTMLElement>("[data-token]");
    const now = this.at ? Number(this.at.dataset.token) : by > 0 ? -1 : all.length;
    this.point(all[Math.min(Math.max(now + by, 0), all.length - 1)] ?? null);
    this.at?.scrollIntoView({ block: "nearest" });
  }

  private point(token: HTMLElement | null): void {
    if (!token || !this.row?.view) return;
    this.at?.classList.remove("here");
    this.at = token;
    token.classList.add("here");
    this.detail.textContent = about(this.row.view, Number(token.dataset.token), this.label);
  }

  /** Look through all rows, a piece at a time, and list the hits as they come. */
  async find(split: Split, text: string): Promise<void> {
    const mine = ++this.search;
    if (!text) return this.found.replaceChildren();
    const status = h("span", { class: "quiet", role: "status" });
    const close = h("button", { type: "button", "aria-label": this.label("lens.close"), onclick: () => this.clear() }, "×");
    const list = h("ol", { class: "hits" });
    this.found.replaceChildren(h("div", { class: "facts" }, status, close), list);
    let hits = 0;
    for (let from = 0, total = 1; from < total && hits < MOST; ) {
      const reply = await this.ask<{ hits: Hit[]; next: number; total: number }>({ kind: "search", split, text, from });
      if (mine !== this.search) return;
      ({ next: from, total } = reply);
      if (hits === 0 && reply.hits[0]) this.go(reply.hits[0].number);
      list.append(...reply.hits.slice(0, MOST - hits).map((hit) => this.hit(hit)));
      hits += reply.hits.length;
      const key = hits >= MOST ? "lens.found_many" : from < total ? "lens.searching" : "lens.found";
      status.textContent = this.label(key, { n: Math.min(hits, MOST), done: from, total });
    }
  }

  clear(): void {
    this.search++;
    this.found.replaceChildren();
  }

  private hit(hit: Hit): HTMLElement {
    const text = h("span", {}, hit.before, h("mark", {}, hit.match), hit.after);
    const name = `${hit.source} · ${this.label("lens.row", { n: hit.row })}`;
    return h("li", {}, h("button", { type: "button", "data-number": hit.number, onclick: () => this.go(hit.number) }, h("b", {}, name), " ", text));
  }
}

const MOST = 200; // hits listed
