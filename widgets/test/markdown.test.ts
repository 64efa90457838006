// @vitest-environment jsdom
// Model text is hostile: whatever it says, it becomes text and harmless tags.

import { Marked } from "marked";
import { beforeEach, expect, test, vi } from "vitest";
import * as code from "../src/grid_code";
import * as math from "../src/grid_math";
import { mathAt, mathIn } from "../src/math";
import { safeMarkdown } from "../src/markdown";
import { Parts } from "../src/parts";

const both = () => new Parts(async (name) => (name === "code" ? code : math) as any);

async function rich(text: string): Promise<HTMLElement> {
  document.body.append(safeMarkdown(text, both()));
  await vi.dynamicImportSettled();
  return document.body;
}

const RUN = "window.pwned=1";
const HOSTILE = [
  `<script>${RUN}</script>`,
  `<img src=x onerror="${RUN}">`,
  `<svg onload="${RUN}"><script>${RUN}</script></svg>`,
  `<iframe src="javascript:parent.${RUN}"></iframe>`,
  `<iframe srcdoc="<script>parent.${RUN}</script>"></iframe>`,
  `[click](javascript:${RUN})`,
  `[click](JaVaScRiPt:${RUN})`,
  `[click](java\tscript:${RUN})`,
  `[click](&#106;avascript:${RUN})`,
  `[click](data:text/html,<script>${RUN}</script>)`,
  `[click](vbscript:${RUN})`,
  `<a href="javascript:${RUN}">x</a>`,
  `![x](x" onerror="${RUN})`,
  `![x](http://outside.example/pixel.png)`,
  `![<img src=x onerror=${RUN}>](x)`,
  `<style>@import url(http://outside.example/x.css);</style>`,
  `<link rel=stylesheet href=http://outside.example/x.css>`,
  `<body onload=${RUN}>`,
  `<details open ontoggle=${RUN}>x</details>`,
  `<form action=http://outside.example><input name=q><button formaction=javascript:${RUN}>x</button></form>`,
  `<video src=http://outside.example/v.mp4 onerror=${RUN}></video>`,
  `<audio src=x onerror=${RUN}>`,
  `<object data=http://outside.example></object><embed src=http://outside.example>`,
  `<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=${RUN}&gt;">`,
  `<noscript><p title="</noscript><img src=x onerror=${RUN}>">`,
  `<b onmouseover=${RUN}>x</b>`,
  `<div style="background:url(http://outside.example/x)">x</div>`,
  `<meta http-equiv=refresh content="0;url=http://outside.example">`,
  `<base href=http://outside.example>`,
  "```html\n<script>" + RUN + "</script>\n```",
  "`<img src=x onerror=" + RUN + ">`",
  `</textarea></div></section><script>${RUN}</script>`,
  `<scr<script>ipt>${RUN}</scr</script>ipt>`,
  `<br onclick=${RUN}>`,
  `| a |\n|---|\n| <img src=x onerror=${RUN}> |`,
  `<template><script>${RUN}</script></template>`,
  `\u0000<script>${RUN}</script>`,
  // through the two parts that make markup of their own
  `$\\href{javascript:${RUN}}{x}$`,
  `$\\url{javascript:${RUN}}$`,
  `$\\includegraphics{http://outside.example/x.png}$`,
  `$\\htmlStyle{background:url(http://outside.example/x)}{x}$`,
  `$\\htmlData{x=y}{x} \\htmlId{x}{y} \\htmlClass{row}{y}$`,
  `$\\text{<img src=x onerror=${RUN}>}$`,
  `$$\\text{</math><script>${RUN}</script>}$$`,
  `\\[\\mathrm{<svg onload=${RUN}>}\\]`,
  `\\(\\unicode{x3c}script>${RUN}\\)`,
  `$<img src=x onerror=${RUN}>$`,
  `$x$<img src=x onerror=${RUN}>$y$`,
  `$\\def\\x{\\x\\x}\\x$`,
  `$\\def\\a{\\b\\b}\\def\\b{\\c\\c}\\def\\c{\\d\\d}\\def\\d{\\e\\e}\\def\\e{xxxxxxxx}\\a\\a\\a\\a\\a\\a\\a\\a\\a\\a\\a\\a\\a\\a$`,
  `$\\rule{99999em}{99999em} \\color{red}x \\raisebox{-99999em}{x}$`,
  "```python\nprint('<img src=x onerror=" + RUN + ">')\n```",
  "```html\n<a href=javascript:" + RUN + " onclick='" + RUN + "'><style>*{background:url(http://outside.example/x)}</style>\n```",
  "```xml\n<![CDATA[<script>" + RUN + "</script>]]><!-- --><script>" + RUN + "</script>\n```",
  "```js\n`${'</span><img src=x onerror=" + RUN + ">'}`; /<img>/.test(x) // </code></pre><script>" + RUN + "</script>\n```",
  "```sql\nselect '</span><script>" + RUN + "</script>'\n```",
  "```constructor\n<img src=x onerror=" + RUN + ">\n```",
  '```python"onmouseover="' + RUN + "\nx\n```",
  `<var data-math="inline">\\href{javascript:${RUN}}{x}</var>`,
  `<code data-language="html"><img src=x onerror=${RUN}></code>`,
];
const HTML = "a,b,blockquote,br,code,del,em,h1,h2,h3,hr,i,li,ol,p,pre,s,strong,table,tbody,td,th,thead,tr,u,ul,var";
const MATH = "math,semantics,mrow,mi,mn,mo,mtext,mspace,mstyle,mpadded";
const ATTRIBUTES = ["href", "target", "rel", "title", "start", "align", "dir", "data-language", "data-math"];
const MATH_ATTRIBUTES = ["display", "displaystyle", "scriptlevel", "mathvariant", "width", "height", "voffset", "depth", "stretchy"];

