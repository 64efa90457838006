"""What preflight works out from settings and data: rows, steps, warm-up, tokens, time. Nothing here stops a run."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sftkit.errors import DataError
from sftkit.runs import folder as disk
from sftkit.runs.findings import Finding, check
from sftkit.runs.look import Look
from sftkit.wording import Said, listed, say


@check("tokenizer")
def rows_and_tokens(look: Look) -> Iterator[Finding]:
    if not look.rows_used:
        return
    words = _about(look.train.whole, say("{n:,} rows", n=look.rows_used))
    seen = look.encoded
    if seen and not isinstance(seen, DataError):
        each = sum(len(row.input_ids) for row in seen) / len(seen)
        trained = sum(int(row.loss_mask.sum()) for row in seen) / len(seen)
        words = say("{rows} of {each:.0f} tokens on average, {trained:.0f} of them trained: about {all:,.0f} trained tokens an epoch", rows=words, each=each, trained=trained, all=_round(trained * look.rows_used))  # fmt: skip
    yield Finding("inform", "dataset", say("{words}.", words=words))


@check
def rows_of_each_source(look: Look) -> Iterator[Finding]:
    train, config = look.train, look.config
    mixes = len(train.sources) > 1 or config.dataset_probs or config.dataset_caps
    if not mixes or not look.rows_used:
        return
    parts = []
    for (source, columns), size in zip(train.columns, train.sizes):
        words = say("{n:,} of {total:,} rows of {name} ({columns})", n=size, total=source.total, name=source.name, columns=str(columns))  # fmt: skip
        parts.append(_about(source.whole, words))
    total = sum(train.sizes)
    most = config.max_samples or total
    draws = say("; max_samples draws {n:,} of them", n=most) if total > most else ""
    yield Finding("inform", "dataset", say("The mix: {parts}{draws}.", parts=listed(parts), draws=draws))


@check
def batch_and_steps(look: Look) -> Iterator[Finding]:
    config = look.config
    ranks = config.processes
    many = say("{n} processes", n=ranks) if ranks > 1 else say("1 process")
    if config.packing:  # how many sequences they fill depends on their lengths
        most = config.micro_train_batch_size * config.max_len
        yield Finding("inform", "train_batch_size", say("One optimizer step is {batch} rows over {many}, packed: at most {micro_train_batch_size} sequences of {max_len} tokens ({most:,} tokens) at a time.", batch=config.train_batch_size, many=many, micro_train_batch_size=config.micro_train_batch_size, max_len=config.max_len, most=most))  # fmt: skip
    else:
        yield Finding(
            "inform",
            "train_batch_size",
            say(
                "One optimizer step is {micro} rows x {times} accumulated x {many}.",
                micro=config.micro_train_batch_size,
                times=config.accumulation(),
                many=many,
            ),
        )
    if look.rows_used:
        an_epoch = look.steps_an_epoch
        total = an_epoch * config.max_epochs
        warm = 0 if config.lr_scheduler == "constant" else math.ceil(config.lr_warmup_ratio * total)
        steps = say("{n:,} steps an epoch", n=an_epoch) if an_epoch > 1 else say("1 step an epoch")
        yield Finding("inform", "max_epochs", say("{steps}, {total:,} in all, {warm:,} of them warm-up.", steps=_about(look.train.whole, steps), total=total, warm=warm))  # fmt: skip


# A step takes equally long where these are the same: what is learned, and from what, does not matter.
SPEED = (
    "pretrain", "flash_attn", "attn_implementation", "gradient_checkpointing", "packing", "micro_train_batch_size",
    "zero_stage", "bf16", "fp16", "adam_offload", "lora_rank", "load_in_4bit", "launcher",
)  # fmt: skip
RUNS = 50  # so many of the newest runs are looked at


@check("tokenizer")
def time_of_the_run(look: Look) -> Iterator[Finding]:
    """Known once a run with the same model and settings has done a step."""
    if not look.rows_used or not look.seen:
        return
    for folder in look.runs[:RUNS]:
        record = disk.read_json(folder / disk.RUN)
        if _is_as_fast(record, look) and (speed := _speed(folder)):
            tokens = sum(row.used for _, row in look.seen) / len(look.seen) * look.rows_used
            seconds = tokens * look.config.max_epochs / speed
            yield Finding("inform", "max_epochs", say("About {seconds}, at the {speed:,.0f} tokens a second of the run {name}.", seconds=_duration(seconds), speed=speed, name=folder.name))  # fmt: skip
            return


def _is_as_fast(record: dict[str, Any], look: Look) -> bool:
    """Whether a run had the same model, kind of computation and number of processes, on as many cards."""
    then, now = record.get("config"), look.config.to_dict()
    if not isinstance(then, dict) or record.get("processes") != look.config.processes:
        return False
    on_cards = bool(record.get("gpus")) == bool(look.config.gpus)
    where = Path(record.get("cwd") or ".", str(then.get("pretrain"))).absolute()
    same_model = then.get("pretrain") == now["pretrain"] or where == Path(now["pretrain"]).absolute()
    return on_cards and same_model and all(then.get(name) == now[name] for name in SPEED if name != "pretrain")  # fmt: skip


def _speed(folder: Path) -> float:
    """Tokens a second at the end of a run's metrics, the median of its last lines; 0 where no step was logged."""
    lines = disk.parse([line.encode() for line in disk.tail(folder / disk.METRICS, 30).splitlines()])
    speeds = [speed for line in lines if isinstance(speed := line.get("tokens_per_second"), (int, float)) and speed > 0]  # fmt: skip
    return statistics.median(speeds) if speeds else 0.0


def _about(certain: bool, words: Said) -> Said:
    """The words as they are where the count is certain."""
    return words if certain else say("about {words}", words=words)


def _duration(seconds: float) -> Said:
    """Two units are all an estimate is worth."""
    if seconds < 90:
        return say("{n} s", n=max(1, round(seconds)))
    minutes = round(seconds / 60)
    if minutes < 90:
        return say("{n} min", n=minutes)
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return say("{hours} h {minutes} min", hours=hours, minutes=minutes)
    return say("{days} days {hours} h", days=hours // 24, hours=hours % 24)


def _round(count: float) -> float:
    """Two or three digits are all a sample of rows can tell."""
    return float(f"{count:.2g}")
