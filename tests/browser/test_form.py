"""The form in a real JupyterLab by keyboard and mouse: faults beside their fields, mended by a click; and a run that
failed, explained and mended by a click: its monitor follows the new run."""

from __future__ import annotations

import json
import re
import time

import pytest
from playwright.sync_api import expect

from sftkit.config import SFTConfig
from sftkit.runs import Run

CELLS = ("import sftkit as sk", "form = sk.LaunchForm(lang='en')\nform", "sk.RunMonitor('runs/20260101-000000-broken', lang='en')")  # fmt: skip
OUT_OF_MEMORY = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.50 GiB "
    "of which 1.20 GiB is free. <img src=x onerror='window.hacked = 1'>"
)


def write_failed_run(folder) -> None:
    config = SFTConfig(pretrain="data/tiny-base", dataset="data/train.jsonl", train_batch_size=32, micro_train_batch_size=16, learning_rate=5e-4, max_samples=640, zero_stage=0, bf16=False)  # fmt: skip
    folder.mkdir(parents=True)
    record = {"id": folder.name, "cwd": str(folder.parents[1]), "created": "2026-01-01T00:00:00+00:00", "config": config.to_dict()}  # fmt: skip
    (folder / "run.json").write_text(json.dumps(record))
    told = {"state": "failed", "step": 3, "total_steps": 20, "reason": f"rank 0: {OUT_OF_MEMORY}", "updated": time.time()}  # fmt: skip
    (folder / "status.json").write_text(json.dumps(told))
    (folder / "train.log").write_text(f"rank 0 is here\n{OUT_OF_MEMORY}\n")


@pytest.mark.timeout(200)
def test_faults_of_a_form_and_of_a_run_are_mended_by_a_click(notebook, page, lab, outside):
    broken = lab.folder / "runs/20260101-000000-broken"
    write_failed_run(broken)
    notebook.write(*CELLS, path="test.ipynb")
    notebook.run("import sftkit as sk", until="sk.RunMonitor(")
    form = notebook.area("form = sk.LaunchForm").locator(".sft-form")
    launch = form.locator("button", has_text=re.compile(r"^\s*Launch$"))
    expect(launch).to_be_disabled()  # nothing is entered yet

    # Two faults, each beside its field, each mended by a click; keys typed into the form stay in it.
    form.get_by_label("pretrain", exact=True).press_sequentially("data/tiny-base")
    form.get_by_label("dataset", exact=True).fill("data/trian.jsonl")
    form.get_by_label("train_batch_size", exact=True).fill("33")
    expect(form.locator(".sft-row.sft-has-stop")).to_have_count(2)
    expect(launch).to_be_disabled()
    notebook.shot("form-faults", form)
    form.locator(".sft-row.sft-has-stop .sft-fix", has_text="train.jsonl").first.click()
    expect(form.get_by_label("dataset", exact=True)).to_have_value("data/train.jsonl")
    form.locator(".sft-row.sft-has-stop .sft-fix", has_text="train_batch_size").first.click()
    expect(form.locator(".sft-row.sft-has-stop")).to_have_count(0)
    expect(launch).to_be_enabled()
    notebook.shot("form-mended", form)

    # A run that failed: why, the lines that say so as text, the log one click away, the change one click away.
    notebook.run("sk.RunMonitor(")
    monitor = notebook.area("sk.RunMonitor(").locator(".sft-monitor")
    expect(monitor.locator(".sft-state")).to_have_text("Failed")
    expect(monitor.locator(".sft-why")).to_contain_text("out of memory")
    monitor.get_by_role("button", name="Show the log").click()
    expect(monitor.locator(".sft-log")).to_contain_text("<img src=x")
    notebook.shot("run-failed", monitor)
    monitor.get_by_role("button", name="Set micro_train_batch_size=8").click()
    expect(monitor.locator(".sft-run")).not_to_have_text(broken.name)
    expect(monitor.locator(".sft-why")).to_have_count(0)
    mended = Run(next(path for path in broken.parent.glob("2*") if path != broken))
    assert mended.config.micro_train_batch_size == 8 and mended.config.train_batch_size == 32
    expect(monitor.locator(".sft-state")).to_have_text(re.compile("Training|Finished"), timeout=120_000)

    assert page.evaluate("window.hacked") is None
    expect(page.locator(".sft-error")).to_have_count(0)
    assert page.watched.left == [] and outside.asked == []
