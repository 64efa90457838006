"""Rows scored under the base and the tuned model, by the real worker."""

from __future__ import annotations

import time

import numpy as np
import psutil
import pytest

from sftkit.config import SFTConfig
from sftkit.errors import RunError
from sftkit.runs import load_run
from tests.conftest import train


@pytest.fixture(scope="module")
def config(tiny_model, tiny_rows) -> SFTConfig:
    """Four steps of 16 rows."""
    return SFTConfig(
        pretrain=str(tiny_model), dataset=str(tiny_rows), eval_dataset=str(tiny_rows), bf16=False, zero_stage=1,
        train_batch_size=16, micro_train_batch_size=8, learning_rate=3e-3, sample_prompts=0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(config, tmp_path_factory):
    return load_run(train(tmp_path_factory.mktemp("scored") / "run", config).folder)


def test_scores_are_the_losses_of_the_training(run):
    """The base's are those of the first step, which no update came before; the tuned one's make up the eval loss."""
    with pytest.raises(RunError, match="have not been scored"):
        run.row_scores()
    scoring = run.score_rows()
    scores = scoring.wait(120)
    assert (scoring.progress, scoring.error, scoring.done) == (1.0, None, True)
    assert scores.equals(run.row_scores()) and len(scores) == 64
    assert list(scores.columns) == ["source", "row", "tokens", "base_loss", "tuned_loss"]
    first = run.rows_at(1).merge(scores, on=["source", "row"])
    assert len(first) == 16
    np.testing.assert_allclose(first["base_loss"], first["loss"], atol=1e-5)
    mean = (scores["tuned_loss"] * scores["tokens"]).sum() / scores["tokens"].sum()
    assert mean == pytest.approx(run.metrics()["eval_loss"].dropna().iloc[-1], abs=1e-5)


def test_some_rows_of_an_adapter_alone(config, tmp_path):
    """With merge_lora=False the run has no whole model: the adapter is laid over the base."""
    run = load_run(train(tmp_path, config.with_(lora_rank=4, learning_rate=3e-2, merge_lora=False)).folder)
    scores = run.score_rows(limit=10).wait(120)
    assert len(scores) == 10 and scores["row"].is_monotonic_increasing
    assert scores["tuned_loss"].mean() < scores["base_loss"].mean() - 0.1


def test_a_run_without_its_model_is_not_scored(run, tmp_path):
    (tmp_path / "run.json").write_bytes((run.folder / "run.json").read_bytes())
    with pytest.raises(RunError, match="no finished model yet"):
        load_run(tmp_path).score_rows()


def test_no_rows_are_refused(run):
    with pytest.raises(RunError, match="limit=0 scores nothing"):
        run.score_rows(limit=0)


def test_what_goes_wrong_is_told(run, tmp_path):
    """Here: the data has gone since."""
    record = run.record
    text = (
        (run.folder / "run.json")
        .read_text(encoding="utf-8")
        .replace(record["config"]["dataset"], "gone.jsonl")
    )
    (tmp_path / "run.json").write_text(text, encoding="utf-8")
    (tmp_path / "model").symlink_to(run.folder / "model")
    scoring = load_run(tmp_path).score_rows()
    with pytest.raises(RunError, match=r"not scored: DataError: gone\.jsonl"):
        scoring.wait(120)
    assert scoring.progress == 0.0 and "DataError" in scoring.error


def test_a_second_one_waits_for_nobody_and_stopping_leaves_no_process(run):
    first = run.score_rows()
    while first._told.get("state") != "running":
        time.sleep(0.02)
    second = run.score_rows()
    with pytest.raises(RunError, match="being scored already"):
        second.wait(60)
    first.stop()
    assert first.done and first.error == "stopped"
    commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert not [command for command in commands if str(run.folder) in command]
