"""A JSON array whose rows are parsed when they are taken, as those of a JSONL file are (`line_index`).

Finding where they begin takes as long as parsing them once, and no more memory than the longest of them. The file is looked
at as Latin-1 for that: a character a byte, so that places in the text are places in the file; what is more than ASCII stands
within strings only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from sftkit.data import text_files
from sftkit.data.line_index import LineIndex
from sftkit.data.text_files import RowList

PIECE = 2**20  # bytes read at a time, and ever more where a row is longer
CUT = 16  # a number or word that the end of a piece has cut is shorter
_BLANKS = re.compile(r"[ \t\n\r]*")
BOM = b"\xef\xbb\xbf"


class _Broken(Exception):
    """No array; what is wrong is told by reading it whole."""


def array(path: Path) -> LineIndex | RowList:
    """The rows of an array in UTF-8. One that is damaged is read whole, which raises `DataError` with line and column."""
    try:
        with path.open("rb") as file:
            places = np.array(list(_places(file)), np.int64).reshape(-1, 2)
    except _Broken:
        return text_files.json_rows(path)
    return LineIndex(path, places[:, 0], places[:, 1], np.arange(len(places)))


def _places(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Where each element begins and ends."""
    text = _Window(file)
    if file.read(3) != BOM:
        file.seek(0)
    text.begin = file.tell()
    text.expect("[")
    if text.next() == "]":
        return text.end()
    while True:
        text.next()
        yield text.element()
        if text.next() == "]":
            return text.end()
        text.expect(",")


class _Window:
    """A part of the file as text. `begin`: where it stands in the file; `at`: up to where in it one has read."""

    def __init__(self, file: BinaryIO):
        self.file, self.text, self.at, self.begin = file, "", 0, 0
        self.scan = json.JSONDecoder().raw_decode

    def more(self) -> bool:
        """Read on, as much again as is not yet understood; what was, goes. False at the end of the file."""
        left = self.text[self.at :]
        piece = self.file.read(max(PIECE, len(left)))
        self.begin += self.at
        self.text, self.at = left + piece.decode("latin-1"), 0
        return bool(piece)

    def next(self) -> str:
        """The next character that is no blank."""
        while True:
            self.at = _BLANKS.match(self.text, self.at).end()  # type: ignore[union-attr]
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                raise _Broken

    def expect(self, sign: str) -> None:
        if self.next() != sign:
            raise _Broken
        self.at += 1

    def element(self) -> tuple[int, int]:
        """Where the value that begins here begins and ends."""
        while True:
            try:
                _, stop = self.scan(self.text, self.at)
            except json.JSONDecodeError as error:
                is_cut = error.msg.startswith("Unterminated string") or error.pos > len(self.text) - CUT
                if not (is_cut and self.more()):
                    raise _Broken from None
            except (RecursionError, ValueError):
                raise _Broken from None
            else:
                found = (self.begin + self.at, self.begin + stop)
                self.at = stop
                return found

    def end(self) -> None:
        """Nothing may follow."""
        self.at += 1
        while not (rest := self.text[self.at :].strip()) and self.more():
            pass
        if rest:
            raise _Broken
