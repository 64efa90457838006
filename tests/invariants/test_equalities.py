"""The same training whatever the arithmetic is split into: losses and weights equal to 1e-5 in fp32."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.invariants.conftest import RUNS


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


@pytest.mark.parametrize("name", [name for name in RUNS if name != "1x8"])
def test_equal_to_one_process_with_one_micro_batch(runs, name):
    assert_equal(runs["1x8"], runs[name])


@pytest.mark.parametrize("name", ["1x8", "zero 2, 2 processes", "zero 3"])
def test_resumed_equals_uninterrupted(runs, name):
    """From step 2 on, in the middle of the first epoch."""
    whole, resumed = runs[name], runs.resumed_from(name, 2)
    assert "Going on from" in resumed.log
    assert resumed.status["state"] == "finished"
    assert_equal(whole, resumed, tolerance=1e-6)
    assert resumed.column("step") == [1, 2, 3, 4, 5, 6]
