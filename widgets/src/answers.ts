// The answers of the open row, beside each other: as Markdown, as the characters they are, or as what two of them do
// not share. Long ones are cut short until the rater asks for all.

import { copyButton } from "./copy";
import type { Look } from "./detail";
import { count, difference, type Piece } from "./diff";
import { h, type Label } from "./dom";
import { forget, isOpen, remember, show } from "./fold";
import { safeMarkdown } from "./markdown";
import type { Parts } from "./parts";
import type { Answer, Comparison, Side } from "./protocol";

export interface Surroundings {
  look: Look;
  label: Label;
  changed: (look: Partial<Look>) => void; // by the rater, in here
  parts: Parts | undefined;
}

type Bodies = Map<Side, HTMLElement>;

export function answers(comparison: Comparison, around: Surroundings): HTMLElement {
  const element = h("div", { class: `answers of-${comparison.answers.length}` });
  const holder = h("div", { class: "answers-frame" }, element);
  const draw = () => {
    const bodies = contents(comparison, around);
    const sections = comparison.answers.map((answer) => section(comparison, answer, bodies.get(answer.side)!, around));
    element.replaceChildren(...sections);
    holder.querySelectorAll(".compare, .views").forEach((old) => old.remove());
    holder.prepend(views(comparison.answers.length, around, draw));
    if (around.look.view === "diff" && comparison.answers.length > 2) holder.prepend(chooser(comparison, around, draw));
  };
  draw();
  return holder;
}

/** How the answers are shown, for a hand at the mouse; keys do the same (keys.ts). */
function views(count: number, { look, label, changed }: Surroundings, draw: () => void): HTMLElement {
  const keys = { markdown: "", raw: " (M)", diff: count > 3 ? " (Shift+D)" : " (D)" };
  const button = (view: Look["view"]) => {
    const onclick = () => {
      changed({ view: (look.view = view) });
      draw();
    };
    const name = label(`grid.view.${view}`);
    return h("button", { type: "button", title: `${name}${keys[view]}`, "aria-pressed": String(look.view === view), onclick }, name);
  };
  return h("div", { class: "views", role: "group", "aria-label": label("grid.view") }, button("markdown"), button("raw"), button("diff"));
}

function contents(comparison: Comparison, around: Surroundings): Bodies {
  const bodies: Bodies = new Map(comparison.answers.map((answer) => [answer.side, body(answer, around)]));
  if (around.look.view !== "diff") return bodies;
  const [left, right] = chosen(comparison, around.look).map((side) => comparison.answers.find((answer) => answer.side === side)!);
  const pieces = left && right && difference(left.text, right.text);
  if (!pieces) return bodies;
  bodies.set(left.side, marked(pieces[0], right.side, "first", around.label));
  bodies.set(right.side, marked(pieces[1], left.side, "second", around.label));
  return bodies;
}

/** The two that the rater compares; the first two where this row has not so many. */
function chosen(comparison: Comparison, look: Look): Side[] {
  const sides = comparison.answers.map(({ side }) => side);
  return look.diff.every((side) => sides.includes(side)) && look.diff[0] !== look.diff[1] ? look.diff : sides.slice(0, 2);
}

function body({ text }: Answer, { look, label, parts }: Surroundings): HTMLElement {
  if (!text.trim()) return h("div", { class: "content" }, h("i", {}, label("grid.empty_answer")));
  if (look.view === "raw") return h("div", { class: "content text raw" }, text);
  const element = h("div", { class: "content markdown" });
  element.append(safeMarkdown(text, parts));
  return element;
}

/** One of two compared answers. Underlined differently on both sides, so that it does not hang on the colour alone. */
function marked(pieces: Piece[], other: Side, place: "first" | "second", label: Label): HTMLElement {
  const words = count(pieces);
  const said = label(words ? "grid.diff.only" : "grid.diff.all_shared", { n: words, side: other.toUpperCase() });
  return h(
    "div",
    { class: "content" },
    h("div", { class: "quiet" }, said),
    h("div", { class: `text diff diff-${place}` }, ...pieces.map(({ text, only }) => (only ? h("mark", {}, text) : text))),
  );
}

