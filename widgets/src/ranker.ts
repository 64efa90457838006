// The places of a ranking, best first: answers are put into them by letter, click or drag, and taken out the same way.

import { h, type Label } from "./dom";
import type { Side } from "./protocol";
import type { GridState } from "./state";

/** side: to `rank`, or, without one, next in line or out; null takes it out. */
export type Place = (side: Side, rank?: number | null) => void;

export class Ranker {
  readonly element: HTMLElement;
  private readonly zones = h("div", { class: "zones" });
  private readonly tray: HTMLElement;
  private readonly hint = h("div", { class: "rank-hint", role: "status" });
  private drawn = "";

  constructor(
    private readonly state: GridState,
    private readonly label: Label,
    private readonly place: Place,
    private readonly tie: () => void,
  ) {
    this.tray = this.zone(null);
    this.element = h("div", { class: "ranker", role: "group", "aria-label": label("grid.ranking") }, this.tray, this.zones, this.hint);
  }

  update(): void {
    const { places, opinion, tying } = this.state;
    const look = JSON.stringify([places, opinion.ranking, tying]);
    if (look === this.drawn) return;
    this.drawn = look;
    const held = document.activeElement instanceof HTMLElement && this.element.contains(document.activeElement) ? document.activeElement.dataset["side"] : null;
    const last = Math.max(0, ...Object.values(opinion.ranking));
    this.tray.replaceChildren(...places.filter((side) => !opinion.ranking[side]).map((side) => this.chip(side)));
    this.zones.replaceChildren(
      ...places.map((_, n) => {
        const zone = this.zone(n + 1, tying && n + 1 === last);
        zone.append(...places.filter((side) => opinion.ranking[side] === n + 1).map((side) => this.chip(side)));
        return zone;
      }),
    );
    this.explain(Object.keys(opinion.ranking).length, places.length, tying);
    if (held) this.element.querySelector<HTMLElement>(`[data-side="${held}"]`)?.focus();
  }

  private explain(placed: number, all: number, tying: boolean): void {
    const { label } = this;
    const words = tying ? label("grid.rank.tying") : placed === all ? label("grid.rank.done") : placed ? label("grid.rank.next", { n: all - placed }) : label("grid.rank.first");
    const tie = h("button", { type: "button", class: "tie", "aria-pressed": String(tying), disabled: !placed || placed === all, onclick: this.tie }, label("grid.rank.tie"), h("kbd", { "aria-hidden": "true" }, "="));
    this.hint.replaceChildren(h("span", {}, words), tie);
  }

  private chip(side: Side): HTMLElement {
    const rank = this.state.opinion.ranking[side];
    const letter = side.toUpperCase();
    const words = rank ? this.label("grid.rank.placed", { side: letter, rank }) : this.label("grid.rank.unplaced", { side: letter });
    const chip = h("button", { type: "button", class: "chip-side", draggable: "true", "data-side": side, title: words, "aria-label": words, onclick: () => this.place(side) }, letter);
    chip.addEventListener("dragstart", (event) => event.dataTransfer?.setData("text/plain", side));
    return chip;
  }

  /** A place (null: the tray of those without one), which takes what is dropped on it. */
  private zone(rank: number | null, tying = false): HTMLElement {
    const name = rank ? h("span", { class: "rank", "aria-hidden": "true" }, this.label("grid.rank.place", { rank })) : null;
    const zone = h("div", { class: rank ? `zone ${tying ? "tying" : ""}` : "tray" }, name);
    zone.addEventListener("dragover", (event) => {
      event.preventDefault();
      zone.classList.add("over");
    });
    zone.addEventListener("dragleave", () => zone.classList.remove("over"));
    zone.addEventListener("drop", (event) => {
      event.preventDefault();
      zone.classList.remove("over");
      const side = this.state.places.find((place) => place === event.dataTransfer?.getData("text/plain"));
      if (side) this.place(side, rank);
    });
    return zone;
  }
}
