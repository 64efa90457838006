"""The grid where nothing of JupyterLab is: a plain page with the least that anywidget promises of a model, as VS Code and
Colab put a widget into a frame of their own (widgets/README.md says what theirs have and lack). No --jp-* variable, a strict
policy, light and dark by the browser's wish or by what VS Code says of its theme."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from playwright.sync_api import Page, expect

import sftkit as sk

ADDRESS = "http://127.0.0.1:1/widget"  # answered by the test itself
# what anywidget itself needs and no more: a module from a blob; VS Code's frames allow more, Colab's anything
POLICY = (
    "default-src 'none'; script-src 'nonce-n' blob:; style-src 'nonce-n'; img-src data:; connect-src 'none'"
)
PAGE = """<!doctype html><meta charset="utf-8"><title>a frame</title>
<style nonce="n">body { margin: 8px; color-scheme: light dark; background: Canvas }</style>
HOST
<div id="place"></div>
<script type="module" nonce="n">
const bytes = (text) => new DataView(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
const traits = await window.traits();
traits._packed = bytes(traits._packed);
const handlers = new Set();
const model = {
  get: (name) => traits[name],
  set() {},
  save_changes() {},
  send: async (content) => {
    for (const [text, buffers] of await window.ask(JSON.stringify(content)))
      handlers.forEach((handler) => handler(JSON.parse(text), buffers.map(bytes)));
  },
  on: (event, handler) => event === 'msg:custom' && handlers.add(handler),
  off: (event, handler) => handlers.delete(handler),
};
const address = URL.createObjectURL(new Blob([traits._esm], { type: 'text/javascript' }));
window.close_view = await (await import(address)).default.render({ model, el: document.getElementById('place') });
</script>"""


# VS Code's frames: the theme in variables and in a class of the body, and rules for every table
VSCODE = """<style nonce="n">
  :root { --vscode-editor-background: #1f1f1f; --vscode-editor-foreground: #cccccc; --vscode-font-family: sans-serif }
  table, tbody, thead, tr, td, th { border: none !important }
  table { width: 100% } th, td { padding: 4px 8px } tr:nth-child(even) { background: rgb(130 130 130 / 8%) }
</style><body class="vscode-dark">"""


class Frame:
    """A page with one grid in it, and its line to that grid."""

    def __init__(self, page: Page, grid: sk.ComparisonGrid, host: str = ""):
        self.page, self.grid = page, grid
        grid.comm.send = self._told  # there is no kernel, so it would send nowhere
        self._said: list[tuple[str, list[str]]] = []
        page.expose_function("traits", self._traits)
        page.expose_function("ask", self._ask)
        headers = {"Content-Security-Policy": POLICY}
        page.route(
            ADDRESS,
            lambda route: route.fulfill(
                body=PAGE.replace("HOST", host), content_type="text/html", headers=headers
            ),
        )
        page.goto(ADDRESS)

    def _traits(self) -> dict[str, Any]:
        packed = base64.b64encode(self.grid._packed).decode()
        return {"_esm": str(self.grid._esm), "_labels": self.grid._labels, "_packed": packed}

    def _ask(self, text: str) -> list[tuple[str, list[str]]]:
        self._said.clear()
        self.grid._receive(self.grid, json.loads(text), [])
        return list(self._said)

    def _told(self, data: dict[str, Any], buffers: Any = None, **_: Any) -> None:
        if data["method"] == "custom":
            packed = [base64.b64encode(each).decode() for each in buffers or []]
            self._said.append((json.dumps(data["content"]), packed))


def grid_of(folder: Path, **more: Any) -> sk.ComparisonGrid:
    """Answers with code, math and a table; one prompt and one reference are long."""
    code = "Use a loop:\n\n```python\ndef f(x: int) -> str:\n    return f'{x}'  # text\n```\n\nSo $x^2 \\in \\mathbb{R}$.\n\n"
    rows = [
        dict(
            prompt_id=f"p{n}",
            prompt=f"Question {n}: how is a number written as text?" + " And why is it so?" * (120 if n == 1 else 0),
            task="code",
            reference="With str()." + " It always works." * (240 if n == 1 else 0),
            model=model,
            response=(code if model == "base" else "| in | out |\n|---|---|\n| 1 | '1' |\n\n") + f"{model[0]} {n} " * 30,
        )
        for n in range(12)
        for model in ("base", "tuned")
    ]  # fmt: skip
    store = sk.RatingStore(f"sqlite:///{folder / 'ratings.db'}")
    told = "# How to rate\n\nRead **both** answers to the end.\n\n- A fact that is wrong weighs more than style.\n- Length is no merit.\n\n`T` is for a tie."
    store.project("pilot", sk.Generations.from_frame(pd.DataFrame(rows)), instructions=told)
    return sk.ComparisonGrid(store=store, rater="ana", project="pilot", **more)


def shot(page: Page, name: str) -> None:
    """A picture of the page, where SFTKIT_SHOTS says."""
    if folder := os.environ.get("SFTKIT_SHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png")


BRIGHTNESS = """(element) => {
  const paint = new OffscreenCanvas(1, 1).getContext('2d');
  const of = (colour) => { paint.fillStyle = colour; paint.fillRect(0, 0, 1, 1); return [...paint.getImageData(0, 0, 1, 1).data].slice(0, 3).reduce((x, y) => x + y) / 765; };
  const style = getComputedStyle(element);
  return [of(style.color), of(style.backgroundColor)];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark", "vscode"])
def test_the_grid_in_a_plain_page_by_a_bare_model(page, tmp_path, scheme):
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    refused: list[str] = []
    page.on("console", lambda said: refused.append(said.text) if said.type == "error" else None)
    frame = Frame(page, grid_of(tmp_path), VSCODE if scheme == "vscode" else "")
    page.evaluate(
        "window.addEventListener('keydown', (event) => (window.leaked = event.key))"
    )  # hosts hear keys there
    grid = page.locator(".sftkit-grid")
    expect(grid.locator(".row.open .answer")).to_have_count(2)
    expect(grid.locator(".answer .hljs-keyword").first).to_have_text(
        "def"
    )  # parts come by blob, as anywidget does
    expect(grid.locator(".answer math")).to_have_count(1)
    text, ground = grid.evaluate(BRIGHTNESS)
    assert (text < 0.3 and ground > 0.8) if scheme == "light" else (text > 0.7 and ground < 0.3)
    shot(page, f"plain_{scheme}")

    expect(grid.locator(".card .instructions strong")).to_have_text("both")  # before the first vote
    shot(page, f"plain_instructions_{scheme}")
    page.keyboard.press("Enter")
    expect(grid.locator(".card")).to_have_count(0)
    page.keyboard.press("a")
    expect(grid.locator(".count")).to_contain_text("1 of 12")
    expect(grid.locator(".row.open")).to_have_attribute("aria-rowindex", "3")
    expect(grid.locator(".fold.long")).to_have_count(2)  # the long prompt and reference
    shot(page, f"plain_long_{scheme}")
    page.keyboard.press("z")  # a frame often refuses the browser's own full screen; this needs none
    size = page.viewport_size
    assert grid.bounding_box() == {"x": 0, "y": 0, **size}
    shot(page, f"plain_full_{scheme}")
    page.keyboard.press("Escape")
    page.keyboard.press("k")
    page.keyboard.press("b")  # another mind
    expect(grid.locator(".answer.chosen-b")).to_be_visible()
    grid.locator(".earlier summary").click()
    expect(grid.locator(".earlier tbody tr")).to_have_count(2)
    grid.locator(".earlier").scroll_into_view_if_needed()
    shot(page, f"plain_earlier_{scheme}")
    kept = frame.grid.store.frame()
    assert len(kept) == 2 and set(kept["verdict"]) == {"a", "b"} and kept["current"].tolist() == [False, True]
    page.evaluate("window.close_view()")
    assert page.evaluate("window.leaked") is None  # no key of ours is taken for one of the host's
    assert page.evaluate("document.adoptedStyleSheets.length") == 0  # nothing stays behind
    assert page.watched.left == [] and page.watched.errors == [] and refused == []
