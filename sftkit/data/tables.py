"""Rows of Arrow tables: Parquet and Arrow files, and folders that `datasets` wrote with `save_to_disk`.

Read with pyarrow alone (0.1 s to import, where `datasets` takes 0.7): preflight reads them while its user types. What
`datasets` would do besides changes no row: a saved folder holds its rows in their order, in Arrow's stream format.
Arrow files are mapped into memory, so that only the rows that are taken are read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sftkit.data.text_files import Row
from sftkit.errors import DataError
from sftkit.wording import say

if TYPE_CHECKING:
    import pyarrow as pa

DICT, STATE, INFO = "dataset_dict.json", "state.json", "dataset_info.json"
HELD_OUT = ("validation", "test")  # the splits to evaluate on, where none is named


@dataclass(frozen=True)
class RowTable:
    """The rows of an Arrow table; they become dicts when they are taken."""

    table: pa.Table

    @property
    def columns(self) -> list[str]:
        return self.table.column_names

    def __len__(self) -> int:
        return self.table.num_rows

    def take(self, numbers: Sequence[int]) -> list[Row]:
        """The rows of these ascending numbers (0 = the first).

        Batch by batch: a take from the whole table fails where a column's text exceeds 2 GB.
        """
        rows: list[Row] = []
        wanted, first = np.asarray(numbers, dtype=np.int64), 0
        decoders = {field.name: decode for field in self.table.schema if (decode := _decoder(field.type))}
        for batch in self.table.to_batches():
            low, high = np.searchsorted(wanted, [first, first + batch.num_rows])
            if high > low:
                whole = high - low == batch.num_rows
                rows += (batch if whole else batch.take(wanted[low:high] - first)).to_pylist()
            first += batch.num_rows
        for name, decode in decoders.items():
            for row in rows:
                row[name] = decode(row[name])
        return rows


def _decoder(kind: pa.DataType) -> Callable[[Any], Any] | None:
    """What makes values of a column that holds JSON as text, at any depth: so does `datasets` store mixed types."""
    import pyarrow as pa

    if getattr(kind, "extension_name", "") == "arrow.json":
        return lambda value: None if value is None else json.loads(value)
    if (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and (inner := _decoder(kind.value_type)):
        return lambda values: None if values is None else [inner(value) for value in values]
    if pa.types.is_struct(kind):
        parts = {field.name: decode for field in kind.fields if (decode := _decoder(field.type))}
        if parts:
            return lambda value: (
                value and {name: parts[name](part) if name in parts else part for name, part in value.items()}
            )
    return None


def parquet(path: Path) -> RowTable:
    import pyarrow as pa
    import pyarrow.parquet

    try:
        # read_table would make columns of folders named key=value.
        return RowTable(pa.parquet.ParquetFile(path).read())
    except (pa.ArrowException, OSError) as error:
        raise DataError(say("is not Parquet: {error}", error=error), file=path) from None


def arrow(path: Path) -> RowTable:
    """An Arrow file in the stream format (as `datasets` writes it) or in the file format (Feather 2)."""
    import pyarrow as pa

    try:
        with path.open("rb") as file:
            indexed = file.read(6) == b"ARROW1"
        opened = (pa.ipc.open_file if indexed else pa.ipc.open_stream)(pa.memory_map(str(path)))
        return RowTable(opened.read_all())
    except (pa.ArrowException, OSError) as error:
        raise DataError(say("is not Arrow, or is cut short: {error}", error=error), file=path) from None


def head(path: Path, size: int) -> tuple[list[Row], int]:
    """About the first `size` bytes of a Parquet file, an Arrow file or a saved split, as rows, and how many it has."""
    if path.suffix.lower() != ".parquet":
        rows = arrow(path) if path.is_file() else saved(path)
        return rows.take(range(_share(len(rows), size, data_files(path)))), len(rows)
    import pyarrow as pa
    import pyarrow.parquet

    try:
        file = pa.parquet.ParquetFile(path)
        total = file.metadata.num_rows
        batch = next(file.iter_batches(batch_size=_share(total, size, [path])))
    except (pa.ArrowException, OSError, StopIteration) as error:
        raise DataError(say("is not Parquet: {error}", error=error), file=path) from None
    return RowTable(pa.Table.from_batches([batch])).take(range(batch.num_rows)), total


def _share(total: int, size: int, files: list[Path]) -> int:
    """How many of `total` rows take about `size` bytes of the files."""
    return min(total, max(1, total * size // max(1, sum(file.stat().st_size for file in files))))


# save_to_disk


def is_saved(path: Path) -> bool:
    """Whether `path` is a folder that `save_to_disk` wrote: of one data set, or with a folder for each split."""
    return (path / DICT).is_file() or ((path / STATE).is_file() and (path / INFO).is_file())


def splits(path: Path) -> list[str]:
    """The splits of a saved folder; none where it holds a single data set."""
    return list(_described(path / DICT).get("splits", [])) if (path / DICT).is_file() else []


def split_folder(path: Path, wanted: str | None) -> Path:
    """The folder of the split `wanted` (None: the one to evaluate on); a single data set is its own."""
    there = splits(path)
    return path / choose_split(there, wanted, path) if there else path


def choose_split(there: Sequence[str], wanted: str | None, file: object) -> str:
    """`wanted`, or where that is None: validation, else test, else the only one. Raises `DataError` naming those there."""
    if wanted in there:
        return str(wanted)
    if wanted is None:
        if found := next((split for split in HELD_OUT if split in there), None):
            return found
        if len(there) == 1:
            return there[0]
    missing = (
        say("no split {name!r}", name=wanted) if wanted else say("neither a validation nor a test split")
    )
    raise DataError(say("has {missing}; it has {names}. Name one of them as dataset_split (as eval_split for the eval set).", missing=missing, names=', '.join(there)), file=file)  # fmt: skip


def saved(folder: Path) -> RowTable:
    """The rows of a folder with `state.json`: one data set, or one split."""
    import pyarrow as pa

    parts = [arrow(file).table for file in data_files(folder)]
    if not parts:
        raise DataError(say("holds no rows."), file=folder)
    try:
        table = pa.concat_tables(parts)
        if order := [arrow(file).table for file in _named(folder, "_indices_data_files", "_indices_files")]:
            table = table.take(
                pa.concat_tables(order)["indices"]
            )  # so old versions kept what they had shuffled
    except (pa.ArrowException, KeyError) as error:
        raise DataError(say("its files do not fit together: {error}", error=error), file=folder) from None
    return RowTable(table)


def data_files(path: Path) -> list[Path]:
    """The files with the rows of a saved folder; a file is its own. Raises `DataError` where one is missing.

    Other files there do not count: `datasets` leaves its caches beside them.
    """
    return [path] if path.is_file() else _named(path, "_data_files")


def _named(folder: Path, *keys: str) -> list[Path]:
    """Files that `state.json` names."""
    state = _described(folder / STATE)
    try:
        files = [folder / entry["filename"] for key in keys for entry in state.get(key) or ()]
    except (TypeError, KeyError):
        raise DataError(say("does not name its files as save_to_disk does."), file=folder / STATE) from None
    if missing := [file.name for file in files if not file.is_file()]:
        raise DataError(say("lacks {names}, which its {STATE} names: copy the folder whole.", names=', '.join(missing[:3]), STATE=STATE), file=folder)  # fmt: skip
    return files


def _described(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(say("cannot be read: {error}", error=error), file=file) from None
    if not isinstance(found, dict):
        raise DataError(say("should hold a JSON object."), file=file)
    return found
