"""LoRA and QLoRA through peft: small matrices are trained beside frozen weights, then merged into them or kept apart."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

from sftkit.config import SFTConfig
from sftkit.errors import ConfigError, Fault
from sftkit.runs import weights as weight_files
from sftkit.training.engine import compute_dtype

ADAPTER = "default"  # peft's name for the only one


def quantized(config: SFTConfig, device: torch.device) -> dict[str, Any]:
    """What `from_pretrained` is told so that it loads frozen weights in 4 bits; nothing without `load_in_4bit`.

    NF4 with double quantisation, as in QLoRA (arXiv:2305.14314). Raises `ConfigError` where that cannot be done.
    """
    if not config.load_in_4bit:
        return {}
    if device.type != "cuda":
        raise ConfigError([Fault("load_in_4bit", "QLoRA needs a GPU, and there is none here.", "Set load_in_4bit=False: plain LoRA runs on the CPU.")])  # fmt: skip
    if find_spec("bitsandbytes") is None:
        raise ConfigError([Fault("load_in_4bit", "QLoRA needs the package bitsandbytes.", "pip install bitsandbytes")])  # fmt: skip
    settings = transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute_dtype(config),
    )  # fmt: skip
    return {"quantization_config": settings, "device_map": {"": device.index}}


def add(model: nn.Module, config: SFTConfig) -> nn.Module:
    """The model with LoRA matrices; its own weights are frozen.

    Raises `ConfigError` when the model has none of the layers named in `target_modules`.
    """
    import peft  # a second, and only for LoRA

    settings = peft.LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=list(config.target_modules) if config.target_modules else "all-linear",
        task_type="CAUSAL_LM",
    )
    if config.load_in_4bit:
        model = peft.prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    if Path(config.pretrain).is_dir():  # written into the adapter's files, to be found from any folder
        model.name_or_path = str(Path(config.pretrain).resolve())
    try:
        return peft.get_peft_model(model, settings)
    except ValueError as error:
        linear = sorted({name.rpartition(".")[2] for name, part in model.named_modules() if isinstance(part, nn.Linear)})  # fmt: skip
        raise ConfigError([Fault("target_modules", str(error), f"Its linear layers are {', '.join(linear)}.")]) from None  # fmt: skip


def is_adapter(name: str) -> bool:
    """Whether a weight of `add`'s model belongs to the LoRA matrices."""
    return ".lora_" in name


def merged(
    weights: dict[str, torch.Tensor], config: SFTConfig, dtype: torch.dtype
) -> dict[str, torch.Tensor]:
    """The base model's weights under their own names, with alpha / rank x B @ A added (arXiv:2106.09685, section 4.1).

    `weights`: those of `add`'s model by name. Added in fp32, then rounded to `dtype` once.
    """
    prefix, base = "base_model.model.", {}
    for name, weight in weights.items():
        if is_adapter(name):
            continue
        own = name.removeprefix(prefix).replace(".base_layer.", ".")
        stem = name.removesuffix(".base_layer.weight")
        if stem != name:
            a, b = (weights[f"{stem}.lora_{part}.{ADAPTER}.weight"].float() for part in "AB")
            weight = weight.float() + config.lora_alpha / config.lora_rank * (b @ a)
        base[own] = weight.to(dtype)
    return base


def with_base_from_disk(weights: dict[str, torch.Tensor], config: SFTConfig) -> dict[str, torch.Tensor]:
    """`weights` with the 4-bit ones replaced by the model's own files, which is what the update is merged into."""
    whole = transformers.AutoModelForCausalLM.from_pretrained(
        config.pretrain, dtype=torch.bfloat16, **weight_files.options()
    ).state_dict()
    adapted = {name.partition(".lora_")[0] for name in weights if is_adapter(name)}
    base = {}
    for name, weight in whole.items():
        stem = "base_model.model." + name.removesuffix(".weight")
        base[f"{stem}.base_layer.weight" if stem in adapted else f"base_model.model.{name}"] = weight
    return {**base, **{name: weight for name, weight in weights.items() if is_adapter(name)}}


def write_adapter(model: Any, weights: dict[str, torch.Tensor], folder: Path) -> None:
    """adapter_config.json and adapter_model.safetensors, as peft loads them."""
    folder.mkdir(parents=True, exist_ok=True)
    ours = {name: weight.contiguous() for name, weight in weights.items() if is_adapter(name)}
    model.save_pretrained(folder, state_dict=ours)
    (folder / "README.md").unlink(missing_ok=True)  # peft's empty form of a model card
