// The open row: prompt, task and reference, and all answers in full.

import { answers } from "./answers";
import { copyButton } from "./copy";
import { h, type Label } from "./dom";
import { history } from "./earlier";
import { folded, watchLengths } from "./fold";
import { chip } from "./list";
import type { Parts } from "./parts";
import type { Comparison, Dimension, Earlier, JudgeVerdict, Side } from "./protocol";
import { verdicts } from "./verdicts";

export interface Look {
  view: "markdown" | "raw" | "diff"; // answers as Markdown, as the characters they are, or as the difference of two
  diff: [Side, Side];
  reference: boolean; // shown
  full: boolean; // one comparison fills the window (full.ts)
  dense: boolean; // many short rows instead
  expanded?: boolean; // long answers in full
}

/** What judges said, of comparisons that have a vote; undefined while the kernel is being asked. */
export interface Judges {
  of(comparison: Comparison): JudgeVerdict[] | undefined;
  earlier(id: string): Promise<Earlier[]>; // what was said of a row before, by people
  dimensions: Dimension[];
}

export function detail(
  comparison: Comparison,
  look: Look,
  judges: Judges,
  label: Label,
  changed: (look: Partial<Look>) => void,
  parts?: Parts,
): HTMLElement {
  const voted = comparison.opinion.verdict !== null || Object.keys(comparison.opinion.ranking).length > 0;
  const element = h(
    "div",
    {},
    comparison.closed ? h("div", { class: "closed", role: "note" }, comparison.closed) : null,
    question(comparison, look, label),
    comparison.reference ? reference(comparison, look, label, (open) => changed({ reference: open })) : null,
    answers(comparison, { look, label, changed, parts }),
    comparison.judged > 0 && voted ? verdicts(judges.of(comparison), judges.dimensions, label) : null,
    comparison.rating > 0 || comparison.names ? history(comparison, judges.dimensions, judges.earlier, label) : null,
  );
  watchLengths(element);
  return element;
}

function question(comparison: Comparison, look: Look, label: Label): HTMLElement {
  const { row, prompt, task } = comparison;
  const several = prompt.length > 1;
  const plain = () => (several ? prompt.map(({ role, content }) => `${role}: ${content}`).join("\n\n") : (prompt[0]?.content ?? ""));
  return h(
    "section",
    { class: "question", "aria-label": label("grid.prompt") },
    h("div", { class: "number" }, String(row + 1), task && chip(task), copyButton(plain, label("grid.copy_prompt"), label)),
    ...prompt.map((message, n) => turn(message, several, folded(message.content, `turn ${n}`, comparison, look, label), label)),
  );
}

/** One message. The system's is folded where it is long: it is the same in every row, most of the time. */
function turn(message: { role: string; content: string }, named: boolean, text: HTMLElement, label: Label): HTMLElement {
  const role = label(`grid.role.${message.role}`);
  if (message.role === "system") {
    const closed = h("details", { class: "turn system", open: message.content.length < 300 }, h("summary", { class: "role" }, role));
    closed.append(h("div", { class: "text" }, message.content));
    return closed;
  }
  return h("div", { class: `turn ${message.role === "assistant" ? "assistant" : ""}` }, named || message.role !== "user" ? h("span", { class: "role" }, role) : null, text);
}

function reference(comparison: Comparison, look: Look, label: Label, toggled: (open: boolean) => void): HTMLElement {
  const box = h("details", { class: "reference", open: look.reference }, h("summary", {}, label("grid.reference")));
  box.append(folded(comparison.reference, "reference", comparison, look, label));
  box.addEventListener("toggle", () => toggled(box.open));
  return box;
}
