"""Launch commands to settings and back: one table of the names that other programs give to our settings.

Reads OpenRLHF's `train_sft` in the flags of every version (plain up to 0.10.1, dotted from 0.10.2), TRL's and
transformers' names, and sftkit's own. It knows names only; what the values may be is said in config.py.
"""

from __future__ import annotations

import difflib
import re
import shlex
import warnings
from typing import Any

from sftkit.errors import ConfigError, Fault

# setting -> (OpenRLHF before 0.10.2, OpenRLHF from 0.10.2, TRL and transformers). sftkit's own flag is the setting.
NAMES: dict[str, tuple[str, str, str]] = {
    "pretrain": ("pretrain", "model.model_name_or_path", "model_name_or_path"),
    "save_path": ("save_path", "ckpt.output_dir", "output_dir"),
    "dataset": ("dataset", "data.dataset", "dataset_name"),
    "eval_dataset": ("eval_dataset", "eval.dataset", ""),
    "input_key": ("input_key", "data.input_key", ""),
    "output_key": ("output_key", "data.output_key", ""),
    "input_template": ("input_template", "data.input_template", ""),
    "apply_chat_template": ("apply_chat_template", "data.apply_chat_template", ""),
    "max_len": ("max_len", "data.max_len", "max_length"),
    "max_samples": ("max_samples", "data.max_samples", ""),
    "packing": ("packing_samples", "ds.packing_samples", "packing"),
    "train_batch_size": ("train_batch_size", "train.batch_size", ""),
    "micro_train_batch_size": (
        "micro_train_batch_size",
        "train.micro_batch_size",
        "per_device_train_batch_size",
    ),
    "max_epochs": ("max_epochs", "train.max_epochs", "num_train_epochs"),
    "learning_rate": ("learning_rate", "adam.lr", "learning_rate"),
    "lr_scheduler": ("lr_scheduler", "lr_scheduler", "lr_scheduler_type"),
    "lr_warmup_ratio": ("lr_warmup_ratio", "lr_warmup_ratio", "warmup_ratio"),
    "adam_betas": ("adam_betas", "adam.betas", ""),
    "l2": ("l2", "adam.weight_decay", "weight_decay"),
    "max_norm": ("max_norm", "max_norm", "max_grad_norm"),
    "zero_stage": ("zero_stage", "ds.zero_stage", ""),
    "adam_offload": ("adam_offload", "ds.adam_offload", ""),
    "save_steps": ("save_steps", "ckpt.save_steps", "save_steps"),
    "eval_steps": ("eval_steps", "eval.steps", "eval_steps"),
    "logging_steps": ("logging_steps", "logger.logging_steps", "logging_steps"),
    "ckpt_path": ("ckpt_path", "ckpt.path", ""),
    "max_ckpt_num": ("max_ckpt_num", "ckpt.max_num", "save_total_limit"),
    "load_checkpoint": ("load_checkpoint", "ckpt.load_enable", ""),
    "gradient_checkpointing": (
        "gradient_checkpointing",
        "model.gradient_checkpointing_enable",
        "gradient_checkpointing",
    ),
    "lora_rank": ("lora_rank", "ds.lora.rank", "lora_r"),
    "lora_alpha": ("lora_alpha", "ds.lora.alpha", "lora_alpha"),
    "seed": ("seed", "train.seed", "seed"),
    "bf16": ("bf16", "", "bf16"),  # dotted: --ds.param_dtype bf16
    "flash_attn": ("flash_attn", "", ""),  # later: --attn_implementation flash_attention_2
    "fp16": ("", "", "fp16"),
    "attn_implementation": ("", "", ""),  # read below, with flash_attn
    "full_determinism": ("full_determinism", "train.full_determinism_enable", "full_determinism"),
    "dataset_probs": ("dataset_probs", "data.dataset_probs", ""),
    "dataset_caps": ("", "", ""),
    "dataset_split": ("dataset_split", "data.dataset_split", "dataset_train_split"),
    "eval_split": ("eval_split", "eval.split", "dataset_test_split"),
    "chat_template": ("", "", ""),
    "report_to": ("", "", "report_to"),
    "lora_dropout": ("lora_dropout", "ds.lora.dropout", "lora_dropout"),
    "target_modules": ("target_modules", "ds.lora.target_modules", "lora_target_modules"),
    "load_in_4bit": ("load_in_4bit", "ds.load_in_4bit", "load_in_4bit"),
    "merge_lora": ("", "", ""),
    "launcher": ("", "", ""),
    "hostfile": ("", "", ""),
    "task_key": ("", "", ""),
    "gpus": ("", "", ""),
    "num_processes": ("", "", ""),
}
SWITCHES = frozenset(
    """apply_chat_template packing adam_offload load_checkpoint gradient_checkpointing bf16 fp16 flash_attn
    full_determinism load_in_4bit merge_lora""".split()
)
LISTS = frozenset("adam_betas gpus dataset_probs dataset_caps report_to target_modules".split())

