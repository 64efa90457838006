"""The table of runs in a real JupyterLab: filter, sort, two runs' curves over each other, monitor, delete, by keys."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from playwright.sync_api import expect

CELLS = ("import sftkit as sk\nsk.set_language('en')", "table = sk.RunsTable('runs')\ntable", "print(table.selected)", "sk.RunsTable('no runs', lang='zh')")  # fmt: skip
HOSTILE = "<img src=x onerror='window.hacked = 1'>"


def write_run(folder: Path, state: str, steps: int, reason: str = "", **settings: object) -> None:
    folder.mkdir(parents=True)
    config = {"pretrain": "models/tiny", "dataset": "rows.jsonl"} | settings
    record = {"id": folder.name, "cwd": str(folder.parents[1]), "config": config, "created": "2026-01-02T03:04:05+00:00"}  # fmt: skip
    (folder / "run.json").write_text(json.dumps(record))
    told = {"state": state, "step": steps, "total_steps": 100, "reason": reason, "updated": time.time()}
    (folder / "status.json").write_text(json.dumps(told))
    lines = [json.dumps({"step": step, "loss": 3 / step + steps / 1000}) for step in range(1, steps + 1)]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")


@pytest.mark.timeout(200)
def test_the_table_of_runs(notebook, page, lab, outside):
    runs = lab.folder / "runs"
    write_run(runs / "20260101-000001-first", "finished", 100)
    write_run(runs / "20260101-000002-second", "stopped", 40, learning_rate=1e-5)
    write_run(runs / "20260101-000003-broken", "failed", 3, reason=f"rank 0: ValueError: {HOSTILE}")
    for number in range(4, 200):
        write_run(runs / f"20260101-{number:06d}-other", "finished", 5, dataset=HOSTILE)
    notebook.write(*CELLS, path="test.ipynb")
    notebook.run("import sftkit as sk", until="print(table.selected)")
    table = notebook.area("table = sk.RunsTable").locator(".sftkit-runs")
    lines = table.locator("tr[data-id]")
    expect(lines).to_have_count(199)
    expect(lines.first).to_have_attribute("data-id", "20260101-000199-other")
    expect(table.locator(".count")).to_have_text("199 of 199 runs")
    notebook.shot("runs", table)

    # Filter by words and by state; what is written in a failure is text.
    find = table.get_by_placeholder("Filter by name")
    find.fill("broken")
    expect(lines).to_have_count(1)
    expect(lines.locator("td.state small")).to_contain_text("<img")
    find.fill("")
    table.get_by_label("State", exact=True).first.select_option("stopped")
    expect(lines).to_have_count(1)
    table.get_by_label("State", exact=True).first.select_option("")

    # Sort, then two runs selected by keys, and their curves over each other.
    table.get_by_role("button", name="Step", exact=True).click()
    table.get_by_role("button", name="Step", exact=True).click()
    expect(lines.first).to_have_attribute("data-id", "20260101-000001-first")
    lines.first.focus()
    for key in ("Space", "ArrowDown", "Space"):
        page.keyboard.press(key)
    expect(table.locator(".count")).to_have_text("2 selected")
    notebook.run("print(table.selected)")
    assert (
        notebook.output("print(table.selected)").strip()
        == "['20260101-000001-first', '20260101-000002-second']"
    )
    area = notebook.area("table = sk.RunsTable")
    table.get_by_role("button", name="Compare curves").click()
    chart = area.locator(".sft-curves [data-points]").first
    expect(chart).to_have_attribute("data-points", "100")
    expect(area.locator(".sft-curves")).to_contain_text("second")
    expect(area.locator(".sft-curves")).to_contain_text("learning_rate")  # the setting in which they differ
    notebook.shot("runs-compared", area)

    # Enter opens the monitor in its place; Delete asks first.
    lines.first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(area.locator(".sft-monitor .sft-run")).to_have_text("20260101-000002-second")
    expect(area.locator(".sft-monitor .sft-state")).to_have_text("Stopped")
    lines.first.focus()
    for key in ("Escape", "ArrowUp", "Space", "Delete"):
        page.keyboard.press(key)
    expect(table.get_by_role("alert")).to_contain_text("Delete 20260101-000001-first")
    notebook.shot("runs-delete", table)
    page.keyboard.press("Enter")  # the focus is on Cancel
    expect(table.get_by_role("alert")).to_have_count(0)
    assert (runs / "20260101-000001-first").is_dir()
    table.get_by_role("button", name="Delete", exact=True).click()
    table.get_by_role("button", name="Yes, delete for good").click()
    expect(lines).to_have_count(198)
    assert not (runs / "20260101-000001-first").exists()

    notebook.run("sk.RunsTable('no runs'")
    expect(notebook.area("sk.RunsTable('no runs'").locator(".empty")).to_contain_text("尚无运行")
    assert page.evaluate("window.hacked") is None
    assert page.watched.left == [] and outside.asked == [] and page.watched.errors == []
