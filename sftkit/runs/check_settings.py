"""Preflight checks of settings against each other and against this machine."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from sftkit.runs import hardware
from sftkit.runs.findings import Finding, check
from sftkit.runs.look import Look
from sftkit.wording import say

SMALL_MODEL = 100_000_000  # weights; smaller models stand, and need, larger learning rates
# Highest and lowest learning rate that anybody means: full tuning of a large model, of a small one, LoRA.
RATES = {"large": (1e-7, 2e-4, 1e-5), "small": (1e-6, 1e-2, 1e-3), "lora": (1e-6, 5e-3, 2e-4)}


@check
def rows_fewer_than_a_batch(look: Look) -> Iterator[Finding]:
    config, rows = look.config, look.rows_used
    if not rows or rows >= config.train_batch_size:
        return
    unit = config.micro_train_batch_size * config.processes
    less = rows // unit * unit
    batch = config.train_batch_size
    words = say("1 row is less than one batch of {batch}: an epoch is a single step.", batch=batch) if rows == 1 else say("{rows} rows are less than one batch of {batch}: an epoch is a single step.", rows=rows, batch=batch)  # fmt: skip
    yield Finding(
        "warn",
        "train_batch_size",
        words,
        {"train_batch_size": less} if less else {},
        say("Set train_batch_size={less}", less=less) if less else "",
    )


@check
def learning_rate_far_out(look: Look) -> Iterator[Finding]:
    kind = "lora" if look.config.lora_rank else "large"
    if kind == "large" and look.parameters and look.parameters < SMALL_MODEL:
        kind = "small"
    low, high, usual = RATES[kind]
    rate = look.config.learning_rate
    if rate > high or rate < low:
        what = {"large": say("full tuning"), "small": say("full tuning of a small model"), "lora": "LoRA"}[
            kind
        ]
        effect = say("the loss may blow up") if rate > high else say("hardly anything will be learned")
        yield Finding("warn", "learning_rate", say("{rate:g} is far out for {what} ({low:g} to {high:g}): {effect}.", rate=rate, what=what, low=low, high=high, effect=effect), {"learning_rate": usual}, say("Set learning_rate={usual:g}", usual=usual))  # fmt: skip


@check
def eval_steps_without_eval_set(look: Look) -> Iterator[Finding]:
    if look.config.eval_steps > 0 and not look.config.eval_dataset:
        yield Finding("warn", "eval_steps", say("Every {eval_steps} steps, but there is no eval_dataset: there will be no eval loss.", eval_steps=look.config.eval_steps), {"eval_steps": -1}, say("Set eval_steps=-1"))  # fmt: skip


@check("device")
def gpus_are_there(look: Look) -> Iterator[Finding]:
    wished, there = look.config.gpus, {gpu.id for gpu in look.gpus}
    if not wished or look.config.launcher != "local":
        return
    missing = [gpu for gpu in wished if gpu not in there]
    visible = hardware.visible_ids()
    hidden = [gpu for gpu in wished if gpu in there and visible is not None and str(gpu) not in visible]
    if missing and not there:
        yield Finding("stop", "gpus", say("GPU {missing} asked for, and no NVIDIA GPU is found here.", missing=_list(missing)), {"gpus": None, "num_processes": None}, say("Train on the CPU"))  # fmt: skip
    elif missing:
        yield Finding("stop", "gpus", say("There is no GPU {missing} here; there is {sorted}.", missing=_list(missing), sorted=_list(sorted(there))), {"gpus": sorted(there)[: len(wished)], "num_processes": None}, say("Use those that are there"))  # fmt: skip
    # Entries may also be UUIDs, which say nothing of ids.
    if hidden and all(entry.isdigit() for entry in visible or ()):
        told = ",".join(visible or ()) or "nothing"
        yield Finding("stop", "gpus", say("GPU {hidden} is not among those given to this process (CUDA_VISIBLE_DEVICES={told}).", hidden=_list(hidden), told=told), {"gpus": [int(entry) for entry in visible or ()] or None, "num_processes": None}, say("Use those given"))  # fmt: skip


@check("device")
def gpus_for_every_process(look: Look) -> Iterator[Finding]:
    visible = hardware.visible_ids()
    count = len(look.gpus) if visible is None else min(len(look.gpus), len(visible))
    ranks = look.config.processes
    if look.config.launcher == "local" and not look.config.gpus and 0 < count < ranks:
        yield Finding("stop", "num_processes", say("{ranks} processes and {count} GPUs: each process needs a GPU of its own.", ranks=ranks, count=count), {"num_processes": count}, say("Set num_processes={count}", count=count))  # fmt: skip


@check("device")
def processes_and_cores(look: Look) -> Iterator[Finding]:
    cores = hardware.cpu_cores()
    if _cpu_only(look) and look.config.processes > cores:
        yield Finding("warn", "num_processes", say("{processes} processes share {cores} CPU cores: one process is faster.", processes=look.config.processes, cores=cores), {"num_processes": None}, say("Use one process"))  # fmt: skip


@check("device")
def flash_attn_is_there(look: Look) -> Iterator[Finding]:
    if not look.config.flash_attn:
        return
    if _cpu_only(look):
        yield Finding(
            "inform", "flash_attn", say("There is no GPU here: the run uses sdpa, with the same result.")
        )
    elif find_spec("flash_attn") is None:
        yield Finding("inform", "flash_attn", say("The package flash-attn is not installed: the run uses sdpa, with the same result."))  # fmt: skip


@check("device")
def attention_is_there(look: Look) -> Iterator[Finding]:
    chosen = look.config.attn_implementation
    package = {"flash_attention_2": "flash_attn", "flash_attention_3": "flash_attn_interface"}.get(chosen)
    if not package:
        return
    fix = ({"attn_implementation": "auto"}, say("Take the fastest that is here"))
    if _cpu_only(look):
        yield Finding("stop", "attn_implementation", say("{chosen} runs on GPUs only, and there is none here.", chosen=chosen), *fix)  # fmt: skip
    elif find_spec(package) is None:
        yield Finding("stop", "attn_implementation", say("{chosen} needs the package {package}, which is not installed.", chosen=chosen, package=package), *fix)  # fmt: skip


@check("device")
def what_only_gpus_do(look: Look) -> Iterator[Finding]:
    config = look.config
    if config.load_in_4bit and find_spec("bitsandbytes") is None:
        yield Finding("stop", "load_in_4bit", say('needs bitsandbytes: pip install "bitsandbytes>=0.43".'), {"load_in_4bit": False}, say("LoRA on whole weights"))  # fmt: skip
    if not _cpu_only(look):
        return
    if config.fp16:
        yield Finding("stop", "fp16", say("There is no GPU here, and CPUs do not train in float16."), {"fp16": False}, say("Train in float32"))  # fmt: skip
    if config.load_in_4bit:
        yield Finding("stop", "load_in_4bit", say("There is no GPU here, and 4-bit weights need one."), {"load_in_4bit": False}, say("LoRA on whole weights"))  # fmt: skip
    if config.adam_offload:
        yield Finding("inform", "adam_offload", say("There is no GPU here: the optimizer state is in the machine's memory anyway."))  # fmt: skip


@check
def trackers_are_there(look: Look) -> Iterator[Finding]:
    chosen = look.config.report_to or ()
    missing = [name for name in chosen if find_spec(name) is None]
    rest = [name for name in chosen if name not in missing]
    for name in missing:
        yield Finding("stop", "report_to", say('{name} is not installed: pip install "sftkit-jupyter[{name}]".', name=name), {"report_to": rest or None}, say("Leave {name} out", name=name))  # fmt: skip
    if look.config.launcher == "pdsh" and {"wandb", "mlflow"} & set(rest):
        yield Finding("inform", "report_to", say("Over pdsh the run gets the environment of an ssh login on the first host, not this one's: its keys must be known there."))  # fmt: skip


def _cpu_only(look: Look) -> bool:
    """Whether the run has no GPU, as far as can be known: other hosts may have some."""
    return not look.gpus and look.config.launcher == "local"


def _list(numbers) -> str:
    return ", ".join(str(number) for number in numbers)
