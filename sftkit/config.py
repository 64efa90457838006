"""Every setting of a run, stated once: name, type, default, bounds, group, help, unit.

The form, the command line, the preflight and the worker all read this one statement. The names are those of the
OpenRLHF launch script, so that a script can be pasted (`SFTConfig.from_command`).

    config = SFTConfig(pretrain="data/tiny-base", dataset="data/train.jsonl")
    config.with_(learning_rate=1e-4)          # a changed copy; a config itself never changes
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from sftkit.complaints import fault_of
from sftkit.complaints import nearest as nearest
from sftkit.conflicts import conflicts, split_sources
from sftkit.errors import ConfigError

GROUPS = ("model", "data", "batch", "optimizer", "deepspeed", "saving", "lora", "hardware")


def _setting(
    default: Any, group: str, help: str, *, unit: str = "", common: bool = False, **bounds: Any
) -> Any:
    """A field of SFTConfig: `group`, `unit` and `common` (shown first in the form) travel in `json_schema_extra`."""
    extra = {"group": group, "unit": unit, "common": common}
    return Field(default, description=help, json_schema_extra=extra, **bounds)


class SFTConfig(BaseModel):
    """The settings of one supervised fine-tuning run. A config never changes; `with_` makes a changed copy.

        import sftkit as sk

        config = sk.SFTConfig(
            pretrain="data/tiny-base",
            dataset="data/train.jsonl",
            max_samples=64,
            max_len=128,
            train_batch_size=16,
            learning_rate=1e-3,
        )
        config.with_(learning_rate=1e-4)
        print(config.to_command("openrlhf==0.8.9"))

    Raises `ConfigError` with every fault at once: unknown names (with the nearest known one), wrong types, values out
    of bounds, and settings that exclude each other.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, protected_namespaces=())

    # model
    pretrain: str = _setting(
        ..., "model", "Folder or hub id of the model to start from.", common=True, min_length=1
    )
    flash_attn: bool = _setting(
        False, "model", "Use flash attention where the card and the installation have it; sdpa otherwise."
    )
    attn_implementation: Literal["auto", "flash_attention_2", "flash_attention_3", "sdpa", "eager"] = (
        _setting(
            "auto", "model", "Code that computes attention; auto: the fastest that is right on this machine."
        )
    )
    gradient_checkpointing: bool = _setting(
        False, "model", "Recompute activations in the backward pass: far less memory, about a third slower."
    )
    seed: int = _setting(42, "model", "Seed of shuffling, sampling and dropout.", ge=0, le=2**32 - 1)
    full_determinism: bool = _setting(
        False, "model", "Only algorithms that give the same bits every time; slower on GPUs."
    )

    # data
    dataset: str = _setting(
        ...,
        "data",
        "Training data: a JSONL, JSON, CSV, Parquet or Arrow file, a save_to_disk folder or a hub id; several with commas between.",
        common=True,
        min_length=1,
    )
    eval_dataset: str | None = _setting(
        None, "data", "Held-out data for the eval loss, in the same columns.", common=True
    )
    dataset_probs: tuple[float, ...] | None = _setting(
        None,
        "data",
        "Share of each source in the mix, one number a source; empty: every row of every source.",
    )
    dataset_caps: tuple[int, ...] | None = _setting(
        None, "data", "At most so many rows of each source, drawn with the seed; 0: all of it.", unit="rows"
    )
    dataset_split: str = _setting(
        "train", "data", "Split to train on, where the data has splits (hub, save_to_disk).", min_length=1
    )
    eval_split: str | None = _setting(
        None, "data", "Split to evaluate on; empty: validation, else test, else the only one there is."
    )
    input_key: str = _setting(
        "prompt", "data", "Column with the prompt, or with a list of messages.", common=True, min_length=1
    )
    output_key: str | None = _setting(
        "response",
        "data",
        "Column with the answer; empty when the input column holds whole conversations.",
        common=True,
    )
    task_key: str | None = _setting(
        "task",
        "data",
        "Column with the task type, for the eval loss by task; ignored where the data has none.",
    )
    input_template: str | None = _setting(
        None, "data", "Text around the prompt, with {} where it goes; empty: the project's plain template."
    )
    apply_chat_template: bool = _setting(
        False, "data", "Use the chat template that the model's tokenizer brings."
    )
    chat_template: str | None = _setting(
        None, "data", "Chat template to use instead: a known name (chatml, llama3, zephyr …) or a jinja file."
    )
    max_len: int = _setting(
        2048, "data", "Longest row; later turns that do not fit are left out whole, and a cut answer is not taught to end.",
        unit="tokens", common=True, ge=8,
    )  # fmt: skip
    max_samples: int | None = _setting(
        None, "data", "Train on at most this many rows, drawn with the seed; empty: all.", unit="rows", ge=1
    )
    packing: bool = _setting(
        False,
        "data",
        "Lay the rows of a step into as few sequences of max_len as hold them, attention kept apart per row.",
    )

    # batch
    train_batch_size: int = _setting(
        128, "batch", "Rows in one optimizer step, over all processes.", unit="rows", common=True, ge=1
    )
    micro_train_batch_size: int = _setting(
        8, "batch", "Rows that one process computes at a time (with packing: sequences of max_len); smaller needs less memory.", unit="rows", common=True, ge=1
    )  # fmt: skip
    max_epochs: int = _setting(1, "batch", "Passes over the training data.", unit="epochs", common=True, ge=1)

    # optimizer
    learning_rate: float = _setting(
        5e-6, "optimizer", "Peak learning rate.", common=True, gt=0, le=1.0, allow_inf_nan=False
    )
    lr_scheduler: Literal["cosine_with_min_lr", "cosine", "linear", "constant_with_warmup", "constant"] = (
        _setting(
            "cosine_with_min_lr",
            "optimizer",
            "Shape of the learning rate; cosine_with_min_lr ends at a tenth of the peak.",
        )
    )
    lr_warmup_ratio: float = _setting(
        0.03, "optimizer", "Share of the steps in which the learning rate rises from zero.", ge=0, le=1
    )
    adam_betas: tuple[float, float] = _setting(
        (0.9, 0.95), "optimizer", "AdamW's decay of the mean and of the variance of gradients."
    )
    l2: float = _setting(0.0, "optimizer", "Weight decay; norms and biases are left out.", ge=0, le=1)
    max_norm: float = _setting(1.0, "optimizer", "Gradients are clipped to this norm; 0: no clipping.", ge=0)

    # deepspeed
    zero_stage: int = _setting(
        2, "deepspeed", "What is split over the processes: 1 optimizer state, 2 and gradients, 3 and weights.", common=True, ge=0, le=3)  # fmt: skip
    bf16: bool = _setting(
        True, "deepspeed", "Compute in bfloat16 with fp32 master weights; off: fp32 throughout.", common=True
    )
    fp16: bool = _setting(
        False,
        "deepspeed",
        "Compute in float16 with a loss scale, for cards without bfloat16; bf16 must be off.",
    )
    adam_offload: bool = _setting(
        False, "deepspeed", "Keep the optimizer state in the memory of the machine instead of the card's."
    )

    # saving
    save_path: str | None = _setting(
        None, "saving", "Folder for the finished model; empty: the run's own folder.", common=True
    )
    save_steps: int = _setting(
        -1,
        "saving",
        "A checkpoint every so many steps; -1: only when the run is stopped.",
        unit="steps",
        ge=-1,
    )
    eval_steps: int = _setting(
        -1, "saving", "The eval loss every so many steps; -1: once an epoch; 0: never.", unit="steps", ge=-1
    )
    logging_steps: int = _setting(
        1,
        "saving",
        "A point on the curve every so many steps; -1: once an epoch; 0: never.",
        unit="steps",
        ge=-1,
    )
    ckpt_path: str | None = _setting(None, "saving", "Folder for checkpoints; empty: the run's own folder.")
    max_ckpt_num: int = _setting(
        3, "saving", "Checkpoints kept, older ones are deleted; -1: all are kept.", ge=-1
    )
    load_checkpoint: bool = _setting(
        False, "saving", "Go on from the newest checkpoint of the same settings and data, if there is one."
    )

    report_to: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] | None = _setting(
        None,
        "saving",
        "Trackers that get the metrics too: tensorboard, wandb, mlflow; keys come from the environment.",
    )

    sample_prompts: int = _setting(
        3,
        "saving",
        "Prompts that are answered at each checkpoint and at the end, drawn with the seed from the eval set, else from the training set; 0: none.",
        unit="rows",
        ge=0,
    )
    sample_tokens: int = _setting(64, "saving", "Longest of these answers.", unit="tokens", ge=1)

    # lora
    lora_rank: int = _setting(0, "lora", "Rank of the LoRA matrices; 0: all weights are trained.", ge=0)
    lora_alpha: int = _setting(16, "lora", "Scale of the LoRA update (alpha / rank).", ge=1)
    lora_dropout: float = _setting(
        0.0, "lora", "Share of the LoRA input that is dropped at random.", ge=0, lt=1
    )
    target_modules: tuple[str, ...] | None = _setting(
        None,
        "lora",
        "Names of the layers that get LoRA matrices; empty: every linear layer but the output head.",
    )
    load_in_4bit: bool = _setting(
        False, "lora", "QLoRA: hold the frozen weights in 4 bits (needs a GPU and bitsandbytes)."
    )
    merge_lora: bool = _setting(
        True, "lora", "Export the whole model with the LoRA update in its weights; off: the adapter alone."
    )

    # hardware
    gpus: tuple[int, ...] | None = _setting(
        None, "hardware", "Ids of the GPUs to use; empty: the first one, or the CPU where there is none."
    )
    num_processes: int | None = _setting(
        None, "hardware", "Training processes on all hosts; empty: one for each GPU, or one on the CPU.", ge=1
    )
    launcher: Literal["local", "pdsh", "slurm", "manual"] = _setting(
        "local",
        "hardware",
        "Who starts the processes: this machine, DeepSpeed over pdsh, Slurm, or DeepSpeed by hand on each host.",
    )
    hostfile: str | None = _setting(
        None, "hardware", "DeepSpeed's list of hosts, a line each: name slots=N (for pdsh and manual)."
    )

    @field_validator(
        "save_path",
        "eval_dataset",
        "output_key",
        "task_key",
        "input_template",
        "ckpt_path",
        "gpus",
        "dataset_probs",
        "dataset_caps",
        "eval_split",
        "chat_template",
        "report_to",
        "target_modules",
        "hostfile",
        mode="before",
    )
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        """Forms and commands have no None: an empty text or list stands for it."""
        return None if value in ("", (), []) else value

    @field_validator("dataset", "eval_dataset", mode="before")
    @classmethod
    def _several_are_one_text(cls, value: Any) -> Any:
        """Paths and lists of sources are taken too; a setting is text, as a command has it: commas between them."""
        names = value if isinstance(value, (list, tuple)) else [value]
        return ",".join(map(str, names)) if all(isinstance(name, (str, Path)) for name in names) else value

    def __init__(self, **settings: Any):
        try:
            super().__init__(**settings)
        except ValidationError as error:
            faults = [fault_of(detail, type(self).model_fields) for detail in error.errors()]
            bad = {str(detail["loc"][0]) for detail in error.errors() if detail["loc"]}
            # What depends on several settings is looked at too, as far as those settings are sound.
            sound = {
                name: field.default for name, field in type(self).model_fields.items() if name not in bad
            }
            sound |= {name: value for name, value in settings.items() if name in sound}
            raise ConfigError(faults + conflicts(sound)) from None
        if faults := conflicts(self.to_dict()):
            raise ConfigError(faults)

    # copies and forms

    def with_(self, **changes: Any) -> SFTConfig:
        """A copy with some settings changed, checked again as a whole."""
        return type(self)(**{**self.to_dict(), **changes})

    def to_dict(self) -> dict[str, Any]:
        """All settings as plain values (JSON holds them); `SFTConfig.from_dict` takes them back."""
        return self.model_dump(mode="json")

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> SFTConfig:
        """A config from `to_dict`'s values."""
        return cls(**settings)

    def changed(self) -> dict[str, Any]:
        """The settings that differ from their defaults, in the order of this file."""
        fields = type(self).model_fields
        return {name: value for name in fields if (value := getattr(self, name)) != fields[name].default}

    def to_code(self) -> str:
        """Python that evaluates to these settings, given `import sftkit as sk`."""
        lines = [f"    {name}={value!r}," for name, value in self.changed().items()]
        return "\n".join(["sk.SFTConfig(", *lines, ")"])

    def __repr__(self) -> str:
        return f"SFTConfig({', '.join(f'{name}={value!r}' for name, value in self.changed().items())})"

    __str__ = __repr__

    @classmethod
    def from_command(cls, text: str) -> SFTConfig:
        """The settings of a pasted launch command or YAML file: OpenRLHF `train_sft` (the flags of every version), TRL,
        LLaMA-Factory, or sftkit's own. `sk.translate` explains it flag by flag.

        What the command leaves out is as its program has it, else sftkit's default. Flags that sftkit has no setting
        for are named in a warning; unknown ones raise `ConfigError`, all at once.
        """
        from sftkit import command  # it leans on this module

        found = command.translate(text)
        if found.faults:
            raise ConfigError(list(found.faults))
        if found.unused:
            warnings.warn(f"sftkit has no setting for {', '.join(found.unused)}; left out.", stacklevel=2)
        return cls(**found.settings)

    def to_command(self, target: str = "sftkit") -> str:
        """These settings as a shell command for `target`: "sftkit", "openrlhf==0.8.9", "openrlhf==0.11" or "trl".

        What the target cannot say stands in comment lines below; `command.write(config, target).left_out` lists it.
        """
        from sftkit import command

        return command.write(self, target).text

    def to_trl_python(self) -> str:
        """These settings as a Python script that trains with TRL; what TRL does not do is told in its comments."""
        from sftkit.command.trl_python import trl_python

        return trl_python(self).text

    def to_yaml(self) -> str:
        """The settings that differ from their defaults as YAML, one a line; `SFTConfig.from_yaml` takes them back."""
        from sftkit.command.yaml_text import dump

        return dump(self.changed())

    @classmethod
    def from_yaml(cls, text: str) -> SFTConfig:
        """A config from `to_yaml`'s text. Raises `ConfigError` for what is no YAML, unknown names and faulty values."""
        from sftkit.command.yaml_text import load

        return cls(**load(text))

    # derived figures

    @property
    def processes(self) -> int:
        """How many training processes (ranks) the run has."""
        return self.num_processes or len(self.gpus or ()) or 1

    @property
    def sources(self) -> list[str]:
        """The training sources: files, folders or hub ids."""
        return split_sources(self.dataset)

    @property
    def eval_sources(self) -> list[str]:
        """The held-out sources; none where there is no eval set."""
        return split_sources(self.eval_dataset or "")

    def accumulation(self, processes: int | None = None) -> int:
        """Micro-batches that one process adds up for an optimizer step (at least 1). With packing, their number depends
        on the rows of each step."""
        return max(1, self.train_batch_size // (self.micro_train_batch_size * (processes or self.processes)))
