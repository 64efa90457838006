"""LossCurves against run folders written by hand, with a page that is a few lines: what it is told, and how much."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time

import numpy as np
import pytest

from sftkit.runs import load_run, points
from sftkit.runs.row_losses import PLACES, RECORDS, record
from sftkit.widgets import loss_curves
from sftkit.widgets.loss_curves import LossCurves


def log(run, first, last):
    """Append the lines of these steps to the run's metrics, loss 1/step, an eval loss at every tenth."""
    with (run.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
        for step in range(first, last + 1):
            line = {"step": step, "loss": 1 / step, "epoch": step / 100, "learning_rate": 1e-3}
            file.write(json.dumps(line) + "\n")
            if step % 10 == 0:
                file.write(json.dumps({"step": step, "eval_loss": 1.2 / step}) + "\n")


def state(run, word):
    """Write this state: a run without a pid is believed to live for half a minute."""
    status = {"state": word, "step": 1, "total_steps": 100, "reason": "", "updated": time.time()}
    part = run.folder / ".status.part"
    part.write_text(json.dumps(status), encoding="utf-8")
    os.replace(part, run.folder / "status.json")


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "some-run"
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"id": folder.name, "config": {}}), encoding="utf-8")
    run = load_run(folder)
    state(run, "running")
    return run


class Page:
    """The browser half: takes frames as widgets/src/curves_data.ts does, and says when it has painted one."""

    def __init__(self, widget, paints=True):
        self.widget, self.lines, self.answers, self.bytes, self.frames = widget, {}, [], [], []
        self.paints = paints
        widget.chart.send = self._take
        self.say(kind="hello")

    def say(self, **content):
        self.widget.chart._handle_custom_msg(content, [])

    def _take(self, content, buffers=None):
        if content.get("kind") != "frame":
            self.answers.append(content)
            return
        floats, place = np.frombuffer(buffers[0]), 0
        for run, part, how, count in content["lines"]:
            new = floats[place : place + 2 * count].reshape(2, count)
            old = self.lines[run, part] if how == "add" else np.empty((2, 0))
            self.lines[run, part], place = np.hstack([old, new]), place + 2 * count
        assert place == len(floats)
        self.frames.append(content)
        self.bytes.append(len(buffers[0]) + len(json.dumps(content)))
        if self.paints:
            self.say(kind="painted")

    def x(self, part="loss", run=0):
        return self.lines[run, part][0].tolist()

    def y(self, part="loss", run=0):
        return self.lines[run, part][1].tolist()


def look(widget):
    """A look at the disk and what comes of it, as the poll does."""
    widget.show(widget.read())


def test_a_page_gets_what_is_there_and_then_what_is_new(run):
    widget = LossCurves(run)
    page = Page(widget)
    assert page.x() == [] and page.x("eval") == []
    log(run, 1, 20)
    look(widget)
    assert page.x() == list(range(1, 21)) and page.y()[3] == 0.25
    assert page.x("eval") == [10, 20] and len(page.x("smooth")) == 20
    log(run, 21, 25)
    (run.folder / "checkpoints/step-3").mkdir(parents=True)
    look(widget)
    assert page.x() == list(range(1, 26)) and page.x("saved") == [3]
    assert page.frames[-1]["lines"] == [
        [0, "loss", "add", 5],
        [0, "smooth", "add", 5],
        [0, "saved", "set", 1],
    ]


def test_nothing_new_sends_nothing(run):
    log(run, 1, 50)
    widget = LossCurves(run)
    page = Page(widget)
    look(widget)
    assert len(page.frames) == 1 and widget.read() is None


def test_views_are_drawn_from_the_part_that_is_seen(run):
    log(run, 1, 10_000)
    widget = LossCurves(run)
    page = Page(widget)
    assert 1_000 < len(page.x()) <= 2_000
    widget.chart.span = [5_000.0, 5_100.0]
    assert page.x() == list(range(4_999, 5_102)) and page.frames[-1]["view"]["span"] == [5_000, 5_100]
    log(run, 10_001, 10_002)
    look(widget)  # out of sight: only the eval lines may change
    assert page.x() == list(range(4_999, 5_102))
    widget.chart.span = []
    assert page.x()[-1] == 10_002


