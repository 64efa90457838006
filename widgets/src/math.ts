// Math in an answer: where it stands in the text, and MathML of it from which everything unknown has been left out.

import type { MarkedExtension, Tokens } from "marked";
import type { Parts } from "./parts";

const MOST = 1000; // formulas set in one answer; what comes after them stays TeX
const LONGEST = 4000; // characters of TeX; also bounds the time for text full of openings without an end

interface Found {
  raw: string;
  tex: string;
  display: boolean;
}

/** Math at the very beginning of `src`, between \( \), \[ \], $$ $$ or $ $. */
export function mathAt(src: string): Found | undefined {
  if (src.startsWith("\\(")) return between(src, "\\(", "\\)", false);
  if (src.startsWith("\\[")) return between(src, "\\[", "\\]", true);
  if (src.startsWith("$$")) return between(src, "$$", "$$", true);
  return src.startsWith("$") ? dollars(src) : undefined;
}

function between(src: string, opening: string, closing: string, display: boolean): Found | undefined {
  const end = src.slice(0, LONGEST).indexOf(closing, opening.length);
  if (end < 0) return undefined;
  const tex = src.slice(opening.length, end);
  if (!tex.trim() || /\n[ \t]*\n/.test(tex)) return undefined;
  return { raw: src.slice(0, end + closing.length), tex: tex.trim(), display };
}

/** $x$, and not the money in "$5 and $10", "$5-$10" or "US$5": pandoc's rule, and no sentence that begins with a number. */
function dollars(src: string): Found | undefined {
  const found = /^\$(?!\s)((?:\\[^\n]|[^\\$\n]|\n(?![ \t]*\n)){1,1000}?)\$(?:(?![\w$])|(?=(?:th|st|nd|rd|s)\b))/.exec(src);
  const tex = found?.[1];
  if (!found || !tex || /\s$/.test(tex)) return undefined;
  if (/^\d/.test(tex) && /[A-Za-z]{2}/.test(tex) && !/[\\^_=+*/<>{}]/.test(tex)) return undefined;
  return { raw: found[0], tex, display: false };
}

