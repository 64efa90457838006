"""The loss curve: smoothing, thinning, and the three pictures."""

from __future__ import annotations

import json
import re
import time

import numpy as np
import pytest

from sftkit.report import curves
from sftkit.runs import load_run


def write_run(folder, losses, evals=(), start=1):
    """The folder of a finished run with these losses, an eval loss at each of `evals` = (step, loss)."""
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"id": folder.name, "config": {}}))
    status = {"state": "finished", "step": len(losses), "total_steps": len(losses), "updated": time.time()}
    (folder / "status.json").write_text(json.dumps(status))
    lines = [
        {"step": step, "loss": loss, "epoch": step / 10, "learning_rate": 1e-3}
        for step, loss in enumerate(losses, start)
    ]
    lines += [{"step": step, "eval_loss": loss} for step, loss in evals]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return load_run(folder)


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "first-run", [3.0, 2.0, 1.5, 1.2, 1.1], [(3, 1.6), (5, 1.3)])


def test_smoothing_by_hand():
    # weights 0.5^i, divided by their sum: (0.5·4 + 2)/(1.5), (0.25·4 + 0.5·2 + 1)/1.75
    assert curves.smoothed(np.array([4.0, 2.0, 1.0]), 0.5) == pytest.approx([4.0, 8 / 3, 3 / 1.75])


def test_smoothing_starts_unbiased_and_can_be_off():
    assert curves.smoothed(np.full(50, 7.0), 0.99) == pytest.approx(np.full(50, 7.0))
    noisy = np.random.default_rng(0).normal(size=20)
    assert curves.smoothed(noisy, 0.0) == pytest.approx(noisy)


@pytest.mark.parametrize("count", [0, 1, 5, 100, 101, 999, 1000, 1003, 54_321])
def test_sampling_keeps_ends_peaks_and_order(count):
    values = np.random.default_rng(count).normal(size=count)
    kept = curves.sampled(values, 100)
    assert len(kept) <= 100 and (np.diff(kept) > 0).all()
    if count:
        assert kept[0] == 0 and kept[-1] == count - 1
        assert {values.argmin(), values.argmax()} <= set(kept)
    if count <= 100:
        assert len(kept) == count


def test_a_single_spike_among_a_million_points_is_drawn():
    values = np.ones(1_000_000)
    values[654_321] = 9.0
    started = time.perf_counter()
    kept = curves.sampled(values)
    assert time.perf_counter() - started < 0.5
    assert 654_321 in kept and len(kept) <= curves.POINTS


def test_figure_shows_raw_smoothed_and_eval(run):
    raw, smooth, evals = curves.loss_figure(run, smoothing=0.5).data
    assert list(raw.x) == [1, 2, 3, 4, 5] and list(raw.y) == [3.0, 2.0, 1.5, 1.2, 1.1]
    assert smooth.y == pytest.approx(curves.smoothed(np.array(raw.y), 0.5))
    assert list(evals.x) == [3, 5] and list(evals.y) == [1.6, 1.3]
    assert raw.customdata[0] == pytest.approx([0.1, 1e-3])
    assert {trace.x.dtype for trace in (raw, smooth, evals)} == {np.dtype("float64")}


def test_runs_have_their_own_colours_and_hostile_names_stay_text(run, tmp_path):
    other = write_run(tmp_path / "<b>x<b>", [2.0, 1.0])
    figure = curves.loss_figure([run, other])
    colours = [trace.line.color for trace in figure.data]
    assert len(figure.data) == 6 and colours[0] == colours[1] != colours[3] == colours[4]
    assert "<b>" not in "".join(f"{trace.name}{trace.hovertemplate}" for trace in figure.data)


def test_a_long_run_is_thinned(tmp_path):
    run = write_run(tmp_path / "long", list(np.random.default_rng(1).random(5_000)))
    raw, smooth, _ = curves.loss_figure(run).data
    assert 1_000 < len(raw.x) <= curves.POINTS and list(smooth.x) == list(raw.x)


def test_losses_that_are_no_numbers_are_left_out(tmp_path):
    run = write_run(tmp_path / "broken", [2.0, float("nan"), float("inf"), None, "high", 1.0])
    raw, _, _ = curves.loss_figure(run).data
    assert list(raw.y) == [2.0, 1.0]
    assert curves.png_bytes(run).startswith(b"\x89PNG")


def test_nothing_logged_yet_is_said(tmp_path):
    run = write_run(tmp_path / "new", [])
    assert curves.loss_figure(run).layout.annotations[0].text == curves.WORDS["none"]
    assert curves.png_bytes(run).startswith(b"\x89PNG")


def test_files(run, tmp_path):
    png = curves.loss_png(run, tmp_path / "out" / "curve.png")
    assert png.read_bytes().startswith(b"\x89PNG") and 5_000 < png.stat().st_size < 200_000
    text = curves.loss_html(run, tmp_path / "out" / "curve.html").read_text(encoding="utf-8")
    assert "first-run" in text and "Plotly.newPlot" in text
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", text)  # nothing is fetched
