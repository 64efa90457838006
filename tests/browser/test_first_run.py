"""Lesson 01 in a real JupyterLab, as a person goes through it: form, Launch, curve, blind rating by keys, restart.

python -m pytest tests/browser          # SFTKIT_SHOTS=folder keeps pictures of every station
"""

from __future__ import annotations

import json
import re
import time
from itertools import islice
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from sftkit.ratings import RatingStore
from sftkit.runs import Run, load_run

LESSON = "notebooks/01_first_run.ipynb"
ROWS = {"train.jsonl": 1_600, "eval.jsonl": 12}  # of the lesson's data: enough for a curve, and soon done


def shorten(data: Path) -> None:
    for name, count in ROWS.items():
        with (data / name).open(encoding="utf-8") as file:
            head = list(islice(file, count))
        (data / name).write_text("".join(head), encoding="utf-8")


def points(area: Locator) -> int:
    """Points of the first line of the curve in `area`."""
    return int(area.locator(".sft-curves [data-points]").first.get_attribute("data-points") or 0)


def wait_for_points(area: Locator, more_than: int, seconds: float) -> int:
    area.locator(".sft-curves [data-points]").first.wait_for()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (count := points(area)) > more_than:
            return count
        area.page.wait_for_timeout(200)
    raise AssertionError(f"after {seconds} s the curve has {points(area)} points, not more than {more_than}")


def wait_for_end(run: Run, page: Page, seconds: float) -> None:
    """Wait with the page, not with `run.wait`: a test that stands still takes no news from the browser, whose pipes
    then fill until the page stands still too and loses its kernel."""
    deadline = time.monotonic() + seconds
    while not run.status.ended and time.monotonic() < deadline:
        page.wait_for_timeout(200)
    assert run.status.state == "finished", run.status


@pytest.mark.timeout(400)
def test_the_first_run(notebook, page, lab, outside):
    shorten(lab.folder / "data")
    notebook.open(LESSON)
    notebook.run("from importlib.metadata", until="form = sk.LaunchForm")

    # The form: a fault beside its field, mended by a click, then Launch.
    notebook.run("form = sk.LaunchForm")
    form = notebook.area("form = sk.LaunchForm")
    launch = form.locator("button", has_text=re.compile(r"^\s*Launch$"))
    expect(launch).to_be_enabled()
    notebook.shot("form-ready", form)
    form.get_by_label("train_batch_size", exact=True).fill("33")
    fix = form.get_by_role("button", name="Set train_batch_size=32")
    expect(fix).to_be_visible()
    expect(launch).to_be_disabled()
    notebook.shot("form-fault", form)
    fix.click()
    expect(launch).to_be_enabled()
    launch.click()

    # The monitor's curve gains points while no cell runs, and once more after that.
    some = wait_for_points(form, 0, 180)  # the first start after an installation compiles much
    assert not notebook.cell_runs
    notebook.shot("monitor", form.locator(".sft-monitor"))
    wait_for_points(form, some, 60)

    # The next cells take this run and start no other; a curve of its own moves to the end.
    notebook.run("run = form.run or form.launch()")
    folders = list((lab.folder / "runs").iterdir())
    assert len(folders) == 1
    run = load_run(folders[0])
    notebook.run("curves = sk.LossCurves(run)")
    curve = notebook.area("curves = sk.LossCurves(run)")
    wait_for_end(run, page, 150)
    logged = len(run.metrics()["loss"].dropna())
    assert wait_for_points(curve, logged - 1, 10) == logged and not notebook.cell_runs
    notebook.shot("curve", curve)

    # At the end a picture stands in its place, and is what the saved notebook holds.
    notebook.run("curves.freeze()")
    curve.locator("img").wait_for()
    expect(curve.locator(".sftkit-curves")).to_have_count(0)
    notebook.shot("monitor-finished", notebook.area("form = sk.LaunchForm").locator(".sft-monitor"))

    # Before any vote the last cell brings the run alone.
    notebook.run("sk.load_run(")
    early = notebook.area("sk.load_run(")
    expect(early.locator(".sft-state")).to_have_text("Finished")
    expect(early.locator(".sftkit-grid")).to_have_count(0)

    # Two prompts rated blind, by keys.
    notebook.run("answers = sk.generate(", until="judged = sk.ReferenceJudge()")
    grid = notebook.area("sk.ComparisonGrid(answers,")
    grid.locator(".sftkit-grid .row:not(.head)").first.wait_for()
    rate(grid, "ab")
    expect(grid.locator(".count")).to_have_text(f"2 of {ROWS['eval.jsonl']} rated")
    notebook.shot("grid", grid)
    store = RatingStore(f"sqlite:///{run.folder / 'ratings.db'}")
    votes = store.frame()
    assert list(votes["rater"].unique()) == ["human:you"] and len(votes) == 2
    chosen = [vote["model_a" if vote["verdict"] == "a" else "model_b"] for vote in votes.to_dict("records")]
    shown_left = [vote[f"model_{vote['shown_first']}"] for vote in votes.to_dict("records")]
    assert [one == left for one, left in zip(chosen, shown_left)] == [True, False]  # A is what stood left
    notebook.run("judged = sk.ReferenceJudge()", until="sk.load_run(")
    notebook.shot("report", notebook.area("report = sk.Report(store)"))
    notebook.save()
    saved = json.loads((lab.folder / LESSON).read_text(encoding="utf-8"))
    assert "image/png" in saved["cells"][notebook.index("curves = sk.LossCurves(run)")]["outputs"][0]["data"]

    # After a restart the last cell alone brings run and votes back from disk.
    notebook.restart()
    notebook.run("sk.load_run(")
    again = notebook.area("sk.load_run(")
    assert wait_for_points(again, 0, 20) == logged
    expect(again.locator(".sft-state")).to_have_text("Finished")
    expect(again.locator(".count")).to_have_text(f"2 of {ROWS['eval.jsonl']} rated")
    expect(again.locator(".sftkit-grid .row.state-a, .sftkit-grid .row.state-b")).not_to_have_count(0)
    notebook.shot("again", again)

    assert page.watched.left == [] and outside.asked == []
    assert page.watched.errors == []


def rate(grid: Locator, keys: str) -> None:
    """Click into the grid and press the keys, each when the row before is saved, which is when the next one opens: the
    count goes up before that, and a key that comes in between changes the same row's verdict."""
    root = grid.locator(".sftkit-grid")
    root.click(position={"x": 5, "y": 5})
    for number, key in enumerate(keys, start=1):
        opened = root.locator(".row.open")
        row = opened.get_attribute("aria-rowindex")
        root.press(key)
        expect(grid.locator(".count")).to_contain_text(f"{number} of")
        expect(opened).not_to_have_attribute("aria-rowindex", row)
