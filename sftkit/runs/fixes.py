"""Changes of settings that mend a failure, as findings for a click: only those that make valid settings and change any."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sftkit.config import SFTConfig
from sftkit.data import find_columns
from sftkit.errors import ConfigError, DataError
from sftkit.runs.findings import Finding, nearest_batch
from sftkit.wording import say

Wishes = Iterator[tuple[dict[str, Any], str, str]]  # changes, the button's words, what they do


def sound(config: SFTConfig, wishes: Wishes) -> tuple[Finding, ...]:
    """The wishes that these settings allow, as findings."""
    found = []
    for changes, label, message in wishes:
        try:
            changed = config.with_(**changes)
        except ConfigError:
            continue
        if changed != config:
            found.append(Finding("inform", next(iter(changes)), message, changes, label))
    return tuple(found)


def none(config: SFTConfig, match: re.Match[str]) -> Wishes:
    """No setting mends it."""
    return iter(())


def less_gpu_memory(config: SFTConfig, match: re.Match[str]) -> Wishes:
    """From what costs nothing to what changes the training."""
    yield from _smaller_micro_batch(config)
    yield _RECOMPUTE
    if config.processes > 1:
        yield {"zero_stage": 3}, say("Split the weights too (zero_stage=3)"), say("Each card holds a part of the weights; more talk between the cards.")  # fmt: skip
    yield {"adam_offload": True}, say("Optimizer state off the card"), say("The optimizer state, twice to three times the weights, lies in the machine's memory; slower steps.")  # fmt: skip
    yield from _less_to_train(config)
    if config.lora_rank:
        yield {"load_in_4bit": True}, say("Hold the weights in 4 bits (QLoRA)"), say("The frozen weights take a quarter of their memory; needs bitsandbytes.")  # fmt: skip


def less_cpu_memory(config: SFTConfig, match: re.Match[str]) -> Wishes:
    yield {"adam_offload": False}, say("Optimizer state on the card"), say("The optimizer state leaves the machine's memory.")  # fmt: skip
    yield from _smaller_micro_batch(config)
    yield _RECOMPUTE
    if not config.gpus and config.processes > 1:
        yield {"num_processes": 1}, say("Use one process"), say("Every process holds the model once more.")
    yield from _less_to_train(config)


_RECOMPUTE = ({"gradient_checkpointing": True}, say("Turn on gradient_checkpointing"), say("Activations are computed again in the backward pass: far less memory, about a third slower."))  # fmt: skip


def _smaller_micro_batch(config: SFTConfig) -> Wishes:
    half = config.micro_train_batch_size // 2
    while half > 1 and config.train_batch_size % (half * config.processes):
        half -= 1
    if half:
        yield {"micro_train_batch_size": half}, say("Set micro_train_batch_size={half}", half=half), say("Fewer rows at a time; the batch, and so the training, stays the same.")  # fmt: skip


def _less_to_train(config: SFTConfig) -> Wishes:
    if not config.lora_rank:
        yield {"lora_rank": 16}, say("Train with LoRA (lora_rank=16)"), say("Small matrices are trained instead of all weights; it wants a larger learning rate, about 2e-4.")  # fmt: skip
    if config.max_len >= 512:
        half = config.max_len // 2
        yield {"max_len": half}, say("Set max_len={half}", half=half), say("Rows longer than that are cut.")


def slower(config: SFTConfig, match: re.Match[str]) -> Wishes:
    rate = float(f"{config.learning_rate / 10:.3g}")
    yield {"learning_rate": rate}, say("Set learning_rate={rate:g}", rate=rate), say("A tenth of the step: what blew up stays small.")  # fmt: skip
    if config.lr_warmup_ratio < 0.1:
        yield {"lr_warmup_ratio": 0.1}, say("Set lr_warmup_ratio=0.1"), say("The learning rate rises more slowly at the beginning.")  # fmt: skip
    if config.fp16:
        yield {"fp16": False, "bf16": True}, say("Compute in bf16"), say("bfloat16 does not overflow where float16 does.")  # fmt: skip
    yield (
        {"bf16": False, "fp16": False},
        say("Compute in fp32"),
        say("Full precision: slower, and twice the memory."),
    )
    if config.max_norm == 0 or config.max_norm > 1:
        yield {"max_norm": 1.0}, say("Clip gradients (max_norm=1)"), say("One bad batch cannot move the weights far.")  # fmt: skip


def column(config: SFTConfig, match: re.Match[str]) -> Wishes:
    """The nearest column, and the columns that the data's own shape suggests."""
    setting, there = match["setting"], [name.strip() for name in match["columns"].split(",")]
    if near := match["near"]:
        yield (
            {setting: near},
            say("Set {setting}={near}", setting=setting, near=near),
            say("The column whose name is nearest."),
        )
    try:
        found = find_columns(config.with_(input_key="prompt", output_key="response"), there)
    except (DataError, ConfigError):
        return
    changes = {"input_key": found.prompt, "output_key": found.answer}
    yield changes, say("Read {names}", names=", ".join(name for name in changes.values() if name)), say("The columns that data of this shape have.")  # fmt: skip


