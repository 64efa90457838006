// The filter bar. It shows one expression, the same that Python's `grid.filter` takes; its buttons and menus write into
// it, and the kernel says which rows it keeps, or what is wrong with it.

import { h, type Label } from "./dom";
import type { Filtered } from "./protocol";

const WAIT_MS = 350; // after the last letter of a search
const SWITCHES = ["unrated", "disagreement", "flagged"] as const;

export class FilterBar {
  readonly element: HTMLElement;
  private readonly field: HTMLInputElement;
  private readonly search: HTMLInputElement;
  private readonly switches: HTMLButtonElement[];
  private readonly menus = h("span", { class: "menus" });
  private readonly found = h("span", { class: "quiet", role: "status" });
  private readonly error = h("div", { class: "filter-error", role: "alert" });
  private timer = 0;
  private sent = 0;
  private filterable: Record<string, string[]> = {};
  private selects: { column: string; select: HTMLSelectElement }[] = [];

  constructor(
    private readonly label: Label,
    private readonly ask: (text: string) => Promise<Filtered>,
    private readonly filtered: (filter: Filtered) => void,
  ) {
    const button = (name: string) => h("button", { type: "button", onclick: () => this.toggle(name) }, label(`grid.filter.${name}`));
    this.switches = SWITCHES.map(button);
    this.search = h("input", { type: "search", size: 12, placeholder: label("grid.filter.search"), "aria-label": label("grid.filter.search"), oninput: () => this.later() });
    this.field = h("input", { class: "expression", spellcheck: "false", autocomplete: "off", placeholder: "task == 'math' and unrated and 'python' in text", "aria-label": label("grid.filter.expression") });
    this.field.addEventListener("keydown", (event) => event.key === "Enter" && !event.isComposing && void this.apply(this.field.value));
    const clear = h("button", { type: "button", title: label("grid.filter.clear"), "aria-label": label("grid.filter.clear"), onclick: () => this.clear() }, "×");
    this.element = h(
      "div",
      { class: "filter", role: "search", hidden: true },
      h("div", { class: "filter-line" }, ...this.switches, this.menus, this.search, this.field, clear, this.found),
      this.error,
    );
  }

  /** Columns with values to choose from; the models' once they are known. */
  offer(filterable: Record<string, string[]>): void {
    this.filterable = filterable;
    this.selects = Object.entries(this.filterable)
      .filter(([, values]) => values.length > 1)
      .map(([column, values]) => {
        const options = [h("option", { value: "" }, this.label(`grid.filter.any_${column}`)), ...values.map((value) => h("option", { value }, value))];
        const select = h("select", { "aria-label": this.label(`grid.filter.${column}`), onchange: () => void this.apply(withClause(this.text, clauseOf(column), select.value ? `${column} == ${quoted(select.value)}` : "")) }, ...options);
        return { column, select };
      });
    this.menus.replaceChildren(...this.selects.map(({ select }) => select));
    this.reflect();
  }

  show(filter: Filtered): void {
    if (!filter.fault || document.activeElement !== this.field) this.field.value = filter.text;
    this.error.textContent = filter.fault ?? "";
    this.found.textContent = filter.rows ? this.label("grid.filter.found", { n: filter.rows.length }) : "";
    if (filter.text) this.element.hidden = false;
    this.reflect();
  }

  focus(): void {
    this.element.hidden = false;
    this.field.focus();
  }

  /** Its button on the bar: opens it, and puts it away when it holds nothing. */
  press(): void {
    if (this.element.hidden || this.text) this.focus();
    else this.rest();
  }

  /** Nobody types in it any more. */
  rest(): void {
    if (!this.text) this.element.hidden = true;
  }

  clear(): void {
    void this.apply("");
  }

  private get text(): string {
    return this.field.value.trim();
  }

  /** Buttons and menus as the expression has them. */
  private reflect(): void {
    const clauses = split(this.text);
    this.switches.forEach((button, n) => button.setAttribute("aria-pressed", String(clauses.includes(SWITCHES[n]!))));
    for (const { column, select } of this.selects) {
      const found = clauses.map((clause) => clauseOf(column).exec(clause)).find((match) => match);
      select.value = found ? unquoted(found[1]!) : "";
    }
    const searched = clauses.map((clause) => SEARCH.exec(clause)).find((match) => match);
    if (document.activeElement !== this.search) this.search.value = searched ? unquoted(searched[1]!) : "";
  }

  private toggle(name: string): void {
    const there = split(this.text).includes(name);
    void this.apply(withClause(this.text, new RegExp(`^${name}$`), there ? "" : name));
  }

  private later(): void {
    clearTimeout(this.timer);
    const write = () => void this.apply(withClause(this.text, SEARCH, this.search.value.trim() ? `${quoted(this.search.value.trim())} in text` : ""));
    this.timer = setTimeout(write, WAIT_MS) as unknown as number;
  }

  private async apply(text: string): Promise<void> {
    clearTimeout(this.timer);
    const number = ++this.sent;
    this.field.value = text;
    let answer: Filtered;
    try {
      answer = await this.ask(text);
    } catch (error) {
      answer = { text, rows: null, fault: error instanceof Error ? error.message : String(error) };
    }
    if (number !== this.sent) return; // asked anew meanwhile
    this.show(answer);
    if (!answer.fault) this.filtered(answer);
  }
}

const SEARCH = /^('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*") in text$/;

function clauseOf(column: string): RegExp {
  return new RegExp(`^${column} == ('(?:[^'\\\\]|\\\\.)*'|"(?:[^"\\\\]|\\\\.)*")$`);
}

/** The clauses that " and " joins, outside of quotes and brackets; one clause where there is an " or ". */
export function split(text: string): string[] {
  const clauses = [""];
  let [quote, depth] = ["", 0];
  for (let at = 0; at < text.length; at++) {
    const letter = text[at]!;
    if (quote && letter === "\\") {
      clauses[clauses.length - 1] += letter + (text[++at] ?? "");
      continue;
    }
    if (quote) quote = letter === quote ? "" : quote;
    else if (letter === "'" || letter === '"') quote = letter;
    else if ("([".includes(letter)) depth++;
    else if (")]".includes(letter)) depth--;
    else if (!depth && text.startsWith(" or ", at)) return [text.trim()];
    else if (!depth && text.startsWith(" and ", at)) {
      clauses.push("");
      at += 4;
      continue;
    }
    clauses[clauses.length - 1] += letter;
  }
  return clauses.map((clause) => clause.trim()).filter(Boolean);
}

/** The expression with `clause` in the place of the one that `old` matches; "" takes it out. */
export function withClause(text: string, old: RegExp, clause: string): string {
  const clauses = split(text);
  const at = clauses.findIndex((known) => old.test(known));
  const alone = clauses.length === 1 && at < 0 && / or /.test(text) ? [`(${text.trim()})`] : clauses;
  const others = at < 0 ? [...alone, clause] : alone.map((known, n) => (n === at ? clause : known));
  return others.filter(Boolean).join(" and ");
}

function quoted(text: string): string {
  return `'${text.replace(/[\\']/g, "\\$&").replace(/\n/g, "\\n")}'`;
}

function unquoted(text: string): string {
  return text.slice(1, -1).replace(/\\(.)/g, (_, letter: string) => (letter === "n" ? "\n" : letter));
}
