"""A run and its monitor in a real JupyterLab: the kernel restarts in mid-run, then JupyterLab itself dies, and the run
goes on; stopped, resumed, stopped at once, deleted, by keyboard. What the page shows is what is on disk.

The run's supervisor is real, its worker a FAKE one (tests/runs/fake_worker.py), which leaves the machine to the browser;
test_first_run.py and test_form.py watch real training.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from sftkit.runs import Run

FAKE = Path(__file__).parents[1] / "runs/fake_worker.py"
CELLS = (
    "import os\nimport sftkit as sk\nfrom pathlib import Path\n"
    f"os.environ |= {{'SFTKIT_WORKER': {f'{sys.executable} {FAKE}'!r}, 'FAKE_STEPS': '5000', 'FAKE_SECONDS': '0.1'}}",
    "run = sk.launch(sk.SFTConfig(pretrain='data/tiny-base', dataset='data/train.jsonl', max_len=256))",
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


def answer(monitor: Locator, name: str, not_yet: Callable[[], bool]) -> None:
    """Press the second button of a question, until when nothing has been done."""
    expect(monitor.get_by_role("button", name=name)).to_be_visible()
    monitor.page.wait_for_timeout(700)  # sooner, a second press is taken for a double click
    assert not_yet()
    press(monitor, name)


def shown_again(notebook) -> Locator:
    """The monitor's cell, run anew in a new kernel."""
    notebook.run("import sftkit as sk")
    notebook.run("sk.RunMonitor(")
    return notebook.area("sk.RunMonitor(").locator(".sft-monitor")


@pytest.mark.timeout(400)
def test_a_run_outlives_kernel_and_jupyterlab_and_obeys_its_buttons(notebook, page, lab, outside):
    notebook.write(*CELLS, path="test.ipynb")
    notebook.run("import sftkit as sk", until="sk.RunMonitor(")
    monitor = shown_again(notebook)
    state = monitor.locator(".sft-state")
    expect(state).to_have_text("Training", timeout=120_000)
    run = Run(next((lab.folder / "runs").glob("2*")))
    until(page, lambda: step_shown(monitor) > 0)
    expect(monitor.locator(".sft-device")).not_to_have_count(0)
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
    until(page, lambda: run.status.step > before + 5)
    lab.start()
    notebook.open("test.ipynb")
    monitor = shown_again(notebook)
    until(page, lambda: step_shown(monitor) > before + 5)
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
    assert run.record["spent"] > 3 and run.record["pid"] != supervisor

    # Answers at checkpoints, and a search in the log.
    sample = {
        "step": stopped,
        "prompt": [{"role": "user", "content": "Why?"}],
        "response": "<b>So</b>",
        "reference": None,
    }
    (run.folder / "samples.jsonl").write_text(json.dumps(sample) + "\n")
    press(monitor, "Answers at checkpoints")
    expect(monitor.locator(".sft-samples tbody td")).to_have_text("<b>So</b>")
    press(monitor, "Log")
    monitor.get_by_placeholder("Search the whole log").fill("FAKE rank")
    expect(monitor.locator(".sft-log mark").first).to_have_text("fake rank")
    notebook.shot("monitor-resumed", monitor)

    # Stop now asks first; so does Delete, and then the folder is gone.
    press(monitor, "Stop now")
    expect(monitor.get_by_role("button", name="Cancel")).to_be_visible()
    answer(monitor, "Yes, stop now", lambda: run.status.state == "running")
    expect(state).to_have_text("Stopped")
    assert not run.is_alive
    press(monitor, "Delete")
    answer(monitor, "Yes, delete for good", lambda: run.folder.is_dir())
    expect(state).to_have_text("Deleted")
    assert not run.folder.exists()

    expect(monitor.locator(".sft-error")).to_have_count(0)
    assert page.watched.left == [] and outside.asked == []
