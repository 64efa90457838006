"""What a run reads before it trains: training rows, held-out rows, and the prompts that are answered on the way."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sftkit import data
from sftkit.config import SFTConfig
from sftkit.data import asking
from sftkit.errors import DataError
from sftkit.training.batches import Rows
from sftkit.training.run_files import RunFiles


@dataclass(frozen=True)
class Prompt:
    """A question to the model: its tokens and where it is from; `reference`: the answer in the data, None without."""

    ids: list[int]
    messages: list[dict[str, str]]
    reference: str | None
    task: str
    source: str
    row: int


@dataclass(frozen=True)
class Dataset:
    """`eval_rows`: None without any, or with eval_steps=0; `encoder`: what makes tokens of text."""

    rows: Rows
    eval_rows: Rows | None
    encoder: data.Encoder
    prompts: list[Prompt] = field(default_factory=list)


def load(files: RunFiles, config: SFTConfig) -> Dataset:
    """Read and tokenize, and leave the counts in the run's folder. Raises `DataError`."""
    encoder = data.encoder(config)
    examples = data.read_examples(config, hub=True, tell=lambda words: files.say(f"Patch: {words}."))
    rows = Rows(encoder.encode(examples))
    files.say(f"Training data: {rows.report()}.")
    files.data({"train": rows.counts(), "eval": None})
    if not len(rows):
        raise DataError(f"has no row with anything to train: {rows.report()}.", file=config.dataset)
    eval_rows = None
    if config.eval_dataset and (config.eval_steps != 0 or config.sample_prompts):
        examples = data.read_examples(config, "eval", hub=True)
    if config.eval_dataset and config.eval_steps != 0:
        eval_rows = Rows(encoder.encode(examples))
        files.data({"train": rows.counts(), "eval": eval_rows.counts()})
        files.say(f"Eval data: {eval_rows.report()}.")
    return Dataset(rows, eval_rows or None, encoder, prompts(examples, encoder, config))


def prompts(examples: list[data.Example], encoder: data.Encoder, config: SFTConfig) -> list[Prompt]:
    """Up to `sample_prompts` questions, drawn with the seed; those longer than `max_len` are passed over."""
    found: list[Prompt] = []
    for place in np.random.default_rng([config.seed, len(examples)]).permutation(len(examples)):
        if len(found) == config.sample_prompts:
            break
        example = examples[place]
        asked, reference = _question(example.messages)
        if not asked:
            continue
        ids = asking.prompt_ids(asked, encoder.vocabulary, encoder.template)
        if len(ids) <= config.max_len:
            found.append(Prompt(ids, asked, reference, example.task, example.source, example.row))
    return found


def _question(messages: list[dict[str, str]]) -> tuple[list[dict[str, str]], str | None]:
    """The turns up to the last that is not the assistant's, and the answer that followed."""
    if messages[-1]["role"] != "assistant":
        return messages, None
    return messages[:-1], messages[-1]["content"]
