// What judges said of the open comparison: shown to a rater who has voted on it, and not before. All of it is text.

import { h, type Label } from "./dom";
import { LETTERS, type Dimension, type JudgeOrder, type JudgeVerdict, type Side } from "./protocol";

/** The section under the answers; `judges` is undefined while the kernel is being asked. */
export function verdicts(judges: JudgeVerdict[] | undefined, dimensions: Dimension[], label: Label): HTMLElement {
  const section = h("section", { class: "judges", "aria-label": label("grid.judge") });
  if (!judges) section.append(h("div", { class: "quiet", role: "status" }, label("grid.loading")));
  else section.append(...judges.map((judge) => one(judge, dimensions, label)));
  return section;
}

function one(judge: JudgeVerdict, dimensions: Dimension[], label: Label): HTMLElement {
  const said = label(`grid.judge.${judge.verdict}`);
  const wins = judge.verdict === "a" || judge.verdict === "b" ? `badge badge-${judge.verdict}` : "badge badge-t";
  const [first] = judge.orders;
  return h(
    "article",
    { class: `judge judge-${judge.verdict}` },
    h("header", {}, h("strong", {}, judge.rater), h("span", { class: wins }, said)),
    judge.orders.length > 1 ? h("div", { class: "quiet" }, ...judge.orders.map((order) => turn(order, label))) : null,
    ...judge.orders.filter((order) => order.reason).map((order) => h("div", { class: "reason" }, order.reason)),
    first && scores(judge, dimensions, label),
    ...why(first, label),
    ...flags(first, label),
    ...judge.orders.filter((order) => order.request || order.reply).map((order) => evidence(order, judge.orders.length > 1, label)),
  );
}

/** Which answer stood first, and what was said then. */
function turn(order: JudgeOrder, label: Label): HTMLElement {
  const words = order.first ? label("grid.judge.shown_first", { side: order.first.toUpperCase() }) : label("grid.judge.alone");
  return h("span", { class: "turn" }, `${words}: ${label(`grid.judge.${order.verdict}`)}`);
}

function scores({ orders, sides }: JudgeVerdict, dimensions: Dimension[], label: Label): HTMLElement | null {
  const names = [...new Set(orders.flatMap((order) => Object.keys(order.scores)))];
  if (!names.length) return null;
  const known = new Map(dimensions.map((dimension) => [dimension.name, dimension]));
  const sorted = [...known.keys(), ...names].filter((name, n, all) => names.includes(name) && all.indexOf(name) === n);
  const head = h("tr", {}, ...["", ...sides.map((side) => side.toUpperCase())].map((name) => h("th", { scope: "col" }, name)));
  const rows = sorted.map((name) =>
    h("tr", {}, h("th", { scope: "row" }, known.get(name)?.label ?? name), ...sides.map((side) => cell(orders, name, side))),
  );
  return h("table", { "aria-label": label("grid.judge.scores") }, h("thead", {}, head), h("tbody", {}, ...rows));
}

/** The score of each order, and the quotations that decided it, each once. */
function cell(orders: JudgeOrder[], name: string, side: Side): HTMLElement {
  const found = orders.flatMap((order) => order.scores[name]?.[side] ?? []);
  const marks = [...new Set(found.map(({ score }) => score))].join(" / ");
  const quotes = [...new Set(found.map(({ quote }) => quote).filter((quote) => quote.trim()))];
  return h("td", {}, h("b", {}, marks || "–"), ...quotes.map((quote) => h("q", {}, quote)));
}

function why(order: JudgeOrder | undefined, label: Label): (HTMLElement | null)[] {
  return LETTERS.map((side) => {
    const words = order?.why[side];
    return words ? h("div", {}, h("b", {}, `${label("grid.answer", { side: side.toUpperCase() })}: `), words) : null;
  });
}

function flags(order: JudgeOrder | undefined, label: Label): (HTMLElement | null)[] {
  return LETTERS.flatMap((side) =>
    (order?.flags[side] ?? []).map((text) => h("div", { class: "flag" }, label("grid.judge.flag", { side: side.toUpperCase() }), " ", h("q", {}, text))),
  );
}

/** Request and reply of one call, closed at first. */
function evidence(order: JudgeOrder, named: boolean, label: Label): HTMLElement {
  const title = named && order.first ? label("grid.judge.evidence_of", { side: order.first.toUpperCase() }) : label("grid.judge.evidence");
  const { tokens_in, tokens_out, price, served_by } = order.facts;
  const facts = [
    served_by,
    tokens_in === null ? null : label("grid.judge.tokens", { tokens_in, tokens_out: tokens_out ?? 0 }),
    price === null ? null : `$${price}`,
    ...Object.entries(order.labels).map(([name, side]) => `${name} = ${side.toUpperCase()}`),
  ];
  const request = order.request?.map(({ role, content }) => text(role, content)) ?? [h("div", { class: "quiet" }, label("grid.judge.no_request"))];
  return h(
    "details",
    {},
    h("summary", {}, title),
    h("div", { class: "quiet" }, facts.filter((fact) => fact).join(" · ")),
    ...(order.reasoning ? [text(label("grid.judge.reasoning"), order.reasoning)] : []),
    ...request,
    text(label("grid.judge.reply"), order.reply ?? "–"),
  );
}

function text(title: string, content: string): HTMLElement {
  return h("div", {}, h("div", { class: "role" }, title), h("pre", { tabindex: 0 }, content));
}
