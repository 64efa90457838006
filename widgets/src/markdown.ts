// Text that a model wrote, as HTML that can do nothing: no script, no form, no style, nothing loaded from anywhere.
// Two walls. Raw HTML is shown as the text it is (an answer about HTML stays readable), pictures as a word; and what
// marked makes goes through DOMPurify with a list of what is allowed. What colours code and sets math comes after that:
// the colours through DOMPurify once more, the math copied element by element (math.ts).

import DOMPurify from "dompurify";
import { Marked } from "marked";
import { mathIn, typesetIn } from "./math";
import type { Parts } from "./parts";

const LONGEST = 200_000; // characters; what is longer, or nested too deep to be read, is shown as it is
const LONGEST_CODE = 50_000; // of one block in colour
const TAGS = (
  "a b blockquote br code del em h1 h2 h3 h4 h5 h6 hr i li ol p pre s strong sub sup table tbody td th thead tr u ul var"
).split(" ");
const BARE_TAG = /^<\/?(?:b|i|u|s|sub|sup|br)\s*\/?>$/i;

const marked = new Marked({
  gfm: true,
  breaks: true, // a single line break in an answer was meant as one
  renderer: {
    html: ({ text }) => (BARE_TAG.test(text.trim()) ? text : escape(text)),
    image: ({ href, text }) => `<em>[${escape(text || href)}]</em>`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
    code: ({ text, lang }) => `<pre><code data-language="${escape(/^[\w+#-]{1,20}/.exec(lang ?? "")?.[0] ?? "")}">${escape(text)}\n</code></pre>`,
  },
});
marked.use(mathIn(escape));

export function safeMarkdown(text: string, parts?: Parts): DocumentFragment {
  const fragment = cleaned(text);
  for (const link of fragment.querySelectorAll("a")) {
    if (!link.href) {
      link.replaceWith(...link.childNodes); // DOMPurify took its address away
      continue;
    }
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
    link.title = link.href;
  }
  for (const block of fragment.children) if (block instanceof HTMLElement) block.dir = "auto"; // lists and tables from the right in Arabic
  if (parts) {
    colourIn(fragment, parts);
    typesetIn(fragment, parts);
  }
  return fragment;
}

function cleaned(text: string): DocumentFragment {
  try {
    if (text.length <= LONGEST) {
      return DOMPurify.sanitize(marked.parse(text, { async: false }), {
        ALLOWED_TAGS: TAGS,
        ALLOWED_ATTR: ["href", "start", "align", "data-language", "data-math"],
        ADD_URI_SAFE_ATTR: ["start", "align", "data-language", "data-math"], // their values are no addresses
        ALLOWED_URI_REGEXP: /^(?:https?:|mailto:)/i,
        ALLOW_DATA_ATTR: false,
        ALLOW_ARIA_ATTR: false,
        RETURN_DOM_FRAGMENT: true,
      });
    }
  } catch {
    /* ten thousand ">" in a row, and the like: as plain text */
  }
  const plain = document.createElement("pre");
  plain.textContent = text;
  const fragment = document.createDocumentFragment();
  fragment.append(plain);
  return fragment;
}

/** Code in colour, when the part that does so is here. It may change how the text looks, never the text. */
function colourIn(fragment: DocumentFragment, parts: Parts): void {
  const blocks = [...fragment.querySelectorAll<HTMLElement>("pre > code[data-language]")].filter(
    (block) => block.dataset["language"] && block.textContent.length <= LONGEST_CODE,
  );
  if (!blocks.length) return;
  parts.use("code", ({ highlight }) => {
    for (const block of blocks) {
      const html = highlight(block.textContent, block.dataset["language"]!.toLowerCase());
      const coloured = html === null ? null : spans(html);
      if (coloured?.textContent === block.textContent) block.replaceChildren(coloured);
    }
  });
}

function spans(html: string): DocumentFragment {
  const fragment = DOMPurify.sanitize(html, {
    ALLOWED_TAGS: ["span"],
    ALLOWED_ATTR: ["class"],
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    RETURN_DOM_FRAGMENT: true,
  });
  for (const span of fragment.querySelectorAll("span")) {
    span.className = [...span.classList].filter((name) => name.startsWith("hljs-")).join(" ");
  }
  return fragment;
}

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}