/** Which two are compared, where there are more. */
function chooser(comparison: Comparison, around: Surroundings, draw: () => void): HTMLElement {
  const { label } = around;
  const sides = chosen(comparison, around.look) as [Side, Side];
  const pick = (place: 0 | 1) => {
    const options = comparison.answers.map(({ side }) => h("option", { value: side, selected: side === sides[place] }, side.toUpperCase()));
    const select = h("select", { "aria-label": label(`grid.diff.${place ? "second" : "first"}`) }, ...options);
    select.addEventListener("change", () => {
      const next: [Side, Side] = place ? [sides[0], select.value as Side] : [select.value as Side, sides[1]];
      if (next[0] === next[1]) next[place ? 0 : 1] = sides[place]; // the other way round
      Object.assign(around.look, { diff: next });
      around.changed({ diff: next });
      draw();
    });
    return select;
  };
  return h("div", { class: "compare" }, label("grid.diff.between"), " ", pick(0), " ↔ ", pick(1));
}

function section(comparison: Comparison, { side, text, cut }: Answer, content: HTMLElement, around: Surroundings): HTMLElement {
  const { verdict, ranking } = comparison.opinion;
  const { look, label } = around;
  const letter = side.toUpperCase();
  const name = comparison.names?.[side];
  const rank = ranking[side];
  const wins = verdict === side || verdict === "tie" || rank === 1;
  const all = isOpen(comparison, side, look);
  const element = h(
    "section",
    { class: `answer foldable ${wins ? `chosen chosen-${verdict ?? "r"}` : ""} ${all ? "all" : ""}`, "aria-label": label("grid.answer", { side: letter }) },
    h(
      "header",
      {},
      h("span", { class: "letter" }, letter),
      name && h("span", { class: "name" }, name),
      wins && verdict && h("span", { class: "said" }, label(`grid.${verdict}`)),
      rank !== undefined && h("span", { class: "said" }, label("grid.rank", { rank })),
      h("span", { class: "gap" }),
      copyButton(() => text, label("grid.copy_answer", { side: letter }), label),
    ),
    content,
    h("footer", { class: "more" }, ...lengthButtons(comparison, side, around)),
    cut && h("footer", {}, label("grid.cut")),
  );
  return element;
}

/** "Show all" of this one, and of every answer from here on; only seen under long answers. */
function lengthButtons(comparison: Comparison, side: Side, { label, changed, look }: Surroundings): HTMLElement[] {
  const toggle = (event: Event, every: boolean) => {
    const answer = (event.target as Element).closest<HTMLElement>(".answer")!;
    const all = !answer.classList.contains("all");
    const row = answer.closest(".answers-frame")!.parentElement!; // its prompt and reference too
    const concerned = every ? [...row.querySelectorAll<HTMLElement>(".foldable")] : [answer];
    concerned.forEach((each) => show(each, all));
    if (every) changed({ expanded: (look.expanded = all) });
    if (every) forget(comparison);
    else remember(comparison, [side], all);
    if (!all) answer.scrollIntoView({ block: "nearest" }); // of several the one whose button it was
  };
  const text = comparison.answers.find((answer) => answer.side === side)!.text;
  const words = { n: text.length.toLocaleString("en"), side: side.toUpperCase() };
  const all = isOpen(comparison, side, look);
  return ["here", "everywhere"].map((where) => {
    const [more, less] = [label(`grid.show_${where}`, words), label(`grid.shorten_${where}`, words)];
    const onclick = (event: Event) => toggle(event, where === "everywhere");
    const title = where === "everywhere" ? `${label("grid.key.expand")} (${comparison.answers.length > 4 ? "Shift+E" : "E"})` : null;
    return h("button", { type: "button", title, "data-more": more, "data-less": less, "aria-expanded": String(all), onclick }, all ? less : more);
  });
}
