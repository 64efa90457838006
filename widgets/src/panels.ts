// What stands around the table: the bar on top, the key card, and what is shown when there is nothing left to rate.

import { h, type Label } from "./dom";
import { CARD } from "./keys";
import type { GridState } from "./state";

export interface BarActions {
  unrated(): void;
  undo(): void;
  redo(): void;
  raw(): void;
  judge(): void;
  card(): void;
}

export type Saving = "saved" | "saving" | "waiting";

export class Bar {
  readonly element: HTMLElement;
  private readonly meter = h("progress", { max: 1, value: 0 });
  private readonly count = h("span", { class: "count" });
  private readonly saving = h("span", { class: "saving", role: "status" });
  private readonly buttons: Record<keyof BarActions, HTMLButtonElement>;

  constructor(
    private readonly state: GridState,
    private readonly label: Label,
    actions: BarActions,
  ) {
    const button = (name: keyof BarActions, key: string, text: string) =>
      h("button", { type: "button", title: `${label(`grid.key.${name}`)} (${key})`, "aria-label": label(`grid.key.${name}`), onclick: actions[name] }, text);
    this.buttons = {
      undo: button("undo", "U", "↶"),
      redo: button("redo", "Shift+U", "↷"),
      judge: button("judge", "V", ""),
      raw: button("raw", "M", label("grid.raw")),
      unrated: button("unrated", "Enter", label("grid.next")),
      card: button("card", "?", "?"),
    };
    const { undo, redo, judge, raw, unrated, card } = this.buttons;
    this.meter.setAttribute("aria-label", label("grid.progress"));
    this.element = h("div", { class: "bar" }, this.meter, this.count, this.saving, h("span", { class: "gap" }), judge, undo, redo, raw, unrated, card);
  }

  /** judged: the row just voted on, where a judge's verdict can be looked at; null for none. */
  update(raw: boolean, saving: Saving, unsaved: number, judged: number | null): void {
    this.buttons.judge.hidden = judged === null;
    this.buttons.judge.textContent = judged === null ? "" : this.label("grid.judge_on", { row: judged + 1 });
    const { rated, total } = this.state;
    this.meter.max = Math.max(total, 1);
    this.meter.value = rated;
    this.count.textContent = this.label("grid.count", { done: rated, total });
    this.saving.className = `saving ${saving}`;
    const text = saving === "saved" && rated === 0 ? "" : this.label(`grid.${saving}`, { n: unsaved });
    if (this.saving.textContent !== text) this.saving.textContent = text;
    this.buttons.undo.disabled = !this.state.canUndo;
    this.buttons.redo.disabled = !this.state.canRedo;
    this.buttons.raw.setAttribute("aria-pressed", String(raw));
  }
}

export function keyCard(label: Label, close: () => void): HTMLElement {
  const lines = CARD.flatMap(([keys, meaning]) => [
    h("dt", {}, ...keys.map((key) => (key === "…" ? key : h("kbd", {}, key)))),
    h("dd", {}, label(meaning)),
  ]);
  return h(
    "div",
    { class: "veil", onclick: (event: MouseEvent) => event.target === event.currentTarget && close() },
    h(
      "div",
      { class: "card", role: "dialog", "aria-modal": "true", "aria-label": label("grid.keys") },
      h("header", {}, h("strong", {}, label("grid.keys")), h("button", { type: "button", onclick: close }, label("grid.close"))),
      h("dl", {}, ...lines),
      h("p", {}, label("grid.keys_note")),
    ),
  );
}

export function allDone(state: GridState, label: Label, back: () => void): HTMLElement {
  const counts = { a: state.count("a"), tie: state.count("t"), b: state.count("b") };
  return h(
    "div",
    { class: "panel", role: "status" },
    h("h3", {}, label("grid.all_done", { n: state.total })),
    h("p", {}, label("grid.all_done_counts", counts)),
    h("p", { class: "quiet" }, label("grid.all_done_next")),
    h("button", { type: "button", onclick: back }, label("grid.change_vote")),
  );
}

export function message(text: string): HTMLElement {
  return h("div", { class: "panel quiet", role: "status" }, text);
}
