"""A CSV file whose rows are parsed when they are taken, as those of a JSONL file are (`line_index`)."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from sftkit.data import text_files
from sftkit.data.line_index import LineIndex
from sftkit.data.text_files import Row, RowList

LOOKED_AT = 100_000  # bytes that tell what the file is


@dataclass(frozen=True)
class CsvIndex(LineIndex):
    """`header`: the columns; `lines`: which record each row is (0 = the first)."""

    header: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        return list(self.header)

    def _row(self, number: int) -> Row:
        text = self._line(number).decode("utf-8").replace("\r\n", "\n")
        records = csv.reader(text_files.lines_of(text), strict=True)
        return dict(
            zip(self.header, next(record for record in records if record))
        )  # past empty lines before it


class _Odd(Exception):
    """A carriage return alone, which is the end of a line as well."""


class _Lines:
    """The lines of a file as text. `stop`: up to where they were read."""

    def __init__(self, file: BinaryIO, path: Path):
        self.file, self.path, self.stop = file, path, 0

    def __iter__(self) -> Iterator[str]:
        for number, line in enumerate(self.file, start=1):
            self.stop += len(line)
            if b"\0" in line:
                raise text_files.has_nul(self.path, number)
            try:
                text = line.decode("utf-8" if number > 1 else "utf-8-sig").replace("\r\n", "\n")
            except UnicodeDecodeError:
                raise text_files.not_utf8(self.path, number) from None
            if "\r" in text:
                raise _Odd
            yield text


def table(path: Path) -> LineIndex | RowList:
    """The rows of a CSV file. Read whole is one that is not in UTF-8, is packed, has bare carriage returns, or holds JSON.
    Raises `DataError` with the row that is not like the header."""
    with path.open("rb") as file:
        start = file.read(LOOKED_AT)
        if not text_files.is_plain(start) or text_files.begins_with_an_object(start.decode("utf-8-sig", "replace")):  # fmt: skip
            return text_files.csv_table(path)
        file.seek(0)
        try:
            return _indexed(_Lines(file, path))
        except _Odd:
            return text_files.csv_table(path)


def _indexed(lines: _Lines) -> CsvIndex:
    reader = text_files.csv_reader(iter(lines))
    header, begin, places = tuple(reader.fieldnames or ()), lines.stop, []
    for _ in text_files.records(reader, lines.path):
        places.append((begin, lines.stop))
        begin = lines.stop
    found = np.array(places, np.int64).reshape(-1, 2)
    return CsvIndex(lines.path, found[:, 0], found[:, 1], np.arange(len(found)), header)
