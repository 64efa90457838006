"""Settings as a Python script that trains with TRL: runnable, and with a comment for whatever TRL does not do.

print(config.to_trl_python())         # accelerate launch --num_processes N script.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from sftkit.command.words import said
from sftkit.command.writing import TRL_COMMAND, LeftOut, Written, arguments, attention_code, unsaid
from sftkit.config import SFTConfig

LOADERS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet", ".arrow": "arrow"}
DEEPSPEED = {"train_micro_batch_size_per_gpu": "auto", "gradient_accumulation_steps": "auto", "gradient_clipping": "auto"}  # fmt: skip
# What this script says beyond TRL's command.
SAID = TRL_COMMAND | frozenset(
    "eval_dataset input_template apply_chat_template max_samples dataset_probs merge_lora adam_offload".split()
)


def trl_python(config: SFTConfig, lang: str = "en") -> Written:
    """A script for TRL 1.16 that trains with these settings; `.left_out` is what TRL does not do."""
    left = list(_left_out(config, lang))
    parts = [
        '"""Supervised fine-tuning with TRL 1.16. Run it with:\n\n'
        f'    accelerate launch --num_processes {config.processes} this_script.py\n"""',
        *(each.comment for each in left),
        "",
        *_imports(config),
        "",
        *_data(config),
        "",
        *_model(config),
        *_arguments(config),
        *_training(config),
    ]
    return Written("\n".join(parts) + "\n", tuple(left))


def _left_out(config: SFTConfig, lang: str) -> Iterator[LeftOut]:
    for setting in unsaid(config, SAID):
        yield LeftOut(setting, getattr(config, setting), said("left", "no_flag", lang, target="TRL"))
    if config.dataset_probs:
        yield LeftOut("dataset_probs", config.dataset_probs, said("left", "mix", lang))
    if config.chat_template and not _is_file(config.chat_template):
        yield LeftOut("chat_template", config.chat_template, said("left", "template_known", lang))


def _is_file(template: str) -> bool:
    return bool(re.search(r"[./]", template))


def _imports(config: SFTConfig) -> Iterator[str]:
    names = ["load_dataset"]
    folders = any(_is_folder(source) for source in [*config.sources, *config.eval_sources])
    several = len(config.sources) > 1 or len(config.eval_sources) > 1
    names += ["load_from_disk"] * folders + ["concatenate_datasets"] * several
    names += ["interleave_datasets"] * bool(config.dataset_probs)
    if config.load_in_4bit:
        yield "import torch"
    yield f"from datasets import {', '.join(sorted(names))}"
    if config.lora_rank:
        yield "from peft import LoraConfig"
    if config.load_in_4bit:
        yield "from transformers import BitsAndBytesConfig"
    yield "from trl import SFTConfig, SFTTrainer"


def _is_folder(source: str) -> bool:
    """A save_to_disk folder, as far as its name tells: a hub id is owner/name."""
    return source.startswith((".", "/", "~")) and PurePath(source).suffix not in LOADERS


def _source(source: str, split: str) -> str:
    suffix = PurePath(source).suffix
    if suffix in LOADERS:
        return f"load_dataset({LOADERS[suffix]!r}, data_files={source!r}, split='train')"
    if _is_folder(source):
        return f"load_from_disk({source!r})"
    name, _, subset = source.partition("@")
    return f"load_dataset({name!r}, {f'{subset!r}, ' if subset else ''}split={split!r})"


def _data(config: SFTConfig) -> Iterator[str]:
    yield from _shaped(config)
    loaded = [_source(source, config.dataset_split) for source in config.sources]
    loaded = [f"{each}.map(shaped).select_columns(COLUMNS)" for each in loaded]
    if config.dataset_probs:
        parts = f"    [{', '.join(loaded)}],\n    probabilities={list(config.dataset_probs)!r}, seed={config.seed},"
        yield f"train = interleave_datasets(\n{parts}\n)"
    else:
        yield f"train = {_all(loaded)}"
    if config.max_samples:
        yield f"train = train.shuffle(seed={config.seed}).select(range(min({config.max_samples}, len(train))))"
    if config.eval_sources:
        split = config.eval_split or "test"
        held = [
            f"{_source(source, split)}.map(shaped).select_columns(COLUMNS)" for source in config.eval_sources
        ]
        yield f"held_out = {_all(held)}"


