"""The monitor against run folders written by hand and runs of the FAKE worker."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time

import pytest

import sftkit as sk
from sftkit.errors import LaunchError
from sftkit.runs import Finding, Run, hardware, launch, process
from sftkit.runs import folder as disk
from sftkit.runs.causes import Diagnosis
from sftkit.widgets import asked_twice, run_monitor, run_page
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

    def leave(self):
        """The "supervisor" is gone."""
        self.record |= {"pid": 2**22 + 1, "pid_mark": None}
        self.write_record()

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
    """What a poll does, once; an ended run is not looked at so often."""
    monitor._pace._sent_at, monitor._again = 0.0, 0.0
    return monitor._show(monitor._look())


def shown(monitor):
    """The buttons in view."""
    names = ("stop", "kill", "resume", "duplicate", "delete")
    return [name for name in names if "sft-hidden" not in getattr(monitor.buttons, name)._dom_classes]


def press_twice(button, monkeypatch):
    monkeypatch.setattr(asked_twice, "TOO_SOON", 0.0)
    button.button.click()
    assert button.asking
    button.button.click()


def test_a_run_that_has_not_begun(folder):
    monitor = RunMonitor(folder.path, lang="en")
    assert "Starting" in monitor._head.value and "No step has run yet" in monitor._numbers.value
    assert "step 0 of 40" in monitor._head.value
    assert shown(monitor) == ["stop", "kill", "duplicate"]


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


def test_eval_loss_by_task_and_its_change(folder):
    folder.log([1], eval_loss=0.9, eval_loss_by_task={"sum": 1.0, HOSTILE: 0.8})
    folder.log([2], eval_loss=0.7, eval_loss_by_task={"sum": 0.6, HOSTILE: 0.9})
    page = RunMonitor(folder.path, lang="en")._numbers.value
    assert "<span>sum</span> <b>0.6000</b> <small class='sft-good'>↓ 0.4000" in page
    assert "↑ 0.1000" in page and "↓ 0.2000" in page
    assert "&lt;img" in page and HOSTILE not in page


def test_devices_as_bars(folder, monkeypatch):
    gpu = hardware.Device("gpu", 3, f"H100 {HOSTILE}", 97.0, 79_000, 81_920)
    cpu = hardware.Device("cpu", None, "CPU", None, 1024, 4096)
    monkeypatch.setattr(hardware, "usage", lambda: [gpu, cpu])
    page = RunMonitor(folder.path, lang="en")._devices.value
    assert "GPU 3 · H100 &lt;img" in page and HOSTILE not in page
    assert "use 97 %" in page and "77.1 / 80.0 GiB" in page and "1.0 / 4.0 GiB" in page
    assert page.count("sft-meter sft-stop") == 1  # the card is nearly full
    folder.status("finished", 40)
    assert RunMonitor(folder.path)._devices.value == ""


def test_a_finished_run_names_its_model(folder):
    folder.log([40])
    folder.status("finished", step=40)
    folder.leave()
    monitor = RunMonitor(folder.path, lang="en")
    assert "Finished" in monitor._head.value and str(folder.path / "model") in monitor._numbers.value
    assert shown(monitor) == ["duplicate", "delete"]


def test_a_failed_run_says_why_and_text_from_the_run_is_escaped(folder):
    folder.status("failed", step=3, reason=f"ValueError: {HOSTILE}")
    (folder.path / disk.LOG).write_text(f"\x1b[31m{HOSTILE}\x1b[0m\n10%\r50%\rdone\n", encoding="utf-8")
    monitor = RunMonitor(folder.path, lang="en")
    assert "Failed" in monitor._head.value
    told = monitor._head.value + monitor._why.value
    assert "&lt;img" in told and HOSTILE not in told
    monitor._fixes.children[-1].click()  # "Show the log"
    page = monitor.log_pane.page.value
    assert "&lt;img" in page and HOSTILE not in page and "\x1b" not in page
    assert "done" in page and "50%" not in page


def test_the_log_is_read_only_while_its_fold_is_open(folder):
    (folder.path / disk.LOG).write_text("first line\n", encoding="utf-8")
    monitor = RunMonitor(folder.path)
    look(monitor)
    assert monitor.log_pane.page.value == ""
    monitor._log_fold.is_open = True
    assert "first line" in monitor.log_pane.page.value
    (folder.path / disk.LOG).write_text("second line\n", encoding="utf-8")
    look(monitor)
    assert "second line" in monitor.log_pane.page.value


def test_search_goes_through_the_whole_log_and_marks_what_it_finds(folder):
    lines = [
        f"line {number}{' <b>Loss</b> &amp; amp' if number % 100 == 0 else ''}" for number in range(2_000)
    ]
    (folder.path / disk.LOG).write_text("\n".join(lines) + "\n", encoding="utf-8")
    pane = (monitor := RunMonitor(folder.path, lang="en")).log_pane
    monitor._log_fold.is_open = True
    pane.search.value = "loss"
    assert "20 of 2,000 lines" in pane.count.value and "line 100 " in pane.page.value
    assert "&lt;b&gt;<mark>Loss</mark>&lt;/b&gt;" in pane.page.value and "<b>" not in pane.page.value
    pane.search.value = "amp"
    assert "&amp;<mark>amp</mark>; <mark>amp</mark>" in pane.page.value
    pane.search.value = "nowhere"
    assert "No line has these words" in pane.page.value
    pane.search.value = ""
    assert pane.count.value.count(">") == 2 and "line 1999" in pane.page.value


def test_answers_at_checkpoints_newest_first(folder):
    sample = {
        "prompt": [{"role": "user", "content": f"Q {HOSTILE}"}],
        "reference": "R",
        "task": "sum",
        "source": "e",
        "row": 1,
    }
    with (folder.path / "samples.jsonl").open("w", encoding="utf-8") as file:
        for step, answer in ((5, "old"), (10, "new"), (15, HOSTILE)):
            file.write(json.dumps(sample | {"step": step, "response": answer}) + "\n")
    monitor = RunMonitor(folder.path, lang="en")
    assert monitor.samples.value == ""
    monitor._samples_fold.is_open = True
    page = monitor.samples.value
    assert [page.index(f"Step {step}<") for step in (15, 10, 5)] == sorted(
        page.index(f"Step {n}<") for n in (5, 10, 15)
    )
    assert HOSTILE not in page and page.count("&lt;img") == 2 and ">R<" in page
    with (folder.path / "samples.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(sample | {"step": 20, "response": HOSTILE}) + "\n")
    look(monitor)
    assert "Step 20" in monitor.samples.value and monitor.samples.value.count("class='sft-same'") == 1


def test_a_run_whose_processes_are_gone_is_never_shown_as_running(folder):
    folder.status("running", step=5)
    folder.leave()
    monitor = RunMonitor(folder.path, lang="en")
    assert "Failed" in monitor._head.value and "Training" not in monitor._head.value


def test_stop_asks_and_says_so(folder):
    folder.status("running", step=5)
    monitor = RunMonitor(folder.path, lang="en")
    monitor.buttons.stop.click()
    assert (folder.path / disk.STOP).exists()
    assert "a checkpoint will be written at the next step" in monitor._head.value
    assert monitor.buttons.stop.disabled and not monitor.buttons.kill.disabled


def test_resume_is_offered_where_there_is_a_checkpoint(folder):
    folder.status("stopped", step=5)
    folder.leave()
    monitor = RunMonitor(folder.path)
    assert shown(monitor) == ["duplicate", "delete"]
    (folder.path / disk.CHECKPOINTS / "step-5").mkdir(parents=True)
    look(monitor)
    assert shown(monitor) == ["resume", "duplicate", "delete"]


def test_an_error_in_a_button_is_shown_under_the_monitor(folder, monkeypatch):
    folder.status("stopped", step=5)
    monitor = RunMonitor(folder.path)
    monkeypatch.setattr(run_monitor, "LEAVING", 0.0)
    monitor.buttons.resume.click()  # "processes" live, and there is no checkpoint
    assert len(monitor.errors.messages) == 1 and "some-run" in monitor.errors.messages[0]
    assert not monitor.buttons.busy and not monitor.buttons.resume.disabled


def test_damaged_files_are_survived(folder):
    folder.log([1])
    with (folder.path / disk.METRICS).open("a", encoding="utf-8") as file:
        file.write('{"step": 2, "lo')
    (folder.path / disk.STATUS).write_text("{", encoding="utf-8")
    monitor = RunMonitor(folder.path, lang="en")
    assert "<b>1.0000</b>" in monitor._numbers.value and monitor.errors.messages == []
    (folder.path / disk.RUN).write_text("{", encoding="utf-8")
    look(monitor)
    assert monitor.errors.messages == []


def test_a_run_that_is_deleted_meanwhile_is_said_to_be_and_offers_nothing(folder):
    folder.status("running", step=5)
    monitor = RunMonitor(folder.path, lang="en")
    shutil.rmtree(folder.path)
    look(monitor)
    assert "Failed" in monitor._head.value and "deleted" in monitor._why.value
    assert shown(monitor) == [] and monitor.errors.messages == []


def test_a_question_goes_with_its_button(folder):
    folder.status("running", step=5)
    monitor = RunMonitor(folder.path, lang="en")
    monitor.buttons.kill.button.click()
    folder.status("finished", step=40)
    folder.leave()
    look(monitor)
    assert not monitor.buttons.kill.asking and shown(monitor) == ["duplicate", "delete"]


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(sk.RunNotFound):
        RunMonitor(tmp_path)


def test_no_monitor_shows_durations_like_a_machine():
    assert [run_page.duration(seconds, "en") for seconds in (0.2, 59, 150, 3600, 7260, 200_000)] == [
        "1 s", "59 s", "2 min", "1 h 0 min", "2 h 1 min", "2 d 7 h",
    ]  # fmt: skip


# buttons for what cannot be undone, and copies


def test_delete_asks_twice_and_then_says_what_is_gone(folder, monkeypatch):
    folder.status("stopped", step=5)
    folder.leave()
    monitor = RunMonitor(folder.path, lang="en")
    press_twice(monitor.buttons.delete, monkeypatch)
    assert not folder.path.exists() and monitor.errors.messages == []
    assert "Deleted" in monitor._head.value and "some-run was deleted" in monitor._head.value
    assert monitor.buttons not in monitor.children


def test_stop_now_asks_twice(folder, monkeypatch):
    folder.status("running", step=5)
    killed = []
    monkeypatch.setattr(Run, "kill", lambda run: killed.append(run.id))
    monitor = RunMonitor(folder.path, lang="en")
    monitor.buttons.kill.button.click()
    assert killed == []
    monitor.buttons.kill.withdraw()
    press_twice(monitor.buttons.kill, monkeypatch)
    assert killed == ["some-run"]


def test_duplicate_opens_a_form_with_the_runs_settings(folder):
    folder.status("finished", step=40)
    monitor = RunMonitor(folder.path, lang="en")
    monitor.buttons.duplicate.click()
    form = monitor._below.children[1]
    assert form.config.learning_rate == 1e-3 and "some-run" in monitor._below.children[0].value
    assert form.runs_dir == folder.path.parent


FIX = Finding(
    "stop",
    "micro_train_batch_size",
    "Smaller pieces need less memory.",
    {"micro_train_batch_size": 1},
    "Halve it",
)


@pytest.fixture
def out_of_memory(folder, monkeypatch):
    """A failed run with a diagnosis and one change that mends it."""
    folder.status("failed", step=3, reason="rank 0: OutOfMemoryError")
    folder.leave()
    told = Diagnosis(
        "oom", f"Out of memory {HOSTILE}", f"It did {HOSTILE} not fit.", f"RuntimeError {HOSTILE}", (FIX,)
    )
    monkeypatch.setattr(
        Run, "diagnosis", property(lambda run: told if run.status.state == "failed" else None)
    )
    return folder


def test_a_failure_is_explained_and_mended_by_a_click(out_of_memory, monkeypatch, tmp_path, settings):
    other = Folder(tmp_path / "copy", settings)
    asked = []
    monkeypatch.setattr(Run, "duplicate", lambda run, **changes: asked.append(changes) or Run(other.path))
    monitor = RunMonitor(out_of_memory.path, lang="en")
    page = monitor._why.value
    assert "Out of memory &lt;img" in page and "RuntimeError &lt;img" in page and HOSTILE not in page
    button = monitor._fixes.children[0]
    assert button.description == "Halve it"
    button.click()
    assert asked == [{"micro_train_batch_size": 1}] and monitor.run.id == "copy"
    assert "Starting" in monitor._head.value and "copy" in monitor._head.value
    assert monitor._why.value == "" and monitor._fixes.children == () and monitor.errors.messages == []


def test_a_fix_that_cannot_start_is_told_in_the_form(out_of_memory, monkeypatch):
    def refuse(run, **changes):
        raise LaunchError("The run was not started.", [FIX])

    monkeypatch.setattr(Run, "duplicate", refuse)
    monitor = RunMonitor(out_of_memory.path, lang="en")
    monitor._fixes.children[0].click()
    assert monitor._below.children[1].config.micro_train_batch_size == 1


# in a kernel: a loop runs


def test_it_moves_by_itself_until_the_run_is_over(folder, monkeypatch):
    monkeypatch.setattr(run_monitor, "POLL", 0.02)

    async def watch():
        monitor = RunMonitor(folder.path, lang="en")
        folder.status("running", step=2)
        folder.log([1, 2])
        await until(lambda: "step 2 of 40" in monitor._head.value)
        folder.log([4])
        folder.status("finished", step=40)
        await until(lambda: "Finished" in monitor._head.value and "<b>0.2500</b>" in monitor._numbers.value)
        folder.status("running", step=5)  # resumed from elsewhere
        await until(lambda: "Training" in monitor._head.value)
        monitor.close()

    asyncio.run(watch())


def test_a_page_that_is_slow_gets_fewer_frames_and_the_newest(folder, monkeypatch):
    monkeypatch.setattr(run_monitor, "POLL", 0.01)

    async def watch():
        monitor = RunMonitor(folder.path, lang="en")
        pace = monitor._pace
        pace._heard(pace, {"seen": 0, "view": "v", "shown": True}, [])
        folder.status("running", step=1)
        await until(lambda: pace.frame == 1)
        for step in range(2, 20):
            folder.status("running", step=step)
            await asyncio.sleep(0.02)
        assert pace.frame == 1 and "step 19" not in monitor._head.value
        pace._heard(pace, {"seen": 1}, [])
        await until(lambda: pace.frame == 2)
        assert "step 19 of 40" in monitor._head.value
        monitor.close()

    asyncio.run(watch())


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
        await until(lambda: "Finished" in monitor._head.value)
        monitor.close()
        return monitor

    assert asyncio.run(watch()).errors.messages == ["ZeroDivisionError: division by zero"]


def test_stop_and_resume_of_a_run_by_its_buttons(settings, tmp_path, fake_worker, monkeypatch):
    fake_worker.setenv("FAKE_STEPS", "400")
    monkeypatch.setattr(run_monitor, "POLL", 0.05)
    run = launch(settings, tmp_path / "runs")

    async def press():
        monitor = RunMonitor(run, lang="en")
        await until(lambda: "Training" in monitor._head.value)
        monitor.buttons.stop.click()
        await until(lambda: "Stopped" in monitor._head.value and "resume" in shown(monitor))
        first = run.status.step
        monitor.buttons.resume.click()
        await until(lambda: "Training" in monitor._head.value and run.status.step > first)
        assert shown(monitor) == ["stop", "kill", "duplicate"]
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
