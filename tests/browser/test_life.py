"""A run and its monitor in a real JupyterLab: the kernel restarts in mid-run, then JupyterLab itself dies, and the run
goes on; stopped, resumed, stopped at once, deleted, by keyboard. What the page shows is what is on disk."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Locator, Page, expect

from sftkit.runs import Run

CELLS = (
    "import sftkit as sk\nfrom pathlib import Path",
    "run = sk.launch(sk.SFTConfig(pretrain='data/tiny-base', dataset='data/train.jsonl', eval_dataset='data/eval.jsonl',\n"
    "    train_batch_size=8, micro_train_batch_size=8, max_epochs=9, max_len=256, eval_steps=20, save_steps=20,\n"
    "    learning_rate=5e-4, zero_stage=0, bf16=False))",
    "sk.RunMonitor(next(Path('runs').glob('2*')), lang='en')",
)  # fmt: skip


def until(page: Page, true, seconds: float = 60) -> None:
    """Wait with the page: it has news for us all the time."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "did not come to pass"
        page.wait_for_timeout(100)


def step_shown(monitor: Locator) -> int:
    found = re.search(r"step ([\d,]+) of", monitor.locator(".sft-facts").first.inner_text())
    return int(found.group(1).replace(",", "")) if found else -1


def press(monitor: Locator, name: str) -> None:
    """Press the button by keyboard."""
    button = monitor.get_by_role("button", name=name)
    expect(button).to_be_enabled()
    button.focus()
    button.press("Enter")


def shown_again(notebook) -> Locator:
    """The monitor's cell, run anew in a new kernel."""
    notebook.run("import sftkit as sk")
    notebook.run("sk.RunMonitor(")
    return notebook.area("sk.RunMonitor(").locator(".sft-monitor")


@pytest.mark.timeout(400)
def test_a_run_outlives_kernel_and_jupyterlab_and_obeys_its_buttons(notebook, page, lab, outside):
    held_out = lab.folder / "data/eval.jsonl"
    held_out.write_text(
        "".join(held_out.read_text(encoding="utf-8").splitlines(keepends=True)[:24]), encoding="utf-8"
    )
    notebook.write(*CELLS, path="test.ipynb")
    notebook.run("import sftkit as sk", until="sk.RunMonitor(")
    monitor = shown_again(notebook)
    state = monitor.locator(".sft-state")
    expect(state).to_have_text("Training", timeout=120_000)
    run = Run(next((lab.folder / "runs").glob("2*")))
    until(page, lambda: step_shown(monitor) > 0)
    expect(monitor.locator(".sft-device")).not_to_have_count(0)
    expect(monitor.locator(".sft-tasks li")).not_to_have_count(0)
    assert not notebook.cell_runs
    supervisor = run.record["pid"]

    # The kernel restarts: the run goes on, and the cell alone shows it again.
    notebook.restart()
    before = run.status.step
    until(page, lambda: run.status.step > before)
    monitor = shown_again(notebook)
    until(page, lambda: step_shown(monitor) > before)
    expect(state).to_have_text("Training")

    # JupyterLab is killed: the run goes on while it is away, and is shown when it is there again.
    lab.kill()
    before = run.status.step
    until(page, lambda: run.status.step > before + 3)
    lab.start()
    notebook.open("test.ipynb")
    monitor = shown_again(notebook)
    until(page, lambda: step_shown(monitor) > before + 3)
    expect(state).to_have_text("Training")
    assert run.record["pid"] == supervisor and run.status.state == "running"
    notebook.shot("monitor-running", monitor)

    # Stop with a checkpoint, and resume.
    press(monitor, "Stop and save")
    expect(state).to_have_text("Stopped")
    stopped = run.status.step
    assert (run.checkpoints / f"step-{stopped}").is_dir() and step_shown(monitor) == stopped
    press(monitor, "Resume")
    expect(state).to_have_text("Training")
    until(page, lambda: step_shown(monitor) > stopped)
    assert run.record["spent"] > 5 and run.record["pid"] != supervisor

    # Answers at checkpoints, and a search in the log.
    press(monitor, "Answers at checkpoints")
    expect(monitor.locator(".sft-samples tbody tr")).not_to_have_count(0)
    press(monitor, "Log")
    monitor.get_by_placeholder("Search the whole log").fill("EVAL loss")
    expect(monitor.locator(".sft-log mark").first).to_have_text("eval loss")
    notebook.shot("monitor-resumed", monitor)

    # Stop now asks first; so does Delete, and then the folder is gone.
    press(monitor, "Stop now")
    expect(monitor.get_by_role("button", name="Cancel")).to_be_visible()
    assert run.status.state == "running"
    page.wait_for_timeout(600)  # sooner, a second press is taken for a double click
    press(monitor, "Yes, stop now")
    expect(state).to_have_text("Stopped")
    assert not run.is_alive
    press(monitor, "Delete")
    page.wait_for_timeout(600)
    assert run.folder.is_dir()
    press(monitor, "Yes, delete for good")
    expect(state).to_have_text("Deleted")
    assert not run.folder.exists()

    expect(monitor.locator(".sft-error")).to_have_count(0)
    assert page.watched.left == [] and outside.asked == []
