"""Flags of other programs that sftkit has no setting for, and the habits of those programs.

Such flags are named, never an error. A few of them say something about our settings all the same (`meant`).
"""

from __future__ import annotations

import re
from typing import Any

from sftkit.command.names import DOTTED, NAMES, NEWEST, Version, range_of
from sftkit.command.words import has, said
from sftkit.config import SFTConfig

OPENRLHF = frozenset(
    """
    use_wandb wandb_org wandb_group wandb_project wandb_run_name use_tensorboard local_rank use_liger_kernel
    overlap_comm zpg aux_loss_coef disable_fast_tokenizer max_ckpt_mem gradient_checkpointing_use_reentrant
    disable_ds_ckpt save_hf_ckpt use_ds_universal_ckpt grad_accum_dtype disable_trace_cache pretrain_mode multiturn
    ring_attn_size ring_head_stride ds_tensor_parallel_size deepcompile torch_compile use_ms dataloader_num_workers
    param_dtype
    logger.wandb.key logger.wandb.org logger.wandb.group logger.wandb.project logger.wandb.run_name
    logger.tensorboard_dir ds.use_liger_kernel ds.overlap_comm ds.zpg model.aux_loss_coef data.disable_fast_tokenizer
    ckpt.max_mem model.gradient_checkpointing_reentrant ckpt.disable_ds ckpt.save_hf ds.use_universal_ckpt
    ds.grad_accum_dtype model.pretrain_mode_enable data.multiturn ds.ring_attn_size ds.ring_attn_head_stride
    ds.tensor_parallel_size ds.deepcompile ds.experts_implementation data.dataloader_num_workers optim adam.eps
    min_lr_ratio muon.lr muon.momentum muon.ns_steps muon.nesterov muon.no_nesterov ds.param_dtype
    """.split()
)
# The other fields of TRL 1.16's SFTConfig, ScriptArguments and ModelConfig, older names of theirs, LLaMA-Factory's.
TRL = frozenset(
    """
    gradient_accumulation_steps eval_strategy evaluation_strategy save_strategy use_peft warmup_steps dataset_config
    deepspeed assistant_only_loss completion_only_loss optim max_steps resume_from_checkpoint adam_beta1 adam_beta2
    adam_epsilon run_name hub_token push_to_hub hub_model_id hub_strategy hub_private_repo hub_always_push hub_revision
    lr_scheduler_kwargs optim_args optim_target_modules average_tokens_across_devices label_smoothing_factor
    bf16_full_eval fp16_full_eval tf32 activation_checkpointing activation_checkpointing_kwargs
    gradient_checkpointing_kwargs torch_compile torch_compile_backend torch_compile_mode liger_kernel_config use_cache
    neftune_noise_alpha torch_empty_cache_steps auto_find_batch_size logging_strategy logging_first_step
    log_on_each_node logging_nan_inf_filter include_num_input_tokens_seen log_level log_level_replica disable_tqdm
    project trackio_space_id trackio_bucket_id trackio_static_space_id eval_delay per_device_eval_batch_size
    prediction_loss_only eval_on_start eval_do_concat_batches eval_use_gather_object eval_accumulation_steps
    include_for_metrics batch_eval_metrics save_only_model save_on_each_node enable_jit_checkpoint
    load_best_model_at_end metric_for_best_model greater_is_better ignore_data_skip
    restore_callback_states_from_checkpoint data_seed use_cpu accelerator_config parallelism_config
    dataloader_drop_last dataloader_pin_memory dataloader_persistent_workers dataloader_prefetch_factor
    dataloader_multiprocessing_context dataloader_in_order remove_unused_columns label_names train_sampling_strategy
    length_column_name ddp_find_unused_parameters ddp_bucket_cap_mb ddp_broadcast_buffers ddp_static_graph ddp_backend
    ddp_timeout fsdp fsdp_config debug skip_memory_metrics do_train do_eval do_predict model_init_kwargs
    trust_remote_code router_aux_loss_coef dataset_text_field dataset_kwargs dataset_num_proc eos_token pad_token
    truncation_mode shuffle_dataset packing_strategy padding_free pad_to_multiple_of eval_packing loss_type
    activation_offloading dataset_streaming ignore_bias_buffers model_revision lora_target_parameters
    lora_modules_to_save lora_task_type use_rslora use_dora load_in_8bit bnb_4bit_quant_type use_bnb_nested_quant
    bnb_4bit_quant_storage group_by_length logging_dir overwrite_output_dir config
    stage finetuning_type template val_size preprocessing_num_workers overwrite_cache plot_loss dataset_dir
    quantization_bit neat_packing enable_liger_kernel
    """.split()
)
WITHOUT_SETTING = OPENRLHF | TRL
# Known flags whose meaning sftkit keeps without a setting of that name.
ALWAYS_SO = frozenset(
    """gradient_accumulation_steps eval_strategy evaluation_strategy save_strategy use_peft finetuning_type stage do_train
    multiturn data.multiturn assistant_only_loss completion_only_loss param_dtype ds.param_dtype local_rank
    use_ds_universal_ckpt ds.use_universal_ckpt logging_strategy lr_scheduler_kwargs""".split()
)

