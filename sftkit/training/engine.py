"""DeepSpeed: its configuration from our settings, the optimizer, the learning rate."""

from __future__ import annotations

import math
from typing import Any

import deepspeed
import torch
from torch import nn

from sftkit.config import SFTConfig


def start(model: nn.Module, config: SFTConfig, processes: int, device: torch.device) -> Any:
    """A DeepSpeed engine around `model`. Its accumulation is in the loop's hands: a step has as many micro-batches as its
    rows need."""
    engine, *_ = deepspeed.initialize(
        model=model,
        optimizer=adamw(model, config),
        config=deepspeed_config(config, processes, device),
        dist_init_required=False,
    )
    return engine


def deepspeed_config(config: SFTConfig, processes: int, device: torch.device) -> dict[str, Any]:
    """The dictionary that DeepSpeed wants. Its batch sizes only have to agree with each other: it feeds no data here."""
    # A single process has nobody to share gradients with, and stage 1 does the same with less copying (measured: 5 to 10 %).
    stage = 1 if config.zero_stage == 2 and processes == 1 else config.zero_stage
    zero: dict[str, Any] = {"stage": stage, "stage3_gather_16bit_weights_on_model_save": True}
    if config.adam_offload and device.type == "cuda":
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": True}
    return {
        "train_batch_size": processes,
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": 0.0 if clips_here(config) else config.max_norm,
        "zero_optimization": zero,
        "bf16": {"enabled": config.bf16 and config.zero_stage > 0},
        "fp16": {"enabled": config.fp16},
        # Sums of many micro-batches lose too much in bfloat16.
        "data_types": {"grad_accum_dtype": "fp32"},
        "zero_force_ds_cpu_optimizer": False,  # a client AdamW needs no compiler
        "steps_per_print": None,
        "wall_clock_breakdown": False,
    }


def compute_dtype(config: SFTConfig) -> torch.dtype:
    """In what the run computes, and its model is exported."""
    return torch.float16 if config.fp16 else torch.bfloat16 if config.bf16 else torch.float32


def adamw(model: nn.Module, config: SFTConfig) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices only: norms and biases are vectors."""
    matrices, vectors = ([weight for _, weight in group] for group in trained(model))
    groups = [{"params": matrices, "weight_decay": config.l2}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.adam_betas, eps=1e-8, fused=True)


def trained(model: nn.Module) -> tuple[list[tuple[str, nn.Parameter]], list[tuple[str, nn.Parameter]]]:
    """Names and weights of what is trained: the matrices, and the vectors (norms and biases)."""
    groups: tuple[list, list] = ([], [])
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            # ZeRO-3 leaves an empty tensor in the weight's place.
            shape = getattr(weight, "ds_shape", weight.shape)
            groups[len(shape) <= 1].append((name, weight))
    return groups


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


def clips_here(config: SFTConfig) -> bool:
    """At stage 0 the loop clips by itself, for DeepSpeed does not tell the norm there (but with fp16's loss scale)."""
    return config.zero_stage == 0 and not config.fp16


def update(engine: Any, config: SFTConfig) -> float | None:
    """Clip the gradients and change the weights. Returns the gradient's norm before clipping; None, and unchanged
    weights, where fp16's loss scale was too large for this step and has been lowered."""
    if clips_here(config):
        weights = [weight for weight in engine.module.parameters() if weight.requires_grad]
        norm = torch.nn.utils.clip_grad_norm_(weights, config.max_norm or math.inf, foreach=True)
        engine.step()
        return float(norm)
    engine.step()
    if config.fp16 and not engine.was_step_applied():
        return None
    return float(engine.get_global_grad_norm())
