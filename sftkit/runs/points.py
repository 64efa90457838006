"""metrics.jsonl as columns of float64: a million steps are there at once, and a new line costs next to nothing.

    points = Points(run.folder)
    while points.read(limit=64 << 20):     # in pieces, each followed by …
        print(points.progress)             # … how much of the file is known, 0 to 1
    points.steps.column("loss")            # one value a logged step
    points.evals.column("eval_loss")       # one value an evaluation
    points.frame()                         # both as a DataFrame, a row a line of the file

A small file is read into memory anew by every reader. A large one is parsed once, into a cache that every reader maps
into its memory (points_store.py). Names within an object (`eval_loss_by_task`) become columns of their own, see `nested`. What
is no number (text, a list) is left out.
"""

from __future__ import annotations

import os
import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sftkit.runs import folder as disk
from sftkit.runs.points_store import Cache, Mark, Memory, Table

SMALL = 4 << 20  # bytes of metrics.jsonl up to which parsing is quicker than a cache is worth
BLOCK = 16 << 20  # bytes parsed at once
LASTING = 256 << 20  # bytes after which what was parsed is made to outlast a power cut
LINE = 1 << 20  # bytes; a longer line is none of ours
QUICK = 256 << 10  # bytes from which Arrow is quicker than json
SEEN = 512  # bytes before the place read up to, by whose checksum a file is known again
SHARED = ("step", "epoch", "tokens", "seconds")  # in lines of both kinds
WHOLE = ("step", "tokens")  # whole numbers, as long as none is missing
IN = "\x1f"  # between the name of an object and a name within it: in no name that a person gives


def nested(name: str, inner: str) -> str:
    """The column of `inner` in the objects called `name`: nested("eval_loss_by_task", "sum")."""
    return f"{name}{IN}{inner}"


