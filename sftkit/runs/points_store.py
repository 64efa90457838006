"""Where the columns of points.py lie: in memory, or in files that every reader maps into its memory.

.points/mark.0, mark.1        how far metrics.jsonl was read, which columns there are; written in turns, after the
                              columns, so that one of the two is whole (replacing a file makes ext4 wait for the disk)
.points/lock                  whoever appends holds it
.points/<generation>/…        steps.0, steps.1, …, evals.0, …: a column each, float64 as this machine writes them

In the run's folder, or where that cannot be written, in the user's cache folder. A run that is resumed replaces its
metrics: a new generation is begun, and the old files stay as they are for those who have mapped them.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import shutil
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import numpy as np

FORMAT = f"1-{sys.byteorder}"
HERE = ".points"  # the cache in the run's folder
MARKS = ("mark.0", "mark.1")
ITEM = 8  # bytes of a float64


@dataclass(frozen=True)
class Mark:
    """How far a file was read: its inode, the byte after the last whole line, the checksum of the bytes before that
    place, the lines up to it, and the cache's generation ("": in memory)."""

    file: int | None = None
    offset: int = 0
    seen: int = 0
    lines: int = 0
    cached: str = ""


class Table(Protocol):
    """Columns of one length that grow at their end."""

    rows: int
    names: list[str]

    def column(self, name: str) -> np.ndarray:
        """Float64 (rows,), to be read only; all NaN for a name that is not there."""

    def append(self, columns: dict[str, np.ndarray]) -> None:
        """Add rows; NaN where a column is missing on either side."""


class Memory:
    """A table in memory."""

    def __init__(self) -> None:
        self.rows, self._room, self._arrays = 0, 0, {}

    @property
    def names(self) -> list[str]:
        return list(self._arrays)

    def column(self, name: str) -> np.ndarray:
        return self._arrays[name][: self.rows] if name in self._arrays else np.full(self.rows, np.nan)

    def append(self, columns: dict[str, np.ndarray]) -> None:
        rows = self.rows + len(columns["line"])
        if rows > self._room:
            self._room = (
                2 * rows
            )  # twice what is needed: appending one by one copies each value once or twice
            self._arrays = {name: self._grown(values) for name, values in self._arrays.items()}
        for name, values in columns.items():
            if name not in self._arrays:
                self._arrays[name] = np.full(self._room, np.nan)
            self._arrays[name][self.rows : rows] = values
        self.rows = rows

    def _grown(self, values: np.ndarray) -> np.ndarray:
        room = np.full(self._room, np.nan)
        room[: self.rows] = values[: self.rows]
        return room


