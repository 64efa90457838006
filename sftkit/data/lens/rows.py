"""Rows of whatever is given as data, as the trainer would read them: what the eval set, match and leaks look at.

read("data/train.jsonl")                    # a file, several with commas between, or a list of them
read(config); read(config, "eval")          # what a run would train on, and its eval set
read(frame); read([{"prompt": "…", "response": "…"}])

Texts stay where they are and are read again whenever they are looked at; of each row some 60 bytes are kept (`Items`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from sftkit.config import SFTConfig
from sftkit.data.browsing import Drawn
from sftkit.data.lens.opening import Opening, opening, raws_of
from sftkit.data.shaping import Columns, Example, find_all_columns
from sftkit.data.text_files import Row
from sftkit.errors import DataError
from sftkit.wording import say

PIECE = 1024  # rows read at a time
EVERY = {"dataset_probs": None, "dataset_caps": None, "max_samples": None}  # settings that draw all rows
# What is kept of a row. `asked`, `answered`: what tells whether two rows have the same question, the same answer.
FACTS = {
    "place": np.int64, "hash": "S16", "task": object, "turns": np.int32, "prompt_chars": np.int32, "answer_chars": np.int32,
    "asked": np.int64, "answered": np.int64, "silent": np.bool_,
}  # fmt: skip


def key(text: str) -> str:
    """A text but for blanks and capitals."""
    return " ".join(text.casefold().split())


@dataclass
class Item:
    """One row: `row` counts from 1 in `source`; `hash` stands for it as it is there; `raw` is it as edited."""

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
    def asks(self) -> tuple[int, int]:
        """What stands for its question and for its answer, the same for the same ones (in this process)."""
        return hash(key(self.prompt)), hash(key(self.answer))

    @property
    def _asked(self) -> list[dict[str, str]]:
        messages = self.example.messages
        return messages[:-1] if messages[-1]["role"] == "assistant" else messages


class Items(Sequence[Item]):
    """Rows of `drawn`, read anew each time; `facts`: a column for each of FACTS. Raises `DataError` where a row cannot be
    read any more."""

    def __init__(self, drawn: Drawn, facts: dict[str, np.ndarray]):
        self.drawn, self.facts = drawn, facts
        self._ends = np.cumsum([len(source.numbers) for source in drawn.sources])

    def __len__(self) -> int:
        return len(self.facts["place"])

    def __getitem__(self, number: int) -> Item:  # type: ignore[override]
        return next(iter(self.part([range(len(self))[number]])))

    def __iter__(self) -> Iterator[Item]:
        for first in range(0, len(self), PIECE):
            yield from self._read(slice(first, first + PIECE))

    def part(self, numbers: Sequence[int] | np.ndarray) -> Items:
        """The rows of these ascending numbers."""
        chosen = np.asarray(numbers, dtype=np.int64)
        return Items(self.drawn, {name: column[chosen] for name, column in self.facts.items()})

    def texts(self) -> Iterator[str]:
        return (item.text for item in self)

    @property
    def hashes(self) -> list[str]:
        """What stands for each row as it is in its source (`patch_log.row_hash`)."""
        return [one.decode() for one in self.facts["hash"].tolist()]

    @property
    def asks(self) -> Iterator[tuple[int, int]]:
        """As `Item.asks`."""
        return zip(self.facts["asked"].tolist(), self.facts["answered"].tolist())

    @property
    def sources(self) -> list[str]:
        """The name of each row's source."""
        names = [source.name for source in self.drawn.sources]
        return [names[which] for which in self._which(self.facts["place"]).tolist()]

    def unchanged(self) -> Iterator[Item]:
        """The rows. Raises `DataError` where one is not what it was when it was first read."""
        for item, known in zip(self._again(), self.hashes):
            if item.hash != known:
                raise DataError(say("has changed since it was read: read it again."), file=item.source, row=item.row)  # fmt: skip
            yield item

    def _again(self) -> Iterator[Item]:
        for first in range(0, len(self), PIECE):
            yield from self._read(slice(first, first + PIECE), hashed=True)

    def _which(self, places: np.ndarray) -> np.ndarray:
        return np.searchsorted(self._ends, places, "right")

    def _read(self, part: slice, hashed: bool = False) -> Iterator[Item]:
        places, digests = self.facts["place"][part], self.facts["hash"][part].tolist()
        which = self._which(places)
        for number in np.unique(which).tolist():
            source, here = self.drawn.sources[number], np.flatnonzero(which == number)
            begin = int(self._ends[number]) - len(source.numbers)
            rows = [source.numbers[place - begin] for place in places[here].tolist()]
            for at, (row, digest, raw) in zip(here.tolist(), raws_of(source, rows, hashed=hashed)):
                example = self.drawn.example_of(source, raw, row)
                if isinstance(example, DataError):
                    raise example
                yield Item(source.name, row, example, digest or digests[at].decode(), raw)