def _all(loaded: list[str]) -> str:
    return loaded[0] if len(loaded) == 1 else f"concatenate_datasets([{', '.join(loaded)}])"


def _shaped(config: SFTConfig) -> Iterator[str]:
    """A function of the script that brings rows into TRL's columns."""
    key, answer = config.input_key, config.output_key
    chat = config.apply_chat_template or config.chat_template
    if not answer:
        yield "COLUMNS = ['messages']"
        yield f"\n\ndef shaped(row):\n    return {{'messages': row[{key!r}]}}\n\n"
    elif chat:
        yield "COLUMNS = ['prompt', 'completion']"
        yield (
            "\n\ndef shaped(row):\n"
            f"    question = {{'role': 'user', 'content': row[{key!r}]}}\n"
            f"    answer = {{'role': 'assistant', 'content': row[{answer!r}]}}\n"
            "    return {'prompt': [question], 'completion': [answer]}\n\n"
        )
    else:
        before, after = (config.input_template or "User:\n{}\n\nAssistant:\n").split("{}")
        head = after.rstrip(" ")  # the blank belongs to the answer: tokenizers join it to its first word
        yield "COLUMNS = ['prompt', 'completion']"
        yield (
            "\n\ndef shaped(row):\n"
            f"    prompt = {before!r} + row[{key!r}] + {head!r}\n"
            f"    return {{'prompt': prompt, 'completion': {after[len(head) :]!r} + row[{answer!r}]}}\n\n"
        )


def _model(config: SFTConfig) -> Iterator[str]:
    if config.lora_rank:
        targets = list(config.target_modules) if config.target_modules else "all-linear"
        yield (
            f"lora = LoraConfig(\n    r={config.lora_rank}, lora_alpha={config.lora_alpha}, "
            f"lora_dropout={config.lora_dropout},\n    target_modules={targets!r}, task_type='CAUSAL_LM',\n)"
        )
    if config.load_in_4bit:
        yield (
            "four_bits = BitsAndBytesConfig(\n    load_in_4bit=True, bnb_4bit_quant_type='nf4', "
            "bnb_4bit_compute_dtype=torch.bfloat16,\n)"
        )


def _arguments(config: SFTConfig) -> Iterator[str]:
    chosen: dict[str, Any] = arguments(config)
    lines = [f"    {name}={value!r}," for name, value in chosen.items()]
    if config.processes > 1 or config.adam_offload or config.zero_stage == 3:
        lines.append(f"    deepspeed={_deepspeed(config)!r},")
    lines.append(f"    model_init_kwargs={_loading(config)},")
    yield "arguments = SFTConfig(\n" + "\n".join(lines) + "\n)"


def _loading(config: SFTConfig) -> str:
    parts = ["'dtype': 'float32'"]  # fp32 master weights, as DeepSpeed keeps them
    if code := attention_code(config):
        parts.append(f"'attn_implementation': {code!r}")
    if config.load_in_4bit:
        parts.append("'quantization_config': four_bits")
    return "{" + ", ".join(parts) + "}"


def _deepspeed(config: SFTConfig) -> dict[str, Any]:
    zero: dict[str, Any] = {"stage": config.zero_stage}
    if config.adam_offload:
        zero["offload_optimizer"] = {"device": "cpu"}
    return {
        **DEEPSPEED,
        "zero_optimization": zero,
        "bf16": {"enabled": config.bf16},
        "fp16": {"enabled": config.fp16},
    }


def _training(config: SFTConfig) -> Iterator[str]:
    more = ", eval_dataset=held_out" if config.eval_sources else ""
    more += ", peft_config=lora" if config.lora_rank else ""
    yield f"trainer = SFTTrainer({config.pretrain!r}, args=arguments, train_dataset=train{more})"
    yield "trainer.train()"
    if config.lora_rank and config.merge_lora:
        yield "trainer.model = trainer.model.merge_and_unload()"
    yield "trainer.save_model()"