def test_smoothing_and_evals_can_be_chosen(run):
    log(run, 1, 30)
    with (run.folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 30, "eval_loss": 2, "eval_loss_by_task": {"<b>": 1.5}}\n')
    widget = LossCurves(run)
    page = Page(widget)
    assert page.frames[-1]["tasks"] == ["<b>"] and (0, "eval/<b>") not in page.lines
    widget.chart.smoothing = 0.0
    assert page.y("smooth") == pytest.approx(page.y())
    widget.chart.evals = ["<b>"]
    assert page.x("eval/<b>") == [30] and page.y("eval/<b>") == [1.5]


def test_a_resumed_run_is_drawn_anew(run):
    log(run, 1, 30)
    widget = LossCurves(run)
    page = Page(widget)
    (run.folder / "metrics.jsonl").rename(run.folder / "old")
    log(run, 1, 7)
    look(widget)
    assert page.x() == list(range(1, 8))


def test_a_slow_page_costs_frames_and_never_the_kernel(run):
    log(run, 1, 10)
    widget = LossCurves(run)
    page = Page(widget, paints=False)
    for last in range(11, 31):
        log(run, last, last)
        look(widget)
    assert len(page.frames) == 1  # the one on its way
    page.say(kind="painted")
    look(widget)
    assert len(page.frames) == 2 and page.x() == list(range(1, 31))


def test_a_page_that_has_gone_is_given_up(run, monkeypatch):
    log(run, 1, 10)
    widget = LossCurves(run)
    page = Page(widget, paints=False)
    log(run, 11, 12)
    assert widget.read() is None
    monkeypatch.setattr("sftkit.widgets.curve_chart.PATIENCE", 0.0)
    look(widget)
    assert page.x()[-1] == 12


def test_another_page_gets_all(run):
    log(run, 1, 10)
    widget = LossCurves(run)
    Page(widget)
    log(run, 11, 12)
    look(widget)
    assert Page(widget).x() == list(range(1, 13))


def test_an_update_of_twenty_long_runs_is_small_and_soon_done(run, tmp_path):
    log(run, 1, 5_000)
    runs = [run]
    for number in range(1, 20):
        folder = tmp_path / f"run-{number}"
        shutil.copytree(run.folder, folder)
        runs.append(load_run(folder))
    widget = LossCurves(runs)
    page = Page(widget)
    times = []
    for last in range(5_001, 5_031):
        for one in runs:
            log(one, last, last)
        started = time.thread_time()
        look(widget)
        times.append(time.thread_time() - started)
    assert page.x(run=19)[-1] == 5_030 and len(page.frames) == 31
    assert max(page.bytes[1:]) < 50_000, page.bytes
    assert np.median(times) < 0.05, f"{1000 * np.median(times):.0f} ms"


def test_many_new_points_go_in_several_small_frames(run, tmp_path):
    runs = [run]
    for number in range(1, 20):
        shutil.copytree(run.folder, tmp_path / f"run-{number}")
        runs.append(load_run(tmp_path / f"run-{number}"))
    widget = LossCurves(runs)
    page = Page(widget)
    for one in runs:
        log(one, 1, 3_000)
    for _ in range(20):
        look(widget)
    assert all(page.x(run=number)[-1] == 3_000 for number in range(20)) and max(page.bytes) < 60_000


def test_a_huge_file_is_seen_at_once_and_read_in_pieces(run, monkeypatch):
    for name in ("SMALL", "BLOCK", "LINE"):
        monkeypatch.setattr(points, name, 20_000)
    monkeypatch.setattr(loss_curves, "PIECE", 20_000)
    monkeypatch.setattr(loss_curves, "READING", 0.0)
    log(run, 1, 5_000)
    widget = LossCurves(run)
    page = Page(widget)
    assert page.frames[0]["reading"] == 0 and page.x()[-1] > 4_900 and page.x()[0] == 1
    monkeypatch.setattr(loss_curves, "READING", 10.0)
    look(widget)
    assert page.frames[-1]["reading"] is None and len(page.x()) == 2_000 and page.x()[-1] == 5_000


