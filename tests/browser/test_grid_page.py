"""What the comparison grid shows, in a real JupyterLab: code, math, difference, long answers, the whole window, a fast scroll.

SFTKIT_GRID_SHAPE=10000x4x2000 makes it as many prompts x answers of as many characters (300x4x2000 without it);
SFTKIT_GRID_RESULT names a file for what was measured: tests/benchmarks/grid.py sets both.
"""

from __future__ import annotations

import json
import os
import re
import time

from playwright.sync_api import expect

ROWS, SIDES, LENGTH = map(int, os.environ.get("SFTKIT_GRID_SHAPE", "300x4x2000").split("x"))
MOST_SENT = 138_000  # bytes until the grid is open and quiet: what the sketch sent that the grid began as
LANG = os.environ.get("SFTKIT_SHOT_LANG", "en")  # for pictures
MODELS = "wxyz"[:SIDES]
MAKE = f"""import random, re
import pandas as pd, sftkit as sk
sk.set_language("{LANG}")
words = sorted(set(re.findall("[a-z]{{2,}}", open("../data/train.jsonl", encoding="utf-8").read())))  # packs worse than prose
draw = random.Random(0)
CODE = "```python\\ndef f(x: int) -> str:\\n    return f'{{x}}'  # text\\n```\\n\\nSo $x^2 \\\\in \\\\mathbb{{R}}$, at $5 and $6.\\n\\n"
def text(row, name):
    start = f"Answer {{name}} to {{row}}. "
    return ((CODE if row == 1 else "") + start + " ".join(draw.choices(words, k=440)))[:{LENGTH}]
rows = [dict(prompt_id=f"p{{i}}", prompt=f"Prompt number {{i}}: " + " ".join(random.Random(i).choices(words, k=20)), task="qa", reference="", model=name, response=text(i, name))
        for i in range({ROWS}) for name in "{MODELS}"]
answers = sk.Generations.from_frame(pd.DataFrame(rows))
store = sk.RatingStore("sqlite:///ratings.db")"""
GRID = """import time
used = time.process_time()
grid = sk.ComparisonGrid(answers, store=store, rater="ana")
print("CPU", time.process_time() - used)
grid"""

# Scrolls the table by `step` px a frame, and looks at what was painted after every frame.
SCROLL = """async (table, [step, frames]) => {
  const seen = { frames: [], bare: 0, coming: 0, rows: 0 };
  const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  let last = performance.now();
  for (let n = 0; n < frames; n++) {
    table.scrollTop += step;
    await painted();
    seen.frames.push(performance.now() - last);
    last = performance.now();
    const box = table.getBoundingClientRect();
    const head = table.querySelector('.top').getBoundingClientRect().bottom;
    let covered = head;
    const rows = [...table.querySelectorAll('.space .row')].map((row) => [row.getBoundingClientRect(), row]).sort(([x], [y]) => x.top - y.top);
    for (const [{ top, bottom }, row] of rows) {
      if (bottom <= head || top >= box.bottom) continue;
      if (top > covered + 1) seen.bare++;
      covered = Math.max(covered, bottom);
      seen.rows++;
      if (row.classList.contains('coming')) seen.coming++;
    }
    if (covered < box.bottom - 1) seen.bare++;
  }
  return seen;
}"""

# Ranks the answers of `votes` rows by keys; milliseconds from the last letter until the next row is open: on disk by then.
VOTE = """async (grid, [votes, sides]) => {
  const open = () => grid.querySelector('.row.open')?.getAttribute('aria-rowindex');
  const shown = (row) => new Promise((done) => {
    const look = () => open() !== row && grid.querySelector('.row.open .answer') ? done() : requestAnimationFrame(look);
    look();
  });
  const times = [];
  for (let n = 0; n < votes; n++) {
    const row = open();
    const keys = 'dbac'.slice(-sides);
    for (const key of keys) {
      if (key === keys.at(-1)) times.push(performance.now());
      grid.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
    }
    await shown(row);
    times[n] = performance.now() - times[n];
    await new Promise((done) => setTimeout(done, 100));
  }
  return times;
}"""


