// What may be said beside verdict and scores: a flag, tags, and why a row is skipped.

import { h, type Label } from "./dom";
import type { Opinion } from "./protocol";

/** Digits choose among these; any other reason is typed. */
export const REASONS = ["unclear", "cannot_judge", "broken", "language", "private"] as const;

const MOST_SUGGESTED = 6;

/** Tags as removable chips, and a field to type more, with what was used before beside it. */
export class Tags {
  readonly element: HTMLElement;
  readonly field: HTMLInputElement;
  private readonly chips = h("span", { class: "tags" });
  private readonly suggested = h("span", { class: "suggested" });
  private given: readonly string[] = [];

  constructor(
    private readonly known: Set<string>,
    private readonly label: Label,
    private readonly change: (tag: string, there: boolean) => void,
  ) {
    this.field = h("input", { class: "tag-field", size: 9, placeholder: label("grid.tags"), "aria-label": label("grid.tags"), autocomplete: "off", oninput: () => this.suggest() });
    this.field.addEventListener("keydown", this.keydown);
    this.field.addEventListener("focus", () => this.suggest());
    this.field.addEventListener("blur", this.leave);
    this.element = h("div", { class: "tagging" }, this.chips, this.field, this.suggested);
  }

  update({ tags }: Opinion): void {
    if (tags.length === this.given.length && tags.every((tag, n) => tag === this.given[n])) return;
    this.given = tags;
    tags.forEach((tag) => this.known.add(tag));
    const chip = (tag: string) => {
      const out = this.label("grid.tag_out", { tag });
      return h("span", { class: "tag" }, tag, h("button", { type: "button", title: out, "aria-label": out, onclick: () => this.change(tag, false) }, "×"));
    };
    this.chips.replaceChildren(...tags.map(chip));
    if (this.field.isConnected && document.activeElement === this.field) this.suggest();
  }

  private add(tag: string): void {
    this.field.value = "";
    this.change(tag, true);
    this.suggest();
  }

  /** Enter takes what is typed, Tab the first suggestion, Backspace in the empty field the last tag away. */
  private readonly keydown = (event: KeyboardEvent): void => {
    const { value } = this.field;
    const [first] = value.trim() ? this.matches() : [];
    if (event.isComposing) return; // Enter ends the word of an input method
    if ((event.key === "Enter" || event.key === ",") && value.trim()) this.add(value);
    else if (event.key === "Tab" && first && !event.shiftKey) this.add(first);
    else if (event.key === "Backspace" && !value && this.given.length) this.change(this.given.at(-1)!, false);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  /** What was typed belongs to this row: without Enter too, or it would stand in the field of the next one. */
  private readonly leave = (): void => {
    const elsewhere = document.activeElement !== this.field; // else the window lost the focus, and typing goes on later
    if (elsewhere && this.field.value.trim()) this.add(this.field.value);
    this.suggested.replaceChildren();
  };

  private matches(): string[] {
    const typed = this.field.value.trim().toLowerCase();
    return [...this.known].filter((tag) => tag.toLowerCase().includes(typed) && !this.given.includes(tag)).slice(0, MOST_SUGGESTED);
  }

  private suggest(): void {
    const button = (tag: string) =>
      // pressed, not clicked: the click would come after the field has lost the focus and the suggestions are gone
      h("button", { type: "button", tabindex: -1, onpointerdown: (event: Event) => (event.preventDefault(), this.add(tag)) }, tag);
    this.suggested.replaceChildren(...this.matches().map(button));
  }
}

/** The words of a reason; one of ours is stored by its name, so that it is the same in every language. */
export function reasonWords(reason: string, label: Label): string {
  return REASONS.some((name) => name === reason) ? label(`grid.skip.${reason}`) : reason;
}

/** The reasons for a skip, chosen by digit or click, or typed. */
export function skipPanel(label: Label, skip: (reason: string) => void, close: () => void): HTMLElement {
  const field = h("input", { placeholder: label("grid.skip.other"), "aria-label": label("grid.skip.other"), autocomplete: "off" });
  const reasons = REASONS.map((name, n) =>
    h("button", { type: "button", "aria-keyshortcuts": String(n + 1), onclick: () => skip(name) }, h("kbd", { "aria-hidden": "true" }, String(n + 1)), label(`grid.skip.${name}`)),
  );
  const panel = h(
    "div",
    { class: "skip", role: "dialog", "aria-label": label("grid.skip.title") },
    h("strong", {}, label("grid.skip.title")),
    ...reasons,
    field,
    h("button", { type: "button", class: "quiet", onclick: close }, label("grid.close")),
  );
  panel.addEventListener("keydown", (event) => {
    const typed = event.target === field;
    const number = Number(event.key);
    if (event.isComposing) return;
    if (event.key === "Escape") close();
    else if (typed && event.key === "Enter" && field.value.trim()) skip(field.value.trim());
    else if (!(typed && field.value) && number >= 1 && number <= REASONS.length) skip(REASONS[number - 1]!);
    else return void event.stopPropagation();
    event.preventDefault();
    event.stopPropagation();
  });
  return panel;
}
