"""Lessons 00, 03 and 04: each runs from top to bottom, the experiments come out as they are told, and the sick are sick."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from sftkit.generation import Generations
from sftkit.judging import ReferenceJudge
from sftkit.runs import Run


def losses(run: Run, name: str = "loss") -> pd.Series:
    return run.metrics().set_index("step")[name].dropna()


@pytest.mark.timeout(400)
def test_lesson_00_looks_at_the_machine_and_tries_it(taught):
    told, runs = taught("00_check_your_setup")
    assert "OPENAI_API_KEY  set, not shown" in told and "OPENAI_API_KEY  已设置，不显示" in told
    assert "built for CUDA 13.0, and the driver knows CUDA 12.2" in told and "3 GB of disk is little" in told
    assert "tokens a second" in told and "for three steps" in told
    assert "GPU 99" in told and "stops left: []" in told and "billion weights" in told
    assert not runs, "a dry run leaves nothing"


@pytest.mark.timeout(600)
def test_lesson_03_each_setting_does_what_is_told(taught):
    told, runs = taught("03_what_each_setting_does")
    assert told.count("[png]") == 5 and len(runs) == 9, "and base was trained once"
    by = {}
    for run in runs:
        config = run.config
        by[config.learning_rate, config.train_batch_size, config.micro_train_batch_size, config.max_epochs, config.processes, config.zero_stage] = run  # fmt: skip
    base = by[1e-3, 32, 32, 1, 1, 2]
    end = {key: losses(run, "eval_loss").iloc[-1] for key, run in by.items()}
    assert end[1e-3, 32, 32, 1, 1, 2] < end[1e-4, 32, 32, 1, 1, 2] < end[3e-2, 32, 32, 1, 1, 2]
    assert end[1e-3, 8, 8, 1, 1, 2] < end[1e-3, 32, 32, 1, 1, 2] < end[1e-3, 128, 32, 1, 1, 2]
    often = by[1e-3, 32, 32, 10, 1, 2]
    assert losses(often).iloc[-1] < 0.2 * losses(base).iloc[-1]
    assert losses(often, "eval_loss").iloc[-1] > 1.5 * losses(base, "eval_loss").iloc[-1]
    for key in [(1e-3, 32, 4, 1, 1, 2), (1e-3, 32, 16, 1, 2, 0), (1e-3, 32, 16, 1, 2, 3)]:
        assert losses(by[key]).tolist() == pytest.approx(losses(base).tolist(), abs=1e-4)


@pytest.mark.timeout(600)
def test_lesson_04_the_sick_are_sick(taught):
    told, runs = taught("04_reading_loss_curves")
    assert told.count("[png]") == 8 and len(runs) == 7
    ward = {}
    for run in runs:
        config, data = run.config, Path(run.config.dataset).stem
        ward[config.learning_rate, config.max_epochs, config.max_len, data] = run
    healthy = ward[1e-3, 1, 192, "rows"]
    good, well = losses(healthy), losses(healthy, "eval_loss")
    assert well.is_monotonic_decreasing and well.iloc[-1] < 0.6 and good.iloc[-5:].mean() < 0.3 * good.iloc[0]
    high = losses(ward[3e-2, 1, 192, "rows"])
    assert high.iloc[:10].max() > 3 * high.iloc[0], "it jumps up in its first steps"
    low = losses(ward[2e-5, 1, 192, "rows"], "eval_loss")
    assert low.is_monotonic_decreasing and low.iloc[-1] > 0.75 * low.iloc[0], "it falls, and hardly"
    heart = ward[1e-3, 20, 192, "rows"]
    turned = losses(heart, "eval_loss")
    assert losses(heart).iloc[-1] < 0.05 and turned.iloc[-1] > turned.min() + 0.03 and turned.idxmin() < 30
    swapped = ward[1e-3, 1, 192, "swapped"]
    assert losses(swapped).iloc[-10:].mean() > 2 * good.iloc[-10:].mean(), "a plateau"
    spikes = losses(ward[1e-3, 1, 192, "garbled"])
    leaps = (spikes - good).nlargest(5).tolist()
    assert leaps[3] > 2 and leaps[4] < 0.5, "four steps leap, no other"
    assert len(re.findall(r"step \d+, loss .*: row \d+, loss 1\d", told)) == 4, "their rows are found"
    cut = ward[1e-3, 1, 24, "rows"]
    assert losses(cut, "eval_loss").iloc[-1] < 0.7 and cut.rows["train"]["truncated"] == 537
    rated = ReferenceJudge().rate(Generations.load(cut.folder.parent / "answers.parquet"), progress=False)
    long = rated[rated["task"].isin(["rewrite", "summarize"])][["correct_a", "correct_b"]].sum()
    assert long["correct_a"] > long["correct_b"] + 3, "and yet its long answers are bad"
