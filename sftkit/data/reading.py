"""Rows from where people keep them: JSONL, JSON, CSV, Parquet and Arrow files, `save_to_disk` folders, the hub.

read_rows("data/train.jsonl")      # a list of dicts, in file order
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sftkit.config import SFTConfig
from sftkit.conflicts import split_sources
from sftkit.data import tables, text_files
from sftkit.data.hub import hub_table
from sftkit.data.patch_log import SUFFIX
from sftkit.data.patched import Patched, kept, patched
from sftkit.data.tables import RowTable
from sftkit.data.text_files import Row, RowList
from sftkit.errors import DataError
from sftkit.wording import say

READERS: dict[str, Callable[[Path], RowList | RowTable]] = {
    ".jsonl": text_files.json_rows,
    ".json": text_files.json_rows,
    ".csv": text_files.csv_table,
    ".parquet": tables.parquet,
    ".arrow": tables.arrow,
}
# Packed files, spreadsheets among them, by their first bytes; gzip is read.
PACKED = {b"PK\x03\x04": "zip, or a spreadsheet", b"(\xb5/\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}


def read_rows(source: SFTConfig | str | Path, split: str = "train", *, hub: bool = False) -> list[Row]:
    """All rows of a file or folder, or of several with commas between; or of every source of a config's `split`.

    `split="eval"`: of `config.eval_dataset` (none set: no rows); of a folder with splits, those to evaluate on.
    `hub=True` allows hub ids, which need the network: only the training process passes it.
    Raises `DataError` with the file and the row (1 = the first).
    """
    if isinstance(source, SFTConfig):
        names, wanted = named_sources(source, split)
    else:
        names = [source] if Path(source).exists() else split_sources(str(source)) or [source]
        wanted = "train" if split == "train" else None
    opened = [open_source(name, wanted, hub=hub) for name in names]
    return [row for rows in opened for row in rows.take(kept(rows))]


def named_sources(config: SFTConfig, split: str) -> tuple[list[str], str | None]:
    """The sources of "train" or "eval", and which of their own splits is wanted (None: the one to evaluate on)."""
    if split == "eval":
        return config.eval_sources, config.eval_split
    return config.sources, config.dataset_split


def open_source(
    source: str | Path, wanted: str | None = "train", *, hub: bool = False, as_is: bool = False
) -> RowList | RowTable | Patched:
    """The rows of one source: `.columns`, `len()`, `.take(numbers)`. `wanted`: the split, where it has splits.

    The patch beside the data is applied (`patched.kept` names the rows that it leaves), unless wanted `as_is`.
    """
    if is_hub_source(source):
        if not hub:
            raise DataError(say("no such file; a hub id is read by the training process only."), file=source)
        rows: RowList | RowTable = hub_table(str(source), wanted)
        return with_rows(rows, source)
    path = where_rows_are(source, wanted)
    rows = with_rows(tables.saved(path) if path.is_dir() else _reader(path)(path), source)
    return rows if as_is else with_rows(patched(rows, path), source)


def with_rows(rows: Any, source: object) -> Any:
    """The same rows. Raises `DataError` where there are none, or none that is used."""
    if not len(rows):
        raise DataError(say("holds no rows."), file=source)
    if not len(kept(rows)):
        raise DataError(say("has no row left: its patch excludes all of them."), file=source)
    return rows


def is_hub_id(source: object) -> bool:
    """True for `owner/name` that is no path here, nor could be meant as one: no data file, in no folder that exists."""
    text = str(source)
    return bool(
        re.fullmatch(r"[\w.-]+/[\w.-]+", text)
        and not Path(text).parent.is_dir()
        and _kind(Path(text)) not in READERS
        and not text.startswith(".")
    )


def is_hub_source(source: object) -> bool:
    """True for the hub id of a data set that is no path here, also of a part of one: `owner/name@part`."""
    return not os.path.exists(source) and is_hub_id(str(source).partition("@")[0])


def is_closed(path: Path) -> bool:
    """Whether we may not read a file, or not even see whether it is there."""
    try:
        path.stat()
    except PermissionError:
        return True
    except OSError:
        return False
    return not os.access(path, os.R_OK)


def where_rows_are(source: str | Path, wanted: str | None) -> Path:
    """The file, or the folder of the saved split, that holds a source's rows. Raises `DataError` if there is none."""
    path = Path(source)
    if is_closed(path):
        raise DataError(say("is closed to you: its owner, or the administrator, has to let you read it."), file=source)  # fmt: skip
    if path.is_dir() and tables.is_saved(path):
        return tables.split_folder(path, wanted)
    if path.is_dir():
        inside = sorted(
            item.name for item in path.iterdir() if _kind(item) in READERS and not item.name.endswith(SUFFIX)
        )
        has = (
            say("It has {names}.", names=", ".join(inside[:5]))
            if inside
            else say("It has none of a known kind.")
        )
        raise DataError(say("is a folder; name a file in it. {has}", has=has), file=source)
    if not path.is_file():
        near = _nearest(path)
        raise DataError(say("no such file. Did you mean {near}?", near=near) if near else say("no such file."), file=source)  # fmt: skip
    return path


def _nearest(path: Path) -> str:
    """The path beside it with the name most like its own, of a kind that is read; "" without any."""
    beside = [item.name for item in path.parent.iterdir() if _kind(item) in READERS] if path.parent.is_dir() else []  # fmt: skip
    close = difflib.get_close_matches(path.name, [name for name in beside if not name.endswith(SUFFIX)], n=1)
    return str(path.with_name(close[0])) if close else ""


def read_head(path: Path, size: int) -> tuple[list[Row], int] | None:
    """About the first `size` bytes of a large file or saved split as rows, and how many rows it has (text: about).

    None where the format must be read whole.
    """
    if path.is_dir() or path.suffix.lower() in (".parquet", ".arrow"):
        return tables.head(path, size)
    if path.suffix.lower() not in (".jsonl", ".csv") or told_by(path):
        return None
    rows, total = text_files.head(path, size)
    return (rows, total) if rows else None


def _reader(path: Path) -> Callable[[Path], RowList | RowTable]:
    """What reads a file: told by its first bytes where they tell it, else by its name, before any `.gz`."""
    kind = _kind(path)
    if reader := told_by(path):
        return reader
    try:
        return READERS[kind]
    except KeyError:
        raise DataError(say("cannot read {kind}; known: {names}.", kind=kind or say("a file without a suffix"), names=', '.join(READERS)), file=path) from None  # fmt: skip


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix == ".gz" else suffix


def told_by(path: Path) -> Callable[[Path], RowList | RowTable] | None:
    """The reader of an Arrow or Parquet file, whatever its name. Raises `DataError` for packed files."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise DataError(say("cannot be read: {strerror}.", strerror=error.strerror), file=path) from None
    for mark, name in PACKED.items():
        if start.startswith(mark):
            raise DataError(say("is packed ({name}): unpack it first.", name=name), file=path)
    return tables.parquet if start.startswith(b"PAR1") else tables.arrow if start.startswith(b"ARROW1") else None  # fmt: skip
