"""The finished model as Hugging Face files: weights, config, and the tokenizer with the template it was trained on."""

from __future__ import annotations

import copy
import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import transformers

from sftkit.config import SFTConfig
from sftkit.data import Encoder
from sftkit.errors import ConfigError, Fault
from sftkit.runs import folder as disk
from sftkit.training import communication, lora
from sftkit.training.engine import compute_dtype
from sftkit.training.run_files import RunFiles

ADAPTER = "adapter"


def target(config: SFTConfig, run_folder: Path) -> Path:
    """Where the model goes. Raises `ConfigError` before any training when that place must not be overwritten."""
    if config.save_path is None:
        return run_folder / disk.MODEL
    path = Path(config.save_path).absolute()
    if Path(config.pretrain).is_dir() and path.resolve() == Path(config.pretrain).resolve():
        raise ConfigError(
            [Fault("save_path", "is the folder of the model to start from.", "Name another one.")]
        )
    if path.exists() and (not path.is_dir() or (any(path.iterdir()) and not disk.holds_model(path))):
        raise ConfigError(
            [Fault("save_path", f"{path} is there already and holds no model.", "Name another one.")]
        )
    return path


def export(engine: Any, path: Path, config: SFTConfig, encoder: Encoder, files: RunFiles) -> None:
    """Write the model to `path`, with its card, complete or not at all. Every rank must call it.

    After LoRA: the whole model with the update in its weights and the adapter in its folder `adapter`, or, with
    merge_lora=False, the adapter alone.
    """
    weights = _weights(engine)
    if dist.get_rank() == 0:
        part = path.with_name(f".{path.name}-part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        model = engine.module.model
        if config.lora_rank:
            _write_after_lora(model, weights, part, config, encoder)
        else:
            dtype = compute_dtype(config)
            _write_model(model, {name: weight.to(dtype) for name, weight in weights.items()}, part, encoder)
        write_tokenizer(part, encoder)
        _write_card(part, path, files, communication.name_of(engine.device))
        _replace_folder(part, path)
    dist.barrier()


def _write_model(model: Any, weights: dict[str, torch.Tensor], folder: Path, encoder: Encoder) -> None:
    model.config.dtype = next(iter(weights.values())).dtype
    model.generation_config = _generation_config(model, encoder)
    model.save_pretrained(folder, state_dict=weights)


def _write_after_lora(model: Any, weights: dict[str, torch.Tensor], part: Path, config: SFTConfig, encoder: Encoder) -> None:  # fmt: skip
    base = model.get_base_model()
    lora.write_adapter(model, weights, part / ADAPTER if config.merge_lora else part)
    if not config.merge_lora:
        _generation_config(base, encoder).save_pretrained(part)
        return
    if config.load_in_4bit:
        weights = lora.with_base_from_disk(weights, config)
        base.config.__dict__.pop("quantization_config", None)
        base = type(base)._from_config(base.config)  # the one in hand knows only its 4-bit weights
    _write_model(base, lora.merged(weights, config, compute_dtype(config)), part, encoder)


def _weights(engine: Any) -> dict[str, torch.Tensor] | None:
    """The whole model's weights on the CPU, on rank 0 (None on the others of ZeRO-3)."""
    if engine.zero_optimization_partition_weights():
        weights = engine._zero3_consolidated_16bit_state_dict()  # of any dtype, despite its name
    else:
        weights = engine.module.state_dict() if dist.get_rank() == 0 else None
    return weights and {name.removeprefix("model."): weight.cpu() for name, weight in weights.items()}


def _generation_config(model: Any, encoder: Encoder) -> transformers.GenerationConfig:
    """The base model's, with the end of an answer as an end of generation."""
    vocabulary = encoder.vocabulary
    settings = copy.deepcopy(model.generation_config) or transformers.GenerationConfig()
    settings._from_model_config = False  # else whoever loads it may derive it from the config again
    ends = dict.fromkeys([encoder.template.end.strip(), vocabulary.eos])
    ids = [number for token in ends if (number := vocabulary.id(token)) is not None]
    settings.eos_token_id = ids[0] if len(ids) == 1 else ids or None
    settings.bos_token_id = vocabulary.id(vocabulary.bos)
    settings.pad_token_id = vocabulary.id(vocabulary.tokens.get("pad_token") or vocabulary.eos)
    return settings


def write_tokenizer(folder: Path, encoder: Encoder) -> None:
    """The base model's tokenizer files, unchanged, with the chat template of the training."""
    for file in encoder.vocabulary.files:
        if file.name != "chat_template.jinja":  # it would rule over the template below
            shutil.copyfile(file, folder / file.name)
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    settings["chat_template"] = encoder.template.source
    path.write_text(json.dumps(settings, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _write_card(part: Path, path: Path, files: RunFiles, device: str) -> None:
    """The model card; a README.md that stands at `path` and is not ours stays. No fault in it may cost the model."""
    try:
        from sftkit.runs import model_card  # here: no start waits for it

        (part / model_card.NAME).unlink(missing_ok=True)
        name = model_card.name_for(path)
        if name != model_card.NAME:
            shutil.copyfile(path / model_card.NAME, part / model_card.NAME)
            files.say(f"{path / model_card.NAME} is not ours and stays; the model card is {name}.")
        (part / name).write_text(model_card.text(files.folder, path.name, device), encoding="utf-8")
    except Exception as error:
        files.say(f"The model card could not be written: {type(error).__name__}: {error}")


def _replace_folder(part: Path, path: Path) -> None:
    old = path.with_name(f".{path.name}-old")
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        os.replace(path, old)
    os.replace(part, path)
    shutil.rmtree(old, ignore_errors=True)
