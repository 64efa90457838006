"""Preflight of going on from a checkpoint: none there, another run's, or of data that has changed. The checkpoints are
FAKE: the files that training writes, without weights.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sftkit.config import SFTConfig
from sftkit.data import file_facts, patches
from sftkit.runs import identity, preflight
from tests.runs.provoking import provokes
from tests.runs.test_preflight import mended, one, settings, world, write

__all__ = ["world"]  # the fixture
GO_ON = {"load_checkpoint": True, "ckpt_path": "ckpt"}


def checkpoint(place: str = "ckpt", **trained_with) -> Path:
    """A checkpoint of the sound settings with these changes."""
    folder = Path(place) / "step-12"
    folder.mkdir(parents=True)
    then = identity.of_config(SFTConfig(**settings(**trained_with)), "the digest of the rows")
    (folder / "checkpoint.json").write_text(json.dumps({"step": 12, "identity": then, "ranks": 1}))
    return folder


def stops(**changes) -> list[str]:
    return [item.key for item in preflight(settings(**changes)) if item.level == "stop"]


def test_a_checkpoint_of_the_same_settings_is_gone_on_from(world):
    checkpoint(num_processes=2, zero_stage=0)  # how the work is divided does not matter
    assert not [item for item in preflight(settings(**GO_ON)) if item.level != "inform"]


@provokes("the_checkpoint_is_of_this_run")
def test_another_runs_checkpoint(world):
    checkpoint(learning_rate=1e-4, max_epochs=3)
    finding = one("stop", "load_checkpoint", "belongs to another run", **GO_ON)
    assert "learning_rate was 0.0001 and is 0.001" in finding.message and "max_epochs was 3 and is 1" in finding.message  # fmt: skip
    assert finding.fix == {"learning_rate": 1e-4, "max_epochs": 3}
    mended(finding, **GO_ON)


@provokes("the_checkpoint_is_of_this_run")
def test_a_checkpoint_of_another_model(world):
    checkpoint()
    (world / "model" / "config.json").write_text("{}")
    finding = one("stop", "load_checkpoint", "the model was not the same", **GO_ON)
    assert finding.fix == {"load_checkpoint": False, "ckpt_path": None}
    assert "the_checkpoint_is_of_this_run" not in stops(**finding.fix)


@pytest.mark.parametrize("text", ["", "{", '{"identity": 7}'])
def test_a_damaged_checkpoint_does_not_break_the_check(world, text):
    (checkpoint() / "checkpoint.json").write_text(text)
    assert not [item for item in preflight(settings(**GO_ON)) if "could not be made" in item.message]


def run_of(folder: Path, **config) -> None:
    """run.json as launch writes it, with what the data is now."""
    folder.mkdir(parents=True, exist_ok=True)
    data = [{**file_facts("data/train.jsonl"), "split": "train"}]
    record = {"config": settings(**config), "cwd": str(Path.cwd()), "data": data}
    (folder / "run.json").write_text(json.dumps(record))


@pytest.mark.parametrize("own_folder", [True, False])
@provokes("the_data_is_as_it_was")
def test_data_that_was_changed_since(world, own_folder):
    """The checkpoint lies in its run's folder, or in a place that its run names."""
    place = "runs/old/checkpoints" if own_folder else "ckpt"
    checkpoint(place)
    run_of(Path("runs/old"), **({} if own_folder else {"ckpt_path": "ckpt"}))
    changes = {"load_checkpoint": True, "ckpt_path": place}
    assert not stops(**changes)
    out = patches.exclude("data/train.jsonl", [2])
    one("stop", "dataset", "another patch beside it", **changes)
    patches.revert("data/train.jsonl", out)
    assert not stops(**changes)
    rows = [json.loads(line) for line in (world / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    write(world / "train.jsonl", [{**rows[0], "response": "Another."}, *rows[1:]])
    finding = one("stop", "dataset", "the same number of rows, with another content", **changes)
    mended(finding, **changes)
    write(world / "train.jsonl", rows[1:])
    one("stop", "dataset", "64 rows then, 63 now", **changes)
    assert not stops()  # a run that starts anew does not care
