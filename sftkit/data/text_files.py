"""Rows of text files: JSONL, JSON (an array) and CSV; whole, or the beginning of a large one.

What a file is called matters less than what is in it: compressed by gzip, in UTF-16 or UTF-32, with a byte order mark,
with line ends of any kind, an array on one line, JSON lines under the name of a table: all of it is read. What is damaged
is named with its file and line.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftkit.errors import DataError
from sftkit.wording import say

Row = dict[str, Any]
GZIP = b"\x1f\x8b"


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


def json_rows(path: Path) -> RowList:
    """The rows of JSON lines or of an array of objects: one is common under the name of the other."""
    return RowList(_json_rows(_decoded(_bytes(path), path), path))


def csv_table(path: Path) -> RowList:
    text = _decoded(_bytes(path), path)
    if begins_with_an_object(text):  # JSON lines under the name of a table
        return RowList(_json_rows(text, path))
    if "\0" in text:
        raise has_nul(path, text[: text.index("\0")].count("\n") + 1)
    return RowList(list(records(csv_reader(lines_of(text)), path)))


def is_plain(start: bytes) -> bool:
    """Whether a file that begins with these bytes can be cut into lines as it is: rows in UTF-8, not compressed, not an
    array."""
    encoding = json.detect_encoding(start[:4])
    return not start.startswith(GZIP) and encoding.startswith("utf-8") and not start.decode("utf-8-sig", "replace").lstrip().startswith("[")  # fmt: skip


def is_array(start: bytes) -> bool:
    """Whether a file that begins with these bytes is an array in UTF-8, not compressed."""
    return json.detect_encoding(start[:4]).startswith("utf-8") and start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")  # fmt: skip


def _json_rows(text: str, path: Path) -> list[Row]:
    if text.lstrip().startswith("["):
        return [_object(row, path, number) for number, row in enumerate(_json(text, path, None), start=1)]
    try:
        rows = list(_lines(text, path))
        return [_only_row(rows[0], path)] if len(rows) == 1 == len(rows[0]) else rows
    except DataError:
        if text.count("\n") and isinstance(whole := _whole(text), dict):  # spread over many lines
            return [_object(_only_row(whole, path), path, 1)]
        raise


def _whole(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _only_row(whole: Row, path: Path) -> Row:
    """An object that is a file's all. Raises `DataError` where it holds the rows in a part of it."""
    holding = [name for name, part in whole.items() if isinstance(part, list) and part and isinstance(part[0], dict) and name not in ("messages", "conversations")]  # fmt: skip
    if holding:
        raise DataError(say("is one object that holds its rows in {name!r}: save that list alone as the file.", name=holding[0]), file=path)  # fmt: skip
    return whole


def begins_with_an_object(text: str) -> bool:
    first = text.lstrip()[:100_000].partition("\n")[0]
    return first.startswith("{") and isinstance(_whole(first), dict)


def _bytes(path: Path) -> bytes:
    """A file's bytes, unpacked. Raises `DataError`."""
    try:
        raw = path.read_bytes()
        return gzip.decompress(raw) if raw.startswith(GZIP) else raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(say("is compressed by gzip and damaged or cut short: {error}", error=error), file=path) from None  # fmt: skip
    except OSError as error:
        raise DataError(say("cannot be read: {strerror}.", strerror=error.strerror), file=path) from None


def head(path: Path, size: int) -> tuple[list[Row], int]:
    """The rows in the first `size` bytes of a JSONL or CSV file, and about how many it has in all. No rows where it has
    to be read whole."""
    with path.open("rb") as file:
        start = file.read(size)
    if not is_plain(start):
        return [], 0
    start = start[: start.rfind(b"\n") + 1]
    text = _decoded(start, path)
    if path.suffix.lower() == ".csv" and not begins_with_an_object(text):
        rows = list(records(csv_reader(lines_of(text)), path, broken_off=True))[
            :-1
        ]  # the last may be half a record
    else:
        rows = list(_lines(text, path))
    return rows, round(path.stat().st_size * len(rows) / max(1, len(start)))


def _decoded(raw: bytes, path: Path) -> str:
    encoding = json.detect_encoding(raw[:4])
    if encoding == "utf-8":
        encoding = "utf-8-sig"
    try:
        return io.TextIOWrapper(io.BytesIO(raw), encoding=encoding).read()
    except UnicodeDecodeError as error:
        if encoding != "utf-8-sig":
            raise DataError(say("begins as {encoding} text and is damaged or cut short: {reason}.", encoding=encoding.upper(), reason=error.reason), file=path) from None  # fmt: skip
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
    except RecursionError:
        raise DataError(say("is nested too deeply."), file=path, row=number) from None
    except json.JSONDecodeError as error:
        if "\0" in text:
            raise has_nul(path, number or text[: text.index("\0")].count("\n") + 1) from None
        row = error.lineno if number is None else number
        raise DataError(
            say(
                "is not JSON: {msg} at column {colno}. Mend that line in the file.",
                msg=error.msg.removesuffix(" at"),
                colno=error.colno,
            ),
            file=path,
            row=row,
        ) from None
    except ValueError as error:  # a number of thousands of digits
        raise DataError(say("is not JSON: {error}", error=error), file=path, row=number) from None


def has_nul(path: Path, line: int) -> DataError:
    return DataError(say("holds NUL bytes: the file is damaged, or was not written to its end."), file=path, row=line)  # fmt: skip


def _object(row: Any, path: Path, number: int) -> Row:
    if not isinstance(row, dict):
        raise DataError(say("should be an object with named columns, is {kind}.", kind=type(row).__name__), file=path, row=number)  # fmt: skip
    return row


def csv_reader(lines: Iterator[str]) -> csv.DictReader:
    csv.field_size_limit(2**31 - 1)  # answers are longer than the module's 128 kB
    return csv.DictReader(lines, strict=True)


def records(reader: csv.DictReader, path: Path, broken_off: bool = False) -> Iterator[Row]:
    """The rows of a CSV file. Raises `DataError` for one that is not like the header."""
    number = 0
    try:
        for number, row in enumerate(reader, start=1):
            if None in row or None in row.values():
                raise DataError(say("has not {n} fields like the header.", n=len(reader.fieldnames or [])), file=path, row=number)  # fmt: skip
            yield row
    except csv.Error as error:
        if not (broken_off and "unexpected end" in str(error)):
            raise DataError(say("is not CSV: {error}.", error=error), file=path, row=number + 1) from None


def lines_of(text: str) -> Iterator[str]:
    """The lines of a text with their ends, one by one: a StringIO would hold four bytes for each character."""
    at = 0
    while at < len(text):
        end = text.find("\n", at) + 1 or len(text)
        yield text[at:end]
        at = end
