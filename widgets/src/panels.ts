// What stands around the table: the bar on top, the key card, and what is shown when there is nothing left to rate.

import type { Look } from "./detail";
import { h, type Label } from "./dom";
import { CARD } from "./keys";
import type { Progress } from "./protocol";
import { ratedIn, type GridState } from "./state";

export interface BarActions {
  unrated(): void;
  undo(): void;
  redo(): void;
  full(): void;
  dense(): void;
  filter(): void;
  judge(): void;
  instructions(): void;
  card(): void;
}

/** How votes stand: "waiting" for a kernel that does not answer, "gone" until the cell is run again. */
export type Saving = "saved" | "saving" | "waiting" | "gone";

export class Bar {
  readonly element: HTMLElement;
  private readonly meter = h("progress", { max: 1, value: 0 });
  private readonly count = h("span", { class: "count" });
  private readonly allCount = h("summary");
  private readonly allTable = h("table");
  private readonly all = h("details", { class: "raters", hidden: true }, this.allCount, this.allTable);
  private byOthers: { votes: number; needed: number } | null = null; // of the project, without this rater's own
  private readonly saving = h("span", { class: "saving", role: "status" });
  private readonly buttons: Record<keyof BarActions, HTMLButtonElement>;

  constructor(
    private readonly state: GridState,
    private readonly label: Label,
    actions: BarActions,
    instructed = false, // there are instructions
  ) {
    const button = (name: keyof BarActions, key: string, text: string) =>
      h("button", { type: "button", class: `do-${name}`, title: `${label(`grid.key.${name}`)} (${key})`, "aria-label": label(`grid.key.${name}`), onclick: actions[name] }, text);
    this.buttons = {
      undo: button("undo", "U", "↶"),
      redo: button("redo", "Shift+U", "↷"),
      judge: button("judge", "V", ""),
      filter: button("filter", "/", label("grid.filter")),
      dense: button("dense", "L", label("grid.dense")),
      full: button("full", "Z", label("grid.full")),
      unrated: button("unrated", "Enter", label("grid.next")),
      instructions: button("instructions", "I", label("grid.instructions")),
      card: button("card", "?", "?"),
    };
    this.meter.setAttribute("aria-label", label("grid.progress"));
    this.element = h("div", { class: "bar" }, this.meter, this.count, this.all, this.saving, h("span", { class: "gap" }));
    const { judge, undo, redo, filter, dense, full, unrated, instructions, card } = this.buttons;
    instructions.hidden = !instructed;
    this.element.append(judge, undo, redo, filter, dense, full, unrated, instructions, card);
  }

  /** judged: the row just voted on, where a judge's verdict can be looked at; null for none. */
  update(look: Look, saving: Saving, unsaved: number, judged: number | null): void {
    this.buttons.judge.hidden = judged === null;
    this.buttons.judge.textContent = judged === null ? "" : this.label("grid.judge_on", { row: judged + 1 });
    const { rated, total } = this.state;
    this.meter.max = Math.max(total, 1);
    this.meter.value = rated;
    this.count.textContent = this.label("grid.count", { done: rated, total });
    if (this.byOthers) this.allCount.textContent = this.label("grid.all_count", { votes: this.byOthers.votes + rated, needed: this.byOthers.needed });
    this.saving.className = `saving ${saving}`;
    const silent = (saving === "saved" && rated === 0) || (saving === "gone" && unsaved === 0);
    const text = silent ? "" : this.label(`grid.${saving}`, { n: unsaved });
    if (this.saving.textContent !== text) this.saving.textContent = text;
    this.buttons.undo.disabled = this.state.rowOf("undo") === null;
    this.buttons.redo.disabled = this.state.rowOf("redo") === null;
    this.press("dense", look.dense);
    this.press("full", look.full);
    this.press("filter", this.state.kept !== null);
  }

  /** How far all raters of the project are, and this one, by `states`, at that moment: own votes since then count at once. */
  others({ votes, needed, raters }: Progress, states: string): void {
    const { label } = this;
    this.byOthers = { votes: votes - ratedIn(states), needed };
    this.allCount.textContent = label("grid.all_count", { votes: this.byOthers.votes + this.state.rated, needed });
    this.allCount.title = label("grid.raters");
    this.all.hidden = false;
    const head = h("tr", {}, ...["rater", "votes", "held", "seconds"].map((name) => h("th", { scope: "col" }, label(`grid.raters.${name}`))));
    const rows = raters.map((one) => h("tr", {}, h("th", { scope: "row" }, one.rater), ...[one.votes, one.leased, one.seconds ?? "–"].map((value) => h("td", {}, String(value)))));
    this.allTable.replaceChildren(h("thead", {}, head), h("tbody", {}, ...rows));
  }

