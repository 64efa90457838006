"""Notebook 7, which shows widgets by code of its own: the curve of a run that goes on, and pairs rated by keys.

Its page is served by the same server as JupyterLab's. The run's supervisor is real, its worker a FAKE one."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from playwright.sync_api import expect

import sftkit as sk
from sftkit.runs import load_run

FAKE = Path(__file__).parents[1] / "runs/fake_worker.py"
BEGIN = (
    "import os\nimport sftkit as sk\n"
    f"os.environ |= {{'SFTKIT_WORKER': {f'{sys.executable} {FAKE}'!r}, 'FAKE_STEPS': '5000', 'FAKE_SECONDS': '0.1'}}\n"
    "answers = sk.Generations.load('answers.parquet')"
)
CURVE = "run = sk.launch(sk.SFTConfig(pretrain='data/tiny-base', dataset='data/train.jsonl', max_len=256))\nsk.LossCurves([run])"
# What Notebook 7.6 says of its own, with or without a widget: a setting without a schema, and a command of JupyterLab's alone.
NOTEBOOKS_OWN = re.compile(r"reading 'schema'|Command 'filebrowser:open-path' not registered")
GRID = "sk.ComparisonGrid(answers, store=sk.RatingStore('sqlite:///ratings.db'), rater='ana')"


@dataclass
class Notebook7:
    """The lab, seen through Notebook 7's page."""

    lab: object

    def __getattr__(self, name: str):
        return getattr(self.lab, name)

    def address_of(self, path: str) -> str:
        inside = (self.lab.folder / path).relative_to(self.lab.server.root).as_posix()
        return f"{self.lab.server.address}/notebooks/{inside}?token={self.lab.server.token}"


def test_a_live_curve_and_rating_by_keys_in_notebook_7(notebook, page, lab):
    rows = [
        dict(prompt_id=f"p{n}", prompt=f"Question {n}?", task="qa", reference="r", model=model, response=f"{word} answer to {n}")
        for n in range(3)
        for model, word in (("base", "First"), ("tuned", "Second"))
    ]  # fmt: skip
    sk.Generations.from_frame(pd.DataFrame(rows)).save(lab.folder / "answers.parquet")
    notebook.lab = Notebook7(lab)
    notebook.write(BEGIN, CURVE, GRID, path="test.ipynb")
    assert "/notebooks/" in page.url and page.locator("body[data-notebook='notebooks']").count() == 1
    notebook.run("import os", until="sk.ComparisonGrid(")

    line = notebook.area("sk.LossCurves(").locator(".sft-curves [data-points]").first
    expect(line).not_to_have_attribute("data-points", "0")
    before = line.get_attribute("data-points")
    expect(line).not_to_have_attribute("data-points", before)  # it goes on while no cell runs
    assert not notebook.cell_runs
    notebook.shot("notebook7_curve", page)

    notebook.run("sk.ComparisonGrid(")
    grid = notebook.area("sk.ComparisonGrid(").locator(".sftkit-grid")
    expect(grid.locator(".row.open .answer").first).to_be_visible()
    grid.locator(".bar").click(position={"x": 2, "y": 2})
    for done, key in enumerate("abt", start=1):
        opened = grid.locator(".row.open")
        row = opened.get_attribute("aria-rowindex")
        page.keyboard.press(key)
        expect(grid.locator(".count")).to_contain_text(f"{done} of 3")
        if done < 3:
            expect(opened).not_to_have_attribute("aria-rowindex", row)
    notebook.shot("notebook7_grid", page)
    frame = sk.RatingStore(f"sqlite:///{lab.folder / 'ratings.db'}").frame()
    assert len(frame) == 3 and frame["verdict"].tolist().count("tie") == 1
    assert notebook.cells == [BEGIN, CURVE, GRID]  # no key of ours reached the notebook
    assert load_run(next((lab.folder / "runs").glob("2*"))).status.state == "running"
    assert (
        page.watched.left == []
        and [error for error in page.watched.errors if not NOTEBOOKS_OWN.search(error)] == []
    )
