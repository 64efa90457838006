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
    me = identity(config, "data")
    for step in (9, 10, 100):
        checkpoint(tmp_path, step, me)
    (tmp_path / ".step-200").mkdir()
    (tmp_path / "step-300.old").mkdir()
    assert newest(tmp_path) == tmp_path / "step-100"
    path, state = to_go_on_from(tmp_path, me, go_on=True)
    assert (path, state["step"]) == (tmp_path / "step-100", 100)


@pytest.mark.parametrize(
    ("keep", "kept"), [(2, {"step-9", "step-10"}), (-1, {"step-2", "step-9", "step-10"})]
)
def test_saving_keeps_the_newest_and_what_a_user_put_aside(config, tmp_path, monkeypatch, keep, kept):
    alone = SimpleNamespace(get_rank=lambda: 0, barrier=lambda: None, get_world_size=lambda: 1)
    monkeypatch.setattr(checkpoints, "dist", alone)
    engine = SimpleNamespace(save_checkpoint=lambda *_, **__: None)
    (tmp_path / "step-2.keep").mkdir()
    for step in (2, 9, 10):
        checkpoints.save(engine, tmp_path, {"step": step}, config.with_(max_ckpt_num=keep))
    assert {path.name for path in tmp_path.iterdir()} == {"step-2.keep", *kept}


def test_no_checkpoint_is_a_start_from_the_beginning(config, tmp_path):
    path, state = to_go_on_from(tmp_path / "absent", identity(config, "data"), go_on=True)
    assert (path, state["step"]) == (None, 0)


def test_a_new_run_does_not_mix_its_checkpoints_with_those_of_another(config, tmp_path):
    me = identity(config, "data")
    checkpoint(tmp_path, 5, me)
    with pytest.raises(RunError, match="holds checkpoints already"):
        to_go_on_from(tmp_path, me, go_on=False)


@pytest.mark.parametrize(
    ("changes", "data", "words"),
    [
        ({"learning_rate": 1e-3}, "data", "learning_rate was 5e-06 and is 0.001"),
        ({"lora_rank": 8}, "data", "lora_rank was 0 and is 8"),
        ({}, "other", "the data were not the same"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(config, tmp_path, changes, data, words):
    checkpoint(tmp_path, 5, identity(config, "data"))
    with pytest.raises(RunError, match=words):
        to_go_on_from(tmp_path, identity(config.with_(**changes), data), go_on=True)


def test_a_checkpoint_of_another_model_is_refused(config, tiny_model, tmp_path):
    checkpoint(tmp_path / "c", 5, identity(config, "data"))
    write_model(tmp_path / "m", seed=1)
    with pytest.raises(RunError, match="the model was not the same"):
        to_go_on_from(
            tmp_path / "c", identity(config.with_(pretrain=str(tmp_path / "m")), "data"), go_on=True
        )


def test_where_and_how_often_things_are_saved_does_not_matter(config):
    other = config.with_(
        save_steps=7,
        logging_steps=5,
        save_path="x",
        ckpt_path="y",
        gradient_checkpointing=True,
        packing=True,
        zero_stage=3,
        num_processes=2,
        micro_train_batch_size=1,
    )
    assert identity(config, "data") == identity(other, "data")