def test_the_page(notebook, page):
    page.set_viewport_size({"width": 1400, "height": 1000})
    sent = watch_bytes(page)
    notebook.write(MAKE, GRID)
    notebook.run("import random")
    sent.clear()
    began = time.perf_counter()
    notebook.start("grid = ")
    grid = page.locator(".sftkit-grid")
    expect(grid.locator(".row.open .answer")).to_have_count(SIDES)
    expect(grid.locator(".space .row:not(.open, .coming)").first).to_be_attached()
    measured = {"open": time.perf_counter() - began, "sent_first": sum(sent)}
    measured["cpu"] = float(re.search(r"CPU ([\d.]+)", notebook.output("grid = "))[1])
    notebook.area("grid = ")

    page.wait_for_timeout(500)
    measured["sent"] = sum(sent)
    assert measured["sent"] < MOST_SENT
    sent.clear()
    grid.focus()
    page.keyboard.press("j")
    first = grid.locator(".answer").first
    expect(first.locator("pre .hljs-keyword").first).to_have_text("def")
    expect(first.locator("math")).to_have_count(1)  # and $5 and $6 is money
    assert "ℝ" in first.locator("math").text_content()
    measured["parts"] = sum(sent)
    long = grid.locator(".answer.long")
    expect(long).to_have_count(SIDES)
    short = long.first.locator(".content").bounding_box()["height"]
    long.first.locator(".more button").last.click()
    assert long.last.locator(".content").bounding_box()["height"] > short  # of all, by the button of one
    long.first.locator(".more button").last.click()
    notebook.shot(f"grid_page-{LANG}", grid)

    grid.focus()
    page.keyboard.press("Shift+D" if SIDES > 3 else "d")  # d alone ranks the answer D
    expect(grid.locator(".diff mark").first).to_be_visible()
    grid.locator(".compare select").last.select_option("abcd"[SIDES - 1])
    expect(grid.locator(".answer").last.locator("mark").first).to_be_visible()
    notebook.shot(f"grid_diff-{LANG}", grid)
    grid.focus()
    page.keyboard.press("Shift+D" if SIDES > 3 else "d")
    page.keyboard.press("z")
    box = grid.bounding_box()
    assert (box["x"], box["y"], box["width"], box["height"]) == (0, 0, 1400, 1000)
    assert page.evaluate(
        "document.elementFromPoint(5, 5).closest('.sftkit-grid') !== null"
    )  # nothing of JupyterLab over it
    notebook.shot(f"grid_full-{LANG}")
    page.keyboard.press("Escape")
    assert grid.bounding_box()["x"] > 0

    scroll(grid, measured, page)
    votes = 60 if ROWS > 1000 else 5
    measured["votes"] = grid.evaluate(VOTE, [votes, SIDES])
    expect(grid.locator(".bar .count")).to_contain_text(f"{votes} ")
    if path := os.environ.get("SFTKIT_GRID_RESULT"):
        with open(path, "w", encoding="utf-8") as file:
            json.dump(measured, file)
    assert page.watched.left == [] and page.watched.errors == []


def scroll(grid, measured, page) -> None:
    """As fast as a hand turns a wheel, 40 px a frame: every row is there, with its text. As fast as a bar is dragged: every row."""
    table = grid.locator(".table")
    table.evaluate("(table) => table.scrollTop = 0")
    page.wait_for_timeout(500)  # a hand does not turn before it sees
    frames = 240 if ROWS > 1000 else 90
    wheel = measured["wheel"] = table.evaluate(SCROLL, [40, frames])
    assert wheel["bare"] == 0 and wheel["coming"] == 0 and wheel["rows"] > frames
    drag = measured["drag"] = table.evaluate(SCROLL, [ROWS * 74 // 100, 100])
    assert drag["bare"] == 0
    began = time.perf_counter()
    expect(grid.locator(".row.coming")).to_have_count(0)
    measured["after"] = time.perf_counter() - began
    assert grid.locator(".space .row").count() < 80
    here = grid.locator(".here")
    expect(here).to_be_visible()
    here.click()
    expect(grid.locator(".row.open .answer").first).to_be_in_viewport()


def watch_bytes(page) -> list[int]:
    """Sizes of what the server sends over websockets from now on."""
    sent: list[int] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: sent.append(len(frame))))
    return sent
