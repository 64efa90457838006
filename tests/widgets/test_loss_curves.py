"""LossCurves against run folders written by hand: what it draws, how it moves, what stays of it."""

from __future__ import annotations

import asyncio
import json
import os
import time

import numpy as np
import pytest

from sftkit.runs import load_run
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


def drawn(widget):
    return list(widget.figure.data[0].x)


def test_refresh_draws_what_was_logged_since(run):
    widget = LossCurves(run)
    assert drawn(widget) == [] and widget.figure.layout.annotations[0].text == "No loss logged yet"
    log(run, 1, 20)
    widget.refresh()
    raw, smooth, evals = widget.figure.data
    assert drawn(widget) == list(range(1, 21)) and raw.y[3] == 0.25
    assert len(smooth.y) == 20 and list(evals.x) == [10, 20]
    assert not widget.figure.layout.annotations
    assert raw.x.dtype == raw.y.dtype == np.dtype("float64")  # integers would travel as lists


def test_smoothing_slider_redraws(run):
    log(run, 1, 30)
    widget = LossCurves(run)
    before = widget.figure.data[1].y.copy()
    widget.smoothing.value = 0.95
    assert widget.figure.data[1].y[-1] > before[-1]
    widget.smoothing.value = 0.0
    assert list(widget.figure.data[1].y) == list(widget.figure.data[0].y)


def test_moves_by_itself_and_stops_at_the_end(run, monkeypatch):
    monkeypatch.setattr(loss_curves, "SECONDS", 0.02)

    async def watch():
        widget = LossCurves(run)
        log(run, 1, 7)
        await until(lambda: len(drawn(widget)) == 7)
        log(run, 8, 9)
        state(run, "finished")
        await until(lambda: not widget._poll.running)
        return drawn(widget), widget.errors.messages

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


def test_unreadable_metrics_are_told_under_the_widget(run, monkeypatch):
    log(run, 1, 3)
    widget = LossCurves(run)
    monkeypatch.setattr(widget, "read", lambda: 1 / 0)
    widget.smoothing.value = 0.1
    assert widget.errors.messages == ["ZeroDivisionError: division by zero"]


def test_an_update_is_one_message_and_soon_done(run):
    log(run, 1, 5_000)
    widget = LossCurves(run)
    log(run, 5_001, 5_010)
    sent = []
    widget.figure.observe(lambda change: change["new"] and sent.append(change["new"]), "_py2js_update")
    started = time.perf_counter()
    widget.refresh()
    seconds = time.perf_counter() - started
    assert len(sent) == 1 and drawn(widget)[-1] == 5_010
    assert seconds < 0.5, f"{1000 * seconds:.0f} ms"


def test_nothing_new_sends_nothing(run):
    log(run, 1, 50)
    widget = LossCurves(run)
    sent = []
    widget.figure.observe(lambda change: change["new"] and sent.append(change["new"]), "_py2js_update")
    widget.refresh()
    assert sent == []


def test_freeze_puts_a_picture_in_place_of_the_live_view(run, monkeypatch):
    log(run, 1, 5)
    shown = []

    class Handle:
        def update(self, bundle, raw):
            shown.append((bundle, raw))

    monkeypatch.setattr(loss_curves, "display", lambda *args, **kwargs: shown.append(args[0]) or Handle())
    widget = LossCurves(run)
    widget._ipython_display_()
    widget.freeze()
    live, (still, raw) = shown
    assert "application/vnd.jupyter.widget-view+json" in live
    assert raw and set(still) == {"image/png", "text/plain"} and still["image/png"].startswith("iVBOR")
    assert still["text/plain"] == "LossCurves(some-run: running, step 1)"


def test_in_chinese(run):
    widget = LossCurves(run, lang="zh")
    assert widget.smoothing.description == "平滑" and widget.figure.data[2].name == "评估损失"
