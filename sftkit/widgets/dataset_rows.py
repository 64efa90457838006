"""All rows of a data set for the view of it: those of its files with their patches applied, excluded ones too.

rows = DatasetRows(config)
len(rows); rows.place(0)            # ("data/train.jsonl", 1)
rows.previews([0, 1, 2])            # plain values for the table
rows.cells(0)                       # its parts, each with the way to change it
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sftkit.config import SFTConfig
from sftkit.data import Columns, patch_log, patches
from sftkit.data.browsing import open_lazily
from sftkit.data.patched import Patched, taken
from sftkit.data.reading import named_sources
from sftkit.data.shaping import find_all_columns, to_example
from sftkit.data.turns import holds_turns
from sftkit.errors import DataError
from sftkit.wording import said_of

WORDS = 240  # characters of a prompt or an answer that the table shows
LONGEST = 200_000  # characters of a cell that the page shows; a longer one is changed with patches.edit
Row = dict[str, Any]


@dataclass
class Source:
    """One source: `rows` with the patch as it was read last; its first row has the number `begin`."""

    name: str
    wanted: str | None
    rows: Patched
    begin: int

    @property
    def stop(self) -> int:
        return self.begin + len(self.rows)

    def refresh(self) -> None:
        """Read the patch anew, where it has changed."""
        self.rows = self.rows.now()


class DatasetRows:
    """The rows of "train" or "eval", all of them, numbered from 0 through all sources. Raises `DataError` where a source
    cannot be read here."""

    def __init__(self, config: SFTConfig, split: str = "train"):
        self.config = config
        names, wanted = named_sources(config, split)
        self.sources: list[Source] = []
        for name in names:
            base = open_lazily(name, wanted, as_is=True)
            rows = Patched.of(base, patches.load(name, wanted))
            self.sources.append(Source(name, wanted, rows, len(self)))
        firsts = [dict.fromkeys(source.rows.columns) | source.rows.take([0])[0] for source in self.sources]
        self.columns = find_all_columns(config, names, firsts)

    def __len__(self) -> int:
        return self.sources[-1].stop if self.sources else 0

    def source_of(self, number: int) -> Source:
        return self.sources[self._which(number)]

    def place(self, number: int) -> tuple[str, int]:
        """Source, and row in it counted from 1."""
        source = self.source_of(number)
        return source.name, number - source.begin + 1

    def numbers(self, sources: Sequence[str], rows: Sequence[int]) -> np.ndarray:
        """The numbers of rows (from 1) of sources; what is not there is left out."""
        known = {source.name: source for source in reversed(self.sources)}
        found = [known[name].begin + int(row) - 1 for name, row in zip(sources, rows) if name in known and 1 <= row <= len(known[name].rows)]  # fmt: skip
        return np.asarray(found, dtype=np.int64)

    def changed(self, kind: str) -> np.ndarray:
        """The numbers of the rows that are "edited" or "excluded", ascending."""
        found = [source.begin + number for source in self.sources for number in getattr(source.rows, kind)]
        return np.asarray(sorted(found), dtype=np.int64)

    def previews(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """Each row as the table shows it."""
        found = {number: self._preview(number, row) for number, row in self._read(sorted({*numbers}))}
        return [found[number] for number in numbers]

    def _preview(self, number: int, row: Row | DataError) -> dict[str, Any]:
        which = self._which(number)
        source, inside = self.sources[which], number - self.sources[which].begin
        told = {
            "number": number, "source": which, "row": inside + 1,
            "excluded": inside in source.rows.excluded, "edited": inside in source.rows.edited,
        }  # fmt: skip
        columns = self.columns[which]
        if isinstance(columns, DataError) and not isinstance(
            row, DataError
        ):  # told once, for all of its rows
            return {**told, "prompt": _text(row)[:WORDS], "answer": "", "task": "", "turns": 0}
        try:
            if isinstance(row, DataError):
                raise row
            example = to_example(row, columns, file=source.name, number=inside + 1)
        except DataError as error:
            shown = "" if isinstance(row, DataError) else _text(row)
            return {**told, "prompt": shown[:WORDS], "answer": "", "task": "", "turns": 0, "fault": said_of(error)}  # fmt: skip
        asked = [turn["content"] for turn in example.messages if turn["role"] != "assistant"]
        said = [turn["content"] for turn in example.messages if turn["role"] == "assistant"]
        return {**told, "prompt": _start(asked), "answer": _start(said), "task": example.task, "turns": len(example.messages)}  # fmt: skip

    def cells(self, number: int) -> list[dict[str, Any]]:
        """The parts of a row: `way` (where each stands), `role` (of a turn, or what the column is read as), `text`, `was`
        (in the file, where it is edited) and `fixed` (it cannot be changed here). Raises `DataError`."""
        which = self._which(number)
        source, inside = self.sources[which], number - self.sources[which].begin
        [row], [was] = source.rows.take([inside]), source.rows.rows.take([inside])
        found = []
        for way, role, value in _parts(row, _roles(self.columns[which])):
            text = value if isinstance(value, str) else "" if value is None else _text(value)
            cell = {"way": list(way), "name": patches.shown(way), "role": role, "text": text[:LONGEST]}
            cell["fixed"] = not (value is None or isinstance(value, str)) or len(text) > LONGEST
            if (before := _before(was, way)) != value:
                cell["was"] = (before if isinstance(before, str) else _text(before))[:LONGEST]
            found.append(cell)
        return found

    def holding(self, wanted: str, numbers: Sequence[int]) -> list[int]:
        """Those of these ascending rows that have `wanted` (lower case) in one of their texts."""
        may = [number for number in numbers if self._may_hold(number, wanted)]
        return [number for number, row in self._read(may) if not isinstance(row, DataError) and _has(row, wanted)]  # fmt: skip

    def refresh(self) -> None:
        """Read all patches anew."""
        for source in self.sources:
            source.refresh()

    def _may_hold(self, number: int, wanted: str) -> bool:
        source = self.source_of(number)
        return source.rows.may_hold(number - source.begin, wanted)

    def _which(self, number: int) -> int:
        return bisect_right(self.sources, number, key=lambda source: source.begin) - 1

    def _read(self, numbers: Sequence[int]) -> Iterator[tuple[int, Row | DataError]]:
        """Each of these ascending rows, or what is wrong with it."""
        for source in self.sources:
            inside = [number - source.begin for number in numbers if source.begin <= number < source.stop]
            if inside:
                for number, row in zip(inside, taken(source.rows, inside)):
                    yield source.begin + number, row


def _start(texts: list[str]) -> str:
    """The beginning of several texts, on one line."""
    return " ".join(" ⏎ ".join(text[: WORDS * 2] for text in texts[:3]).split())[:WORDS]


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _has(value: Any, wanted: str) -> bool:
    if isinstance(value, str):
        return wanted in value.casefold()
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_has(part, wanted) for part in parts) or (isinstance(value, (int, float)) and wanted in str(value))  # fmt: skip


def _before(was: Row, way: tuple) -> Any:
    try:
        return patch_log.value_at(was, way)
    except (LookupError, TypeError):
        return None  # in a turn that an edit has added


def _roles(columns: Columns | DataError) -> dict[str, str]:
    """What a column is read as: a role, or "task"."""
    if isinstance(columns, DataError):
        return {}
    found = {columns.system: "system", columns.prompt: "user", columns.extra: "user", columns.answer: "assistant", columns.task: "task"}  # fmt: skip
    return {name: role for name, role in found.items() if name}


def _parts(row: Row, roles: dict[str, str]) -> Iterator[tuple[tuple, str, Any]]:
    """The way to each part of a row, its role and its value: columns that are read first, conversations turn by turn."""
    order = [*(name for name in roles if name in row), *(name for name in row if name not in roles)]
    for name in order:
        value = row[name]
        if isinstance(value, list) and holds_turns(value):
            for number, turn in enumerate(value):
                said = next((key for key in ("content", "value") if key in turn), None)
                role = str(turn.get("role") or turn.get("from") or "")
                yield ((name, number, said), role, turn[said]) if said else ((name, number), role, turn)
        else:
            yield (name,), roles.get(name, ""), value
