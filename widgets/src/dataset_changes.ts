// What was changed: every edit and every row left out, each with a button that takes it back.

import { h, type Label } from "./dom";
import type { Change, Changes } from "./dataset_protocol";

export function changes(list: Changes, sources: string[], label: Label, open: (number: number) => void, revert: (change: Change) => void): HTMLElement {
  const notes = [
    ...list.broken.map((where) => h("p", { class: "warning" }, `⚠ ${label("dataset.broken", { where })}`)),
    list.files.length ? h("p", { class: "quiet" }, label("dataset.kept_in", { names: list.files.join(", ") })) : null,
  ];
  if (!list.changes.length) return h("div", {}, h("p", { class: "quiet" }, label("dataset.no_changes")), ...notes);
  const heads = ["row", "change", "reason", "who", ""].map((name) => h("th", { scope: "col" }, name && label(`dataset.change.${name}`)));
  const lines = list.changes.map((change) => line(change, sources, label, open, revert));
  const more = list.count - list.changes.length;
  return h("div", {}, ...notes, h("table", { class: "changes" }, h("thead", {}, h("tr", {}, ...heads)), h("tbody", {}, ...lines)), more > 0 ? h("p", { class: "quiet" }, label("dataset.more_changes", { n: more.toLocaleString("en") })) : null);
}

function line(change: Change, sources: string[], label: Label, open: (number: number) => void, revert: (change: Change) => void): HTMLElement {
  const place = `${sources.length > 1 ? `${change.source} · ` : ""}${change.row.toLocaleString("en")}`;
  const { number } = change;
  const row = number === null ? h("span", {}, place) : h("button", { type: "button", class: "link", onclick: () => open(number) }, place);
  const state = change.state === "applied" ? null : h("em", { class: change.state, title: label(`dataset.state_help.${change.state}`) }, label(`dataset.state.${change.state}`));
  const what =
    change.op === "exclude"
      ? [h("span", {}, label("dataset.excluded"))]
      : [h("b", {}, change.field), h("div", { class: "diff" }, h("del", { dir: "auto" }, change.before || label("dataset.nothing")), h("ins", { dir: "auto" }, change.after || label("dataset.nothing")))];
  const when = change.at.slice(0, 16).replace("T", " ");
  const back = h("button", { type: "button", class: "revert", "aria-label": `${label("dataset.revert")}: ${place}`, onclick: () => revert(change) }, label("dataset.revert"));
  return h("tr", { "data-id": change.id }, h("td", {}, row, state), h("td", {}, ...what), h("td", {}, change.reason), h("td", {}, change.by, h("small", {}, when)), h("td", {}, back));
}
