"""The learning rate and the optimizer's groups."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sftkit.config import SFTConfig
from sftkit.training.engine import adamw, deepspeed_config, learning_rate

CPU = torch.device("cpu")


def config(**settings) -> SFTConfig:
    return SFTConfig(pretrain="m", dataset="d", learning_rate=1.0, **settings)


@pytest.mark.parametrize(
    ("kind", "last"),
    [
        ("cosine_with_min_lr", 0.1 + 0.9 * 0.000303),
        ("cosine", 0.000303),
        ("linear", 1 / 90),
        ("constant_with_warmup", 1.0),
    ],
)
def test_schedules_rise_to_the_peak_and_fall_to_their_end(kind, last):
    settings = config(lr_scheduler=kind, lr_warmup_ratio=0.1)
    rates = [learning_rate(settings, step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert rates[10] == 1.0
    assert rates[-1] == pytest.approx(last, rel=0.02)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_constant_has_no_warm_up_and_a_single_step_works():
    assert learning_rate(config(lr_scheduler="constant", lr_warmup_ratio=0.5), 0, 10) == 1.0
    assert learning_rate(config(), 0, 1) == 1.0


def test_norms_and_biases_are_not_decayed():
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Embedding(3, 4))
    decayed, bare = adamw(model, config(l2=0.1)).param_groups
    assert [weight.ndim for weight in decayed["params"]] == [2, 2]
    assert [weight.ndim for weight in bare["params"]] == [1, 1, 1]
    assert (decayed["weight_decay"], bare["weight_decay"]) == (0.1, 0.0)


def test_the_batch_figures_agree_with_each_other():
    """DeepSpeed asserts train = micro x accumulation x ranks, after minutes of loading."""
    words = deepspeed_config(config(train_batch_size=24, micro_train_batch_size=3, num_processes=2), 2, CPU)
    micro, accumulation = words["train_micro_batch_size_per_gpu"], words["gradient_accumulation_steps"]
    assert words["train_batch_size"] == micro * accumulation * 2
