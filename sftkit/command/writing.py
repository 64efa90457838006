"""Settings to the command of another program, and what that program cannot say.

`write(config, target).text` is a shell command; `.left_out` names each setting that it does not carry, and why. The text
tells the same in comment lines below the command, so that `translate` loses nothing on the way back.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sftkit.command.names import (
    ATTENTION_SINCE,
    DOTTED,
    DTYPE_SINCE,
    MULTITURN_SINCE,
    PLAIN_TEMPLATE,
    SWITCHES,
    Version,
    spelling,
    version,
)
from sftkit.command.words import said
from sftkit.config import SFTConfig
from sftkit.errors import ConfigError, Fault
from sftkit.wording import say

TARGETS = ("sftkit", "openrlhf==VERSION", "trl")
MANY = 1_000_000  # checkpoints: more than anybody keeps
LAUNCHING = frozenset({"gpus", "num_processes", "launcher", "hostfile"})
SCHEDULERS = frozenset(
    {"cosine_with_min_lr", "constant_with_warmup", "constant"}
)  # those that run before 0.10.2

# What TRL's command says, or what `_told` looks after; whatever else is set is told as left out.
TRL_COMMAND = frozenset(
    """pretrain dataset dataset_split eval_split input_key output_key max_len packing micro_train_batch_size
    train_batch_size max_epochs learning_rate lr_scheduler lr_warmup_ratio adam_betas l2 max_norm bf16 fp16 seed
    gradient_checkpointing full_determinism report_to save_path save_steps eval_steps logging_steps max_ckpt_num lora_rank
    lora_alpha lora_dropout target_modules load_in_4bit flash_attn attn_implementation num_processes zero_stage
    chat_template""".split()
)


@dataclass(frozen=True)
class LeftOut:
    """A setting that a target cannot say, with its value and the reason."""

    setting: str
    value: Any
    reason: str

    def __str__(self) -> str:
        return f"{self.setting}={self.value!r}: {self.reason}"

    @property
    def comment(self) -> str:
        """A comment line, from which `translate` takes the setting back."""
        return f"# sftkit {self.setting}={json.dumps(self.value, ensure_ascii=False)} ({self.reason})"


@dataclass(frozen=True)
class Written:
    """`.text` for the target, comments included; `.left_out` lists what it does not carry."""

    text: str
    left_out: tuple[LeftOut, ...] = ()


def write(config: SFTConfig, target: str, lang: str = "en") -> Written:
    """The settings as a shell command for `target`: "sftkit", "openrlhf==…" or "trl".

    Raises `ConfigError` for an unknown target.
    """
    name, _, number = target.partition("==")
    if name == "sftkit":
        return Written(_joined("sftkit launch", _own(config)))
    if name == "openrlhf":
        writer: _OpenRLHF | _TRL = _OpenRLHF(config, version(number), f"OpenRLHF {number}".strip(), lang)
    elif name == "trl":
        writer = _TRL(config, lang)
    else:
        raise ConfigError(
            [
                Fault(
                    "target",
                    say("{target!r} is unknown.", target=target),
                    say("Known: {names}.", names=", ".join(TARGETS)),
                )
            ]
        )
    words = list(writer.words())
    comments = "".join(f"\n{left.comment}" for left in writer.left)
    return Written(_joined(writer.program(), words) + comments, tuple(writer.left))


def _joined(program: str, words: list[str]) -> str:
    return " \\\n   ".join([program, *words])


def quoted(value: Any) -> str:
    """A value as one word of a shell command."""
    text = "" if value is None else str(value)
    if isinstance(value, float):
        return re.sub(r"e([+-])0+", r"e\1", text)  # 5e-6, as one types it
    if "\n" in text or "\t" in text:
        escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\t", "\\t")
        return f"$'{escaped}'"
    return shlex.quote(text)


def flag_text(flag: str, value: Any) -> str:
    """`--flag value`; `--flag=value` where the value would be taken for a flag itself."""
    parts = value if isinstance(value, (tuple, list)) else [value]
    joint = "=" if isinstance(value, str) and value.startswith("-") else " "
    return f"--{flag}{joint}{' '.join(map(quoted, parts))}"


def _own(config: SFTConfig) -> list[str]:
    words = []
    for setting, value in config.changed().items():
        if isinstance(value, bool):
            words.append(f"--{setting}" if value else f"--{setting} false")
        else:
            words.append(flag_text(setting, value))
    return words


class _OpenRLHF:
    """Writes the flags that one version of OpenRLHF's train_sft has."""

    def __init__(self, config: SFTConfig, of: Version, target: str, lang: str):
        self.config, self._of, self._target, self._lang = config, of, target, lang
        self.left: list[LeftOut] = []

    def program(self) -> str:
        config, words = self.config, ["deepspeed"]
        if config.gpus:
            words.append(f"--include localhost:{','.join(map(str, config.gpus))}")
        elif config.launcher == "local" and config.num_processes:
            words.append(f"--num_gpus {config.num_processes}")
        if config.hostfile:
            words.append(f"--hostfile {quoted(config.hostfile)}")
        words += {"manual": ["--no_ssh"], "slurm": ["--launcher slurm"]}.get(config.launcher, [])
        return " ".join([*words, "--module openrlhf.cli.train_sft"])

    def words(self) -> Iterator[str]:
        config = self.config
        for setting, field in SFTConfig.model_fields.items():
            value = getattr(config, setting)
            if setting in LAUNCHING or setting in self._special():
                continue
            if value == field.default and not field.json_schema_extra["common"]:
                continue  # OpenRLHF has the same default
            yield from self._plain(setting, value)
        yield from self._attention()
        yield from self._format()
        yield from self._template()
        if config.launcher != "local":
            self._leave("num_processes", "hosts")
        if self._of < (0, 7) and len(config.sources) > 1 and not config.dataset_probs:
            self._leave("dataset_probs", "probs_needed")

    @staticmethod
    def _special() -> set[str]:
        return {"flash_attn", "attn_implementation", "bf16", "fp16", "input_template", "apply_chat_template", "chat_template"}  # fmt: skip

    def _plain(self, setting: str, value: Any) -> Iterator[str]:
        flag = spelling(setting, self._of)
        if not flag:
            if value != SFTConfig.model_fields[setting].default:
                self._leave(setting, "no_flag")
        elif reason := self._unsayable(setting, value):
            self._leave(setting, reason)
            if reason == "all_checkpoints":
                yield f"--{flag} {MANY}"
        elif setting in SWITCHES:
            if value:
                yield f"--{flag}"
        elif value is not None:
            yield flag_text(flag, ",".join(map(str, value)) if setting == "dataset_probs" else value)
        elif setting == "output_key" and self._of < (0, 3, 8):
            yield f"--{flag} ''"  # its default was "output"

    def _unsayable(self, setting: str, value: Any) -> str:
        if setting in ("save_steps", "eval_steps", "logging_steps") and value == 0:
            return "never"
        if setting == "logging_steps" and value == -1:
            return "log_epoch"
        if setting == "max_ckpt_num" and value == -1:
            return "all_checkpoints"
        if setting == "lr_scheduler" and self._of < DOTTED and value not in SCHEDULERS:
            return "scheduler"
        return ""

    def _attention(self) -> Iterator[str]:
        chosen, flash = self.config.attn_implementation, self.config.flash_attn
        if self._of < ATTENTION_SINCE:
            if flash or chosen == "flash_attention_2":
                yield "--flash_attn"
            if chosen not in ("auto", "flash_attention_2"):
                self._leave("attn_implementation", "no_flag")
        elif code := chosen if chosen != "auto" else "flash_attention_2" if flash else "":
            yield f"--{spelling('attn_implementation', self._of)} {code}"

    def _format(self) -> Iterator[str]:
        config = self.config
        if self._of < DTYPE_SINCE:
            if config.bf16:
                yield "--bf16"
            if config.fp16:
                self._leave("fp16", "fp16")
        else:
            flag = "ds.param_dtype" if self._of >= DOTTED else "param_dtype"
            yield f"--{flag} {'fp16' if config.fp16 else 'bf16'}"
            if not (config.bf16 or config.fp16):
                self._leave("bf16", "fp32")

    def _template(self) -> Iterator[str]:
        config = self.config
        apply, text = (spelling(name, self._of) for name in ("apply_chat_template", "chat_template"))
        named = config.chat_template and not re.search(r"[./]", config.chat_template)
        if named:
            self._leave("chat_template", "template")
        elif config.chat_template:
            yield f"--{apply}"
            yield f'--{text} "$(cat {shlex.quote(config.chat_template)})"'
        elif config.apply_chat_template:
            yield f"--{apply}"
        else:
            template = PLAIN_TEMPLATE if config.input_template is None else config.input_template
            yield flag_text(spelling("input_template", self._of), template)
        chat = config.apply_chat_template or (config.chat_template and not named)
        if chat and not config.output_key and self._of >= MULTITURN_SINCE:
            yield "--data.multiturn" if self._of >= DOTTED else "--multiturn"

    def _leave(self, setting: str, reason: str) -> None:
        value = getattr(self.config, setting)
        self.left.append(LeftOut(setting, value, said("left", reason, self._lang, target=self._target)))


