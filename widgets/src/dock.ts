// Where the rater's hand rests: scores of all answers, verdict or ranking, note, tags, flag and skip, always at the same
// place under the table.

import { h, type Label } from "./dom";
import { reasonWords, skipPanel, Tags } from "./extras";
import type { Dimension, Side, Verdict } from "./protocol";
import { Ranker, type Place } from "./ranker";
import type { GridState } from "./state";

export interface DockActions {
  verdict(verdict: Verdict): void;
  place: Place;
  tie(): void;
  score(dimension: number, side: Side, value: number): void;
  note(text: string): void;
  tag(tag: string, there: boolean): void;
  flag(): void;
  skip(reason: string): void;
}

interface Cell {
  name: string;
  dimension: number;
  side: Side;
  element: HTMLElement;
  buttons: HTMLButtonElement[];
}

const VERDICTS: readonly (readonly [Verdict, string])[] = [
  ["a", "A"],
  ["tie", "T"],
  ["b", "B"],
  ["both_bad", "X"],
];

export class Dock {
  readonly element: HTMLElement;
  readonly note: HTMLTextAreaElement;
  readonly tags: Tags;
  private readonly cells: Cell[] = [];
  private readonly verdicts: HTMLButtonElement[];
  private readonly pair: HTMLElement;
  private readonly ranker: Ranker;
  private readonly flag: HTMLButtonElement;
  private readonly skip: HTMLButtonElement;
  private readonly hint = h("div", { class: "hint", "aria-live": "polite" });
  private skipping: HTMLElement | null = null;

  constructor(
    private readonly state: GridState,
    known: Iterable<string>,
    private readonly label: Label,
    private readonly actions: DockActions,
  ) {
    const text = label("grid.note");
    this.note = h("textarea", { rows: 1, placeholder: text, "aria-label": text, oninput: () => actions.note(this.note.value) });
    this.tags = new Tags(new Set(known), label, actions.tag);
    this.flag = h("button", { type: "button", class: "flag-button", title: `${label("grid.key.flag")} (F)`, onclick: actions.flag }, "⚑ ", label("grid.flag"));
    this.skip = h("button", { type: "button", class: "skip-button", title: `${label("grid.key.skip")} (S)`, onclick: () => this.askReason() });
    this.verdicts = VERDICTS.map(([verdict, key]) => this.verdictButton(verdict, key));
    this.pair = h("div", { class: "verdicts", role: "group", "aria-label": label("grid.verdict") }, ...this.verdicts);
    this.ranker = new Ranker(state, label, actions.place, actions.tie);
    const scores = state.dimensions.map((dimension, n) => this.scoresOf(dimension, n));
    this.element = h(
      "div",
      { class: "dock" },
      h("div", { class: "scores", role: "group", "aria-label": label("grid.scores") }, ...scores),
      this.hint,
      h("div", { class: "beside" }, this.flag, this.skip, this.tags.element),
      h("div", { class: "decide" }, this.note, this.pair, this.ranker.element),
    );
  }

  update(): void {
    const { opinion, current, places, ranks } = this.state;
    this.element.toggleAttribute("inert", !current || current.closed !== null);
    this.pair.hidden = ranks;
    this.ranker.element.hidden = !ranks;
    this.element.style.setProperty("--places", String(places.length));
    for (const cell of this.cells) this.updateCell(cell);
    this.verdicts.forEach((button, n) => button.setAttribute("aria-pressed", String(opinion.verdict === VERDICTS[n]![0])));
    this.ranker.update();
    this.tags.update(opinion);
    this.flag.setAttribute("aria-pressed", String(opinion.flag));
    const skipped = opinion.verdict === "skipped";
    this.skip.setAttribute("aria-pressed", String(skipped));
    this.skip.textContent = skipped ? this.label("grid.skipped_why", { reason: reasonWords(opinion.reason ?? "", this.label) }) : this.label("grid.skip");
    if (this.note.value !== opinion.note) this.note.value = opinion.note;
    this.explain();
  }