def batch(config: SFTConfig, match: re.Match[str]) -> Wishes:
    if changes := nearest_batch(config.to_dict()):
        yield changes, say("Set train_batch_size={train_batch_size}", train_batch_size=changes['train_batch_size']), say("The nearest that divides evenly.")  # fmt: skip
    yield {"micro_train_batch_size": 1}, say("Set micro_train_batch_size=1"), say("One row at a time divides any batch of the processes.")  # fmt: skip


def no_flash(config: SFTConfig, match: re.Match[str]) -> Wishes:
    yield {"attn_implementation": "auto", "flash_attn": False}, say("Take the attention that is here"), say("The same result by other code.")  # fmt: skip


def smaller_on_disk(config: SFTConfig, match: re.Match[str]) -> Wishes:
    yield (
        {"max_ckpt_num": 1},
        say("Keep one checkpoint"),
        say("Each holds the weights and the optimizer's state."),
    )
    if config.save_steps > 0:
        yield {"save_steps": -1}, say("Save when stopped only"), say("No checkpoints on the way: a crash costs the whole run.")  # fmt: skip


def other_numbers(config: SFTConfig, match: re.Match[str]) -> Wishes:
    yield {"bf16": False, "fp16": True}, say("Compute in fp16"), say("Older cards compute in float16, with a loss scale.")  # fmt: skip
    yield (
        {"bf16": False, "fp16": False},
        say("Compute in fp32"),
        say("Full precision: slower, and twice the memory."),
    )


def fresh_start(config: SFTConfig, match: re.Match[str]) -> Wishes:
    changes = {"ckpt_path": None, "load_checkpoint": False}
    yield changes, say("Start anew, checkpoints in the run's own folder"), say("The old checkpoints stay where they are.")  # fmt: skip


def go_on(config: SFTConfig, match: re.Match[str]) -> Wishes:
    yield (
        {"load_checkpoint": True},
        say("Go on from them"),
        say("The newest of these checkpoints is the start."),
    )
    yield from fresh_start(config, match)


def no_tracker(config: SFTConfig, match: re.Match[str]) -> Wishes:
    yield (
        {"report_to": None},
        say("Leave the trackers out"),
        say("The curve is in the run's folder in any case."),
    )


def first_gpu(config: SFTConfig, match: re.Match[str]) -> Wishes:
    yield {"gpus": None, "num_processes": None}, say("Use the first GPU there is"), say("GPU ids are those of nvidia-smi.")  # fmt: skip


def no_offload(config: SFTConfig, match: re.Match[str]) -> Wishes:
    yield {"adam_offload": False}, say("Optimizer state on the card"), say("The code that offloading needs is compiled at first use, with nvcc and a compiler.")  # fmt: skip


def plain_model_layers(config: SFTConfig, match: re.Match[str]) -> Wishes:
    yield (
        {"target_modules": None},
        say("LoRA on every linear layer"),
        say("Names of layers differ between models."),
    )


def another_place(config: SFTConfig, match: re.Match[str]) -> Wishes:
    yield {"save_path": None, "ckpt_path": None}, say("Save in the run's own folder"), say("It was writable when the run began.")  # fmt: skip
