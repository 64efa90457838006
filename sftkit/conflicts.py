"""Settings that cannot stand together: each rule looks at several of them and says what to change.

`SFTConfig` refuses what these rules yield, all of it at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sftkit.errors import Fault
from sftkit.wording import listed, say


def split_sources(text: str) -> list[str]:
    """`a.jsonl, owner/name` -> its parts."""
    return [part.strip() for part in text.split(",") if part.strip()]


def conflicts(settings: dict[str, Any]) -> list[Fault]:
    """Faults that only show in several settings together. `settings` may lack names: then nothing is said of those."""
    return [
        fault
        for rule in (_processes, _batch, _sources, _template, _numbers, _lora)
        for fault in rule(settings)
    ]


def _processes(settings: dict[str, Any]) -> Iterator[Fault]:
    gpus, processes = settings.get("gpus"), settings.get("num_processes")
    if gpus and isinstance(processes, int) and len(gpus) != processes:
        yield Fault("num_processes", say("{processes} processes on {gpus} GPUs.", processes=processes, gpus=len(gpus)), say("Use one process a GPU."), {"num_processes": None})  # fmt: skip
    if gpus and len(set(gpus)) != len(gpus):
        yield Fault("gpus", say("{gpus} names a GPU twice.", gpus=list(gpus)), say("Name each once."), {"gpus": list(dict.fromkeys(gpus)), "num_processes": None})  # fmt: skip
    launcher = settings.get("launcher", "local")
    if launcher in ("pdsh", "manual") and not settings.get("hostfile"):
        yield Fault("hostfile", say("is needed by launcher={launcher!r}.", launcher=launcher), say("Name a file with a line for each host: name slots=N."))  # fmt: skip
    if launcher in ("local", "slurm") and settings.get("hostfile"):
        yield Fault("hostfile", say("is not read by launcher={launcher!r}.", launcher=launcher), say("Set launcher='pdsh', or empty hostfile."), {"hostfile": None})  # fmt: skip
    if launcher != "local" and not processes:
        yield Fault("num_processes", say("must be said when several hosts take part: the processes of all of them."), say("Set it to the sum of the slots."))  # fmt: skip
    if launcher != "local" and gpus:
        yield Fault("gpus", say("names GPUs of this machine only."), say("Empty it; the hosts' slots say how many each uses."), {"gpus": None})  # fmt: skip


def _batch(settings: dict[str, Any]) -> Iterator[Fault]:
    batch, micro = settings.get("train_batch_size"), settings.get("micro_train_batch_size")
    gpus, processes = settings.get("gpus"), settings.get("num_processes")
    if settings.get("packing") or not (isinstance(batch, int) and isinstance(micro, int) and micro >= 1):
        return
    ranks = processes if isinstance(processes, int) else len(gpus or ()) or 1
    unit = micro * ranks
    if batch % unit:
        low, high = batch // unit * unit, (batch // unit + 1) * unit
        nearest_are = (
            say("Nearest: {low} or {high}.", low=low, high=high)
            if low
            else say("Nearest: {high}.", high=high)
        )
        processes_are = say("{n} processes", n=ranks) if ranks > 1 else say("1 process")
        nearest = max(1, round(batch / unit)) * unit
        yield Fault("train_batch_size", say("{batch} is no multiple of micro_train_batch_size {micro} x {processes}.", batch=batch, micro=micro, processes=processes_are), nearest_are, {"train_batch_size": nearest})  # fmt: skip


def _sources(settings: dict[str, Any]) -> Iterator[Fault]:
    dataset, probs, caps = (settings.get(name) for name in ("dataset", "dataset_probs", "dataset_caps"))
    if not isinstance(dataset, str):
        return
    count = len(split_sources(dataset))
    for name, values in (("dataset_probs", probs), ("dataset_caps", caps)):
        if values and len(values) != count:
            yield Fault(name, say("{values} numbers for {count} sources.", values=len(values), count=count) if count != 1 else say("{values} numbers for 1 source.", values=len(values)), say("Give one number for each source in dataset, or none."), {name: None})  # fmt: skip
    numbers = [value for value in probs or () if isinstance(value, (int, float))]
    if numbers and (not (min(numbers) >= 0 and 0 < sum(numbers) < float("inf"))):
        yield Fault("dataset_probs", say("are shares: none below zero, and not all of them zero."), say("Usual: 0.7, 0.3; empty takes every row."), {"dataset_probs": None})  # fmt: skip
    if any(isinstance(value, int) and value < 0 for value in caps or ()):
        none_below = [max(0, value) if isinstance(value, int) else value for value in caps or ()]
        yield Fault("dataset_caps", say("are numbers of rows: none below zero."), say("0 takes all rows of that source."), {"dataset_caps": none_below})  # fmt: skip


def _template(settings: dict[str, Any]) -> Iterator[Fault]:
    template = settings.get("input_template")
    chosen = [
        name for name in ("input_template", "apply_chat_template", "chat_template") if settings.get(name)
    ]
    if len(chosen) > 1:
        others = {name: False if name == "apply_chat_template" else None for name in chosen[:-1]}
        yield Fault(chosen[0], say("and {names} exclude each other.", names=listed(chosen[1:], " and ")), say("Empty all but one."), others)  # fmt: skip
    if isinstance(template, str) and template.count("{}") != 1:
        yield Fault("input_template", say("{template!r} needs exactly one {{}}.", template=template), say("It marks the prompt's place."), {"input_template": None})  # fmt: skip


def _numbers(settings: dict[str, Any]) -> Iterator[Fault]:
    """Number formats, optimizer, attention."""
    if settings.get("adam_offload") and settings.get("zero_stage") == 0:
        yield Fault(
            "adam_offload", say("needs zero_stage 1 or more."), say("Set zero_stage=2."), {"zero_stage": 2}
        )
    if settings.get("bf16") and settings.get("fp16"):
        yield Fault(
            "fp16", say("and bf16 exclude each other."), say("Set bf16=False for float16."), {"bf16": False}
        )
    if settings.get("flash_attn") and settings.get("attn_implementation") in ("sdpa", "eager"):
        yield Fault("attn_implementation", say("and flash_attn say different things."), say("Set flash_attn=False, or attn_implementation='auto'."), {"attn_implementation": "auto"})  # fmt: skip
    if settings.get("max_ckpt_num") == 0:
        yield Fault(
            "max_ckpt_num",
            say("0 would keep none."),
            say("Set 1 or more, or -1 to keep all."),
            {"max_ckpt_num": 1},
        )
    betas = settings.get("adam_betas")
    if isinstance(betas, (tuple, list)) and not all(
        isinstance(b, (int, float)) and 0 <= b < 1 for b in betas
    ):
        yield Fault("adam_betas", say("{betas!r}: each must be at least 0 and below 1.", betas=tuple(betas)), say("Usual: 0.9, 0.95."), {"adam_betas": [0.9, 0.95]})  # fmt: skip


def _lora(settings: dict[str, Any]) -> Iterator[Fault]:
    if settings.get("load_in_4bit") and settings.get("lora_rank") == 0:
        yield Fault(
            "load_in_4bit",
            say("freezes all weights, so something must be trained beside them."),
            say("Set lora_rank=16."),
            {"lora_rank": 16},
        )
    if settings.get("load_in_4bit") and settings.get("zero_stage") == 3:
        yield Fault("load_in_4bit", say("and zero_stage=3 exclude each other: 4-bit weights cannot be split."), say("Set zero_stage=2."), {"zero_stage": 2})  # fmt: skip