class _TRL:
    """Writes the flags of `trl sft` (TRL 1.16)."""

    def __init__(self, config: SFTConfig, lang: str):
        self.config, self._lang = config, lang
        self.left: list[LeftOut] = []

    def program(self) -> str:
        count = self.config.processes
        return f"accelerate launch --num_processes {count} -m trl.scripts.sft" if count > 1 else "trl sft"

    def words(self) -> Iterator[str]:
        for name, value in arguments(self.config).items():
            yield flag_text(name, _trl_value(value))
        yield from self._model()
        for setting in unsaid(self.config, TRL_COMMAND):
            self._leave(setting, "no_flag")
        self._told()

    def _model(self) -> Iterator[str]:
        config = self.config
        yield flag_text("model_name_or_path", config.pretrain)
        yield flag_text("dataset_name", config.dataset)
        yield flag_text("dataset_train_split", config.dataset_split)
        if config.eval_split:
            yield flag_text("dataset_test_split", config.eval_split)
        if code := attention_code(config):
            yield f"--attn_implementation {code}"
        if config.lora_rank:
            yield f"--use_peft --lora_r {config.lora_rank} --lora_alpha {config.lora_alpha}"
            yield f"--lora_dropout {config.lora_dropout}"
            yield f"--lora_target_modules {' '.join(map(quoted, config.target_modules or ('all-linear',)))}"
        if config.load_in_4bit:
            yield "--load_in_4bit"

    def _told(self) -> None:
        config = self.config
        if re.search(r"\.(jsonl?|csv|parquet|arrow)$|,", config.dataset):
            self._leave("dataset", "hub_only")
        if config.input_key != ("prompt" if config.output_key else "messages"):
            self._leave("input_key", "columns")
        if config.output_key not in ("completion", None):
            self._leave("output_key", "columns")
        self._leave("zero_stage", "deepspeed")
        if config.chat_template and not re.search(r"[./]", config.chat_template):
            self._leave("chat_template", "template_known")

    def _leave(self, setting: str, reason: str) -> None:
        value = getattr(self.config, setting)
        words = said("left", reason, self._lang, target="TRL", value=value)
        self.left.append(LeftOut(setting, value, words))