def test_what_is_huge_and_new_is_read_by_another_process(run, monkeypatch):
    log(run, 1, 60_000)
    assert (run.folder / "metrics.jsonl").stat().st_size > points.SMALL
    monkeypatch.setattr(loss_curves, "HUGE", 1 << 20)
    monkeypatch.setattr(points, "_columns", lambda _block: pytest.fail("parsed in the kernel"))
    curves = LossCurves(run, live=False)
    assert curves._feed.reading == 0 and len(curves._first.lines[0][3][0]) > 100, "seen from samples"
    deadline = time.monotonic() + 60
    while curves._feed.reading is not None and time.monotonic() < deadline:
        curves.read()
        time.sleep(0.02)
    assert curves._feed.reading is None and curves._lines[0].points.steps.rows == 60_000
    assert curves._reader._process.wait(20) == 0


def test_that_process_leaves_with_the_view(run, monkeypatch):
    log(run, 1, 60_000)
    monkeypatch.setattr(loss_curves, "HUGE", 1 << 20)
    curves = LossCurves(run, live=False)
    curves.read()
    assert curves._reader.running
    curves.close()
    assert not curves._reader.running


def test_values_of_every_run_at_the_pointer(run, tmp_path):
    log(run, 1, 20)
    other = tmp_path / "other"
    shutil.copytree(run.folder, other)
    (other / "metrics.jsonl").write_text("")
    widget = LossCurves([run, load_run(other)])
    page = Page(widget)
    page.say(kind="values", x=12.2, ask="q1")
    page.say(kind="values", x=None, ask="q2")
    first, last = page.answers
    assert first["ask"] == "q1" and first["values"][1] == {}
    assert first["values"][0] == pytest.approx(
        {
            "step": 12,
            "loss": 1 / 12,
            "epoch": 0.12,
            "learning_rate": 1e-3,
            "eval_loss": 0.12,
            "smooth": first["values"][0]["smooth"],
        }
    )
    assert last["values"][0]["step"] == 20


def test_rows_of_a_step_with_their_text(run, tmp_path):
    log(run, 1, 3)
    (tmp_path / "rows.jsonl").write_text('{"q": "<b>one"}\n{"q": "two"}\n', encoding="utf-8")
    told = {"cwd": str(tmp_path), "config": {"dataset": "rows.jsonl", "pretrain": "m"}}
    (run.folder / "run.json").write_text(json.dumps({"id": "x", **told}))
    sources = {"sources": np.array(["rows.jsonl", "gone.jsonl"]), "source": np.array([0, 0, 1])}
    np.savez(run.folder / PLACES, row=np.array([1, 2, 1]), tokens=np.array([5, 6, 7]), batch=3, **sources)
    step = np.zeros(1, record(3))
    step["step"], step["rows"], step["losses"] = 2, [0, 1, 2], [1, 3, 2]
    (run.folder / RECORDS).write_bytes(step.tobytes())
    widget = LossCurves(run)
    page = Page(widget)
    page.say(kind="rows", run=0, x=2.1, ask="q")
    assert page.answers[-1]["rows"] == [
        ["rows.jsonl", 2, 6, 3.0, '{"q": "two"}'],
        ["gone.jsonl", 1, 7, 2.0, None],
        ["rows.jsonl", 1, 5, 1.0, '{"q": "<b>one"}'],
    ]
    page.say(kind="rows", run=0, x=3, ask="q")
    assert "step 3 are not on record" in page.answers[-1]["error"] and widget.errors.messages == []


def test_only_settings_that_differ_are_told(run, tmp_path):
    folders = []
    for number, more in enumerate(({"lora_rank": 8}, {})):
        folder = tmp_path / f"run-{number}"
        folder.mkdir()
        settings = {"seed": 1, "learning_rate": 10.0**-number, **more}
        (folder / "run.json").write_text(json.dumps({"config": settings}))
        folders.append(load_run(folder))
    widget = LossCurves(folders)
    assert list(widget.differences.columns) == ["learning_rate", "lora_rank"]
    assert widget.chart.setup["values"] == [["1.0", "8"], ["0.1", ""]]
    assert LossCurves(run).differences.shape == (1, 0)


