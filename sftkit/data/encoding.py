"""Messages to token ids with their loss mask: the same for the trainer and for whoever looks at a row.

seen = tokenized(config, {"prompt": "2+2?", "response": "4"})
seen.input_ids, seen.tokens, seen.loss_mask, seen.text, seen.truncated, seen.dropped_turns
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sftkit.config import SFTConfig
from sftkit.data.answers import Span
from sftkit.data.shaping import Example, Message, find_columns, to_example
from sftkit.data.templates import ChatTemplate, chat_template
from sftkit.data.vocabulary import Tokens, Vocabulary
from sftkit.errors import DataError
from sftkit.wording import said_of

CHUNK = 4096  # rows given to the tokenizer at once: enough for its threads, little enough for memory


@dataclass(frozen=True)
class Encoded:
    """One row as the trainer sees it.

    `input_ids` [n] int32; `loss_mask` [n] bool, True where the token is trained; `text` the text they stand for;
    `ends` [n] the character at which each token ends; `truncated`: its first answer is cut at `max_len`, so without an
    end token; `dropped_turns`: messages at the end that were left out whole, because they did not fit.
    """

    input_ids: np.ndarray
    loss_mask: np.ndarray
    text: str
    ends: np.ndarray
    truncated: bool = False
    task: str = ""
    row: int = 0
    dropped_turns: int = 0
    source: str = ""

    @property
    def used(self) -> int:
        """Tokens the trainer computes: nothing is learned from what follows the last trained one. 0: the row is left out.

        The first token of all is predicted from nothing, so it is never trained.
        """
        trained = np.flatnonzero(self.loss_mask[1:])
        return int(trained[-1]) + 2 if len(trained) else 0

    @property
    def tokens(self) -> list[str]:
        """The text of each token; joined they give `text`. A character split over tokens stands with the first."""
        bounds = [0, *np.maximum.accumulate(self.ends).tolist()]
        if len(bounds) > 1:
            bounds[-1] = len(self.text)
        return [self.text[a:b] for a, b in pairwise(bounds)]

    def __str__(self) -> str:
        """The text with its trained tokens in [brackets], and a line of counts."""
        text = "".join(
            f"[{token}]" if trained else token for token, trained in zip(self.tokens, self.loss_mask)
        )
        more = ", cut at max_len" if self.truncated else ""
        more += f", {self.dropped_turns} messages left out" if self.dropped_turns else ""
        return f"{text}\n({len(self.input_ids)} tokens, {int(self.loss_mask[1:].sum())} trained{more})"


class Rendered(NamedTuple):
    """A conversation on its way: its messages, their text, and where in it the assistant speaks."""

    messages: list[Message]
    text: str
    spans: list[Span]


class Taught(NamedTuple):
    """Tokens [first, stop) that are trained for message number `turn`."""

    first: int
    stop: int
    turn: int


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
            rendered = [self._render(example, example.messages) for example in chunk]
            # The template writes BOS and end tokens itself: the tokenizer adds none.
            tokenized = self.vocabulary.tokenize([one.text for one in rendered])
            for example, one, tokens in zip(chunk, rendered, tokenized):
                fits = len(tokens.ids) <= self.max_len
                yield self._row(example, one, tokens) if fits else self._shorter(example, one, tokens)

    def _render(self, example: Example, messages: list[Message]) -> Rendered:
        try:
            return Rendered(messages, *self.template.spans(messages))
        except DataError as error:
            raise DataError(said_of(error), file=example.source, row=example.row or None) from None

    def _row(self, example: Example, rendered: Rendered, tokens: Tokens, stop: int | None = None, truncated: bool = False) -> Encoded:  # fmt: skip
        """The row of the first `stop` tokens."""
        mask = np.zeros(len(tokens.ids), dtype=bool)
        for taught in self._taught(rendered.spans, tokens):
            mask[taught.first : taught.stop] = True
        text, ends = rendered.text, tokens.ends
        if stop is not None and stop < len(mask):
            mask, ends = mask[:stop], ends[:stop]
            text = text[: int(ends.max())]
        dropped = len(example.messages) - len(rendered.messages)
        return Encoded(
            tokens.ids[: len(mask)],
            mask,
            text,
            ends,
            truncated,
            example.task,
            example.row,
            dropped,
            example.source,
        )

    def _taught(self, spans: list[Span], tokens: Tokens) -> list[Taught]:
        """The tokens of each answer. One that overlaps it is the answer's, unless it is a mark that took in blanks."""
        found = []
        for start, stop, turn in spans:
            first = int(tokens.ends.searchsorted(start, side="right"))
            last = int(tokens.starts.searchsorted(stop, side="left"))
            if (
                first < last
                and tokens.starts[first] < start
                and int(tokens.ids[first]) in self.vocabulary.added
            ):
                first += 1
            found.append(Taught(first, last, turn))
        return found

    def _shorter(self, example: Example, rendered: Rendered, tokens: Tokens) -> Encoded:
        """A row that does not fit: whole exchanges are left out from its end, so that it ends as an answer ends.

        The shorter conversation is rendered anew, since templates write a last turn in another way than an earlier one.
        Where not even the first answer fits, it is cut; its end token goes with the rest, so that nobody learns to stop
        in the middle of a sentence.
        """
        answers = self._taught(rendered.spans, tokens)
        fitting = [answer for answer in answers if answer.stop <= self.max_len]
        for answer in reversed(fitting or answers[:1]):
            if answer.turn + 1 < len(rendered.messages):
                rendered = self._render(example, example.messages[: answer.turn + 1])
                [tokens] = self.vocabulary.tokenize([rendered.text])
            now = self._taught(rendered.spans, tokens)
            if now and now[-1].turn == answer.turn and now[-1].stop <= self.max_len:
                return self._row(example, rendered, tokens, now[-1].stop)
        return self._row(example, rendered, tokens, self.max_len, truncated=True)


def encoder(config: SFTConfig) -> Encoder:
    """The encoder of a run. Raises `DataError` when the tokenizer or the template cannot be used."""
    vocabulary = _vocabulary(config.pretrain, _changed(config.pretrain))
    return Encoder(vocabulary, chat_template(config, vocabulary), config.max_len)


def tokenized(config: SFTConfig, row: dict[str, Any] | Example) -> Encoded:
    """One row as the trainer sees it: `.input_ids .tokens .loss_mask .text .truncated .dropped_turns`.

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
