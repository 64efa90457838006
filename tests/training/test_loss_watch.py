"""When a loss ends the run, and what is said then."""

from __future__ import annotations

import math

import pytest

from sftkit.errors import RunError
from sftkit.training.loss_watch import RISE, WINDOW, LossWatch


def ROWS() -> list[str]:
    return [f"row {n}" for n in range(30)]


@pytest.fixture
def watch(tmp_path) -> LossWatch:
    for step in (3, 18, 28):
        (tmp_path / f"step-{step}").mkdir()
    return LossWatch(1000, tmp_path)


def feed(watch: LossWatch, losses: list[float], first: int = 1) -> None:
    for step, loss in enumerate(losses, start=first):
        watch.look(step, loss, 1.0, ROWS)


def test_learning_with_noise_is_left_alone(watch):
    feed(watch, [7 * 0.97**n + (1.5 if n % 9 == 0 else 0) for n in range(200)])


def test_a_single_hard_batch_is_no_explosion(watch):
    feed(watch, [1.0] * 30 + [1.0 + 3 * RISE] + [1.0] * 30)


@pytest.mark.parametrize(("loss", "norm", "what"), [(math.nan, None, "the loss became nan"), (1.0, math.inf, "gradient's norm became inf")])  # fmt: skip
def test_nan_names_the_step_its_rows_and_the_last_good_checkpoint(watch, loss, norm, what):
    feed(watch, [2.0] * 4)
    with pytest.raises(RunError, match=what) as caught:
        watch.look(28, loss, norm, ROWS)
    words = str(caught.value)
    assert "at step 28" in words
    assert "step-18" in words and "step-28" not in words
    assert "row 0, row 1" in words and "and 10 more" in words


def test_a_step_that_fp16_left_out_has_no_norm(watch):
    watch.look(1, 2.0, None, ROWS)


def test_a_loss_far_above_that_of_knowing_nothing_ends_the_run_at_once(watch):
    with pytest.raises(RunError, match="knows nothing"):
        feed(watch, [3.0, 2.9, 2 * math.log(1000) + 0.1])


def test_a_rise_that_lasts_ends_the_run_with_a_checkpoint_from_before(watch):
    losses = [1.0] * 22 + [1.0 + 1.5 * RISE] * WINDOW
    with pytest.raises(RunError, match="rose to") as caught:
        feed(watch, losses)
    assert "step-18" in str(caught.value)  # step-28 was saved while the loss rose