class Points:
    """The metrics of the run in `folder`, as far as `read` has come. Any thread may call; one reads at a time."""

    def __init__(self, folder: str | Path):
        self.path = Path(folder) / disk.METRICS
        self._cache = Cache(Path(folder).absolute())
        self._turn = threading.RLock()
        self._size, self._unsafe = 0, 0  # bytes of the file; those parsed that a power cut would lose
        self._frame: tuple[Any, pd.DataFrame] | None = None
        self._forget()

    @property
    def steps(self) -> Table:
        """Lines of training steps: `.rows`, `.names`, `.column(name)`."""
        return self._tables["steps"]

    @property
    def evals(self) -> Table:
        """Lines of evaluations."""
        return self._tables["evals"]

    @property
    def progress(self) -> float:
        """Share of the file's bytes that is known: 0 to 1."""
        return min(1.0, self._mark.offset / self._size) if self._size else 1.0

    @property
    def left(self) -> int:
        """Bytes of the file that are not known yet."""
        return max(0, self._size - self._mark.offset)

    @property
    def version(self) -> tuple[int, int, int]:
        """Changes when the points do; its first number when they are those of another file."""
        return self._era, self.steps.rows, self.evals.rows

    def read(self, limit: int | None = None) -> bool:
        """Take in what was logged since, at most `limit` bytes (None: all). Whether there is more to take in now.

        A small file, and a small rest of a large one, is taken in whole. With a limit it never waits for another process that is just reading the same file: it takes what that one has
        read. A last line without its end waits for it.
        """
        with self._turn:
            try:
                file = self.path.stat()
            except OSError:
                self._size = 0
                self._forget()
                return False
            self._size = file.st_size
            if not self._is_known(file, self._mark):
                self._forget()
            if file.st_size == self._mark.offset and self._mark.file == file.st_ino:
                return False
            if self._mark.cached or (file.st_size > SMALL and self._cache.usable):
                return self._take_cached(file, limit)
            return self._take(file, None if file.st_size <= SMALL else limit)

    def sample(self, count: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """A quick look at what was not read yet: steps and evaluations from `count` evenly spaced places of the file."""
        lines = _lines_at(self.path, self._mark.offset, count)
        steps, evals = _by_kind(_from_rows(disk.parse(lines)), 0)
        return steps, evals

    def frame(self) -> pd.DataFrame:
        """All that was read, a row a line. A new DataFrame only when there are new points: do not change it."""
        with self._turn:
            if self._frame is None or self._frame[0] != self.version:
                self._frame = self.version, _frame(self.steps, self.evals)
            return self._frame[1]

    def _forget(self) -> None:
        self._tables: dict[str, Table] = {"steps": Memory(), "evals": Memory()}
        self._mark, self._era = Mark(), getattr(self, "_era", 0) + 1

    def _is_known(self, file: os.stat_result, mark: Mark) -> bool:
        """Whether the file is the one that was read up to `mark`: same inode, not shorter, the same bytes before it."""
        if mark.file is None:
            return True
        if mark.file != file.st_ino or file.st_size < mark.offset:
            return False
        return mark.seen == _checksum(self.path, mark.offset)

    def _take_cached(self, file: os.stat_result, limit: int | None) -> bool:
        try:
            with self._cache.lock(wait=limit is None) as mine:
                self._adopt(file, mine)
                return self._take(file, limit) if mine else self._mark.offset < file.st_size
        except OSError:  # the disk is full, or the folder went: memory does as well
            self._cache.usable = False
            self._forget()
            return self._take(file, limit)

    def _adopt(self, file: os.stat_result, mine: bool) -> None:
        """Go on from what the cache holds now; where that is of no use, and it is ours, from an empty one."""
        if self._mark.cached and self._cache.mark() == self._mark:
            return
        found = self._cache.load()
        if found and self._is_known(file, found[0]):
            if self._mark.cached != found[0].cached:
                self._era += 1
            self._mark, self._tables = found
        elif mine:
            self._era += 1
            self._mark, self._tables = self._cache.begin(file.st_ino)
        else:
            self._forget()

    def _take(self, file: os.stat_result, limit: int | None) -> bool:
        """Parse on from the mark, block by block, and keep each before the next."""
        end, begun = file.st_size, self._mark.offset
        while (rest := end - self._mark.offset) > 0 and (
            limit is None or self._mark.offset - begun < limit or rest <= LINE
        ):
            block = _block(self.path, self._mark.offset, _size(limit, self._mark.offset - begun))
            if not block:
                return False  # what is left is half a line
            steps, evals = _by_kind(_columns(block), self._mark.lines)
            self.steps.append(steps)
            self.evals.append(evals)
            offset = self._mark.offset + len(block)
            lines = self._mark.lines + block.count(b"\n")
            seen = zlib.crc32(block[-SEEN:]) if len(block) >= SEEN else _checksum(self.path, offset)
            self._mark = Mark(file.st_ino, offset, seen, lines, self._mark.cached)
            if self._mark.cached:
                self._unsafe += len(block)
                lasting = self._unsafe > (SMALL if self._mark.offset == end else LASTING)
                self._cache.save(self._mark, self._tables, lasting)
                self._unsafe = 0 if lasting else self._unsafe
        return self._mark.offset < end


def _checksum(path: Path, offset: int) -> int:
    """Of the SEEN bytes of the file before `offset`."""
    start = max(0, offset - SEEN)
    try:
        with path.open("rb", buffering=0) as file:
            return zlib.crc32(os.pread(file.fileno(), offset - start, start))
    except OSError:
        return -1


def _size(limit: int | None, taken: int) -> int:
    """Bytes of the next block, when `taken` of `limit` are read."""
    return BLOCK if limit is None else min(BLOCK, max(LINE, limit - taken))


def _block(path: Path, offset: int, size: int) -> bytes:
    """Whole lines from `offset` on, about `size` bytes."""
    try:
        with path.open("rb", buffering=0) as file:
            text = os.pread(file.fileno(), size, offset)
    except OSError:
        return b""
    return text[: text.rfind(b"\n") + 1] or (text if len(text) == size else b"")


def _lines_at(path: Path, start: int, count: int) -> list[bytes]:
    """The first whole line after each of `count` places, evenly spaced from `start` to the end, each once."""
    lines: dict[int, bytes] = {}
    try:
        with path.open("rb", buffering=0) as file:
            number, size = file.fileno(), os.fstat(file.fileno()).st_size
            for place in np.linspace(start, max(start, size - 1), count).astype(int):
                text = os.pread(number, 2048, place)
                first = 0 if place == start else text.find(b"\n") + 1
                last = text.find(b"\n", first)
                if last > first and (place == start or first):
                    lines[int(place) + first] = text[first:last]
    except OSError:
        return []
    return [lines[place] for place in sorted(lines)]


def _columns(block: bytes) -> dict[str, np.ndarray]:
    """The lines of a block as columns of float64, NaN where a line has no such number."""
    if len(block) >= QUICK:
        import pyarrow as pa

        try:
            return _from_arrow(block)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            pass  # a line is cut, or a value changes its kind: line by line then
    return _from_rows(disk.parse([line for line in block.split(b"\n") if line.strip()]))


def _from_arrow(block: bytes) -> dict[str, np.ndarray]:
    import pyarrow as pa
    from pyarrow import compute as pc
    from pyarrow import json

    table = json.read_json(pa.BufferReader(block), read_options=json.ReadOptions(block_size=4 << 20))
    found: dict[str, np.ndarray] = {}
    for name, column in zip(table.column_names, table.columns):
        parts = {name: column}
        if pa.types.is_struct(column.type):
            parts = {
                nested(name, field.name): pc.struct_field(column, i) for i, field in enumerate(column.type)
            }
        for key, part in parts.items():
            if pa.types.is_integer(part.type) or pa.types.is_floating(part.type):
                found[key] = part.cast(pa.float64(), safe=False).to_numpy()
    return found or {"step": np.full(table.num_rows, np.nan)}


def _from_rows(rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {"step": np.full(len(rows), np.nan)}
    for number, row in enumerate(rows):
        for name, value in row.items():
            inner = (
                {nested(name, key): one for key, one in value.items()}
                if isinstance(value, dict)
                else {name: value}
            )
            for key, one in inner.items():
                if isinstance(one, (int, float)) and not isinstance(one, bool):
                    if key not in found:
                        found[key] = np.full(len(rows), np.nan)
                    found[key][number] = _real(one)
    return found


def _real(number: float) -> float:
    try:
        return float(number)
    except OverflowError:  # an integer of more than 308 digits
        return float("nan")


def _by_kind(
    columns: dict[str, np.ndarray], lines: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The columns of steps and those of evaluations; a line may be both. `lines`: how many came before these."""
    count = len(next(iter(columns.values())))
    evaluated, trained = np.zeros(count, bool), np.zeros(count, bool)
    for name, values in columns.items():
        if name.startswith("eval_"):
            evaluated |= ~np.isnan(values)
        elif name not in SHARED:
            trained |= ~np.isnan(values)
    trained |= ~evaluated
    columns = {"line": np.arange(lines, lines + count, dtype=float), **columns}
    steps = {name: values[trained] for name, values in columns.items() if not name.startswith("eval_")}
    own = {name: values for name, values in columns.items() if name.startswith("eval_")}
    shared = {name: columns[name] for name in ("line", *SHARED) if name in columns}
    return steps, {name: values[evaluated] for name, values in {**shared, **own}.items()}


def _frame(steps: Table, evals: Table) -> pd.DataFrame:
    lines = [table.column("line") for table in (steps, evals)]
    order = np.union1d(*lines)
    places = [np.searchsorted(order, line) for line in lines]
    found: dict[str, np.ndarray] = {}
    for table, place in zip((steps, evals), places):
        for name in table.names:
            if name != "line":
                found.setdefault(name, np.full(len(order), np.nan))[place] = table.column(name)
    plain = {name: _whole(name, values) for name, values in found.items() if IN not in name}
    outer = dict.fromkeys(name.partition(IN)[0] for name in found if IN in name)
    return pd.DataFrame(plain | {name: _objects(found, name) for name in outer if name not in plain})


def _whole(name: str, values: np.ndarray) -> np.ndarray:
    fits = name in WHOLE and len(values) and np.isfinite(values).all() and (values == np.trunc(values)).all()
    return values.astype(np.int64) if fits else values


def _objects(found: dict[str, np.ndarray], name: str) -> np.ndarray:
    """The objects called `name` put together again; NaN where a line had none."""
    inner = {key.partition(IN)[2]: values for key, values in found.items() if key.startswith(name + IN)}
    objects = np.full(len(next(iter(inner.values()))), np.nan, dtype=object)
    for key, values in inner.items():
        for number in np.flatnonzero(~np.isnan(values)):
            if not isinstance(objects[number], dict):
                objects[number] = {}
            objects[number][key] = values[number]
    return objects
