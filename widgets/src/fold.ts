// Long texts are cut short until the rater asks for all of one, or of every one (`look.expanded`). What was asked for one
// by one is kept with its comparison, so that a row drawn anew has it still.

import type { Look } from "./detail";
import { h, type Label } from "./dom";
import type { Comparison } from "./protocol";

const SLACK = 40; // px; so little more than the limit is shown rather than cut

const opened = new WeakMap<Comparison, Set<string>>();

/** name: of the text within its comparison. */
export function isOpen(comparison: Comparison, name: string, look: Look): boolean {
  return !!look.expanded || !!opened.get(comparison)?.has(name);
}

export function remember(comparison: Comparison, names: readonly string[], all: boolean): void {
  const known = opened.get(comparison) ?? new Set();
  for (const name of names) all ? known.add(name) : known.delete(name);
  opened.set(comparison, known);
}

/** None of this row's is shown in full for itself any more. */
export function forget(comparison: Comparison): void {
  opened.delete(comparison);
}

/** Show a foldable element in full or not. Its buttons carry both their texts. */
export function show(foldable: HTMLElement, all: boolean): void {
  foldable.classList.toggle("all", all);
  for (const button of foldable.querySelectorAll<HTMLElement>(".more button")) {
    button.textContent = button.dataset[all ? "less" : "more"]!;
    button.setAttribute("aria-expanded", String(all));
  }
}

/** A prompt or a reference, with the button that is seen under a long one. */
export function folded(text: string, name: string, comparison: Comparison, look: Look, label: Label): HTMLElement {
  const all = isOpen(comparison, name, look);
  const [more, less] = [label("grid.show_text", { n: text.length.toLocaleString("en") }), label("grid.shorten_text")];
  const onclick = () => {
    const open = !box.classList.contains("all");
    remember(comparison, [name], open);
    show(box, open);
    if (!open) box.scrollIntoView({ block: "nearest" });
  };
  const button = h("button", { type: "button", title: `${label("grid.key.expand")} (${comparison.answers.length > 4 ? "Shift+E" : "E"})`, "data-more": more, "data-less": less, "aria-expanded": String(all), onclick }, all ? less : more);
  const box = h("div", { class: `foldable fold ${all ? "all" : ""}` }, h("div", { class: "text content" }, text), h("footer", { class: "more" }, button));
  return box;
}

/** Marks those that do not fit in the height that a shortened one has (answers.css says which). */
export function watchLengths(element: HTMLElement): void {
  const observer = new ResizeObserver(() => {
    for (const foldable of element.querySelectorAll<HTMLElement>(".foldable")) {
      const content = foldable.querySelector<HTMLElement>(".content")!;
      const limit = parseFloat(getComputedStyle(content).getPropertyValue("--shortened"));
      foldable.classList.toggle("long", content.scrollHeight > limit + SLACK);
    }
  });
  observer.observe(element);
}