# What OpenRLHF's train_sft does when its script says nothing, where that differs from SFTConfig's own defaults.
OPENRLHF_DEFAULTS: dict[str, Any] = {"max_epochs": 2, "bf16": False, "input_key": "input", "output_key": None}

# Flags whose value, not only whose name, says what is set.
DTYPE = frozenset({"param_dtype", "ds.param_dtype", "dtype", "torch_dtype"})
ATTENTION = frozenset({"attn_implementation", "ds.attn_implementation"})

# The word after which the flags of the training begin.
PROGRAM = re.compile(r"^(?!-).*(train_sft(\.py)?|sft\.py)$|^sft$|^launch$")

# Known flags that sftkit has no setting for: named in a warning, never an error. The number of their values varies.
WITHOUT_SETTING = frozenset(
    """
    use_wandb wandb_org wandb_group wandb_project wandb_run_name use_tensorboard logger.wandb.key logger.wandb.org
    logger.wandb.group logger.wandb.project logger.wandb.run_name logger.tensorboard_dir local_rank
    use_liger_kernel ds.use_liger_kernel overlap_comm ds.overlap_comm zpg ds.zpg aux_loss_coef model.aux_loss_coef
    disable_fast_tokenizer max_ckpt_mem ckpt.max_mem optim adam.eps gradient_checkpointing_use_reentrant
    model.gradient_checkpointing_reentrant disable_ds_ckpt ckpt.disable_ds save_hf_ckpt ckpt.save_hf use_ds_universal_ckpt
    ds.use_universal_ckpt
    """.split()
)


def parse(text: str) -> dict[str, Any]:
    """The settings that a launch command states, values as strings or booleans for SFTConfig to check.

    Raises `ConfigError` naming every flag that is unknown or lacks its value.
    """
    program, words = _words(text)
    settings: dict[str, Any] = dict(OPENRLHF_DEFAULTS) if "train_sft" in program else {}
    faults: list[Fault] = []
    unused: list[str] = []
    devices_times = 1
    for flag, values in _flags(words):
        setting = _SETTING_OF.get(flag)
        if setting is not None:
            _store(settings, setting, flag, values, faults)
        elif flag in DTYPE:
            settings["bf16"] = bool(values) and values[0] in {"bf16", "bfloat16"}
            settings["fp16"] = bool(values) and values[0] in {"fp16", "float16"}
        elif flag in ATTENTION:
            _store_attention(settings, values[0] if values else "")
        elif flag == "gradient_accumulation_steps" and values:
            devices_times = int(values[0]) if values[0].isdigit() else 1
        elif flag in WITHOUT_SETTING:
            unused.append(flag)
        else:
            faults.append(Fault(f"--{flag}", "there is no such flag.", _nearest(flag)))
    if not _flags(words):
        faults.append(Fault("", "this is no launch command: it has no --flag.", "Paste the whole script."))
    if faults:
        raise ConfigError(faults)
    if devices_times > 1:
        settings["train_batch_size"] = int(settings.get("micro_train_batch_size", 8)) * devices_times
    if unused:
        names = ", ".join(f"--{flag}" for flag in unused)
        warnings.warn(f"sftkit has no setting for {names}; left out.", stacklevel=3)
    return settings


def write(settings: dict[str, Any], target: str, *, processes: int = 1) -> str:
    """A shell command for `target` ("sftkit", "openrlhf==…" or "trl") that states `settings`.

    Settings that the target has no flag for are left out. Raises `ConfigError` for an unknown target.
    """
    program, column = _target(target)
    words = []
    for setting, value in settings.items():
        flag = setting if column is None else NAMES[setting][column]
        if column == 1 and setting == "bf16":
            words.append(f"--ds.param_dtype {'bf16' if value else 'fp32'}")
        elif setting == "flash_attn" and column in (1, 2):
            if code := _attention_code(settings):
                words.append(f"--{'ds.' if column == 1 else ''}attn_implementation {code}")
        elif column == 2 and value in (-1, 0) and setting in {"save_steps", "eval_steps", "lora_rank"}:
            continue  # TRL says "never" by leaving the flag out
        elif column is None or (flag and value is not None and value is not False):
            words.append(_flag_text(flag, setting, value))
    if column == 2:
        rows = settings["micro_train_batch_size"] * processes
        words.append(f"--gradient_accumulation_steps {max(1, settings['train_batch_size'] // rows)}")
    return " \\\n   ".join([program, *words])


def _attention_code(settings: dict[str, Any]) -> str:
    """What other programs call our choice of attention; empty for their default."""
    chosen = settings.get("attn_implementation", "auto")
    return chosen if chosen != "auto" else "flash_attention_2" if settings["flash_attn"] else ""