HIDDEN = "•••"  # in place of a secret
VARIABLES = {"use_wandb": "WANDB_API_KEY", "logger.wandb.key": "WANDB_API_KEY", "hub_token": "HF_TOKEN"}
ATTENTION_WORDS = {"fa2": "flash_attention_2", "fa3": "flash_attention_3", "sdpa": "sdpa", "disabled": "eager", "auto": "auto"}  # fmt: skip
LLAMAFACTORY_DEFAULTS: dict[str, Any] = {
    "learning_rate": 5e-5, "max_epochs": 3, "lr_scheduler": "linear", "lr_warmup_ratio": 0.0, "adam_betas": (0.9, 0.999),
    "gradient_checkpointing": True, "save_steps": 500, "eval_steps": 0, "logging_steps": 500, "max_ckpt_num": -1,
    "bf16": False,
}  # fmt: skip
_SENTENCES = {
    "logger.wandb.key": "use_wandb", "logger.tensorboard_dir": "use_tensorboard", "evaluation_strategy": "eval_strategy",
    "model.gradient_checkpointing_reentrant": "gradient_checkpointing_use_reentrant", "ckpt.disable_ds": "disable_ds_ckpt",
    "ckpt.save_hf": "save_hf_ckpt", "ds.use_universal_ckpt": "use_ds_universal_ckpt", "ckpt.max_mem": "max_ckpt_mem",
    "model.pretrain_mode_enable": "pretrain_mode", "ds.ring_attn_head_stride": "ring_head_stride",
    "ds.tensor_parallel_size": "ds_tensor_parallel_size", "enable_liger_kernel": "use_liger_kernel",
    "logging_dir": "tracker_dir", "run_name": "tracker_dir", "project": "tracker_dir", "adam_epsilon": "adam.eps",
}  # fmt: skip


def sentence(flag: str) -> str:
    """The key in words.json of what a flag without a setting is."""
    key = _SENTENCES.get(flag, flag)
    if key.startswith("muon."):
        return "muon"
    last = key.removeprefix("logger.").replace("wandb.", "wandb_").rpartition(".")[2]
    known = next((name for name in (key, last) if has("flag", name)), "")
    return known or ("other" if flag in WITHOUT_SETTING else "")


def is_secret(flag: str) -> bool:
    """Whether a flag's value must not be shown: a key, a token, a password."""
    last = flag.rpartition(".")[2]
    shown = {"input_key", "output_key", "task_key", "eos_token", "pad_token"}
    ends = ("_key", "_token", "_secret", "_password", "apikey")
    return (
        flag in VARIABLES
        or last in ("key", "token", "password")
        or (last.endswith(ends) and last not in shown)
    )


def masked(text: str) -> str:
    """A pasted text without the secrets in it: values of flags and of variables that hold keys."""

    def hide(found: re.Match[str]) -> str:
        return found[1] + found[3] + HIDDEN if is_secret(found[2].replace("-", "_")) else found[0]

    text = re.sub(r"(--([A-Za-z][\w.-]*))([ \t]+|=)(?!-)(\"[^\"]*\"|'[^']*'|[^\s\\]+)", hide, text)
    return re.sub(
        r"\b(\w*(?:API_KEY|TOKEN|SECRET|PASSWORD)=)(\"[^\"]*\"|'[^']*'|[^\s]+)", rf"\1{HIDDEN}", text
    )


