"""What preflight works out from settings and data: rows, steps, warm-up, tokens. Nothing here stops a run."""

from __future__ import annotations

import math
from collections.abc import Iterator

from sftkit.errors import DataError
from sftkit.runs.findings import Finding, check
from sftkit.runs.look import Look


@check("tokenizer")
def rows_and_tokens(look: Look) -> Iterator[Finding]:
    if not look.rows_used:
        return
    about = "" if look.train.whole else "about "
    words = f"{about}{look.rows_used:,} rows"
    seen = look.encoded
    if seen and not isinstance(seen, DataError):
        each = sum(len(row.input_ids) for row in seen) / len(seen)
        trained = sum(int(row.loss_mask.sum()) for row in seen) / len(seen)
        words += f" of {each:.0f} tokens on average, {trained:.0f} of them trained: {_round(trained * look.rows_used)} trained tokens an epoch"  # fmt: skip
    yield Finding("inform", "dataset", words + ".")


@check
def rows_of_each_source(look: Look) -> Iterator[Finding]:
    train, config = look.train, look.config
    mixes = len(train.sources) > 1 or config.dataset_probs or config.dataset_caps
    if not mixes or not look.rows_used:
        return
    parts = []
    for (source, columns), size in zip(train.columns, train.sizes):
        about = "" if source.whole else "about "
        parts.append(f"{about}{size:,} of {source.total:,} rows of {source.name} ({columns})")
    total = sum(train.sizes)
    draws = (
        f"; max_samples draws {config.max_samples:,} of them" if total > (config.max_samples or total) else ""
    )
    yield Finding("inform", "dataset", f"The mix: {', '.join(parts)}{draws}.")


@check
def batch_and_steps(look: Look) -> Iterator[Finding]:
    config = look.config
    ranks = config.processes
    many = f"{ranks} processes" if ranks > 1 else "1 process"
    parts = f"{config.micro_train_batch_size} rows x {config.accumulation()} accumulated x {many}"
    yield Finding("inform", "train_batch_size", f"One optimizer step is {parts}.")
    if look.rows_used:
        an_epoch = look.steps_an_epoch
        total = an_epoch * config.max_epochs
        warm = math.ceil(config.lr_warmup_ratio * total)
        about = "" if look.train.whole else "about "
        yield Finding("inform", "max_epochs", f"{about}{an_epoch:,} steps an epoch, {total:,} in all, {warm:,} of them warm-up.")  # fmt: skip


def _round(count: float) -> str:
    """Two or three digits are all a sample of rows can tell."""
    return f"about {float(f'{count:.2g}'):,.0f}"
