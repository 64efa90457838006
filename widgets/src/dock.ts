// Where the rater's hand rests: scores of both answers, note and verdict, always at the same place under the table.

import { h, type Label } from "./dom";
import { type Dimension, type Side, type Verdict } from "./protocol";
import type { GridState } from "./state";

export interface DockActions {
  verdict(verdict: Verdict): void;
  score(dimension: number, side: Side, value: number): void;
  note(text: string): void;
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
];

export class Dock {
  readonly element: HTMLElement;
  readonly note: HTMLTextAreaElement;
  private readonly cells: Cell[] = [];
  private readonly verdicts: HTMLButtonElement[];
  private readonly hint = h("div", { class: "hint", "aria-live": "polite" });

  constructor(
    private readonly state: GridState,
    private readonly label: Label,
    private readonly actions: DockActions,
  ) {
    this.note = h("textarea", {
      rows: 1,
      placeholder: label("grid.note"),
      "aria-label": label("grid.note"),
      oninput: () => actions.note(this.note.value),
    });
    this.verdicts = VERDICTS.map(([verdict, key]) => this.verdictButton(verdict, key));
    const scores = state.dimensions.map((dimension, n) => this.scoresOf(dimension, n));
    this.element = h(
      "div",
      { class: "dock" },
      h("div", { class: "scores", role: "group", "aria-label": label("grid.scores") }, ...scores),
      this.hint,
      h(
        "div",
        { class: "decide" },
        this.note,
        h("div", { class: "verdicts", role: "group", "aria-label": label("grid.verdict") }, ...this.verdicts),
      ),
    );
  }

  update(): void {
    const { opinion, mark, current } = this.state;
    this.element.toggleAttribute("inert", !current);
    for (const cell of this.cells) {
      const score = opinion.scores[cell.name]?.[cell.side];
      const marked = cell.dimension === mark.dimension && cell.side === mark.side;
      cell.element.classList.toggle("marked", marked);
      cell.buttons.forEach((button, n) => {
        button.setAttribute("aria-checked", String(score === n + 1));
        button.classList.toggle("filled", score !== undefined && n < score);
        button.tabIndex = n + 1 === (score ?? 1) ? 0 : -1; // one stop a cell
      });
    }
    this.verdicts.forEach((button, n) => button.setAttribute("aria-pressed", String(opinion.verdict === VERDICTS[n]![0])));
    if (this.note.value !== opinion.note) this.note.value = opinion.note;
    this.explain();
  }

  /** The anchors of the marked cell. */
  private explain(): void {
    const { dimension, side } = this.state.mark;
    const shown = this.state.dimensions[dimension];
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
