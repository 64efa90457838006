"""The monitor against run folders written by hand and runs of the FAKE worker."""

from __future__ import annotations

import asyncio
import json
import os
import time

import pytest

import sftkit as sk
from sftkit.runs import folder as disk
from sftkit.runs import launch, process
from sftkit.widgets import run_monitor
from sftkit.widgets.run_monitor import RunMonitor

HOSTILE = "<img src=x onerror=alert(1)>"


class Folder:
    """A run folder under our pen. Its "supervisor" is this test's own process, so it counts as alive."""

    def __init__(self, path, config):
        self.path = path
        path.mkdir()
        self.record = {"id": path.name, "config": config.to_dict(), "cwd": str(path), "created": "2026-01-02T03:04:05+00:00"}  # fmt: skip
        self.record |= process.identity(os.getpid())
        self.write_record()
        self.status("starting")

    def write_record(self):
        disk.write_json(self.path / disk.RUN, self.record)

    def status(self, state, step=0, total=40, reason=""):
        disk.write_status(self.path, state, reason, step=step, total=total)

    def log(self, steps, **more):
        with (self.path / disk.METRICS).open("a", encoding="utf-8") as file:
            for step in steps:
                line = {"step": step, "loss": 1 / step, "learning_rate": 1e-3, "seconds": step * 30.0, **more}
                file.write(json.dumps(line) + "\n")


@pytest.fixture
def folder(tmp_path, settings):
    return Folder(tmp_path / "some-run", settings)


def look(monitor):
    """What a poll does, once."""
    return monitor._show(monitor._look())


def hidden(widget):
    return "sft-hidden" in widget._dom_classes


def drawn(monitor):
    return list(monitor.curve.figure.data[0].x)


def test_a_run_that_has_not_begun(folder):
    monitor = RunMonitor(folder.path, lang="en")
    assert "Starting" in monitor._head.value and "No step has run yet" in monitor._numbers.value
    assert "step 0 of 40" in monitor._head.value and drawn(monitor) == []
    assert not hidden(monitor._stop) and hidden(monitor._resume)


def test_progress_time_left_and_the_last_figures(folder):
    monitor = RunMonitor(folder.path, lang="en")
    folder.status("running", step=10)
    folder.log(range(1, 11), tokens_per_second=12345.6, memory_mb=2048, grad_norm=0.5)
    folder.log([11], eval_loss=0.75)
    assert look(monitor)
    head, numbers = monitor._head.value, monitor._numbers.value
    assert "Training" in head and "step 10 of 40" in head and "width:25.0%" in head
    assert "about 15 min left" in head  # 30 steps of 30 s
    for words in ("0.0909", "0.7500", "0.001", "12,346", "2,048 MiB", "0.5"):
        assert f"<b>{words}</b>" in numbers
    assert drawn(monitor) == list(range(1, 12))


def test_only_what_is_new_is_drawn(folder, monkeypatch):
    monitor = RunMonitor(folder.path)
    folder.log([1, 2])
    look(monitor)
    monkeypatch.setattr(monitor.curve, "show", lambda read: pytest.fail("nothing new, yet drawn again"))
    look(monitor)
    monkeypatch.undo()
    folder.log([3])
    look(monitor)
    assert drawn(monitor) == [1, 2, 3]


def test_a_finished_run_names_its_model_and_offers_no_buttons(folder):
    folder.log([40])
    folder.status("finished", step=40)
    monitor = RunMonitor(folder.path, lang="en")
    assert not look(monitor)  # nothing more will come
    assert "Finished" in monitor._head.value and str(folder.path / "model") in monitor._numbers.value
    assert hidden(monitor._stop) and hidden(monitor._resume)


def test_a_failed_run_says_why_and_text_from_the_run_is_escaped(folder):
    folder.status("failed", step=3, reason=f"ValueError: {HOSTILE}")
    (folder.path / disk.LOG).write_text(f"\x1b[31m{HOSTILE}\x1b[0m\n10%\r50%\rdone\n", encoding="utf-8")
    monitor = RunMonitor(folder.path, lang="en")
    monitor._fold.selected_index = 0
    assert "ValueError: &lt;img" in monitor._head.value and HOSTILE not in monitor._head.value
    page = monitor._log.value
    assert "&lt;img" in page and HOSTILE not in page and "\x1b" not in page
    assert "done" in page and "50%" not in page


def test_the_log_is_read_only_while_its_fold_is_open(folder):
    (folder.path / disk.LOG).write_text("first line\n", encoding="utf-8")
    monitor = RunMonitor(folder.path)
    look(monitor)
    assert monitor._log.value == ""
    monitor._fold.selected_index = 0
    assert "first line" in monitor._log.value


def test_a_run_whose_processes_are_gone_is_never_shown_as_running(folder):
    folder.status("running", step=5)
    folder.record |= {"pid": 2**22 + 1, "pid_mark": None}
    folder.write_record()
    monitor = RunMonitor(folder.path, lang="en")
    assert "Failed" in monitor._head.value and "Training" not in monitor._head.value


