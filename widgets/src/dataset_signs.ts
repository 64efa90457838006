// Text in which nothing hides: characters that show nothing, or turn the direction of what follows, stand as their number.

import { h } from "./dom";

// Not among them: joiners, which emoji, Persian and Indic scripts need; newline and tab.
const HIDDEN = /([\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufffc])/;

export function signs(text: string): (string | HTMLElement)[] {
  if (!HIDDEN.test(text)) return [text];
  return text.split(HIDDEN).map((part) => (part.length === 1 && HIDDEN.test(part) ? h("span", { class: "sign" }, `U+${part.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}`) : part));
}