class Files:
    """A table as files, one a column. What lies in them beyond `rows` is of no account: an append that was cut off."""

    def __init__(self, stem: Path, rows: int = 0, names: list[str] | None = None, end: int = 0):
        self.rows, self.names, self.end, self._stem = rows, list(names or []), end, os.fspath(stem)
        self._mapped: dict[str, np.ndarray] = {}

    def column(self, name: str) -> np.ndarray:
        if name not in self.names or not self.rows:
            return np.full(self.rows, np.nan)
        if len(self._mapped.get(name, ())) != self.rows:
            try:
                with open(self._path(name), "rb") as file:
                    mapped = mmap.mmap(file.fileno(), self.rows * ITEM, prot=mmap.PROT_READ)
            except (OSError, ValueError):  # another reader has begun a new generation: the next read() tells
                return np.full(self.rows, np.nan)
            self._mapped[name] = np.frombuffer(mapped, np.float64)
        return self._mapped[name]

    def append(self, columns: dict[str, np.ndarray]) -> None:
        count = len(columns["line"])
        if not count:
            return
        for name in columns:
            if name not in self.names:
                self.names.append(name)
                self._write(name, 0, np.full(self.rows, np.nan))
        end = 0
        for name in self.names:
            values = columns.get(name)
            values = np.full(count, np.nan) if values is None else np.ascontiguousarray(values, np.float64)
            self._write(name, self.rows, values)
            end = zlib.crc32(values[-1:].tobytes(), end)
        self.rows, self.end = self.rows + count, end

    def is_whole(self) -> bool:
        """Whether every column holds its rows, and the last of them as it was written."""
        end = 0
        for name in self.names if self.rows else ():
            with open(self._path(name), "rb", buffering=0) as file:
                end = zlib.crc32(os.pread(file.fileno(), ITEM, (self.rows - 1) * ITEM), end)
        return end == self.end

    def to_disk(self) -> None:
        """Wait until the disk has it all."""
        for name in self.names:
            with open(self._path(name), "rb") as file:
                os.fsync(file.fileno())

    def _path(self, name: str) -> str:
        return f"{self._stem}.{self.names.index(name)}"

    def _write(self, name: str, row: int, values: np.ndarray) -> None:
        number = os.open(self._path(name), os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            left, place = memoryview(values).cast("B"), row * ITEM
            while left:
                wrote = os.pwrite(number, left, place)
                left, place = left[wrote:], place + wrote
        finally:
            os.close(number)


class Cache:
    """The tables of one run's metrics on disk."""

    def __init__(self, run: Path):
        self._run = run
        self._found: Path | None = None
        self._saved = 0
        self.usable = True

    @property
    def folder(self) -> Path:
        """Where it is: made when it is first asked for. Raises OSError where none can be made."""
        if self._found is None:
            self._found = self._make()
        return self._found

    def _make(self) -> Path:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        name = sha256(os.fsencode(self._run)).hexdigest()[:20]
        for folder in (self._run / HERE, home / "sftkit" / "points" / name):
            try:
                folder.mkdir(parents=folder.parent != self._run, exist_ok=True)
                with (folder / "lock").open("ab"):
                    return folder
            except OSError as error:
                refused = error
        raise refused

    @contextmanager
    def lock(self, wait: bool) -> Iterator[bool]:
        """Whether it is ours to append; without `wait`, False while another does."""
        with (self.folder / "lock").open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            yield True  # closing the file gives it back

    def mark(self) -> Mark | None:
        """The mark that was saved last, whatever there is of its columns."""
        try:
            return Mark(**self._told()["mark"])
        except (KeyError, TypeError):
            return None

    def load(self) -> tuple[Mark, dict[str, Table]] | None:
        """What was saved last; None where there is nothing, or not all of it."""
        told = self._told()
        try:
            mark = Mark(**told["mark"])
            if told["format"] != FORMAT or "/" in mark.cached:
                return None
            tables = {
                name: Files(self.folder / mark.cached / name, **told[name]) for name in ("steps", "evals")
            }
            return (mark, tables) if all(table.is_whole() for table in tables.values()) else None
        except (KeyError, TypeError, ValueError, OSError):
            return None

    def begin(self, file: int) -> tuple[Mark, dict[str, Table]]:
        """An empty generation for the file with this inode; older ones go."""
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
        mark = Mark(file=file, seen=zlib.crc32(b""), cached=f"{time.time_ns():x}")
        (self.folder / mark.cached).mkdir()
        tables = {name: Files(self.folder / mark.cached / name) for name in ("steps", "evals")}
        self.save(mark, tables)
        return mark, tables

    def save(self, mark: Mark, tables: dict[str, Files], lasting: bool = False) -> None:
        """Make what was appended count. lasting: also through a power cut."""
        if lasting:
            for table in tables.values():
                table.to_disk()
        told = {n: {"rows": t.rows, "names": t.names, "end": t.end} for n, t in tables.items()}
        self._saved = max(self._saved, self._told().get("saved", 0)) + 1
        text = json.dumps({"format": FORMAT, "saved": self._saved, "mark": asdict(mark), **told}).encode()
        number = os.open(self.folder / MARKS[self._saved % 2], os.O_RDWR | os.O_CREAT, 0o666)
        try:
            line = f"{zlib.crc32(text):08x} ".encode() + text
            os.pwrite(number, line.ljust(os.fstat(number).st_size), 0)
        finally:
            os.close(number)

    def _told(self) -> dict[str, Any]:
        """The newer of the two marks that is whole; empty where none is."""
        found: list[dict[str, Any]] = []
        for name in MARKS:
            try:
                with open(self.folder / name, "rb", buffering=0) as file:
                    checksum, _, text = file.read().rstrip().partition(b" ")
                if int(checksum, 16) == zlib.crc32(text):
                    found.append(json.loads(text))
            except (OSError, ValueError):
                continue
        return max(found, key=lambda told: told["saved"], default={})