def test_moves_by_itself_and_stops_at_the_end(run, monkeypatch):
    monkeypatch.setattr(loss_curves, "SECONDS", 0.02)

    async def watch():
        widget = LossCurves(run)
        page = Page(widget)
        log(run, 1, 7)
        await until(lambda: len(page.lines.get((0, "loss"), [[]])[0]) == 7)
        widget.chart.span = [2.0, 3.0]
        await until(lambda: page.x() == [1, 2, 3, 4])
        widget.chart.span = []
        log(run, 8, 9)
        state(run, "finished")
        await until(lambda: not widget._poll.running)
        return page.x(), widget.errors.messages

    steps, errors = asyncio.run(watch())
    assert steps == list(range(1, 10)) and errors == []


async def until(true, seconds=20):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "did not come to pass"
        await asyncio.sleep(0.01)


def test_driven_by_another_it_does_not_look_by_itself(run):
    async def make():
        return LossCurves(run, live=False)._poll.running

    assert asyncio.run(make()) is False


def test_faults_are_told_under_the_widget(run, monkeypatch):
    log(run, 1, 3)
    widget = LossCurves(run)
    page = Page(widget)
    monkeypatch.setattr(widget, "_whole", lambda: 1 / 0)
    widget.chart.smoothing = 0.1
    page.say(kind="nonsense")
    assert widget.errors.messages == ["KeyError: 'nonsense'", "ZeroDivisionError: division by zero"]


def test_freeze_puts_a_picture_in_place_of_the_live_view(run, monkeypatch):
    log(run, 1, 5)
    shown = []

    class Handle:
        def update(self, bundle, raw):
            shown.append((bundle, raw))

    monkeypatch.setattr(loss_curves, "display", lambda *args, **kwargs: shown.append(args[0]) or Handle())
    widget = LossCurves(run, log=True)
    widget._ipython_display_()
    widget.freeze()
    live, (still, raw) = shown
    assert "application/vnd.jupyter.widget-view+json" in live
    assert raw and set(still) == {"image/png", "text/plain"} and still["image/png"].startswith("iVBOR")
    assert still["text/plain"] == "LossCurves(some-run: running, step 1)"


def test_in_chinese(run):
    widget = LossCurves(run, lang="zh")
    assert widget.chart._labels["curves.smoothing"] == "平滑" and widget.picture().data.startswith(b"\x89PNG")


def test_runs_under_other_names_and_a_picture_when_they_are_over(run, monkeypatch):
    log(run, 1, 20)
    shown = []
    monkeypatch.setattr(loss_curves, "display", lambda bundle, **_: shown.append(bundle))
    LossCurves({"rate 1e-3": run}, live=False)._ipython_display_()
    assert "image/png" not in shown[0], "it goes on"
    state(run, "finished")
    widget = LossCurves({"rate 1e-3": run, "the same": run})
    widget._ipython_display_()
    assert widget.chart.setup["names"] == ["rate 1e-3", "the same"] == list(widget.differences.index)
    assert (
        repr(widget)
        == shown[1]["text/plain"]
        == "LossCurves(rate 1e-3: finished, step 1, the same: finished, step 1)"
    )
    assert shown[1]["image/png"].startswith("iVBOR") and len(shown[1]["image/png"]) < 30_000


def test_waiting_for_the_end_leaves_the_loop_free_and_a_picture(run, monkeypatch):
    log(run, 1, 20)
    shown = []

    class Handle:
        update = staticmethod(lambda bundle, **_: shown.append(bundle))

    monkeypatch.setattr(loss_curves, "display", lambda *_, **__: Handle())
    widget = LossCurves({"a": run})
    widget._ipython_display_()
    assert widget.last.loc["a"].to_dict() == {"state": "running", "step": 1, "loss": 0.05, "eval_loss": 0.06}

    async def wait_and_end():
        waiting = asyncio.create_task(widget.finished())
        await asyncio.sleep(0.3)
        assert not waiting.done() and not shown
        log(run, 21, 25)
        state(run, "finished")
        return await waiting

    last = asyncio.run(wait_and_end())
    assert last.loc["a", "state"] == "finished" and last.loc["a", "loss"] == 0.04
    assert "image/png" in shown[0]
