"""Rows from where people keep them: JSONL, JSON, CSV, Parquet and Arrow files, `save_to_disk` folders, the hub.

read_rows("data/train.jsonl")      # a list of dicts, in file order
"""

from __future__ import annotations

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
    ".jsonl": text_files.jsonl,
    ".json": text_files.json_array,
    ".csv": text_files.csv_table,
    ".parquet": tables.parquet,
    ".arrow": tables.arrow,
}


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
        and Path(text).suffix.lower() not in READERS
        and not text.startswith(".")
    )


def is_hub_source(source: object) -> bool:
    """True for the hub id of a data set that is no path here, also of a part of one: `owner/name@part`."""
    return not Path(str(source)).exists() and is_hub_id(str(source).partition("@")[0])


def where_rows_are(source: str | Path, wanted: str | None) -> Path:
    """The file, or the folder of the saved split, that holds a source's rows. Raises `DataError` if there is none."""
    path = Path(source)
    if path.is_dir() and tables.is_saved(path):
        return tables.split_folder(path, wanted)
    if path.is_dir():
        inside = sorted(
            item.name
            for item in path.iterdir()
            if item.suffix.lower() in READERS and not item.name.endswith(SUFFIX)
        )
        has = (
            say("It has {names}.", names=", ".join(inside[:5]))
            if inside
            else say("It has none of a known kind.")
        )
        raise DataError(say("is a folder; name a file in it. {has}", has=has), file=source)
    if not path.is_file():
        raise DataError(say("no such file."), file=source)
    return path


def read_head(path: Path, size: int) -> tuple[list[Row], int] | None:
    """About the first `size` bytes of a large file or saved split as rows, and how many rows it has (text: about).

    None where the format must be read whole.
    """
    if path.is_dir() or path.suffix.lower() in (".parquet", ".arrow"):
        return tables.head(path, size)
    if path.suffix.lower() not in (".jsonl", ".csv"):
        return None
    rows, total = text_files.head(path, size)
    return (rows, total) if rows else None


def _reader(path: Path) -> Callable[[Path], RowList | RowTable]:
    try:
        return READERS[path.suffix.lower()]
    except KeyError:
        raise DataError(say("cannot read {kind}; known: {names}.", kind=path.suffix or say("a file without a suffix"), names=', '.join(READERS)), file=path) from None  # fmt: skip
