"""Loss curves in a real JupyterLab: two runs over each other, one of them alive; zoom, axis, smoothing, hover, rows.

SFTKIT_SHOTS=folder keeps pictures of every station; SFTKIT_THEME=dark takes them in the dark theme.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Locator, expect

from sftkit.runs.row_losses import PLACES, RECORDS, record

HOSTILE = "<img src=x onerror='window.hacked = 1'>"
CELLS = [
    "import sftkit as sk\nfrom pathlib import Path\nruns = [sk.load_run(p) for p in sorted(Path('../runs').iterdir())]",
    "curves = sk.LossCurves(runs)\ncurves",
    "curves.chart.axis = 'step'\ncurves.freeze()",
]


def write_notebook(path: Path) -> None:
    cells = [{"cell_type": "code", "id": f"c{n}", "metadata": {}, "source": text, "outputs": [], "execution_count": None} for n, text in enumerate(CELLS)]  # fmt: skip
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    path.write_text(json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))


def write_run(folder: Path, steps: int, rate: float, level: float, state: str = "finished") -> None:
    """A run with noisy losses, evaluations of two task types, two checkpoints, and the rows of each step."""
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"id": folder.name, "cwd": str(folder.parents[1]), "config": {"learning_rate": rate, "seed": 1, "dataset": "rows.jsonl", "pretrain": "m"}}))  # fmt: skip
    status = {"state": state, "step": steps, "total_steps": 2 * steps, "reason": "", "updated": time.time()}
    (folder / "status.json").write_text(json.dumps(status))
    for step in (steps // 4, steps // 2):
        (folder / f"checkpoints/step-{step}").mkdir(parents=True)
    log(folder, 1, steps, level)
    places = {"sources": np.array(["rows.jsonl"]), "source": np.zeros(4, np.int64)}
    np.savez(folder / PLACES, row=np.arange(1, 5), tokens=np.full(4, 7), batch=4, **places)
    rows = np.zeros(steps, record(4))
    rows["step"], rows["rows"], rows["losses"] = np.arange(1, steps + 1), np.arange(4), [1.5, 3.5, 0.25, 2]
    (folder / RECORDS).write_bytes(rows.tobytes())


def log(folder: Path, first: int, last: int, level: float) -> None:
    noise = np.random.default_rng(first)
    with (folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
        for step in range(first, last + 1):
            loss = level + 3 / (1 + step / 60) + noise.normal(0, 0.12)
            line = {
                "step": step,
                "loss": loss,
                "epoch": step / 500,
                "learning_rate": 1e-4 * (1 - step / 3_000),
            }
            file.write(json.dumps(line | {"grad_norm": abs(noise.normal(1, 0.2)), "tokens": 4_096 * step, "tokens_per_second": 2_500.5, "seconds": 1.6 * step}) + "\n")  # fmt: skip
            if step % 50 == 0:
                by_task = {"math": loss + 0.4, "chat": loss - 0.2}
                file.write(json.dumps({"step": step, "eval_loss": loss + 0.1, "eval_loss_by_task": by_task}) + "\n")  # fmt: skip


def drawn(chart: Locator) -> int:
    return int(chart.get_attribute("data-points"))


def wait_until(page, true, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "did not come to pass"
        page.wait_for_timeout(50)


@pytest.mark.timeout(200)
def test_two_runs_over_each_other(notebook, page, lab, outside):
    rows = [{"question": HOSTILE, "response": f"row {n}"} for n in range(1, 5)]
    (lab.folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_run(lab.folder / "runs/a-steady", 600, 1e-4, 1.2)
    moving = lab.folder / "runs/b-moving"
    write_run(moving, 400, 3e-4, 1.0, "running")
    write_notebook(lab.folder / "notebooks/curves.ipynb")
    notebook.open("notebooks/curves.ipynb")
    notebook.run("import sftkit")
    notebook.run("curves = sk.LossCurves")
    area = notebook.area("curves = sk.LossCurves")
    chart = area.locator(".sftkit-curves")
    wait_until(page, lambda: drawn(chart) == 600)
    row = chart.locator(".readout tbody tr").nth(1)
    expect(row).to_contain_text("400")
    page.wait_for_timeout(300)
    notebook.shot("curves", area)

    # A live run moves while no cell runs.
    log(moving, 401, 450, 1.0)
    expect(row).to_contain_text("450")

    # The settings that differ, and only they.
    chart.locator(".differences summary").click()
    assert chart.locator(".differences thead th").all_text_contents() == ["run", "learning_rate"]

    # Hover: all values of every run; the pointer stands at three tenths of 600 steps.
    over = chart.locator(".u-over")
    box = over.bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.5 * box["height"])
    expect(row.locator("td").first).to_have_text(re.compile("18[01]"))
    assert len([text for text in row.locator("td").all_text_contents() if text]) >= 9
    notebook.shot("curves-hover", area)

    # A click on a point: the rows of its step, the worst first; what stands in them stays text.
    page.mouse.click(box["x"] + 0.3 * box["width"], box["y"] + 0.5 * box["height"])
    panel = chart.locator(".panel")
    expect(panel).to_contain_text(re.compile("Step 18[01] of"))
    assert panel.locator("tbody tr td:nth-child(2)").all_text_contents() == ["2", "4", "1", "3"]
    expect(panel.locator("tbody tr").first).to_contain_text(HOSTILE)
    assert page.evaluate("window.hacked") is None
    notebook.shot("curves-rows", area)
    panel.get_by_role("button", name="Close").click()

    # Drag to zoom: only that part is drawn anew; double-click brings all back.
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 50, steps=4)
    page.mouse.up()
    wait_until(page, lambda: drawn(chart) < 80)
    notebook.shot("curves-zoom", area)
    page.mouse.dblclick(box["x"] + 0.5 * box["width"], box["y"] + 50)
    wait_until(page, lambda: drawn(chart) == 600)

    # Another axis, a logarithmic scale, an eval line of one task type, more smoothing.
    chart.get_by_label("X axis").select_option("seconds")
    chart.get_by_label("log scale").check()
    chart.locator(".evals summary").click()
    chart.get_by_label("math").check()
    chart.get_by_label("Smoothing").fill("0.95")
    page.wait_for_timeout(600)
    chart.locator(".evals summary").click()
    notebook.shot("curves-time-log", area)

    # By keys: the chart has the focus, JupyterLab keeps its hands off.
    chart.locator(".chart").focus()
    page.keyboard.press("+")
    wait_until(page, lambda: drawn(chart) < 400)
    page.keyboard.press("0")
    wait_until(page, lambda: drawn(chart) == 600)

    # At the end a picture stands there, and is what the saved notebook holds.
    notebook.run("curves.freeze()")
    area.locator("img").wait_for()
    expect(area.locator(".sftkit-curves")).to_have_count(0)
    notebook.shot("curves-picture", area)
    notebook.save()
    saved = json.loads((lab.folder / "notebooks/curves.ipynb").read_text(encoding="utf-8"))
    assert set(saved["cells"][1]["outputs"][0]["data"]) == {"image/png", "text/plain"}
    assert page.watched.left == [] and outside.asked == [] and page.watched.errors == []