beforeEach(() => document.body.replaceChildren());

test.each(HOSTILE)("%s", async (text) => {
  const plain = document.createElement("div");
  plain.append(safeMarkdown(text));
  check(plain, false);
  check(await rich(text), true);
  expect((window as any).pwned).toBeUndefined();
});

function check(page: HTMLElement, parts: boolean): void {
  for (const element of page.querySelectorAll("*")) {
    const inMath = parts && !!element.closest("math");
    const span = parts && element.matches("code span");
    expect(span || element.matches(inMath ? MATH : HTML), element.outerHTML).toBe(true);
    for (const { name, value } of element.attributes) {
      if (name === "class") expect(value).toMatch(span ? /^(hljs-[\w-]+ ?)*$/ : /^(set|math-[a-z]+)?$/);
      else expect(inMath ? MATH_ATTRIBUTES : ATTRIBUTES).toContain(name);
      if (name === "href") expect(value).toMatch(/^(https?:|mailto:)/);
    }
  }
}

test("HTML in an answer is readable as what it is", () => {
  document.body.append(safeMarkdown('use <div class="x">this</div> and a<br>b'));
  expect(document.body.textContent).toContain('<div class="x">this</div>');
  expect(document.body.querySelector("br")).not.toBeNull();
});

test("Markdown is rendered", () => {
  document.body.append(safeMarkdown("**bold** [site](https://example.org)\n\n3. three\n4. four\n\n- [x] done"));
  expect(document.body.querySelector("strong")?.textContent).toBe("bold");
  const link = document.body.querySelector("a")!;
  expect([link.target, link.rel, link.title]).toEqual(["_blank", "noopener noreferrer nofollow", "https://example.org/"]);
  expect(document.body.querySelector("ol")?.getAttribute("start")).toBe("3");
  expect(document.body.textContent).toContain("☑ done");
});

test("code gets colours and stays the same text; unknown languages and none stay plain", async () => {
  const source = 'def f(x):\n    return "<b>" + str(x)  # ü\n';
  const body = await rich("```python\n" + source + "```\n\n```\nplain\n```\n\n```brainfuck\n+++\n```\n\n```C++\nint x = 1;\n```");
  const [python, none, unknown, cpp] = [...body.querySelectorAll("pre code")];
  expect(python!.textContent).toBe(source);
  expect(python!.querySelector(".hljs-keyword")?.textContent).toBe("def");
  expect(none!.querySelector("span")).toBeNull();
  expect(unknown!.querySelector("span")).toBeNull();
  expect(cpp!.querySelector("span")).not.toBeNull();
});

test("a part that would change the text, or cannot be had, leaves it plain", async () => {
  const liar = new Parts(async () => ({ highlight: () => "<span>other</span>", typeset: () => document.createElement("div") }) as any);
  document.body.append(safeMarkdown("```python\nx\n```\n\n$y$", liar));
  await vi.dynamicImportSettled();
  expect(document.body.textContent).toContain("x\n");
  expect(document.body.querySelector("var")?.textContent).toBe("y");
  let asked = 0;
  const gone = new Parts(async () => Promise.reject(new Error(`${++asked}`)));
  for (const _ of [1, 2]) {
    document.body.replaceChildren(safeMarkdown("$y^2$", gone));
    await vi.dynamicImportSettled();
    expect(document.body.querySelector("var")?.textContent).toBe("y^2");
  }
  expect(asked).toBe(2); // asked again
});