  /** Open or close the reasons for a skip. */
  askReason(): void {
    if (this.skipping) return this.closeSkip();
    this.skipping = skipPanel(
      this.label,
      (reason) => {
        this.closeSkip();
        this.actions.skip(reason);
      },
      () => this.closeSkip(),
    );
    this.element.prepend(this.skipping);
    this.skipping.querySelector("button")?.focus();
  }

  closeSkip(): void {
    if (!this.skipping) return;
    this.skipping.remove();
    this.skipping = null;
    this.element.closest<HTMLElement>(".sftkit-grid")?.focus({ preventScroll: true });
  }

  get asksReason(): boolean {
    return this.skipping !== null;
  }

  private updateCell(cell: Cell): void {
    const { opinion, mark, places } = this.state;
    const score = opinion.scores[cell.name]?.[cell.side];
    const marked = cell.dimension === mark.dimension && cell.side === mark.side;
    const moved = marked && !cell.element.classList.contains("marked");
    cell.element.hidden = !places.includes(cell.side);
    cell.element.classList.toggle("marked", marked);
    cell.buttons.forEach((button, n) => {
      button.setAttribute("aria-checked", String(score === n + 1));
      button.classList.toggle("filled", score !== undefined && n < score);
      button.tabIndex = n + 1 === (score ?? 1) ? 0 : -1; // one stop a cell
    });
    if (moved) this.inSight(cell.element);
  }

  /** Where the scores have less room than they need (narrow.css), they scroll along with the mark; the page does not. */
  private inSight(cell: HTMLElement): void {
    const scores = cell.closest<HTMLElement>(".scores")!;
    if (scores.scrollHeight <= scores.clientHeight) return;
    const [room, box] = [scores.getBoundingClientRect(), cell.closest(".dimension")!.getBoundingClientRect()];
    if (box.top < room.top) scores.scrollTop -= room.top - box.top;
    else if (box.bottom > room.bottom) scores.scrollTop += box.bottom - room.bottom;
  }

  /** The anchors of the marked cell. */
  private explain(): void {
    const { dimension, side } = this.state.mark;
    const shown = this.state.dimensions[dimension];
    this.hint.hidden = !shown; // a rubric without dimensions
    if (!shown) return;
    const anchors = [1, 3, 5].map((n) => h("span", {}, h("b", {}, String(n)), ` ${shown.anchors[n] ?? ""}`));
    this.hint.replaceChildren(h("strong", {}, `${shown.label} · ${side.toUpperCase()}`), ...anchors);
  }

  private verdictButton(verdict: Verdict, key: string): HTMLButtonElement {
    const props = { class: `verdict verdict-${verdict}`, type: "button", "aria-keyshortcuts": key };
    return h(
      "button",
      { ...props, onclick: () => this.actions.verdict(verdict) },
      this.label(`grid.${verdict}`),
      h("kbd", { "aria-hidden": "true" }, key),
    );
  }

  private scoresOf(dimension: Dimension, n: number): HTMLElement {
    const explained = [1, 3, 5].map((a) => `${a}: ${dimension.anchors[a] ?? ""}`).join("\n");
    return h(
      "div",
      { class: "dimension" },
      h("div", { class: "name", title: explained }, dimension.label),
      ...this.state.sides.map((side) => this.cell(dimension, n, side)),
    );
  }

  private cell(dimension: Dimension, n: number, side: Side): HTMLElement {
    const letter = side.toUpperCase();
    const buttons = [1, 2, 3, 4, 5].map((value) =>
      h(
        "button",
        {
          type: "button",
          role: "radio",
          title: dimension.anchors[value] ?? null,
          "aria-label": `${dimension.label}, ${letter}: ${value}`,
          onclick: () => this.actions.score(n, side, value),
        },
        String(value),
      ),
    );
    const element = h(
      "div",
      { class: "score", role: "radiogroup", "aria-label": `${dimension.label}, ${letter}` },
      h("span", { class: "letter", "aria-hidden": "true" }, letter),
      ...buttons,
    );
    this.cells.push({ name: dimension.name, dimension: n, side, element, buttons });
    return element;
  }
}
