// The open row: prompt, task and reference, and both answers in full.

import { h, type Label } from "./dom";
import { chip } from "./list";
import { safeMarkdown } from "./markdown";
import { type Answer, type Comparison, type Dimension, type JudgeVerdict, type Side } from "./protocol";
import { verdicts } from "./verdicts";

export interface Look {
  view: "markdown" | "raw" | "diff"; // answers as Markdown, as the characters they are, or as the difference of two
  diff: [Side, Side];
  reference: boolean; // shown
  full: boolean; // one comparison fills the grid
  dense: boolean; // many short rows instead
}

/** What judges said, of comparisons that have a vote; undefined while the kernel is being asked. */
export interface Judges {
  of(comparison: Comparison): JudgeVerdict[] | undefined;
  dimensions: Dimension[];
}

export function detail(comparison: Comparison, look: Look, judges: Judges, label: Label, changed: (look: Partial<Look>) => void): HTMLElement {
  const judged = comparison.judged > 0 && comparison.opinion.verdict !== null;
  return h(
    "div",
    {},
    h(
      "div",
      { class: "question" },
      h("div", { class: "number" }, String(comparison.row + 1), comparison.task && chip(comparison.task)),
      ...comparison.prompt.map((message) => turn(message, comparison.prompt.length > 1, label)),
    ),
    comparison.reference ? reference(comparison.reference, look, label, (open) => changed({ reference: open })) : null,
    h("div", { class: "answers" }, ...comparison.answers.map((shown) => answer(comparison, shown, look, label))),
    judged ? verdicts(judges.of(comparison), judges.dimensions, label) : null,
  );
}

function turn(message: { role: string; content: string }, named: boolean, label: Label): HTMLElement {
  const role = named || message.role !== "user" ? h("span", { class: "role" }, label(`grid.role.${message.role}`)) : null;
  return h("div", { class: "turn" }, role, h("div", { class: "text" }, message.content));
}

function reference(text: string, look: Look, label: Label, toggled: (open: boolean) => void): HTMLElement {
  const box = h("details", { class: "reference", open: look.reference }, h("summary", {}, label("grid.reference")));
  box.append(h("div", { class: "text" }, text));
  box.addEventListener("toggle", () => toggled(box.open));
  return box;
}

function answer(comparison: Comparison, { side, text, cut }: Answer, look: Look, label: Label): HTMLElement {
  const { verdict } = comparison.opinion;
  const letter = side.toUpperCase();
  const body = h("div", { class: look.view === "raw" ? "text raw" : "markdown" });
  if (!text.trim()) body.append(h("i", {}, label("grid.empty_answer")));
  else if (look.view === "raw") body.textContent = text;
  else body.append(safeMarkdown(text));
  const chosen = verdict === side || verdict === "tie";
  return h(
    "section",
    { class: `answer ${chosen ? `chosen chosen-${verdict}` : ""}`, "aria-label": label("grid.answer", { side: letter }) },
    h("header", {}, h("span", { class: "letter" }, letter), chosen && h("span", { class: "said" }, label(`grid.${verdict}`))),
    body,
    cut && h("footer", {}, label("grid.cut")),
  );
}
