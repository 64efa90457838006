"""What other programs call our settings: OpenRLHF's train_sft in every version, TRL and transformers, LLaMA-Factory.

One row for each setting that another program has a flag for; a setting without a row has only its own name. Which
version has which flag was read in OpenRLHF's wheels; tests/openrlhf_flags.py holds this table against them.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple


class Names(NamedTuple):
    """A setting's flag in OpenRLHF before 0.10.2, from 0.10.2, and in TRL; empty where there is none."""

    plain: str = ""
    dotted: str = ""
    trl: str = ""


NAMES: dict[str, Names] = {
    "pretrain": Names("pretrain", "model.model_name_or_path", "model_name_or_path"),
    "dataset": Names("dataset", "data.dataset", "dataset_name"),
    "eval_dataset": Names("eval_dataset", "eval.dataset"),
    "input_key": Names("input_key", "data.input_key"),
    "output_key": Names("output_key", "data.output_key"),
    "input_template": Names("input_template", "data.input_template"),
    "apply_chat_template": Names("apply_chat_template", "data.apply_chat_template"),
    "chat_template": Names("tokenizer_chat_template", "data.tokenizer_chat_template", "chat_template_path"),
    "max_len": Names("max_len", "data.max_len", "max_length"),
    "max_samples": Names("max_samples", "data.max_samples"),
    "dataset_probs": Names("dataset_probs", "data.dataset_probs"),
    "dataset_split": Names("dataset_split", "data.dataset_split", "dataset_train_split"),
    "eval_split": Names("eval_split", "eval.split", "dataset_test_split"),
    "packing": Names("packing_samples", "ds.packing_samples", "packing"),
    "train_batch_size": Names("train_batch_size", "train.batch_size"),
    "micro_train_batch_size": Names(
        "micro_train_batch_size", "train.micro_batch_size", "per_device_train_batch_size"
    ),
    "max_epochs": Names("max_epochs", "train.max_epochs", "num_train_epochs"),
    "learning_rate": Names("learning_rate", "adam.lr", "learning_rate"),
    "lr_scheduler": Names("lr_scheduler", "lr_scheduler", "lr_scheduler_type"),
    "lr_warmup_ratio": Names("lr_warmup_ratio", "lr_warmup_ratio", "warmup_ratio"),
    "adam_betas": Names("adam_betas", "adam.betas"),
    "l2": Names("l2", "adam.weight_decay", "weight_decay"),
    "max_norm": Names("max_norm", "max_norm", "max_grad_norm"),
    "zero_stage": Names("zero_stage", "ds.zero_stage"),
    "adam_offload": Names("adam_offload", "ds.adam_offload"),
    "gradient_checkpointing": Names(
        "gradient_checkpointing", "model.gradient_checkpointing_enable", "gradient_checkpointing"
    ),
    "flash_attn": Names("flash_attn"),
    "attn_implementation": Names("attn_implementation", "ds.attn_implementation", "attn_implementation"),
    "bf16": Names("bf16", "", "bf16"),
    "fp16": Names("", "", "fp16"),
    "seed": Names("seed", "train.seed", "seed"),
    "full_determinism": Names("full_determinism", "train.full_determinism_enable", "full_determinism"),
    "save_path": Names("save_path", "ckpt.output_dir", "output_dir"),
    "save_steps": Names("save_steps", "ckpt.save_steps", "save_steps"),
    "eval_steps": Names("eval_steps", "eval.steps", "eval_steps"),
    "logging_steps": Names("logging_steps", "logger.logging_steps", "logging_steps"),
    "ckpt_path": Names("ckpt_path", "ckpt.path"),
    "max_ckpt_num": Names("max_ckpt_num", "ckpt.max_num", "save_total_limit"),
    "load_checkpoint": Names("load_checkpoint", "ckpt.load_enable"),
    "report_to": Names("", "", "report_to"),
    "lora_rank": Names("lora_rank", "ds.lora.rank", "lora_r"),
    "lora_alpha": Names("lora_alpha", "ds.lora.alpha", "lora_alpha"),
    "lora_dropout": Names("lora_dropout", "ds.lora.dropout", "lora_dropout"),
    "target_modules": Names("target_modules", "ds.lora.target_modules", "lora_target_modules"),
    "load_in_4bit": Names("load_in_4bit", "ds.load_in_4bit", "load_in_4bit"),
}

# Names beside those: older or other spellings, and LLaMA-Factory's.
ALSO = {
    "train_split": "dataset_split",
    "max_seq_length": "max_len",
    "cutoff_len": "max_len",
    "train_file": "dataset",
    "lora_target": "target_modules",
    "eval_dataset_name": "eval_dataset",
}

# Flags whose value, not only whose name, says what is set.
DTYPE = frozenset({"param_dtype", "ds.param_dtype", "dtype", "torch_dtype"})
ATTENTION = frozenset({"attn_implementation", "ds.attn_implementation"})