def unsaid(config: SFTConfig, said_there: frozenset[str]) -> list[str]:
    """The settings that are not at their defaults, and for which there is nothing in a target."""
    rest = [name for name in config.changed() if name not in said_there]
    if config.lora_rank and config.merge_lora and "merge_lora" not in said_there:
        rest.append("merge_lora")  # our default; TRL's is the adapter alone
    return rest


def _trl_value(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value) if isinstance(value, dict) else value


def attention_code(config: SFTConfig) -> str:
    """What other programs call our choice of attention; empty for their default."""
    chosen = config.attn_implementation
    return chosen if chosen != "auto" else "flash_attention_2" if config.flash_attn else ""


def arguments(config: SFTConfig) -> dict[str, Any]:
    """The settings as arguments of TRL's SFTConfig (1.16)."""
    rows = config.micro_train_batch_size * config.processes
    chosen: dict[str, Any] = {
        "output_dir": config.save_path or "trl-output",
        "max_length": config.max_len,
        "packing": config.packing,
        "per_device_train_batch_size": config.micro_train_batch_size,
        "gradient_accumulation_steps": max(1, config.train_batch_size // rows),
        "num_train_epochs": config.max_epochs,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": config.lr_scheduler,
        "warmup_steps": min(config.lr_warmup_ratio, 0.999999),  # from 1 on it counts steps
        "adam_beta1": config.adam_betas[0],
        "adam_beta2": config.adam_betas[1],
        "weight_decay": config.l2,
        "max_grad_norm": config.max_norm,
        "bf16": config.bf16,
        "fp16": config.fp16,
        "gradient_checkpointing": config.gradient_checkpointing,
        "seed": config.seed,
        "report_to": list(config.report_to or ["none"]),
    }
    if config.lr_scheduler == "cosine_with_min_lr":
        chosen["lr_scheduler_kwargs"] = {"min_lr_rate": 0.1}
    if config.full_determinism:
        chosen["full_determinism"] = True
    if config.chat_template and re.search(r"[./]", config.chat_template):
        chosen["chat_template_path"] = config.chat_template
    if not config.output_key:
        chosen["assistant_only_loss"] = True
    return chosen | _when(config)


def _when(config: SFTConfig) -> dict[str, Any]:
    """When TRL logs, saves and evaluates; each has a strategy beside its steps."""
    chosen: dict[str, Any] = {"logging_strategy": "steps", "logging_steps": config.logging_steps}
    if config.logging_steps < 1:
        chosen = {"logging_strategy": "epoch" if config.logging_steps else "no"}
    chosen["save_strategy"] = "steps" if config.save_steps > 0 else "no"
    if config.save_steps > 0:
        chosen["save_steps"] = config.save_steps
    if config.max_ckpt_num > 0:
        chosen["save_total_limit"] = config.max_ckpt_num
    evaluates = bool(config.eval_dataset) and config.eval_steps != 0
    chosen["eval_strategy"] = "no" if not evaluates else "steps" if config.eval_steps > 0 else "epoch"
    if evaluates and config.eval_steps > 0:
        chosen["eval_steps"] = config.eval_steps
    return chosen
