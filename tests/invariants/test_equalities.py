"""The same training whatever the arithmetic is split into: losses and weights equal to 1e-5 in fp32."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from sftkit.data import patches
from sftkit.runs.row_losses import row_losses, rows_at
from tests.conftest import train
from tests.invariants.conftest import LORA_RUNS, RUNS


def weights(run) -> dict[str, np.ndarray]:
    return load_file(run.folder / "model" / "model.safetensors")


def assert_equal(run, other, tolerance: float = 1e-5) -> None:
    """Same losses, gradient norms and eval losses at every step, same weights at the end."""
    assert len(run.steps) == len(other.steps) == 6
    for name in ("loss", "learning_rate", "grad_norm", "tokens", "epoch"):
        ours, theirs = run.column(name), other.column(name)
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance, err_msg=name)
    np.testing.assert_allclose(run.eval_losses, other.eval_losses, rtol=tolerance)
    ours, theirs = weights(run), weights(other)
    assert ours.keys() == theirs.keys()
    for (
        name
    ) in ours:  # Adam divides by the gradient's size, so tiny gradients carry their rounding into the weights
        np.testing.assert_allclose(ours[name], theirs[name], atol=10 * tolerance, err_msg=name)


def test_the_reference_run_learns(runs):
    run = runs["1x8"]
    assert run.status["state"] == "finished"
    losses = run.column("loss")
    assert losses[-1] < losses[0] - 0.5
    assert run.eval_losses[1] < run.eval_losses[0]
    assert all(len(run.column(name)) == 6 for name in ("memory_mb", "seconds", "tokens_per_second"))


def test_the_losses_are_those_of_the_day_they_were_pinned(runs):
    """Whatever changes them (data, template, order, optimizer, schedule) has to be meant, and written down here."""
    pinned = [6.22599, 6.03736, 5.84216, 5.46133, 5.30124, 5.18682]
    np.testing.assert_allclose(runs["1x8"].column("loss"), pinned, atol=1e-4)


@pytest.mark.parametrize("name", [name for name in RUNS if name != "1x8"])
def test_equal_to_one_process_with_one_micro_batch(runs, name):
    assert_equal(runs["1x8"], runs[name])


def test_a_patch_trains_what_the_file_edited_by_hand_would(runs):
    """A cell spoilt and a row put in, both mended by a patch beside the file: the losses of the sound file."""
    sound = runs["1x8"].config
    rows = [json.loads(line) for line in Path(sound.dataset).read_text(encoding="utf-8").splitlines()]
    spoilt = [{**rows[0], "response": "spoilt"}, *rows[1:9], {"prompt": "put", "response": "in"}, *rows[9:]]
    path = runs.folder / "spoilt.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in spoilt), encoding="utf-8")
    patches.edit(path, 1, "response", rows[0]["response"])
    patches.exclude(path, 10)
    run = train(runs.folder / "patched", sound.with_(dataset=str(path)))
    assert_equal(runs["1x8"], run)


@pytest.mark.parametrize("name", [*RUNS, *LORA_RUNS])
def test_the_losses_of_the_rows_add_up_to_the_loss(runs, name):
    """Of every step, short ones too; and each epoch has every row once."""
    run = runs[name]
    for line in run.steps:
        rows = rows_at(run.folder, line["step"])
        mean = (rows["loss"] * rows["tokens"]).sum() / rows["tokens"].sum()
        assert mean == pytest.approx(line["loss"], abs=1e-6)
    assert row_losses(run.folder)["times"].tolist() == [2] * 22


@pytest.mark.parametrize("name", [name for name in RUNS if name != "1x8"])
def test_every_row_has_the_same_loss_however_the_work_is_divided(runs, name):
    for step in range(1, 7):
        ours, theirs = rows_at(runs["1x8"].folder, step), rows_at(runs[name].folder, step)
        assert ours[["source", "row", "tokens"]].equals(theirs[["source", "row", "tokens"]])
        np.testing.assert_allclose(ours["loss"], theirs["loss"], atol=2e-5)


@pytest.mark.parametrize("name", [name for name in LORA_RUNS if name != "lora"])
def test_lora_is_the_same_however_it_is_divided(runs, name):
    reference = runs["lora"]
    assert reference.column("loss")[-1] < reference.column("loss")[0] - 0.1
    assert_equal(reference, runs[name])


@pytest.mark.parametrize("name", ["1x8", "zero 2, 2 processes", "zero 3", "lora", "packed"])
def test_resumed_equals_uninterrupted(runs, name):
    """From step 2 on, in the middle of the first epoch."""
    whole, resumed = runs[name], runs.resumed_from(name, 2)
    assert "Going on from" in resumed.log
    assert resumed.status["state"] == "finished"
    assert_equal(whole, resumed, tolerance=1e-6)
    assert resumed.column("step") == [1, 2, 3, 4, 5, 6]
    assert row_losses(resumed.folder).equals(row_losses(whole.folder))


@pytest.mark.parametrize(
    ("name", "as_run"),
    [
        ("1x8", "zero 2, 2 processes"),
        ("zero 2, 2 processes", "1x8"),
        ("zero 2, 2 processes", "zero 2"),
        ("zero 1", "zero 3, 2 processes"),
        ("zero 3, 2 processes", "packed, zero 2, 2 processes"),
        ("zero 3, 2 processes", "zero 3"),
        ("lora, zero 2, 2 processes", "lora, zero 3, packed"),
        ("lora, zero 3, packed", "lora"),
    ],
)
def test_resumed_with_other_ranks_or_another_stage_equals_uninterrupted(runs, name, as_run):
    """DeepSpeed's universal checkpoints, from step 2 on."""
    whole, resumed = runs[name], runs.resumed_from(name, 2, as_run)
    assert "ranks at ZeRO stage" in resumed.log
    assert_equal(whole, resumed)
    assert not list(resumed.folder.rglob("*universal*"))