def meant(flag: str, value: str, settings: dict[str, Any]) -> str | None:
    """Enter what a flag of another make says about our settings; the setting it spoke of, or None."""
    number = _float(value)
    if flag in ("adam_beta1", "adam_beta2") and number is not None:
        betas = list(settings.get("adam_betas", (0.9, 0.999)))
        betas[flag == "adam_beta2"] = number
        settings["adam_betas"] = tuple(betas)
        return "adam_betas"
    if flag == "warmup_steps" and number is not None and number < 1:
        settings["lr_warmup_ratio"] = number
        return "lr_warmup_ratio"
    if flag == "quantization_bit" and value == "4":
        settings["load_in_4bit"] = True
        return "load_in_4bit"
    if flag == "resume_from_checkpoint" and value.lower() in ("", "true"):
        settings["load_checkpoint"] = True
        return "load_checkpoint"
    if flag == "deepspeed" and (stage := next((n for n in "0123" if f"z{n}" in value or f"zero{n}" in value or f"zero_stage{n}" in value), "")):  # fmt: skip
        settings |= {"zero_stage": int(stage), "adam_offload": "offload" in value and stage != "0"}
        return "zero_stage"
    return None


def finish(program: str, settings: dict[str, Any], seen: dict[str, str], defaults: dict[str, Any]) -> None:
    """What TRL's and LLaMA-Factory's flags mean only together."""
    strategy = seen.get("eval_strategy", seen.get("evaluation_strategy", ""))
    if strategy == "epoch":
        settings["eval_steps"] = -1
    elif strategy == "steps":
        settings.setdefault("eval_steps", settings.get("logging_steps", defaults["logging_steps"]))
    elif "eval_steps" not in seen:
        settings["eval_steps"] = 0
    if seen.get("assistant_only_loss", "false").lower() in ("", "true"):  # so its rows are conversations
        settings.setdefault("input_key", "messages")
        settings.setdefault("output_key", None)
    if seen.get("logging_strategy") in ("no", "epoch"):
        settings["logging_steps"] = 0 if seen["logging_strategy"] == "no" else -1
    if seen.get("save_strategy") in ("no", "epoch"):
        settings["save_steps"] = -1
    lora = (
        seen.get("finetuning_type", "lora") == "lora" and "stage" in seen
        if program == "llamafactory"
        else False
    )
    if program == "trl":
        lora = "use_peft" in seen and seen["use_peft"].lower() in ("", "true", "1")
    if lora or ("finetuning_type" in seen and seen["finetuning_type"] == "lora"):
        settings.setdefault("lora_rank", 8 if program == "llamafactory" else 16)
        settings.setdefault("lora_alpha", 2 * int(settings["lora_rank"]) if program == "llamafactory" else 32)
    else:
        settings["lora_rank"] = 0
    if settings.get("fp16") in (True, "true", "True"):
        settings.setdefault("bf16", False)


def program_of(entries: dict[str, Any]) -> str:
    """Whose YAML file it is, by its keys."""
    if {"stage", "finetuning_type", "cutoff_len", "template"} & entries.keys():
        return "llamafactory"
    return "sftkit" if entries.keys() <= SFTConfig.model_fields.keys() else "trl"


def number(setting: str, value: str) -> Any:
    """`3.0` as other programs write whole numbers of epochs; anything else as it stands."""
    whole = _float(value)
    return int(whole) if setting in ("max_epochs", "max_samples") and whole and whole == int(whole) else value


def versions(seen: dict[str, str], span: tuple[Version, Version], lang: str) -> str:
    """Which versions of OpenRLHF take these flags, in a sentence."""
    first, last = span
    if first < last:
        newest = {DOTTED: "0.10.1", NEWEST: "0.11"}.get(last, _before(last))
        return said("note", "versions", lang, first=_text(first) if first > (0,) else "0.2", last=newest)
    flags = [flag for flag in seen if flag in OPENRLHF or any(flag in names for names in NAMES.values())]
    old = min(flags, key=lambda flag: range_of(flag)[1])
    new = max(flags, key=lambda flag: range_of(flag)[0])
    return said(
        "note",
        "mixed",
        lang,
        old=old,
        until=_before(range_of(old)[1]),
        new=new,
        since=_text(range_of(new)[0]),
    )


def _before(version: Version) -> str:
    """The last version before one of those in which a flag went."""
    return {(0, 8, 10): "0.8.9", (0, 9, 2): "0.9.1", (0, 10, 2): "0.10.1"}.get(
        version, f"before {_text(version)}"
    )


def _text(version: Version) -> str:
    return ".".join(str(part) for part in version)


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
