"""The loss curves: smoothing, thinning, what a view shows, and the three pictures."""

from __future__ import annotations

import json
import re
import time

import numpy as np
import pytest
from matplotlib import image

from sftkit.report import curves
from sftkit.report.lines import POINTS, Average, RunLines, View, points_each, sampled, smoothed
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
    assert smoothed(np.array([4.0, 2.0, 1.0]), 0.5) == pytest.approx([4.0, 8 / 3, 3 / 1.75])


def test_smoothing_starts_unbiased_and_can_be_off():
    assert smoothed(np.full(50, 7.0), 0.99) == pytest.approx(np.full(50, 7.0))
    noisy = np.random.default_rng(0).normal(size=20)
    assert smoothed(noisy, 0.0) == pytest.approx(noisy)


def test_smoothing_goes_on_where_it_was_and_passes_holes_over():
    values = np.random.default_rng(3).normal(size=400)
    values[[0, 7, 8, 200]] = np.nan, np.inf, np.nan, np.nan
    average = Average(0.9)
    for end in (1, 2, 8, 9, 150, 400):
        last = average.of(values[:end])
    assert last == pytest.approx(smoothed(values, 0.9), nan_ok=True)
    whole = smoothed(values[np.isfinite(values)], 0.9)
    assert last[np.isfinite(values)] == pytest.approx(whole) and np.isnan(last[[0, 7, 8, 200]]).all()


@pytest.mark.parametrize("count", [0, 1, 5, 100, 101, 999, 1000, 1003, 54_321])
def test_sampling_keeps_ends_and_order(count):
    values = np.random.default_rng(count).normal(size=count)
    kept = sampled(values, 100)
    assert len(kept) <= 100 and (np.diff(kept) > 0).all()
    if count:
        assert kept[0] == 0 and kept[-1] == count - 1
    if count <= 100:
        assert len(kept) == count


def test_what_is_no_number_is_not_drawn():
    values = np.ones(10_000)
    values[::7] = np.nan
    assert np.isfinite(values[sampled(values, 100)]).all() and len(sampled(values, 100)) > 80
    assert len(sampled(np.full(10_000, np.nan), 100)) == 0


def test_a_single_spike_among_a_million_points_is_drawn(least_seconds):
    values = np.ones(1_000_000)
    values[654_321] = 9.0
    kept = sampled(values)
    assert least_seconds(lambda: sampled(values)) < 0.5
    assert 654_321 in kept and len(kept) <= POINTS


def test_figure_shows_raw_smoothed_and_eval(run):
    raw, smooth, evals = curves.loss_figure(run, smoothing=0.5).data
    assert list(raw.x) == [1, 2, 3, 4, 5] and list(raw.y) == [3.0, 2.0, 1.5, 1.2, 1.1]
    assert smooth.y == pytest.approx(smoothed(np.array(raw.y), 0.5))
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
    assert 1_000 < len(raw.x) <= POINTS and 1_000 < len(smooth.x) <= POINTS
    assert raw.customdata[7] == pytest.approx([raw.x[7] / 10, 1e-3])


def lines_of(run):
    lines = RunLines(run)
    lines.read()
    return lines


def test_a_view_shows_its_part_and_a_point_on_either_side(tmp_path):
    lines = lines_of(
        write_run(tmp_path / "run", list(np.random.default_rng(1).random(5_000)), [(100, 1), (4_000, 2)])
    )
    x, y = lines.drawn(View(low=99.5, high=110.5))["loss"]
    assert x.tolist() == list(range(99, 112)) and y[0] == lines.points.steps.column("loss")[98]
    assert lines.drawn(View(low=3_000, high=3_500))["eval"][0].tolist() == [
        100,
        4_000,
    ]  # the line goes through
    assert len(lines.drawn(View(low=6_000, high=7_000))["loss"][0]) <= 1


def test_smoothing_in_a_view_is_that_of_the_whole(tmp_path):
    losses = list(np.random.default_rng(2).random(300))
    lines = lines_of(write_run(tmp_path / "run", losses))
    _, y = lines.drawn(View(smoothing=0.99, low=200, high=201))["smooth"]
    assert y == pytest.approx(smoothed(np.array(losses), 0.99)[198:202])


def test_other_axes_and_evals_of_a_task(tmp_path):
    folder = write_run(tmp_path / "run", []).folder
    lines = [{"step": s, "loss": 1.0, "tokens": 10 * s, "seconds": 2 * s} for s in (2, 4, 6)]
    lines.insert(2, {"step": 5, "eval_loss": 3.0, "eval_loss_by_task": {"a/b": 4.0}})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    drawn = lines_of(load_run(folder)).drawn(View(axis="tokens", evals=("", "a/b", "no such")))
    assert drawn["loss"][0].tolist() == [20, 40, 60]
    assert [drawn[part][0].tolist() for part in ("eval", "eval/a/b", "eval/no such")] == [[50], [50], []]
    assert drawn["eval/a/b"][1].tolist() == [4.0]
    assert lines_of(load_run(folder)).values(1, View(axis="seconds"))["seconds"] == 8


def test_without_tokens_nothing_is_drawn_over_them(run):
    assert len(lines_of(run).drawn(View(axis="tokens"))["loss"][0]) == 0


def test_checkpoints_lie_on_the_smoothed_line(run):
    for step in (2, 4, 99):
        (run.folder / f"checkpoints/step-{step}").mkdir(parents=True)
    drawn = lines_of(run).drawn(View())
    assert (
        drawn["saved"][0].tolist() == [2, 4]
        and drawn["saved"][1].tolist() == drawn["smooth"][1][[1, 3]].tolist()
    )


def test_nearest_logged_step(run):
    lines = lines_of(run)
    assert [lines.row_at("step", x) for x in (-5, 1.4, 1.6, 5, float("inf"))] == [0, 0, 1, 4, 4]


def test_many_runs_share_the_points():
    assert points_each(1) == POINTS and points_each(20) == 400 and points_each(1_000) == 300


def test_an_unread_file_is_sampled(tmp_path, monkeypatch):
    from sftkit.runs import points

    for name in ("SMALL", "BLOCK", "LINE"):
        monkeypatch.setattr(points, name, 4_000)
    lines = RunLines(write_run(tmp_path / "run", list(np.linspace(3, 1, 2_000))))
    assert lines.read(limit=4_000) is True
    x, y = lines.drawn(View())["loss"]
    assert x[0] == 1 and x[-1] > 1_950 and (np.diff(x) > 0).all() and len(x) > 350
    assert y == pytest.approx(np.interp(x, [1, 2_000], [3, 1]))
    while lines.read(limit=4_000):
        pass
    assert len(lines.drawn(View())["loss"][0]) == 2_000


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
    pixels = image.imread(png)
    assert (
        pixels.shape[2] == 4 and pixels[2, 2, 3] == 0
    )  # no background of its own: it lies on white or black
    text = curves.loss_html(run, tmp_path / "out" / "curve.html").read_text(encoding="utf-8")
    assert "first-run" in text and "Plotly.newPlot" in text
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", text)  # nothing is fetched