@dataclass
class Rows:
    """The rows of `data`, and those that cannot be taught (`unusable`). `sources`: names of files; none of rows given."""

    items: Items
    unusable: list[DataError] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    opened: dict[str, Any] = field(default_factory=dict)  # source -> its rows, patched
    columns: dict[str, Columns] = field(default_factory=dict)  # source -> where its prompts and answers are
    config: SFTConfig | None = None  # that it was read with

    def __len__(self) -> int:
        return len(self.items)

    def part(self, numbers: Sequence[int] | np.ndarray) -> Rows:
        """The rows of these ascending numbers (0 = the first)."""
        return Rows(self.items.part(numbers), self.unusable, self.sources, self.opened, self.columns, self.config)  # fmt: skip


def read(data: Any, split: str = "train", *, config: SFTConfig | None = None, whole: bool = False, progress: bool = True) -> Rows:  # fmt: skip
    """Rows of a path, several of them, a config, a DataFrame or a list of rows; `Rows` stay as they are.

    config: names the columns, where they are not the usual ones. whole: all rows of a config's sources, not those that it
    draws. Raises `DataError` where there is nothing to read.
    """
    if isinstance(data, Rows):
        return data
    if isinstance(getattr(data, "items", None), Rows):  # an eval set just made
        return data.items
    how = _opening(data, split, config, whole)
    drawn = how.drawn()
    items, unusable = _seen(drawn, progress)
    if not len(items):
        raise unusable[0] if unusable else DataError(say("holds no rows."), file=split)
    names, firsts = [one.name for one in drawn.sources], [one.known for one in drawn.sources]
    columns = zip(names, find_all_columns(how.config, names, firsts))
    return Rows(
        items,
        unusable,
        sources=[] if how.rows is not None else names,
        opened={one.name: one.rows for one in drawn.sources},
        columns={name: one for name, one in columns if isinstance(one, Columns)},
        config=how.config,
    )


def told(pieces: Iterable[Any], words: str, progress: bool = True, *, scale: int = 1, total: int | None = None) -> Iterator[Any]:  # fmt: skip
    """The same pieces, with a bar where they take more than two seconds. scale: rows in a piece."""
    from tqdm.auto import tqdm

    yield from tqdm(pieces, desc=words, delay=2, leave=False, disable=not progress, unit_scale=scale, unit="row", total=total)  # fmt: skip


def _seen(drawn: Drawn, progress: bool) -> tuple[Items, list[DataError]]:
    """Every row looked at once: the facts of those that can be taught, and what is wrong with the others."""
    parts: dict[str, list[np.ndarray]] = {name: [np.zeros(0, kind)] for name, kind in FACTS.items()}
    faults: list[DataError] = []
    piece: list[tuple[Any, ...]] = []
    names: dict[str, str] = {}  # each task type's name is kept once

    def put_away() -> None:
        for (name, kind), column in zip(FACTS.items(), zip(*piece)):
            parts[name].append(np.array(column, kind))
        piece.clear()

    for place, item in enumerate(told(_every(drawn), say("reading rows"), progress, total=len(drawn))):
        if isinstance(item, DataError):
            faults.append(item)
            continue
        answer = item.answer
        task = names.setdefault(item.task, item.task)
        piece.append((place, item.hash, task, item.turns, len(item.prompt), len(answer), *item.asks, not answer.strip()))  # fmt: skip
        if len(piece) == PIECE:
            put_away()
    put_away()
    return Items(drawn, {name: np.concatenate(columns) for name, columns in parts.items()}), faults


def _every(drawn: Drawn) -> Iterator[Item | DataError]:
    for source in drawn.sources:
        for first in range(0, len(source.numbers), PIECE):
            for row, digest, raw in raws_of(source, source.numbers[first : first + PIECE]):
                example = drawn.example_of(source, raw, row)
                yield example if isinstance(example, DataError) else Item(source.name, row, example, digest, raw)  # fmt: skip


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
