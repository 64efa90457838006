// A row's tokens on the page. All text is set as text; what shows nothing by itself is made visible.

import { h, type Label } from "./dom";
import type { Row, View } from "./lens_protocol";

const MARKS: Record<string, string> = { " ": "·", "\t": "→", "\n": "⏎\n" };
const HIDDEN = /[\p{C}\p{Z}]/u;
const KINDS = { t: "trained", m: "masked", u: "unused", c: "cut" } as const;

/** Text in which nothing hides: blanks, newlines, and the number of whatever else shows nothing or turns the page's text. */
export function visible(text: string): (string | HTMLElement)[] {
  const parts: (string | HTMLElement)[] = [];
  let plain = "";
  for (const character of text) {
    if (!HIDDEN.test(character)) {
      plain += character;
      continue;
    }
    if (plain) parts.push(plain);
    plain = "";
    const code = character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0");
    if (character === " ") parts.push(h("wbr")); // the dot in its place lets no line break
    parts.push(h("span", { class: "mark" }, MARKS[character] ?? `⟨U+${code}⟩`));
  }
  return plain ? [...parts, plain] : parts;
}

/** The tokens as spans, in one box; `data-token` is the place of each. */
export function tokens(view: View, label: Label): HTMLElement {
  const box = h("div", { class: "tokens", role: "group", "aria-label": label("lens.tokens"), tabindex: 0 });
  const spans = view.texts.map((text, place) => {
    const state = view.states[place] as keyof typeof KINDS;
    const kind = `tok ${KINDS[state]}${view.special[place] ? " special" : ""}`;
    const shown = text === "" ? [h("span", { class: "mark" }, "◌")] : visible(text);
    return h("span", { class: kind, "data-token": place }, ...shown);
  });
  box.append(...spans);
  if (view.hidden) box.append(h("span", { class: "mark" }, ` … ${label("lens.hidden", { n: view.hidden })}`));
  return box;
}

/** What there is to say of one token: its number, spelling, place and state. */
export function about(view: View, place: number, label: Label): string {
  const state = KINDS[view.states[place] as keyof typeof KINDS];
  const special = view.special[place] ? ` · ${label("lens.special")}` : "";
  const part = view.texts[place] === "" ? ` · ${label("lens.part")}` : "";
  const span = label("lens.span", { from: view.starts[place] ?? 0, to: view.ends[place] ?? 0 });
  const spelled = JSON.stringify(view.pieces[place]);
  return `${label("lens.token", { n: place + 1 })} · ${label("lens.id", { id: view.ids[place] ?? 0 })} ${spelled} · ${span} · ${label(`lens.${state}`)}${special}${part}`;
}

/** The figures of a row, and what became of it in words. */
export function facts(row: Row, total: number, label: Label): HTMLElement {
  const chip = (text: string, kind = "") => h("span", { class: `chip ${kind}` }, text);
  const where = h("b", {}, `${row.source} · ${label("lens.row", { n: row.row })}`);
  const head = h("div", { class: "facts" }, where, h("span", { class: "quiet" }, label("lens.of", { n: row.number + 1, total })));
  if (row.task) head.append(chip(row.task));
  const { view } = row;
  if (!view) return head;
  head.append(chip(label("lens.count.tokens", { n: view.counts.tokens })), chip(label("lens.count.trained", { n: view.counts.trained }), "trained"));
  if (view.counts.cut) head.append(chip(label("lens.count.cut", { n: view.counts.cut }), "cut"));
  if (view.counts.dropped_turns) head.append(chip(label("lens.count.dropped", { n: view.counts.dropped_turns }), "cut"));
  return head;
}

/** What a reader should know of the row before reading it. */
export function warnings(view: View, label: Label): HTMLElement[] {
  const keys = [view.left_out && "lens.left_out", view.truncated && "lens.truncated", view.counts.dropped_turns > 0 && "lens.dropped"];
  return keys.filter((key): key is string => !!key).map((key) => h("p", { class: "warning" }, `⚠ ${label(key)}`));
}

/** Each state as it looks, with its name. */
export function legend(label: Label): HTMLElement {
  const sample = (kind: string) => h("span", { class: "tokens" }, h("span", { class: `tok ${kind}` }, label(`lens.${kind}`)));
  return h("div", { class: "legend" }, ...["trained", "masked", "unused", "cut"].map(sample),
    h("span", { class: "tokens" }, h("span", { class: "tok masked special" }, label("lens.special"))));
}
