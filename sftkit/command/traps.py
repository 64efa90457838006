"""Which trap of words.json a flag is in: what goes wrong with it where it comes from, or differs here."""

from __future__ import annotations

from sftkit.command.names import OPENRLHF_TEMPLATE
from sftkit.command.words import said

# Settings whose trap depends on nothing else.
OPENRLHF = frozenset(
    """apply_chat_template max_len max_samples dataset_probs packing train_batch_size logging_steps load_checkpoint
    flash_attn lora_rank adam_offload""".split()
)
TRL = {"micro_train_batch_size": "trl_batch", "max_len": "trl_max_len", "packing": "trl_packing"}
# Flags without a setting.
FLAGS = {
    "use_wandb": "wandb", "logger.wandb.key": "wandb", "use_tensorboard": "tensorboard",
    "logger.tensorboard_dir": "tensorboard", "pretrain_mode": "pretrain_mode",
    "model.pretrain_mode_enable": "pretrain_mode", "deepspeed": "deepspeed_file", "max_steps": "max_steps",
    "template": "lf_template",
}  # fmt: skip


def trap(flag: str, setting: str | None, value: str, program: str, lang: str) -> str:
    """The sentence of a flag's trap; empty where there is none."""
    key = _key(flag, setting, value, program)
    return said("trap", key, lang) if key else ""


def _key(flag: str, setting: str | None, value: str, program: str) -> str:
    if setting is None:
        return _without_setting(flag, value)
    if program in ("trl", "llamafactory"):
        if program == "llamafactory" and flag in ("dataset", "eval_dataset"):
            return "dataset_info"
        return TRL.get(setting, "")
    if program != "openrlhf":
        return ""
    if setting in OPENRLHF:
        return "" if setting == "flash_attn" and flag != "flash_attn" else setting
    return _of_value(flag, setting, value)


def _without_setting(flag: str, value: str) -> str:
    if flag == "optim":
        return "" if value in ("adam", "adamw_torch", "adamw_torch_fused") else "optim"
    if flag == "min_lr_ratio":
        return "" if value in ("0.1", ".1") else "min_lr"
    if flag == "lr_scheduler_kwargs":
        return "" if "min_lr_rate" in value and "0.1}" in value.replace(" ", "") else "min_lr"
    if flag.startswith("muon."):
        return "muon"
    if flag == "warmup_steps":
        return "" if value == "0" else "warmup_steps"
    if flag in (
        "tokenizer_chat_template",
        "data.tokenizer_chat_template",
        "chat_template_path",
        "chat_template",
    ):
        return "template_text"
    return FLAGS.get(flag, "")


def _of_value(flag: str, setting: str, value: str) -> str:
    """Traps of OpenRLHF that only some values fall into."""
    if setting == "input_template":
        if "\\n" in value:
            return "backslash_n"
        return "input_template" if value.endswith(" ") or value == OPENRLHF_TEMPLATE else ""
    if setting == "save_steps":
        return "save_steps_never" if value == "-1" else "save_steps"
    if setting == "eval_steps":
        return "eval_steps" if value == "-1" else ""
    if setting == "eval_dataset":
        return "eval_dataset"
    if setting == "eval_split":
        return "eval_split_old"
    if setting == "bf16":
        return "bf16" if flag == "bf16" else "" if value in ("bf16", "fp16") else "fp16_bf16"
    if setting == "lr_scheduler":
        return "" if value in ("cosine_with_min_lr", "constant_with_warmup", "constant") else "lr_scheduler"
    return ""