test("a part is fetched once, and only for an answer that needs it", async () => {
  const asked: string[] = [];
  const parts = new Parts(async (name) => (asked.push(name), (name === "code" ? code : math) as any));
  safeMarkdown("no math for $5, no `code` block", parts);
  expect(asked).toEqual([]);
  const fragments = ["$x$", "$y$ and $$z$$"].map((text) => safeMarkdown(text, parts));
  await vi.dynamicImportSettled();
  expect(asked).toEqual(["math"]);
  expect(fragments.flatMap((fragment) => [...fragment.querySelectorAll("math")]).length).toBe(3);
  expect(safeMarkdown("$z$", parts).querySelector("math")).not.toBeNull(); // at once
});

test.each([
  ["$x$", "x"],
  ["$n$th", "n"],
  ["$\\frac{1}{2}$.", "\\frac{1}{2}"],
  ["$2x + 3$", "2x + 3"],
  ["$3 \\text{ apples}$", "3 \\text{ apples}"],
  ["$|x|$，", "|x|"],
  ["$a\nb$", "a\nb"],
  ["$\\$5$", "\\$5"],
  ["$$x$$", "x"],
  ["\\(x\\)", "x"],
  ["\\[\nx\n\\]", "x"],
  ["$5 and $10", undefined],
  ["$5-$10", undefined],
  ["$5, $6, and $7.", undefined],
  ["$5 for tea and 6 for US$", undefined],
  ["$HOME/bin:$PATH", undefined],
  ["$PATH and $HOME", undefined],
  ["$ x $", undefined],
  ["$a\n\nb$", undefined],
  ["$x", undefined],
  ["\\(x", undefined],
  ["$$$$", undefined],
])("%j is math: %j", (text, tex) => expect(mathAt(text)?.tex).toBe(tex));

test("math within Markdown: not within code, not after a letter, its stars and underlines its own", async () => {
  const body = await rich("US$5 or $6; `$x$`; **bold $a_1 * b_1$ and $a_2 * b_2$** then\n$$\n\\sum_{i} x_i\n$$\n- item \\(y\\)\n\n| a |\n|---|\n| $z$ |\n\n```\n$w$\n```");
  expect(body.querySelectorAll("math").length).toBe(5);
  expect(body.querySelector("em")).toBeNull();
  expect(body.querySelector("var[data-math=display] math")?.getAttribute("display")).toBe("block");
  expect(body.textContent).toContain("US$5 or $6; $x$;");
  expect(body.querySelector("td math")).not.toBeNull();
});

test("letters of other alphabets are the characters that browsers draw", async () => {
  const body = await rich("$\\mathbb{R}\\mathbb{B}\\mathcal{L}\\mathcal{A}\\mathbf{x}\\mathfrak{g}\\mathbf{1}\\mathrm{d}$");
  expect(body.textContent).toBe("ℝ𝔹ℒ𝒜𝐱𝔤𝟏d\n");
});

test("a comma stays with the math before it", async () => {
  expect((await rich("all $x$, and $y$ too")).textContent).toBe("all x\u2060, and y too\n");
});

test("TeX that cannot be read stays readable; aligned equations keep their sides", async () => {
  const body = await rich("$\\frac{1$ and $$\\begin{aligned} a &= b \\\\ c &= d \\end{aligned}$$");
  expect(body.querySelector("var")?.textContent).toBe("\\frac{1");
  expect([...body.querySelectorAll("mtd")].map((cell) => cell.className)).toEqual(["math-right", "math-left", "math-right", "math-left"]);
});

test("texts made to take long do not", () => {
  const marked = new Marked({ gfm: true, breaks: true });
  marked.use(mathIn((text) => text));
  const used = () => (globalThis as any).process.cpuUsage().user / 1e6; // s of the processor: the machine may be busy
  const started = used();
  for (const unit of ["\n\\[", "$x ", "$$", "$a\n", "\n$$x", "\\("]) marked.parse(unit.repeat(20_000));
  expect(used() - started).toBeLessThan(6); // 1 s; the fourth alone took 14 before
  expect(safeMarkdown(">".repeat(20_000)).textContent).toBe(">".repeat(20_000)); // too deep to be read: as it is
}, 60_000);