def test_stop_asks_and_says_so(folder):
    folder.status("running", step=5)
    monitor = RunMonitor(folder.path, lang="en")
    monitor._stop.click()
    assert (folder.path / disk.STOP).exists()
    assert "a checkpoint will be written at the next step" in monitor._head.value and monitor._stop.disabled


def test_resume_is_offered_where_there_is_a_checkpoint(folder):
    folder.status("stopped", step=5)
    monitor = RunMonitor(folder.path)
    assert hidden(monitor._resume)
    (folder.path / disk.CHECKPOINTS / "step-5").mkdir(parents=True)
    look(monitor)
    assert not hidden(monitor._resume)


def test_an_error_in_a_button_is_shown_under_the_monitor(folder, monkeypatch):
    folder.status("stopped", step=5)
    monitor = RunMonitor(folder.path)
    monkeypatch.setattr(run_monitor, "LEAVING", 0.0)
    monitor._resume.click()  # "processes" live, and there is no checkpoint
    assert len(monitor.errors.messages) == 1 and "some-run" in monitor.errors.messages[0]
    assert not monitor._resume.disabled


def test_damaged_files_are_survived(folder):
    folder.log([1])
    with (folder.path / disk.METRICS).open("a", encoding="utf-8") as file:
        file.write('{"step": 2, "lo')
    (folder.path / disk.STATUS).write_text("{", encoding="utf-8")
    monitor = RunMonitor(folder.path, lang="en")
    assert drawn(monitor) == [1] and monitor.errors.messages == []
    (folder.path / disk.RUN).write_text("{", encoding="utf-8")
    look(monitor)
    assert monitor.errors.messages == []


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(sk.RunNotFound):
        RunMonitor(tmp_path)


def test_no_monitor_shows_durations_like_a_machine(folder):
    monitor = RunMonitor(folder.path, lang="en")
    assert [monitor._duration(seconds) for seconds in (0.2, 59, 150, 3600, 7260)] == [
        "1 s", "59 s", "2 min", "1 h 0 min", "2 h 1 min",
    ]  # fmt: skip


# in a kernel: a loop runs


def test_it_moves_by_itself_until_the_run_is_over(folder, monkeypatch):
    monkeypatch.setattr(run_monitor, "POLL", 0.02)

    async def watch():
        monitor = RunMonitor(folder.path, lang="en")
        folder.status("running", step=2)
        folder.log([1, 2])
        await until(lambda: drawn(monitor) == [1, 2] and "step 2 of 40" in monitor._head.value)
        folder.log([3])
        folder.status("finished", step=40)
        await until(lambda: not monitor._poll.running)
        return monitor

    monitor = asyncio.run(watch())
    assert "Finished" in monitor._head.value and drawn(monitor) == [1, 2, 3]


def test_closing_ends_the_looking_and_not_the_run(folder, monkeypatch):
    monkeypatch.setattr(run_monitor, "POLL", 0.02)

    async def watch():
        monitor = RunMonitor(folder.path)
        await asyncio.sleep(0.1)
        assert monitor._poll.running
        monitor.close()
        await asyncio.sleep(0.05)
        return monitor

    assert not asyncio.run(watch())._poll.running
    assert not (folder.path / disk.STOP).exists()


def test_a_folder_that_cannot_be_read_for_a_moment_is_said_and_tried_again(folder, monkeypatch):
    monkeypatch.setattr(run_monitor, "POLL", 0.02)

    async def watch():
        monitor = RunMonitor(folder.path)
        real, monitor._poll._read = monitor._poll._read, lambda: 1 / 0
        await until(lambda: monitor.errors.messages)
        monitor._poll._read = real
        folder.status("finished", step=40)
        await until(lambda: not monitor._poll.running)
        return monitor

    assert asyncio.run(watch()).errors.messages == ["ZeroDivisionError: division by zero"]


def test_stop_and_resume_of_a_run_by_its_buttons(settings, tmp_path, fake_worker, monkeypatch):
    fake_worker.setenv("FAKE_STEPS", "400")
    monkeypatch.setattr(run_monitor, "POLL", 0.05)
    run = launch(settings, tmp_path / "runs")

    async def press():
        monitor = RunMonitor(run, lang="en")
        await until(lambda: "Training" in monitor._head.value)
        monitor._stop.click()
        await until(lambda: "Stopped" in monitor._head.value and not monitor._poll.running)
        first = run.status.step
        monitor._resume.click()
        await until(lambda: "Training" in monitor._head.value and run.status.step > first)
        assert hidden(monitor._resume) and not hidden(monitor._stop)
        assert monitor.errors.messages == []
        monitor.close()

    try:
        asyncio.run(press())
    finally:
        run.kill()


async def until(what, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.02)
