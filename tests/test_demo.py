"""The main job as `make demo` runs it: real training of the committed base model, and what the project promises of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import sftkit as sk
from sftkit.demo import demo_config
from sftkit.errors import ConfigError
from sftkit.judging import accuracy

ROOT = Path(__file__).parents[1]


@pytest.mark.timeout(900)
def test_the_base_rambles_and_the_tuned_model_answers(tmp_path):
    command = [sys.executable, "-m", "sftkit.cli", "demo", "--data", ROOT / "data", "--runs-dir", tmp_path]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr

    run = sk.load_run(next(tmp_path.iterdir()))
    assert run.status.state == "finished"
    losses = run.metrics()["loss"].dropna()
    assert losses.tail(10).mean() < losses.head(10).mean() / 4

    right = accuracy(sk.Generations.load(run.folder / "answers.parquet")).loc["all"]
    assert right["n"] == 300
    assert right["base"] < 0.05 * 300
    assert right["tuned"] > 0.60 * 300

    store = sk.RatingStore(f"sqlite:///{run.folder / 'ratings.db'}")
    win_rate = sk.win_rate(store.votes(), "tuned", "base")
    assert win_rate.low > 0.5 and win_rate.n == 300
    for name in ("curve.png", "curve.html", "report.html", "report.png", "model/model.safetensors"):
        assert (run.folder / name).stat().st_size > 1000, name
        assert "model" in name or name in done.stdout
    assert "no GPT-4" in done.stdout and "make lab" in done.stdout


def test_accuracy_counts_by_task_and_leaves_out_what_has_no_reference():
    rows = [("p", "facts", "Paris"), ("q", "facts", "Rome"), ("r", None, "4"), ("s", "facts", None)]
    frame = pd.DataFrame(
        {"prompt": prompt, "task": task, "reference": reference, "model": model, "response": response}
        for prompt, task, reference in rows
        for model, response in (("base", "no idea at all"), ("tuned", reference or "x"))
    )
    table = accuracy(sk.Generations.from_frame(frame))
    assert table.loc["facts"].to_dict() == {"base": 0, "tuned": 2, "n": 2}
    assert table.loc["all"].to_dict() == {"base": 0, "tuned": 3, "n": 3}


def test_accuracy_of_answers_with_gaps():
    """A model that has not answered every prompt, and no reference at all: counts, no crash."""
    rows = [("p", "facts", "base", "a"), ("p", "facts", "tuned", "a"), ("q", "sums", "base", "b")]
    frame = pd.DataFrame(rows, columns=["prompt", "task", "model", "response"]).assign(reference="a")
    assert accuracy(sk.Generations.from_frame(frame)).loc["sums"].to_dict() == {"base": 0, "tuned": 0, "n": 1}
    none = accuracy(sk.Generations.from_frame(frame.drop(columns="reference")))
    assert none.loc["all"].to_dict() == {"base": 0, "tuned": 0, "n": 0}


def test_a_folder_without_the_small_world_is_a_clear_error(tmp_path):
    with pytest.raises(ConfigError, match=r"tiny-base.*--data FOLDER"):
        demo_config(tmp_path)
