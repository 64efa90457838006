"""Rows of whatever is given as data, as the trainer would read them: what the eval set, match and leaks look at.

read("data/train.jsonl")                    # a file, several with commas between, or a list of them
read(config); read(config, "eval")          # what a run would train on, and its eval set
read(frame); read([{"prompt": "…", "response": "…"}])
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sftkit.config import SFTConfig
from sftkit.data.browsing import Drawn
from sftkit.data.lens.opening import Opening, opening, rows_of
from sftkit.data.patched import taken
from sftkit.data.shaping import Columns, Example, find_all_columns
from sftkit.data.text_files import Row
from sftkit.errors import DataError
from sftkit.wording import say

PIECE = 4096  # rows read at a time
EVERY = {"dataset_probs": None, "dataset_caps": None, "max_samples": None}  # settings that draw all rows


@dataclass
class Item:
    """One row: `row` counts from 1 in `source`; `hash` stands for it as it is there; `raw`, where asked for, is it as edited."""

    source: str
    row: int
    example: Example
    hash: str = ""
    raw: Row | None = None

    @property
    def task(self) -> str:
        return self.example.task

    @property
    def turns(self) -> int:
        """Messages but for the system's."""
        return sum(one["role"] != "system" for one in self.example.messages)

    @cached_property
    def prompt(self) -> str:
        """Everything before the last answer."""
        return "\n".join(one["content"] for one in self._asked)

    @property
    def answer(self) -> str:
        last = self.example.messages[-1]
        return last["content"] if last["role"] == "assistant" else ""

    @property
    def text(self) -> str:
        return f"{self.prompt}\n{self.answer}"

    @property
    def _asked(self) -> list[dict[str, str]]:
        messages = self.example.messages
        return messages[:-1] if messages[-1]["role"] == "assistant" else messages


@dataclass
class Rows:
    """The rows of `data`, and those that cannot be taught (`unusable`). `sources`: names of files; none of rows given."""

    items: list[Item] = field(default_factory=list)
    unusable: list[DataError] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    opened: dict[str, Any] = field(default_factory=dict)  # source -> its rows, patched
    columns: dict[str, Columns] = field(default_factory=dict)  # source -> where its prompts and answers are
    config: SFTConfig | None = None  # that it was read with

    def __len__(self) -> int:
        return len(self.items)


def read(data: Any, split: str = "train", *, config: SFTConfig | None = None, whole: bool = False, keep: bool = False, progress: bool = True) -> Rows:  # fmt: skip
    """Rows of a path, several of them, a config, a DataFrame or a list of rows; `Rows` stay as they are.

    config: names the columns, where they are not the usual ones. whole: all rows of a config's sources, not those that it
    draws. keep: with what is in each row. Raises `DataError` where there is nothing to read.
    """
    if isinstance(data, Rows):
        return data
    if isinstance(getattr(data, "items", None), Rows):  # an eval set just made
        return data.items
    how = _opening(data, split, config, whole)
    drawn = how.drawn()
    found = Rows(
        sources=[] if how.rows is not None else [one.name for one in drawn.sources], config=how.config
    )
    found.opened = {one.name: one.rows for one in drawn.sources}
    for item in told(_items(drawn, keep), say("reading rows"), progress, total=len(drawn)):
        found.unusable.append(item) if isinstance(item, DataError) else found.items.append(item)
    names, firsts = [one.name for one in drawn.sources], [one.known for one in drawn.sources]
    columns = zip(names, find_all_columns(how.config, names, firsts))
    found.columns = {name: one for name, one in columns if isinstance(one, Columns)}
    if not found.items:
        raise found.unusable[0] if found.unusable else DataError(say("holds no rows."), file=split)
    return found


def told(pieces: Iterable[Any], words: str, progress: bool = True, *, scale: int = 1, total: int | None = None) -> Iterator[Any]:  # fmt: skip
    """The same pieces, with a bar where they take more than two seconds. scale: rows in a piece."""
    from tqdm.auto import tqdm

    yield from tqdm(pieces, desc=words, delay=2, leave=False, disable=not progress, unit_scale=scale, unit="row", total=total)  # fmt: skip


def _items(drawn: Drawn, keep: bool) -> Iterator[Item | DataError]:
    for source in drawn.sources:
        for first in range(0, len(source.numbers), PIECE):
            piece = source.numbers[first : first + PIECE]
            raws = taken(source.rows, piece) if keep else [None] * len(piece)
            for (row, digest, example), raw in zip(rows_of(drawn, source, piece), raws):
                if isinstance(example, DataError) or isinstance(raw, DataError):
                    yield example if isinstance(example, DataError) else raw
                else:
                    yield Item(source.name, row, example, digest, raw)


def _opening(data: Any, split: str, config: SFTConfig | None, whole: bool) -> Opening:
    """How data are opened: those of settings as a run draws them, others whole."""
    if isinstance(data, SFTConfig):
        if split == "eval" and not data.eval_sources:
            raise DataError(say("these settings name no eval_dataset: give the eval rows, or set it."))
        return Opening(data.with_(**EVERY) if whole else data, split)
    how = opening(data, config and config.with_(**EVERY))
    if how.rows is not None or split == "train":
        return how
    return Opening(how.config.with_(eval_dataset=how.config.dataset), split)
