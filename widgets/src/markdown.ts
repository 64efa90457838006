// Text that a model wrote, as HTML that can do nothing: no script, no form, no style, nothing loaded from anywhere.
// Two walls. Raw HTML is shown as the text it is (an answer about HTML stays readable), pictures as a word; and what
// marked makes goes through DOMPurify with a list of what is allowed.

import DOMPurify from "dompurify";
import { Marked } from "marked";

const TAGS = (
  "a b blockquote br code del em h1 h2 h3 h4 h5 h6 hr i li ol p pre s strong sub sup table tbody td th thead tr u ul"
).split(" ");
const BARE_TAG = /^<\/?(?:b|i|u|s|sub|sup|br)\s*\/?>$/i;

const marked = new Marked({
  gfm: true,
  breaks: true, // a single line break in an answer was meant as one
  renderer: {
    html: ({ text }) => (BARE_TAG.test(text.trim()) ? text : escape(text)),
    image: ({ href, text }) => `<em>[${escape(text || href)}]</em>`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
});

export function safeMarkdown(text: string): DocumentFragment {
  const html = marked.parse(text, { async: false });
  const fragment = DOMPurify.sanitize(html, {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ["href", "start", "align"],
    ADD_URI_SAFE_ATTR: ["start", "align"], // their values are no addresses
    ALLOWED_URI_REGEXP: /^(?:https?:|mailto:)/i,
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    RETURN_DOM_FRAGMENT: true,
  });
  for (const link of fragment.querySelectorAll("a")) {
    if (!link.href) {
      link.replaceWith(...link.childNodes); // DOMPurify took its address away
      continue;
    }
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
    link.title = link.href;
  }
  return fragment;
}

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}
