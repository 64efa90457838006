"""Messages to token ids with their loss mask: the same for the trainer and for whoever looks at a row.

seen = tokenized(config, {"prompt": "2+2?", "response": "4"})
seen.input_ids, seen.tokens, seen.loss_mask, seen.text
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from sftkit.config import SFTConfig
from sftkit.data.shaping import Example, find_columns, to_example
from sftkit.data.templates import ChatTemplate, Span, chat_template
from sftkit.data.vocabulary import Vocabulary
from sftkit.errors import DataError

CHUNK = 4096  # rows given to the tokenizer at once: enough for its threads, little enough for memory


@dataclass(frozen=True)
class Encoded:
    """One row as the trainer sees it.

    `input_ids` [n] int32; `loss_mask` [n] bool, True where the token is trained; `text` the text they stand for;
    `ends` [n] the character at which each token ends; `truncated`: cut at `max_len`, so without an end token.
    """

    input_ids: np.ndarray
    loss_mask: np.ndarray
    text: str
    ends: np.ndarray
    truncated: bool = False
    task: str = ""
    row: int = 0

    @property
    def tokens(self) -> list[str]:
        """The text of each token; joined they give `text`. A character split over tokens stands with the first."""
        bounds = [0, *np.maximum.accumulate(self.ends).tolist()]
        if len(bounds) > 1:
            bounds[-1] = len(self.text)
        return [self.text[a:b] for a, b in pairwise(bounds)]


@dataclass(frozen=True)
class Encoder:
    """A tokenizer, a template and the longest row allowed."""

    vocabulary: Vocabulary
    template: ChatTemplate
    max_len: int

    def encode(self, examples: list[Example]) -> Iterator[Encoded]:
        """Each example in turn. Raises `DataError` with the row when the template refuses it."""
        for first in range(0, len(examples), CHUNK):
            chunk = examples[first : first + CHUNK]
            spanned = [self._spans(example) for example in chunk]
            # The template writes BOS and end tokens itself: the tokenizer must add none.
            encodings = self.vocabulary.tokenizer.encode_batch(
                [text for text, _ in spanned], add_special_tokens=False
            )
            for example, (text, spans), encoding in zip(chunk, spanned, encodings):
                yield self._row(example, text, spans, encoding)

    def _spans(self, example: Example) -> tuple[str, list[Span]]:
        try:
            return self.template.spans(example.messages)
        except DataError as error:
            raise DataError(str(error), row=example.row or None) from None

    def _row(self, example: Example, text: str, spans: list[Span], encoding: Any) -> Encoded:
        offsets = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
        starts, ends = offsets[:, 0], offsets[:, 1]
        mask = np.zeros(len(offsets), dtype=bool)
        for start, stop in spans:  # a token that overlaps the answer is the answer's
            mask |= (starts < stop) & (ends > start)
        ids = np.array(encoding.ids, dtype=np.int32)
        cut = len(ids) > self.max_len
        if cut:  # the end token goes with the rest: a cut answer is not taught to end here
            ids, mask, ends = ids[: self.max_len], mask[: self.max_len], ends[: self.max_len]
            text = text[: int(ends.max())]
        return Encoded(ids, mask, text, ends, cut, example.task, example.row)


def encoder(config: SFTConfig) -> Encoder:
    """The encoder of a run. Raises `DataError` when the tokenizer or the template cannot be used."""
    vocabulary = _vocabulary(config.pretrain, _changed(config.pretrain))
    return Encoder(vocabulary, chat_template(config, vocabulary), config.max_len)


def tokenized(config: SFTConfig, row: dict[str, Any] | Example) -> Encoded:
    """One row as the trainer sees it: `.input_ids .tokens .loss_mask .text`.

    `row` has the columns that `config` names (or is an `Example`). Raises `DataError`.
    """
    example = row if isinstance(row, Example) else to_example(row, find_columns(config, row))
    return next(encoder(config).encode([example]))


@lru_cache(maxsize=8)
def _vocabulary(pretrain: str, changed: float) -> Vocabulary:
    return Vocabulary.load(pretrain)


def _changed(pretrain: str) -> float:
    """When the tokenizer was last written: a folder that is made anew must not be answered from memory."""
    file = Path(pretrain) / "tokenizer.json"
    config = Path(pretrain) / "tokenizer_config.json"
    return sum(path.stat().st_mtime for path in (file, config) if path.is_file())
