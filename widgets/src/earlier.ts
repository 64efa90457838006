// What was said of the open row before: by this rater, and by the others once the names are shown. Asked for when the
// rater opens it; all of it is text.

import { h, type Label } from "./dom";
import { reasonWords } from "./extras";
import type { Comparison, Dimension, Earlier, Opinion, Side } from "./protocol";

/** A closed box, filled from the kernel when it is opened. */
export function history(comparison: Comparison, dimensions: Dimension[], ask: (id: string) => Promise<Earlier[]>, label: Label): HTMLElement {
  const box = h("details", { class: "earlier" }, h("summary", {}, label("grid.history")));
  const body = h("div", { role: "status" });
  box.append(body);
  box.addEventListener("toggle", () => {
    if (!box.open) return;
    body.replaceChildren(label("grid.loading"));
    ask(comparison.id).then(
      (earlier) => body.replaceChildren(table(earlier, dimensions, label)),
      (error: Error) => body.replaceChildren(error.message),
    );
  });
  return box;
}

function table(earlier: Earlier[], dimensions: Dimension[], label: Label): HTMLElement {
  if (!earlier.length) return h("div", { class: "quiet" }, label("grid.history.none"));
  const others = earlier.some(({ rater }) => rater);
  const names = ["when", ...(others ? ["rater"] : []), "verdict", "scores", "note"];
  const rows = earlier.map((one) =>
    h(
      "tr",
      {},
      h("td", {}, new Date(one.when).toLocaleString([], { dateStyle: "short", timeStyle: "medium" })),
      others && h("td", {}, one.rater || label("grid.history.you")),
      h("td", {}, words(one.opinion, label), one.undo && ` (${label("grid.history.undo")})`),
      h("td", {}, scores(one.opinion, dimensions)),
      h("td", {}, one.opinion.flag && "⚑ ", one.opinion.note, ...one.opinion.tags.map((tag) => h("span", { class: "tag" }, tag))),
    ),
  );
  const head = h("tr", {}, ...names.map((name) => h("th", { scope: "col" }, label(`grid.history.${name}`))));
  return h("table", {}, h("thead", {}, head), h("tbody", {}, ...rows));
}

function words({ verdict, ranking, reason, ...rest }: Opinion, label: Label): string {
  if (verdict === "skipped") return label("grid.skipped_why", { reason: reasonWords(reason ?? "", label) });
  if (verdict) return label(`grid.${verdict}`);
  const placed = Object.entries(ranking) as [Side, number][];
  if (placed.length) {
    const ranks = [...new Set(placed.map(([, rank]) => rank))].sort((x, y) => x - y);
    return ranks.map((rank) => placed.filter(([, other]) => other === rank).map(([side]) => side.toUpperCase()).sort().join(" = ")).join(" > ");
  }
  const nothing = !Object.keys(rest.scores).length && !rest.note && !rest.tags.length && !rest.flag;
  return label(nothing ? "grid.history.taken_back" : "grid.begun");
}

function scores({ scores }: Opinion, dimensions: Dimension[]): string {
  const known = new Map(dimensions.map((dimension) => [dimension.name, dimension.label]));
  const each = ([side, value]: [string, number]) => `${side.toUpperCase()} ${value}`;
  return Object.entries(scores)
    .map(([name, given]) => `${known.get(name) ?? name}: ${Object.entries(given).sort().map(each).join(", ")}`)
    .join("; ");
}
