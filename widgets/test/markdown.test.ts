// @vitest-environment jsdom
// Model text is hostile: whatever it says, it becomes text and harmless tags.

import { beforeEach, expect, test } from "vitest";
import { safeMarkdown } from "../src/markdown";

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
];

beforeEach(() => document.body.replaceChildren());

test.each(HOSTILE)("%s", (text) => {
  document.body.append(safeMarkdown(text));
  expect((window as any).pwned).toBeUndefined();
  for (const element of document.body.querySelectorAll("*")) {
    expect(element.matches("a,b,blockquote,br,code,del,em,h1,h2,h3,hr,i,li,ol,p,pre,s,strong,table,tbody,td,th,thead,tr,u,ul")).toBe(true);
    for (const { name, value } of element.attributes) {
      expect(["href", "target", "rel", "title", "start", "align"]).toContain(name);
      if (name === "href") expect(value).toMatch(/^(https?:|mailto:)/);
    }
  }
});

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
