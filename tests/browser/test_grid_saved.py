"""A grid in a saved notebook: without a kernel, and through nbconvert, a picture of its state stands in its place."""

from __future__ import annotations

import json
import subprocess
import sys

import pandas as pd
from playwright.sync_api import expect

import sftkit as sk

MODELS = ("zebra-secret-base", "okapi-secret-tuned")
OPEN = """import sftkit as sk
store = sk.RatingStore("sqlite:///../ratings.db")
answers = sk.Generations.load("../answers.parquet")"""
GRID = 'grid = sk.ComparisonGrid(answers, store=store, rater="ana")\ngrid'


def answers(count: int = 30) -> sk.Generations:
    rows = [
        dict(prompt_id=f"p{n}", prompt=f"Question <i>{n}</i> & more?", task="qa", reference="r", model=model, response=f"{word} answer {n}")
        for n in range(count)
        for model, word in zip(MODELS, ("first", "second"))
    ]  # fmt: skip
    return sk.Generations.from_frame(pd.DataFrame(rows))


def test_a_saved_notebook_shows_the_state_without_a_kernel(notebook, page, lab):
    answers().save(lab.folder / "answers.parquet")
    notebook.write(OPEN, GRID)
    notebook.run("import sftkit")
    notebook.run("grid = ")
    area = notebook.area("grid = ")
    grid = area.locator(".sftkit-grid")
    expect(grid.locator(".row.open .answer").first).to_be_visible()
    grid.locator(".bar").click(position={"x": 2, "y": 2})
    for number, key in enumerate("ab", start=1):
        opened = grid.locator(".row.open")
        expect(opened.locator(".answer").first).to_be_visible()
        row = opened.get_attribute("aria-rowindex")
        page.keyboard.press(key)
        expect(grid.locator(".count")).to_contain_text(f"{number} of 30")
        expect(opened).not_to_have_attribute("aria-rowindex", row)
    picture = area.locator(".sftkit-picture")
    expect(picture).to_contain_text("2 of 30 rated by ana")  # brought up to date with no cell running
    expect(picture).to_be_hidden()  # while the grid lives
    notebook.shot("grid_live", page)
    notebook.save()
    page.reload()  # JupyterLab forgets which output the kernel's picture is; the page finds it again
    notebook.wait()
    area = notebook.area("grid = ")
    grid = area.locator(".sftkit-grid")
    expect(grid.locator(".row.open .answer").first).to_be_visible()
    grid.locator(".bar").click(position={"x": 2, "y": 2})
    page.keyboard.press("a")
    expect(grid.locator(".count")).to_contain_text("3 of 30")
    expect(area.locator(".sftkit-picture")).to_contain_text("3 of 30 rated by ana")
    expect(area.locator(".sftkit-picture")).to_be_hidden()
    notebook.save()

    path = lab.folder / "notebooks/test.ipynb"
    saved = json.loads(path.read_text(encoding="utf-8"))
    saved["metadata"].pop("widgets", None)  # the state that GitHub cannot show, if it is there at all
    text = json.dumps(saved)
    path.write_text(text, encoding="utf-8")
    for word in (*MODELS, "first answer", "second answer"):
        assert word not in text
    page.goto("about:blank")
    lab.end()
    page.goto(lab.address_of("notebooks/test.ipynb"))
    page.wait_for_function("() => window.jupyterapp?.shell")
    again = page.locator(".jp-OutputArea .sftkit-picture")
    expect(again).to_be_visible()
    expect(again).to_contain_text("3 of 30 rated by ana")
    expect(again).to_contain_text("Question <i>3</i> & more?")
    expect(again).to_contain_text("and 10 more rows")
    expect(page.get_by_text("Error displaying widget")).to_be_hidden()
    notebook.shot("grid_saved", page)

    command = [sys.executable, "-m", "nbconvert", "--to", "html", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    html = path.with_suffix(".html").read_text(encoding="utf-8")
    assert "3 of 30 rated by ana" in html and "Question &lt;i&gt;3&lt;/i&gt;" in html
    assert page.watched.left == [] and page.watched.errors == []
