// TeX as MathML: a bundle of its own (see parts.ts). The browser draws MathML itself, so that no fonts are loaded.

import katex from "katex";

/** An element that holds <math>; throws on TeX that cannot be read. The page copies from it what it knows (math.ts). */
export type Typeset = (tex: string, display: boolean) => HTMLElement;

export const typeset: Typeset = (tex, display) => {
  const element = document.createElement("span");
  // trust: no \href, \includegraphics, \htmlStyle; maxExpand, maxSize: no bombs of macros, no rules as wide as the page
  katex.render(tex, element, { output: "mathml", displayMode: display, throwOnError: true, strict: "ignore", trust: false, maxExpand: 200, maxSize: 20 });
  return element;
};
