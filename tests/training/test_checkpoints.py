"""Which checkpoint a run goes on from, and which it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from sftkit.config import SFTConfig
from sftkit.errors import RunError
from sftkit.runs.folder import newest_checkpoint as newest
from sftkit.training import checkpoints
from sftkit.training.checkpoints import identity, to_go_on_from
from tests.conftest import write_model


@pytest.fixture
def config(tiny_model) -> SFTConfig:
    return SFTConfig(pretrain=str(tiny_model), dataset="d")


def checkpoint(folder: Path, step: int, who: dict) -> Path:
    path = folder / f"step-{step}"
    path.mkdir(parents=True)
    (path / "checkpoint.json").write_text(json.dumps({"step": step, "identity": who}), encoding="utf-8")
    return path


def test_the_newest_complete_checkpoint_is_taken(config, tmp_path):
    me = identity(config, "data", 1)
    for step in (9, 10, 100):
        checkpoint(tmp_path, step, me)
    (tmp_path / ".step-200").mkdir()
    (tmp_path / "step-300.old").mkdir()
    assert newest(tmp_path) == tmp_path / "step-100"
    path, state = to_go_on_from(tmp_path, me, go_on=True)
    assert (path, state["step"]) == (tmp_path / "step-100", 100)


def test_saving_keeps_the_newest_and_what_a_user_put_aside(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "dist", SimpleNamespace(get_rank=lambda: 0, barrier=lambda: None))
    engine = SimpleNamespace(save_checkpoint=lambda *_, **__: None)
    (tmp_path / "step-2.keep").mkdir()
    for step in (2, 9, 10):
        checkpoints.save(engine, tmp_path, {"step": step}, keep=2)
    assert {path.name for path in tmp_path.iterdir()} == {"step-2.keep", "step-9", "step-10"}


def test_no_checkpoint_is_a_start_from_the_beginning(config, tmp_path):
    path, state = to_go_on_from(tmp_path / "absent", identity(config, "data", 1), go_on=True)
    assert (path, state["step"]) == (None, 0)


def test_a_new_run_does_not_mix_its_checkpoints_with_those_of_another(config, tmp_path):
    me = identity(config, "data", 1)
    checkpoint(tmp_path, 5, me)
    with pytest.raises(RunError, match="holds checkpoints already"):
        to_go_on_from(tmp_path, me, go_on=False)


@pytest.mark.parametrize(
    ("changes", "data", "processes", "words"),
    [
        ({"learning_rate": 1e-3}, "data", 1, "learning_rate was 5e-06 and is 0.001"),
        ({"zero_stage": 3}, "data", 1, "zero_stage was 2 and is 3"),
        ({}, "other", 1, "the data were not the same"),
        ({}, "data", 2, "processes was 1 and is 2"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(config, tmp_path, changes, data, processes, words):
    checkpoint(tmp_path, 5, identity(config, "data", 1))
    with pytest.raises(RunError, match=words):
        to_go_on_from(tmp_path, identity(config.with_(**changes), data, processes), go_on=True)


def test_a_checkpoint_of_another_model_is_refused(config, tiny_model, tmp_path):
    checkpoint(tmp_path / "c", 5, identity(config, "data", 1))
    write_model(tmp_path / "m", seed=1)
    with pytest.raises(RunError, match="the model was not the same"):
        to_go_on_from(
            tmp_path / "c", identity(config.with_(pretrain=str(tmp_path / "m")), "data", 1), go_on=True
        )


def test_where_and_how_often_things_are_saved_does_not_matter(config):
    other = config.with_(
        save_steps=7, logging_steps=5, save_path="x", ckpt_path="y", gradient_checkpointing=True
    )
    assert identity(config, "data", 1) == identity(other, "data", 1)