Version = tuple[int, ...]
LATEST: Version = (98,)  # where no number is given
NEWEST: Version = (99,)  # no version is that far
DOTTED: Version = (0, 10, 2)
ATTENTION_SINCE: Version = (0, 8, 10)  # --attn_implementation instead of --flash_attn
DTYPE_SINCE: Version = (0, 9, 2)  # --param_dtype instead of --bf16
SPLIT_SINCE: Version = (0, 7, 4)  # --dataset_split instead of --train_split
MULTITURN_SINCE: Version = (0, 5, 7)

# Flags that OpenRLHF did not have from its first wheel to 0.10.2: [first version with it, first without).
RANGES: dict[str, tuple[Version, Version]] = {
    "lr_warmup_ratio": ((0, 5, 3), NEWEST),
    "lr_scheduler": ((0,), NEWEST),
    "max_norm": ((0,), NEWEST),
    "full_determinism": ((0, 6, 2), DOTTED),
    "eval_dataset": ((0, 7, 0), DOTTED),
    "dataset_split": (SPLIT_SINCE, DOTTED),
    "flash_attn": ((0,), ATTENTION_SINCE),
    "attn_implementation": (ATTENTION_SINCE, DOTTED),
    "bf16": ((0,), DTYPE_SINCE),
    "param_dtype": (DTYPE_SINCE, DOTTED),
    "multiturn": (MULTITURN_SINCE, DOTTED),
    "use_tensorboard": ((0, 4, 6), DOTTED),
    "use_liger_kernel": ((0, 6, 2), DOTTED),
}


def version(text: str) -> Version:
    """`0.8.9.post1` -> (0, 8, 9, 1); no number: the newest there is."""
    return tuple(int(part) for part in re.findall(r"\d+", text)) or LATEST


def range_of(flag: str) -> tuple[Version, Version]:
    """[first OpenRLHF with the flag, first without it)."""
    return RANGES.get(flag) or ((DOTTED, NEWEST) if flag in _DOTTED_FLAGS else ((0,), DOTTED))


def spelling(setting: str, of: Version) -> str:
    """OpenRLHF's flag for a setting in a version; empty where it has none."""
    if setting == "dataset_split" and of < SPLIT_SINCE:
        return "train_split"
    names = NAMES.get(setting, Names())
    flag = names.dotted if of >= DOTTED else names.plain
    since, until = range_of(flag)
    return flag if flag and since <= of < until else ""


# Switches are flags that may stand without a value; lists hold several.
SWITCHES = frozenset(
    """apply_chat_template packing adam_offload load_checkpoint gradient_checkpointing bf16 fp16 flash_attn
    full_determinism load_in_4bit""".split()
)

_DOTTED_FLAGS = frozenset(names.dotted for names in NAMES.values()) | frozenset(
    """ds.param_dtype logger.wandb.key logger.wandb.org logger.wandb.group logger.wandb.project logger.wandb.run_name
    logger.tensorboard_dir ds.use_liger_kernel ds.overlap_comm ds.zpg model.aux_loss_coef ckpt.max_mem adam.eps optim
    model.gradient_checkpointing_reentrant ckpt.disable_ds ckpt.save_hf ds.use_universal_ckpt min_lr_ratio
    ds.deepcompile ds.tensor_parallel_size ds.ring_attn_size ds.ring_attn_head_stride ds.grad_accum_dtype
    ds.experts_implementation data.disable_fast_tokenizer data.dataloader_num_workers data.multiturn
    model.pretrain_mode_enable muon.lr muon.momentum muon.ns_steps muon.nesterov muon.no_nesterov""".split()
) - {""}

# What a program does when its command says nothing, where that differs from SFTConfig's own defaults.
OPENRLHF_TEMPLATE = "User: {}\nAssistant: "
OPENRLHF_DEFAULTS: dict[str, Any] = {"max_epochs": 2, "input_key": "input", "output_key": None}
TRL_DEFAULTS: dict[str, Any] = {
    "learning_rate": 2e-5, "max_epochs": 3, "lr_scheduler": "linear", "lr_warmup_ratio": 0.0, "adam_betas": (0.9, 0.999),
    "max_len": 1024, "gradient_checkpointing": True, "save_steps": 500, "eval_steps": 0, "logging_steps": 10,
    "max_ckpt_num": -1, "output_key": "completion",
}  # fmt: skip

# Our plain template (data/chat_templates/plain.jinja) as a text around the prompt, for programs that know only such.
PLAIN_TEMPLATE = "User:\n{}\n\nAssistant:\n"

# Every flag that names a setting -> that setting.
SETTING_OF = {flag: setting for setting, flags in NAMES.items() for flag in flags if flag} | ALSO
