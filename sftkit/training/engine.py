"""DeepSpeed: its configuration from our settings, the optimizer, the learning rate."""

from __future__ import annotations

import math
from typing import Any

import deepspeed
import torch
from torch import nn

from sftkit.config import SFTConfig


def start(model: nn.Module, config: SFTConfig, processes: int, device: torch.device) -> Any:
    """A DeepSpeed engine around `model`."""
    engine, *_ = deepspeed.initialize(
        model=model,
        optimizer=adamw(model, config),
        config=deepspeed_config(config, processes, device),
        dist_init_required=False,
    )
    return engine


def deepspeed_config(config: SFTConfig, processes: int, device: torch.device) -> dict[str, Any]:
    """The dictionary that DeepSpeed wants.

    At stage 0 the loop clips by itself, for DeepSpeed does not tell the norm there.
    """
    zero: dict[str, Any] = {"stage": config.zero_stage, "stage3_gather_16bit_weights_on_model_save": True}
    if config.adam_offload and device.type == "cuda":
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": True}
    return {
        "train_batch_size": config.train_batch_size,
        "train_micro_batch_size_per_gpu": config.micro_train_batch_size,
        "gradient_accumulation_steps": config.accumulation(processes),
        "gradient_clipping": config.max_norm if config.zero_stage else 0.0,
        "zero_optimization": zero,
        "bf16": {"enabled": config.bf16 and config.zero_stage > 0},
        # Sums of many micro-batches lose too much in bfloat16.
        "data_types": {"grad_accum_dtype": "fp32"},
        "zero_force_ds_cpu_optimizer": False,  # a client AdamW needs no compiler
        "steps_per_print": None,
        "wall_clock_breakdown": False,
    }


def adamw(model: nn.Module, config: SFTConfig) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices only: norms and biases are vectors."""
    matrices = [weight for weight in model.parameters() if weight.requires_grad and weight.ndim > 1]
    vectors = [weight for weight in model.parameters() if weight.requires_grad and weight.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": config.l2}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.adam_betas, eps=1e-8, fused=True)


def set_learning_rate(engine: Any, config: SFTConfig, step: int, steps: int) -> float:
    """Give step `step` its learning rate. A pure function of the step, so a resumed run needs no scheduler's state."""
    rate = learning_rate(config, step, steps)
    for group in engine.optimizer.param_groups:
        group["lr"] = rate
    return rate


def learning_rate(config: SFTConfig, step: int, steps: int) -> float:
    """The rate of step `step` (0 = the first) of `steps`. Warm-up ends at the peak and never begins at zero."""
    kind, peak = config.lr_scheduler, config.learning_rate
    warm = 0 if kind == "constant" else math.ceil(config.lr_warmup_ratio * steps)
    if step < warm:
        return peak * (step + 1) / warm
    if kind.startswith("constant"):
        return peak
    done = (step - warm) / max(1, steps - warm)
    if kind == "linear":
        return peak * (1 - done)
    lowest = 0.1 if kind == "cosine_with_min_lr" else 0.0
    return peak * (lowest + (1 - lowest) * 0.5 * (1 + math.cos(math.pi * done)))


def clip_at_stage_0(engine: Any, config: SFTConfig) -> float | None:
    """Clip the gradients (already summed over the ranks) where DeepSpeed does not. Returns their norm before it."""
    if config.zero_stage:
        return None
    limit = config.max_norm or math.inf
    return float(torch.nn.utils.clip_grad_norm_(engine.module.parameters(), limit))


def gradient_norm(engine: Any) -> float:
    """The norm of the last step's gradient before clipping."""
    return float(engine.get_global_grad_norm())
