"""A JSONL file whose rows are parsed when they are taken: for whoever looks at a few rows out of very many.

Finding where the lines begin takes about a second a gigabyte, and a megabyte of memory for every 130,000 rows; parsing
them all takes ten times as long and as much memory as the file has. The trainer needs them all (`text_files.json_rows`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np

from sftkit.data import text_files
from sftkit.data.text_files import Row, RowList
from sftkit.errors import DataError

HEAD = 1_000  # rows that tell the columns
PIECE = 2**26  # bytes
ESCAPED = frozenset('"\\/')  # characters that JSON writes in another way
BRACE, NEWLINE, RETURN = b"{"[0], b"\n"[0], b"\r"[0]


@dataclass(frozen=True)
class LineIndex:
    """Where the rows of a file are: row k is the bytes [starts[k], stops[k]), on line `lines[k]` (0 = the first)."""

    path: Path
    starts: np.ndarray
    stops: np.ndarray
    lines: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def columns(self) -> list[str]:
        """Every name that one of the first HEAD rows has; a later row may have more. A faulty row has none: it is told
        when it is taken."""
        rows: list[Row] = []
        for number in range(min(HEAD, len(self))):
            with suppress(DataError):
                rows += self.take([number])
        return RowList(rows).columns

    def take(self, numbers: Sequence[int]) -> list[Row]:
        """The rows of these numbers (0 = the first). Raises `DataError` with the line that is no JSON object."""
        return [self._row(number) for number in numbers]

    def may_hold(self, number: int, wanted: str) -> bool:
        """Whether a row may have `wanted` (lower case) in one of its texts: False only where it surely has not. A tenth
        of the time that parsing it takes."""
        line = self._line(number)
        if b"\\u" in line or any(character in ESCAPED or character < " " for character in wanted):
            return True
        return wanted in line.decode("utf-8", errors="replace").casefold()

    def _row(self, number: int) -> Row:
        line = int(self.lines[number]) + 1
        try:
            text = self._line(number).decode("utf-8" if self.starts[number] else "utf-8-sig")
        except UnicodeDecodeError:
            raise text_files.not_utf8(self.path, line) from None
        return text_files.json_object(text, self.path, line)

    def _line(self, number: int) -> bytes:
        start = int(self.starts[number])
        return os.pread(self._file.fileno(), int(self.stops[number]) - start, start)

    @cached_property
    def _file(self) -> BinaryIO:
        """Opened once: the index is of this file, whatever takes its name later."""
        return self.path.open("rb")


def jsonl(path: Path) -> LineIndex | RowList:
    """The rows of a JSONL file, not parsed yet. Read whole is a file with lines that end in bare carriage returns, or that
    is not lines of UTF-8."""
    size = path.stat().st_size
    raw = np.memmap(path, np.uint8, "r") if size else np.zeros(0, np.uint8)
    if not text_files.is_plain(raw[:HEAD].tobytes()):
        return text_files.json_rows(path)
    returns = _places(raw, RETURN)
    if len(returns) and (returns[-1] == size - 1 or (raw[returns + 1] != NEWLINE).any()):
        return text_files.json_rows(path)
    ends = np.append(_places(raw, NEWLINE), size)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lines = np.flatnonzero(starts < ends)
    odd = [line for line in lines[raw[starts[lines]] != BRACE] if _is_blank(raw[starts[line] : ends[line]])]
    lines = np.setdiff1d(lines, odd, assume_unique=True)
    return LineIndex(path, starts[lines], ends[lines], lines)


def _places(raw: np.ndarray, byte: int) -> np.ndarray:
    """Where `byte` stands; looked for in pieces, since a file may be larger than the memory."""
    parts = [np.flatnonzero(raw[at : at + PIECE] == byte) + at for at in range(0, len(raw), PIECE)]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _is_blank(raw: np.ndarray) -> bool:
    return not raw.tobytes().decode("utf-8-sig", errors="replace").strip()
