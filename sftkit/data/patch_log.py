"""What a patch file holds: changes of a data file's rows, one a line, beside the file, which itself is never written.

    data/train.jsonl
    data/train.jsonl.patch.jsonl
    {"op": "edit", "id": "…", "hash": "…", "row": 7, "field": "response", "before": "5", "after": "4", "reason": "", "by": "ana", "at": "…"}
    {"op": "exclude", "id": "…", "hash": "…", "row": 9, "reason": "held out for eval", "by": "ana", "at": "…"}
    {"op": "revert", "id": "…", "reverts": "<id of one of those>", "by": "ana", "at": "…"}

Lines are only ever added. A row is known by the hash of what it holds in the file, and by its number among equal ones;
without a number ("row": null) all equal rows are meant. `field` is a column, or the way into one:
["messages", 1, "content"].
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sftkit.data.text_files import Row
from sftkit.errors import DataError
from sftkit.wording import say

SUFFIX = ".patch.jsonl"
IN_MEMORY = "rows in memory"  # the source of rows that are in no file
Field = str | tuple[str | int, ...]


def row_hash(row: Row) -> str:
    """16 hexadecimal digits that stand for what a row holds as it is in its file, whatever the order of its columns."""
    return hashlib.sha256(_canonical(row)).hexdigest()[:16]


@dataclass(frozen=True)
class Change:
    """A line that changes a row: `op` is "edit" or "exclude"; `row` counts from 1; `at`: when, ISO 8601."""

    op: str
    id: str
    hash: str
    row: int | None
    field: Field = ""
    before: Any = None
    after: Any = None
    reason: str = ""
    by: str = ""
    at: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The line as it stands in the file."""
        what = {"op": self.op, "id": self.id, "hash": self.hash, "row": self.row}
        if self.op == "edit":
            field = self.field if isinstance(self.field, str) else list(self.field)
            what |= {"field": field, "before": self.before, "after": self.after}
        return {**what, "reason": self.reason, "by": self.by, "at": self.at}


@dataclass(frozen=True)
class Patch:
    """The changes in the patch file `path`, oldest first. `reverted`: id -> the line that took it back; `broken`: numbers
    of the lines that say nothing (1 = the first), such as one that a crash has cut; `stamp`: `stamp_of` it when read."""

    path: Path
    every: list[Change] = field(default_factory=list)
    reverted: dict[str, dict[str, Any]] = field(default_factory=dict)
    broken: list[int] = field(default_factory=list)
    stamp: tuple[int, int] | None = None

    @property
    def changes(self) -> list[Change]:
        """Those that stand."""
        return [change for change in self.every if change.id not in self.reverted]

    @property
    def digest(self) -> str | None:
        """SHA-256 of what stands, whoever wrote it and when; None where nothing does."""
        last: dict[tuple, Any] = {}
        for change in self.changes:
            cell = (change.hash, change.row or 0, change.field)
            last.pop(cell, None)  # the last one rules, and in its place: a cell may be a part of another
            last[cell] = (change.op, change.after)
        lines = [[*cell, *value] for cell, value in sorted(last.items(), key=lambda item: item[0][:2])]
        return hashlib.sha256(_canonical(lines)).hexdigest() if lines else None


def beside(place: Path) -> Path:
    """The patch file of the rows in the file, or folder of a saved split, `place`."""
    return place.with_name(place.name + SUFFIX)


def stamp_of(path: Path) -> tuple[int, int] | None:
    """What changes when a patch file does; None where there is none."""
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_mtime_ns, about.st_size


def read(path: Path) -> Patch:
    """The patch file `path`; an empty patch where there is none."""
    patch = Patch(path, stamp=stamp_of(path))
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return patch
    except OSError as error:
        raise DataError(say("cannot be read: {strerror}.", strerror=error.strerror), file=path) from None
    for number, line in enumerate(lines, start=1):
        if line.strip() and not _take_up(patch, line):
            patch.broken.append(number)
    return patch


def _take_up(patch: Patch, line: bytes) -> bool:
    try:
        said = json.loads(line)
        if said["op"] == "revert":
            patch.reverted[str(said["reverts"])] = said
            return True
        patch.every.append(_change(said))
    except (ValueError, KeyError, TypeError):
        return False
    return True


def _change(said: dict[str, Any]) -> Change:
    """Raises ValueError, KeyError or TypeError for what is no change."""
    way, row = said.get("field", ""), said.get("row")
    if said["op"] not in ("edit", "exclude") or (row is not None and int(row) < 1):
        raise ValueError
    if said["op"] == "edit" and not (way and "after" in said):
        raise KeyError
    return Change(
        op=said["op"],
        id=str(said["id"]),
        hash=str(said["hash"]),
        row=None if row is None else int(row),
        field=way if isinstance(way, str) else tuple(way),
        before=said.get("before"),
        after=said.get("after"),
        **{name: str(said.get(name) or "") for name in ("reason", "by", "at")},
    )


def append(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    """Add lines, all or none, on the disk when this returns. Others may do so at the same time.

    A last line without its end was cut by a crash: it is ended first, so that it spoils no other. Raises `DataError`.
    """
    text = b"".join(json.dumps(line, ensure_ascii=False, default=_plain).encode("utf-8", "surrogatepass") + b"\n" for line in lines)  # fmt: skip
    try:
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            _write(file, text)
        finally:
            os.close(file)
    except OSError as error:
        raise DataError(say("cannot be written: {strerror}. Changes of the data are kept there, beside it: to change what is shared, copy it into a folder of your own.", strerror=error.strerror), file=path) from None  # fmt: skip


def _write(file: int, text: bytes) -> None:
    size = os.fstat(file).st_size
    if size and os.pread(file, 1, size - 1) != b"\n":
        text = b"\n" + text
    try:
        while text:
            text = text[os.write(file, text) :]
        os.fsync(file)
    except OSError:
        os.ftruncate(file, size)  # half a line, on a full disk
        raise


def value_at(row: Row, way: Field) -> Any:
    """What stands in a cell; None in a column that the row lacks. Raises LookupError or TypeError off the way."""
    first, *rest = steps(way)
    value = row.get(first)
    for step in rest:
        value = value[step]
    return value


def with_value(row: Row, way: Field, value: Any) -> Row:
    """The row with another value in a cell; the given one stays as it is. Raises LookupError or TypeError."""
    first, *rest = steps(way)
    return {**row, first: _replaced(row.get(first), rest, value)}


def steps(way: Field) -> Sequence[str | int]:
    """A field as the steps into it."""
    return (way,) if isinstance(way, str) else way


def _replaced(whole: Any, way: Sequence[str | int], value: Any) -> Any:
    if not way:
        return value
    step, *rest = way
    new = _replaced(whole[step], rest, value)
    if isinstance(whole, dict):
        return {**whole, step: new}
    if isinstance(whole, list):
        return [*whole[:step], new, *whole[step + 1 :]]
    raise TypeError(f"{type(whole).__name__} has no parts")


def _canonical(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_plain)
    return text.encode("utf-8", "surrogatepass")


def _plain(value: Any) -> Any:
    """What JSON has no form for: the bytes, dates and decimals of Arrow tables."""
    return value.hex() if isinstance(value, bytes) else str(value)
