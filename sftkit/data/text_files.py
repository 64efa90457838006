"""Rows of text files: JSONL, JSON (an array) and CSV; whole, or the beginning of a large one."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftkit.errors import DataError
from sftkit.wording import say

Row = dict[str, Any]


@dataclass(frozen=True)
class RowList:
    """Rows that are in memory."""

    rows: list[Row]

    @property
    def columns(self) -> list[str]:
        """Every name that some row has."""
        return list(dict.fromkeys(key for row in self.rows for key in row))

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, numbers: Sequence[int]) -> list[Row]:
        """The rows of these numbers (0 = the first)."""
        return [self.rows[number] for number in numbers]


def jsonl(path: Path) -> RowList:
    return RowList(list(_lines(_decoded(path.read_bytes(), path), path)))


def json_array(path: Path) -> RowList:
    text = _decoded(path.read_bytes(), path)
    if not text.lstrip().startswith("["):  # JSON lines under the wrong name are common
        return RowList(list(_lines(text, path)))
    return RowList(
        [_object(row, path, number) for number, row in enumerate(_json(text, path, None), start=1)]
    )


def csv_table(path: Path) -> RowList:
    return RowList(list(_records(_decoded(path.read_bytes(), path), path)))


def head(path: Path, size: int) -> tuple[list[Row], int]:
    """The rows in the first `size` bytes of a JSONL or CSV file, and about how many it has in all."""
    with path.open("rb") as file:
        start = file.read(size)
    start = start[: start.rfind(b"\n") + 1]
    text = _decoded(start, path)
    if path.suffix.lower() == ".csv":
        rows = list(_records(text, path, broken_off=True))[:-1]  # the last may be half a record
    else:
        rows = list(_lines(text, path))
    return rows, round(path.stat().st_size * len(rows) / max(1, len(start)))


def _decoded(raw: bytes, path: Path) -> str:
    try:
        return io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8-sig").read()
    except UnicodeDecodeError:
        line = next(n for n, part in enumerate(raw.split(b"\n"), start=1) if not _is_utf8(part))
        raise not_utf8(path, line) from None


def not_utf8(path: Path, line: int) -> DataError:
    return DataError(say("is not UTF-8 text; save it as UTF-8."), file=path, row=line)


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _lines(text: str, path: Path) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):  # splitlines() would cut at U+2028 too
        if line.strip():
            yield json_object(line, path, number)


def json_object(line: str, path: Path, number: int) -> Row:
    """The row on line `number` (1 = the first). Raises `DataError` where that is no JSON object."""
    return _object(_json(line, path, number), path, number)


def _json(text: str, path: Path, number: int | None) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        row = error.lineno if number is None else number
        raise DataError(
            say("is not JSON: {msg} at column {colno}.", msg=error.msg, colno=error.colno), file=path, row=row
        ) from None


def _object(row: Any, path: Path, number: int) -> Row:
    if not isinstance(row, dict):
        raise DataError(say("should be an object with named columns, is {kind}.", kind=type(row).__name__), file=path, row=number)  # fmt: skip
    return row


def _records(text: str, path: Path, broken_off: bool = False) -> Iterator[Row]:
    csv.field_size_limit(2**31 - 1)  # answers are longer than the module's 128 kB
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    number = 0
    try:
        for number, row in enumerate(reader, start=1):
            if None in row or None in row.values():
                raise DataError(say("has not {n} fields like the header.", n=len(reader.fieldnames or [])), file=path, row=number)  # fmt: skip
            yield row
    except csv.Error as error:
        if not (broken_off and "unexpected end" in str(error)):
            raise DataError(say("is not CSV: {error}.", error=error), file=path, row=number + 1) from None