  private press(name: keyof BarActions, pressed: boolean): void {
    this.buttons[name].setAttribute("aria-pressed", String(pressed));
  }
}

/** What lies over the grid until it is closed. */
export function card(title: string, closeWord: string, close: () => void, ...content: (Node | string)[]): HTMLElement {
  return h(
    "div",
    { class: "veil", onclick: (event: MouseEvent) => event.target === event.currentTarget && close() },
    h(
      "div",
      { class: "card", role: "dialog", "aria-modal": "true", "aria-label": title },
      h("header", {}, h("strong", {}, title), h("button", { type: "button", onclick: close }, closeWord)),
      ...content,
    ),
  );
}

/** ranks: whether more than two answers stand side by side; idle: meanings of keys that do nothing here. */
export function keyCard(label: Label, ranks: boolean, idle: ReadonlySet<string>, close: () => void): HTMLElement {
  const here = CARD.filter(([, meaning, where]) => where !== (ranks ? "pair" : "ranking") && !idle.has(meaning));
  const lines = here.map(([keys, meaning]) =>
    h("div", {}, h("dt", {}, ...keys.map((key) => (key === "…" ? key : h("kbd", {}, key)))), h("dd", {}, label(meaning))),
  );
  const note = h("p", {}, label(ranks ? "grid.keys_note_ranking" : "grid.keys_note"));
  return card(label("grid.keys"), label("grid.close"), close, h("dl", {}, ...lines), note);
}

export interface DoneActions {
  next(): void;
  back(): void; // to the table, to change a vote
  unfilter(): void;
  reveal(): Promise<void>;
}

/**
 * Nothing is left to rate: of the rows that the filter keeps, of those that others leave, or at all. free: rows that others
 * have given back since.
 */
export function allDone(state: GridState, label: Label, revealed: boolean, free: number, actions: DoneActions): HTMLElement {
  const counts = { a: state.count("a"), tie: state.count("t"), b: state.count("b"), both_bad: state.count("n"), ranked: state.count("r"), skipped: state.count("s") };
  const ranks = state.sides.length > 2;
  const closed = state.count("x");
  const title = state.kept ? label("grid.all_done_filter") : free ? label("grid.all_done_again", { n: free }) : closed ? label("grid.all_done_for_now", { n: closed }) : label("grid.all_done", { n: state.total });
  const button = (text: string, action: () => void) => h("button", { type: "button", onclick: action }, text);
  return h(
    "div",
    { class: "panel", role: "status" },
    h("h3", {}, title),
    h("p", {}, label(ranks ? "grid.all_done_ranked" : "grid.all_done_counts", counts)),
    h("p", { class: "quiet" }, label("grid.all_done_next")),
    h(
      "div",
      { class: "panel-buttons" },
      free ? button(label("grid.next"), actions.next) : null,
      state.kept ? button(label("grid.filter.clear"), actions.unfilter) : null,
      button(label("grid.change_vote"), actions.back),
      revealed || state.count(".", "o") ? null : revealButton(label, actions.reveal),
    ),
  );
}

/** Asks twice: a name once seen cannot be forgotten. */
function revealButton(label: Label, reveal: () => Promise<void>): HTMLElement {
  const holder = h("span", { class: "reveal" });
  const ask = h("button", { type: "button" }, label("grid.reveal"));
  const no = h("button", { type: "button" }, label("grid.reveal.no"));
  const yes = h("button", { type: "button", class: "danger" }, label("grid.reveal.yes"));
  ask.addEventListener("click", () => {
    holder.replaceChildren(h("span", {}, label("grid.reveal.sure")), no, yes);
    no.focus();
  });
  no.addEventListener("click", () => holder.replaceChildren(ask));
  yes.addEventListener("click", () => void reveal());
  holder.append(ask);
  return holder;
}

export function message(text: string): HTMLElement {
  return h("div", { class: "panel quiet", role: "status" }, text);
}
