// Text can be read: at least 4.5 to 1 (WCAG 2, level AA) for every pair of colours that the grid's style sheets use, in
// JupyterLab's two themes, in VS Code's and on a plain page. The style sheets themselves are read.

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

type Colour = [red: number, green: number, blue: number, alpha: number]; // 0..1

const css = ["theme", "frame", "answers"].map((name) => readFileSync(new URL(`../src/${name}.css`, import.meta.url), "utf8")).join("\n");
const stated = new Map([...css.matchAll(/(--[\w-]+):\s*([^;]+);/g)].map(([, name, value]) => [name!, value!.trim()]));

// what the frontends give: JupyterLab 4.6's themes, VS Code's Light Modern and Dark Modern, Chromium's system colours
const PAGES: Record<string, { dark: boolean; given: Record<string, string> }> = {
  "JupyterLab Light": { dark: false, given: { "--jp-layout-color1": "#ffffff", "--jp-ui-font-color1": "rgba(0, 0, 0, 0.87)" } },
  "JupyterLab Dark": { dark: true, given: { "--jp-layout-color1": "#212121", "--jp-ui-font-color1": "#ffffff" } },
  "VS Code Light": { dark: false, given: { "--vscode-editor-background": "#ffffff", "--vscode-editor-foreground": "#3b3b3b" } },
  "VS Code Dark": { dark: true, given: { "--vscode-editor-background": "#1f1f1f", "--vscode-editor-foreground": "#cccccc" } },
  "plain, light": { dark: false, given: {} },
  "plain, dark": { dark: true, given: {} },
};

// text on ground, as the rules have them
const PAIRS = [
  ["--text", "--bg"], ["--text", "--bg-soft"], ["--text", "--wash"], ["--quiet", "--bg"], ["--quiet", "--bg-soft"], ["--accent", "--bg"],
  ["--on-accent", "--accent"], ["--bad", "--bg"], ["--text", "first mark"], ["--text", "second mark"],
  ["--keyword", "--bg-soft"], ["--string", "--bg-soft"], ["--literal", "--bg-soft"], ["--name", "--bg-soft"], ["--comment", "--bg-soft"],
] as const; // prettier-ignore
const MARKS: Record<string, RegExp> = {
  "first mark": /\.diff-first mark \{\s*background: ([^;]+);/,
  "second mark": /\.diff-second mark \{\s*background: ([^;]+);/,
};

/** A CSS colour in the words that the style sheets use: var(), light-dark(), color-mix() in sRGB, rgba(), #rrggbb. */
function colour(text: string, page: (typeof PAGES)[string]): Colour {
  const call = /^([\w-]+)\((.*)\)$/s.exec(text.trim());
  if (!call) {
    if (text === "Canvas") return page.dark ? hex("#121212") : hex("#ffffff");
    if (text === "CanvasText") return page.dark ? hex("#ffffff") : hex("#000000");
    return hex(text.trim());
  }
  const inner = split(call[2]!);
  if (call[1] === "light-dark") return colour(inner[page.dark ? 1 : 0]!, page);
  if (call[1] === "rgba") return inner.map((part, n) => (n < 3 ? Number(part) / 255 : Number(part))) as Colour;
  if (call[1] === "var") {
    const value = page.given[inner[0]!] ?? stated.get(inner[0]!) ?? inner[1];
    if (value === undefined) throw new Error(`${inner[0]} is stated nowhere`);
    return colour(value, page);
  }
  if (call[1] !== "color-mix" || inner[0] !== "in srgb") throw new Error(`not read: ${text}`);
  const [, first, share] = /^(.*\S)\s+(\d+)%$/s.exec(inner[1]!)!;
  return mixed(colour(first!, page), colour(inner[2]!, page), Number(share) / 100);
}

function split(text: string): string[] {
  const parts = [""];
  let depth = 0;
  for (const letter of text) {
    depth += letter === "(" ? 1 : letter === ")" ? -1 : 0;
    if (letter === "," && depth === 0) parts.push("");
    else parts[parts.length - 1] += letter;
  }
  return parts.map((part) => part.trim());
}

function hex(text: string): Colour {
  const found = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(text);
  if (!found) throw new Error(`no colour: ${text}`);
  return [...found.slice(1).map((part) => parseInt(part, 16) / 255), 1] as Colour;
}

/** Premultiplied, as CSS Color 5 has it. */
function mixed(x: Colour, y: Colour, share: number): Colour {
  const alpha = x[3] * share + y[3] * (1 - share);
  return [0, 1, 2].map((n) => (x[n]! * x[3] * share + y[n]! * y[3] * (1 - share)) / alpha).concat(alpha) as Colour;
}

function luminance([red, green, blue]: Colour): number {
  const linear = (value: number) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
}

function over(top: Colour, ground: Colour): Colour {
  return mixed([top[0], top[1], top[2], 1], ground, top[3]);
}

function contrast(text: Colour, ground: Colour): number {
  const [x, y] = [luminance(over(text, ground)), luminance(ground)].sort((one, other) => other - one) as [number, number];
  return (x + 0.05) / (y + 0.05);
}

test("the measure itself", () => {
  const page = PAGES["plain, light"]!;
  expect(contrast(hex("#000000"), hex("#ffffff"))).toBeCloseTo(21);
  expect(contrast(hex("#767676"), hex("#ffffff"))).toBeCloseTo(4.54, 2);
  expect(colour("color-mix(in srgb, #ff0000 50%, #0000ff)", page)).toEqual([0.5, 0, 0.5, 1]);
});

test.each(Object.keys(PAGES))("%s", (name) => {
  const page = PAGES[name]!;
  const bg = colour("var(--bg)", page);
  for (const [text, ground] of PAIRS) {
    const behind = over(colour(MARKS[ground] ? MARKS[ground].exec(css)![1]! : `var(${ground})`, page), bg);
    expect(contrast(colour(`var(${text})`, page), behind), `${text} on ${ground}`).toBeGreaterThanOrEqual(4.5);
  }
});
