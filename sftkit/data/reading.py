"""Rows from a file: JSONL, JSON (an array), CSV or Parquet; or from the hub, inside a training run.

read_rows("data/train.jsonl")      # a list of dicts, in file order
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sftkit.config import SFTConfig
from sftkit.errors import DataError

Row = dict[str, Any]


def read_rows(source: SFTConfig | str | Path, split: str = "train", *, hub: bool = False) -> list[Row]:
    """All rows of a file, or of `config.dataset` (`split="eval"`: of `config.eval_dataset`; none set: no rows).

    `hub=True` allows a hub id, which needs `datasets` and the network: only the training process passes it.
    Raises `DataError` with the file and the row (1 = the first).
    """
    if isinstance(source, SFTConfig):
        source = source.eval_dataset if split == "eval" else source.dataset
        if source is None:
            return []
    path = Path(source)
    if path.is_file():
        rows = list(_reader(path)(path))
        if not rows:
            raise DataError("holds no rows.", file=path)
        return rows
    if is_hub_id(source):
        if not hub:
            raise DataError("no such file; a hub id is read by the training process only.", file=source)
        return _hub_rows(str(source), split)
    raise DataError("no such file." if not path.is_dir() else "is a folder; name a file in it.", file=source)


def is_hub_id(source: object) -> bool:
    """True for `owner/name` that is no path here, nor could be meant as one: no data file, in no folder that exists."""
    text = str(source)
    return bool(
        re.fullmatch(r"[\w.-]+/[\w.-]+", text)
        and not Path(text).parent.is_dir()
        and Path(text).suffix.lower() not in READERS
        and not text.startswith(".")
    )


def _reader(path: Path):
    try:
        return READERS[path.suffix.lower()]
    except KeyError:
        raise DataError(f"cannot read {path.suffix or 'a file without a suffix'}; known: {', '.join(READERS)}.", file=path) from None  # fmt: skip


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise DataError("is not UTF-8 text; save it as UTF-8.", file=path, row=line) from None


def _jsonl(path: Path) -> Iterator[Row]:
    for number, line in enumerate(_text(path).split("\n"), start=1):  # splitlines() would cut at U+2028 too
        if line.strip():
            yield _object(_json(line, path, number), path, number)


def _json_array(path: Path) -> Iterator[Row]:
    text = _text(path)
    if not text.lstrip().startswith("["):  # JSON lines under the wrong name are common
        yield from _jsonl(path)
        return
    for number, row in enumerate(_json(text, path, None), start=1):
        yield _object(row, path, number)


def _json(text: str, path: Path, number: int | None) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        row = error.lineno if number is None else number
        raise DataError(f"is not JSON: {error.msg} at column {error.colno}.", file=path, row=row) from None


def _object(row: Any, path: Path, number: int) -> Row:
    if not isinstance(row, dict):
        raise DataError(f"should be an object with named columns, is {type(row).__name__}.", file=path, row=number)  # fmt: skip
    return row


def _csv(path: Path) -> Iterator[Row]:
    csv.field_size_limit(2**31 - 1)  # answers are longer than the module's 128 kB
    reader = csv.DictReader(io.StringIO(_text(path), newline=""), strict=True)
    number = 0
    try:
        for number, row in enumerate(reader, start=1):
            if None in row or None in row.values():
                raise DataError(f"has not {len(reader.fieldnames or [])} fields like the header.", file=path, row=number)  # fmt: skip
            yield row
    except csv.Error as error:
        raise DataError(f"is not CSV: {error}.", file=path, row=number + 1) from None


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow.parquet  # 0.1 s, and most data is JSONL

    try:
        yield from pyarrow.parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"is not Parquet: {error}", file=path) from None


def _hub_rows(name: str, split: str) -> list[Row]:
    import datasets  # heavy, and only here

    try:
        parts = datasets.load_dataset(name)
    except Exception as error:
        raise DataError(f"could not be loaded from the hub: {error}", file=name) from error
    wanted = ("validation", "test") if split == "eval" else ("train",)
    for part in wanted:
        if part in parts:
            return parts[part].to_list()
    raise DataError(f"has no split {' or '.join(wanted)}; it has {', '.join(parts)}.", file=name)


READERS = {".jsonl": _jsonl, ".json": _json_array, ".csv": _csv, ".parquet": _parquet}
