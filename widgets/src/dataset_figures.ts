// What is in the data: every figure is a button that leads to its rows.

import { h, type Label } from "./dom";
import type { Bars, Figures, Share } from "./dataset_protocol";

const SVG = "http://www.w3.org/2000/svg";
const [WIDE, TALL, FOOT] = [290, 80, 16]; // of a histogram, px
const SHOWN = 8; // lines of a table before it is unfolded

export type Pick = (key: string, name: string) => void;

export function figures(about: Figures, label: Label, pick: Pick): HTMLElement {
  const found = about.findings.filter(({ count }) => count > 0);
  const clean = about.findings.filter(({ count }) => !count).map(({ name }) => name);
  const facts = about.facts.map(({ name, value }) => h("span", { class: "fact" }, h("b", {}, value), ` ${name}`));
  const fates = about.fates.filter(({ count }, place) => count > 0 || place === 0).map((fate) => chip(fate, about.rows, "", fate.name, pick));
  const chips = found.map((finding) => chip(finding, about.rows, finding.level, finding.text, pick));
  return h(
    "div",
    { class: "figures" },
    h("div", { class: "facts" }, ...facts, ...fates),
    h("div", { class: "findings", role: "group", "aria-label": label("dataset.findings") }, ...(chips.length ? chips : [h("span", { class: "quiet" }, label("dataset.no_findings"))])),
    clean.length ? h("p", { class: "quiet clean" }, label("dataset.clean", { names: clean.join(" · ") })) : null,
    h("div", { class: "charts" }, ...about.lengths.map((bars) => histogram(bars, about.unit, label, pick)), ...about.tables.map((table) => shares(table, about.rows, label, pick))),
  );
}

function chip(share: Share, rows: number, level: string, text: string, pick: Pick): HTMLElement {
  const percent = rows ? share.count / rows : 0;
  return h(
    "button",
    { type: "button", class: `chip ${level}`, title: text, "data-key": share.key, disabled: !share.count, onclick: () => pick(share.key, share.name) },
    h("b", {}, share.count.toLocaleString("en")),
    ` ${share.name} `,
    h("small", {}, percentage(percent)),
  );
}

function shares(table: { name: string; about: string; shares: Share[] }, rows: number, label: Label, pick: Pick): HTMLElement {
  const most = Math.max(1, ...table.shares.map(({ count }) => count));
  const line = (share: Share) =>
    h(
      "button",
      { type: "button", class: "share", "data-key": share.key, title: share.name, onclick: () => pick(share.key, share.name) },
      h("span", { class: "name", dir: "auto" }, share.name),
      h("span", { class: "count" }, share.count.toLocaleString("en")),
      h("small", {}, percentage(rows ? share.count / rows : 0)),
      h("span", { class: "meter" }, h("i", { style: `width:${((share.count / most) * 100).toFixed(1)}%` })),
    );
  const lines = table.shares.map(line);
  const rest = lines.splice(SHOWN);
  const more = rest.length ? h("button", { type: "button", class: "link", onclick: () => more!.replaceWith(...rest) }, label("dataset.more", { n: rest.length })) : null;
  return h("section", { class: "chart" }, h("h4", {}, table.name), table.about ? h("p", { class: "quiet" }, table.about) : null, ...lines, more);
}

/** Bars that are buttons; the axis in the figures' unit, with a line where max_len stands. */
function histogram(bars: Bars, unit: string, label: Label, pick: Pick): HTMLElement {
  const most = Math.max(1, ...bars.bins.map(({ count }) => count));
  const wide = WIDE / Math.max(1, bars.bins.length);
  const svg = draw("svg", { viewBox: `0 0 ${WIDE} ${TALL + FOOT}`, class: "bars", role: "group", "aria-label": bars.name });
  bars.bins.forEach((bin, place) => {
    const height = bin.count ? Math.max(1.5, (bin.count / most) * (TALL - 4)) : 0;
    const words = label("dataset.bin", { from: bin.from.toLocaleString("en"), to: bin.to.toLocaleString("en"), unit, n: bin.count.toLocaleString("en") });
    const group = draw("g", { class: "bin", role: "button", tabindex: bin.count ? 0 : -1, "aria-label": words, "data-key": bin.key });
    const title = draw("title", {});
    title.textContent = words;
    group.append(title, draw("rect", { class: "ground", x: place * wide, y: 0, width: wide, height: TALL }), draw("rect", { class: "bar", x: place * wide + 0.5, y: TALL - height, width: Math.max(1, wide - 1), height }));
    const act = () => bin.count && pick(bin.key, `${bars.name} ${bin.from.toLocaleString("en")}–${bin.to.toLocaleString("en")}`);
    group.addEventListener("click", act);
    group.addEventListener("keydown", (event) => {
      if ((event as KeyboardEvent).key !== "Enter" && (event as KeyboardEvent).key !== " ") return;
      event.preventDefault();
      act();
    });
    svg.append(group);
  });
  const first = bars.bins[0]?.from ?? 0;
  svg.append(draw("line", { class: "axis", x1: 0, x2: WIDE, y1: TALL, y2: TALL }));
  svg.append(text(0, "start", first.toLocaleString("en")), text(WIDE, "end", lastTick(bars, label)));
  const at = bars.limit === null ? -1 : placeOf(bars, bars.limit);
  if (at >= 0) {
    svg.append(draw("line", { class: "limit", x1: at * wide, x2: at * wide, y1: 0, y2: TALL }));
    const left = at * wide > WIDE / 2; // beside the line, where there is room
    const words = text(at * wide + (left ? -5 : 5), left ? "end" : "start", `max_len ${bars.limit!.toLocaleString("en")}`, "limit");
    words.setAttribute("y", "12");
    svg.append(words);
  }
  return h("section", { class: "chart" }, h("h4", {}, bars.name, " ", h("small", {}, unit)), svg as unknown as HTMLElement);
}

/** What stands at the end of the axis: the last bin may take all that is longer. */
function lastTick(bars: Bars, label: Label): string {
  const [first, last] = [bars.bins[0], bars.bins.at(-1)];
  if (!first || !last) return "";
  const to = last.to.toLocaleString("en");
  return last.to - last.from > first.to - first.from ? label("dataset.tail", { from: last.from.toLocaleString("en"), to }) : to;
}

/** Where a length stands among the bins, in bins; -1 beyond them. */
export function placeOf(bars: Bars, length: number): number {
  const place = bars.bins.findIndex(({ from, to }) => length >= from && length <= to);
  if (place < 0) return -1;
  const { from, to } = bars.bins[place]!;
  return place + (to > from ? (length - from) / (to - from) : 0);
}

function text(x: number, anchor: string, words: string, kind = "tick"): SVGElement {
  const element = draw("text", { x, y: TALL + FOOT - 4, "text-anchor": anchor, class: kind });
  element.textContent = words;
  return element;
}

function draw(tag: string, attributes: Record<string, string | number>): SVGElement {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  return element;
}

export function percentage(share: number): string {
  const percent = share * 100;
  return `${percent >= 10 || percent === 0 ? percent.toFixed(0) : percent >= 0.1 ? percent.toFixed(1) : "<0.1"} %`;
}