/** For marked: math becomes <var data-math>, a tag that Markdown has no other use for, with the TeX as its text. */
export function mathIn(escape: (text: string) => string): MarkedExtension {
  const renderer = ({ tex, display }: Tokens.Generic) => `<var data-math="${display ? "display" : "inline"}">${escape(tex)}</var>`;
  const block = (token: Tokens.Generic) => `<p>${renderer(token)}</p>`;
  return {
    extensions: [
      {
        name: "math",
        level: "inline",
        start: finder(/(?<![\w$\\])\$|\\[([]/g, mathAt),
        tokenizer: (src) => token("math", mathAt(src)),
        renderer,
      },
      {
        name: "mathBlock",
        level: "block",
        start: finder(/(?<=\n) {0,3}(?:\$\$|\\\[)/g, blockAt),
        tokenizer: (src) => token("mathBlock", blockAt(src)),
        renderer: block,
      },
    ],
  };
}

/** Displayed math that has its lines for itself. */
function blockAt(src: string): Found | undefined {
  const indent = /^ {0,3}(?=\$\$|\\\[)/.exec(src)?.[0];
  const found = indent === undefined ? undefined : mathAt(src.slice(indent.length));
  const rest = found && /^[ \t]*(?:\n|$)/.exec(src.slice(indent!.length + found.raw.length))?.[0];
  return rest === undefined ? undefined : { ...found!, raw: indent + found!.raw + rest };
}

/**
 * Finds where the next math begins. Openings without an end do not make marked stop, and what was learnt about a text
 * serves for its rest: marked asks again after every line.
 */
function finder(opening: RegExp, at: (src: string) => Found | undefined): (src: string) => number | undefined {
  let known = { text: "", index: undefined as number | undefined };
  return (src) => {
    const skipped = known.text.length - src.length;
    if (known.text.endsWith(src)) {
      if (known.index === undefined) return undefined;
      if (known.index >= skipped) return known.index - skipped;
    }
    known = { text: src, index: search(src, opening, at) };
    return known.index;
  };
}

function search(src: string, opening: RegExp, at: (src: string) => Found | undefined): number | undefined {
  for (const { index } of src.matchAll(opening)) if (at(src.slice(index))) return index;
  return undefined;
}

function token(type: string, found: Found | undefined): (Found & { type: string }) | undefined {
  return found && { type, ...found };
}

const WORD_JOINER = "\u2060"; // without it a comma after math may begin the next line
const PUNCTUATION = /^[,.;:!?)\]}%，。；：！？、）]/;

/** Put notation in the place of the TeX, when the typesetter is here. TeX that it cannot read stays as it is. */
export function typesetIn(fragment: DocumentFragment, parts: Parts): void {
  const places = [...fragment.querySelectorAll<HTMLElement>("var[data-math]")].slice(0, MOST);
  if (!places.length) return;
  parts.use("math", ({ typeset }) => {
    for (const place of places) {
      const display = place.dataset["math"] === "display";
      try {
        const math = typeset(place.textContent, display).querySelector("math");
        const copy = math && known(math);
        if (copy) place.replaceChildren(copy);
        place.classList.add("set");
        if (!display && PUNCTUATION.test(place.nextSibling?.textContent ?? "")) place.after(WORD_JOINER);
      } catch {
        place.title = "TeX"; // what is between the dollars is shown
      }
    }
  });
}

const TAGS = new Set(
  (
    "math semantics mrow mi mn mo mtext mspace msub msup msubsup munder mover munderover mfrac msqrt mroot mtable mtr mtd " +
    "mstyle mpadded mphantom menclose mmultiscripts mprescripts none"
  ).split(" "),
);
// no colours: they would not be readable in every theme; no addresses, classes, styles, ids
const ATTRIBUTES = new Set(
  (
    "display displaystyle scriptlevel stretchy fence separator symmetric movablelimits largeop accent accentunder " +
    "linethickness lspace rspace minsize maxsize width height depth voffset"
  ).split(" "),
);

/** A copy made of known MathML alone; unknown elements are left out with all they hold. */
function known(element: Element): Element | null {
  const tag = element.localName;
  if (!TAGS.has(tag)) return null;
  const copy = document.createElementNS("http://www.w3.org/1998/Math/MathML", tag);
  for (const { name, value } of element.attributes) if (ATTRIBUTES.has(name) && /^[\w.%+-]{1,20}$/.test(value)) copy.setAttribute(name, value);
  const variant = element.getAttribute("mathvariant") ?? "";
  if (variant === "normal") copy.setAttribute("mathvariant", variant);
  copy.classList.add(...classes(element));
  for (const child of element.childNodes) {
    if (child.nodeType === Node.TEXT_NODE) copy.append(styled(child.textContent ?? "", variant));
    else if (child instanceof Element) copy.append(...[known(child)].filter((inner) => inner !== null));
  }
  return copy;
}

/** What browsers' MathML has no attribute for: alignment of a column, frames and strokes. grid.css draws them. */
function classes(element: Element): string[] {
  if (element.localName === "menclose") {
    const notation = element.getAttribute("notation") ?? "";
    return /^[a-z ]+$/.test(notation) ? notation.split(" ").map((name) => `math-${name}`) : [];
  }
  if (element.localName !== "mtd") return [];
  const column = [...(element.parentElement?.children ?? [])].indexOf(element) - glue(element);
  const aligned = element.closest("mtable")?.getAttribute("columnalign")?.split(" ")[column];
  return aligned === "left" || aligned === "right" ? [`math-${aligned}`] : [];
}

/** KaTeX puts an empty cell before those of an equation with a number, which its list of alignments does not count. */
function glue(cell: Element): number {
  return cell.parentElement?.firstElementChild?.classList.contains("mtr-glue") ? 1 : 0;
}

// Letters of other alphabets have characters of their own in Unicode, and browsers' MathML knows only those: the place
// of A, a and 0, and the letters that had a character before that block was made.
const ALPHABETS: Record<string, { A: number; a: number; 0?: number; older?: string }> = {
  bold: { A: 0x1d400, a: 0x1d41a, 0: 0x1d7ce },
  "bold-italic": { A: 0x1d468, a: 0x1d482 },
  "double-struck": { A: 0x1d538, a: 0x1d552, 0: 0x1d7d8, older: "CℂHℍNℕPℙQℚRℝZℤ" },
  script: { A: 0x1d49c, a: 0x1d4b6, older: "BℬEℰFℱHℋIℐLℒMℳRℛeℯgℊoℴ" },
  fraktur: { A: 0x1d504, a: 0x1d51e, older: "CℭHℌIℑRℜZℨ" },
  "sans-serif": { A: 0x1d5a0, a: 0x1d5ba, 0: 0x1d7e2 },
  monospace: { A: 0x1d670, a: 0x1d68a, 0: 0x1d7f6 },
};

function styled(text: string, variant: string): string {
  const alphabet = ALPHABETS[variant];
  if (!alphabet) return text;
  return text.replace(/[A-Za-z0-9]/g, (letter) => {
    const older = [...(alphabet.older ?? "")];
    const at = older.indexOf(letter);
    if (at >= 0 && at % 2 === 0) return older[at + 1]!;
    const first = /\d/.test(letter) ? "0" : letter <= "Z" ? "A" : "a";
    const start = alphabet[first];
    return start === undefined ? letter : String.fromCodePoint(start + letter.charCodeAt(0) - first.charCodeAt(0));
  });
}