def _target(target: str) -> tuple[str, int | None]:
    """The program to call and the column of NAMES to use (None: our own names)."""
    name, _, version = target.partition("==")
    if name == "sftkit":
        return "sftkit launch", None
    if name == "trl":
        return "trl sft", 2
    if name == "openrlhf":
        numbers = [int(part) for part in re.findall(r"\d+", version)] or [99]
        return "deepspeed --module openrlhf.cli.train_sft", 0 if numbers < [0, 10, 2] else 1
    raise ConfigError([Fault("target", f"{target!r} is unknown.", "Known: sftkit, openrlhf==VERSION, trl.")])


def _flag_text(flag: str, setting: str, value: Any) -> str:
    if setting in SWITCHES:
        return f"--{flag}" if value else f"--{flag} false"
    parts = value if isinstance(value, (list, tuple)) else ["" if value is None else value]
    return " ".join([f"--{flag}", *(shlex.quote(str(part)) for part in parts)])


def _words(text: str) -> tuple[str, list[str]]:
    """The program's name and the words after it; fences, comments, continuations and launcher flags are left behind."""
    command = re.sub(r"(?m)^[ \t]*```.*$", "", _here_document(text))
    command = re.sub(r"\\[ \t]*\r?\n", " ", command)
    command = re.sub(r"\$'((?:[^'\\]|\\.)*)'", _ansi_quoted, command)
    try:
        words = shlex.split(command, comments=True)
    except ValueError as error:
        raise ConfigError(
            [Fault("", f"the command cannot be read: {error}.", "Look for an open quote.")]
        ) from None
    # A value may look like a program: --save_path out/train_sft
    program = [i for i, word in enumerate(words) if PROGRAM.search(word) and not _wants_value(words[:i])]
    return (words[program[-1]], words[program[-1] + 1 :]) if program else ("", words)


def _here_document(text: str) -> str:
    """The command inside `read … <<EOF`, as OpenRLHF's example scripts write it; any other text as it is."""
    found = re.search(r"<<-?[ \t]*(['\"]?)(\w+)\1[^\n]*\n(.*?)\n[ \t]*\2\b", text, flags=re.DOTALL)
    return found[3] if found and "train_sft" in found[3] else text


def _wants_value(before: list[str]) -> bool:
    """Whether the last word before is a flag of the training that takes a value."""
    flag = before[-1].removeprefix("--").replace("-", "_") if before and before[-1].startswith("--") else ""
    return flag in WITHOUT_SETTING or _SETTING_OF.get(flag, "bf16") not in SWITCHES


def _ansi_quoted(match: re.Match[str]) -> str:
    """The shell's $'a\\nb', which shlex does not know, as a word that it does."""
    escapes = {"n": "\n", "t": "\t", "r": "\r"}
    return shlex.quote(re.sub(r"\\(.)", lambda found: escapes.get(found[1], found[1]), match[1]))


def _flags(words: list[str]) -> list[tuple[str, list[str]]]:
    """[(flag without dashes, its values)] in order; `--a=b` counts as `--a b`, a negative number is a value."""
    flags: list[tuple[str, list[str]]] = []
    for word in words:
        if re.match(r"--[A-Za-z]", word):
            name, equals, value = word[2:].partition("=")
            flags.append((name.replace("-", "_"), [value] if equals else []))
        elif flags:
            flags[-1][1].append(word)
    return flags


def _store(settings: dict[str, Any], setting: str, flag: str, values: list[str], faults: list[Fault]) -> None:
    if setting in SWITCHES and not values:
        settings[setting] = True
    elif not values:
        faults.append(Fault(f"--{flag}", "has no value."))
    elif setting in LISTS:
        parts = tuple(part for value in values for part in value.split(",") if part)
        # Words of other programs for what is our default.
        settings[setting] = () if parts in (("all-linear",), ("none",), ("all",)) else parts
    elif len(values) > 1:
        faults.append(
            Fault(f"--{flag}", f"has {len(values)} values: {' '.join(values)}.", "Quote a value with blanks.")
        )
    else:
        settings[setting] = values[0]


def _store_attention(settings: dict[str, Any], value: str) -> None:
    """flash-attn 2 is what our `flash_attn` takes by itself; any other choice is kept as it stands."""
    settings["flash_attn"] = value.startswith("flash_attention")
    if value != "flash_attention_2":
        settings["attn_implementation"] = value


def _nearest(flag: str) -> str:
    close = difflib.get_close_matches(flag, [*_SETTING_OF, *WITHOUT_SETTING], n=1, cutoff=0.6)
    return f"Did you mean --{close[0]}?" if close else ""


# every flag that names a setting -> that setting
_SETTING_OF = {flag: setting for setting, flags in NAMES.items() for flag in (setting, *flags) if flag}
_SETTING_OF |= {"max_seq_length": "max_len", "train_file": "dataset"}
