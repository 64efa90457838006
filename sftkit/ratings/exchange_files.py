"""Every rating as one row of CSV, JSONL or Parquet, and back, with nothing lost on the way.

CSV: an empty cell is a missing value; scores, evidence and tags are JSON. Text that a spreadsheet would take for a
formula gets an apostrophe in front, which is taken off on reading. Rows are counted as a spreadsheet counts them, the
head being row 1. JSONL: one object a line. Parquet: scores and evidence are JSON text.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftkit.errors import Fault
from sftkit.ratings.records import FIELDS, as_seconds

if TYPE_CHECKING:
    import pandas as pd

Read = Iterator[tuple[str, dict[str, Any], list[Fault]]]  # where, values, what could not be read

COLUMNS = ("created", *FIELDS)
WRITTEN = (*COLUMNS, "current")  # which rows count; ignored on reading: it follows from the rest
_JSON, _WHOLE = ("scores", "evidence", "tags"), ("tokens_in", "tokens_out")
_NUMBERS = ("seconds", "price", "probability", *_WHOLE)
_MAY_MISS = ("shown_first", "request_hash", "raw_reply", "key", "project")  # where "" and missing differ
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")
_IGNORED = ("id", "current")


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The frame as plain objects: created in ISO 8601 with nanoseconds (exact: it is stored as a float)."""
    table = frame[list(FIELDS)].astype(object)
    table = table.where(table.notna(), None)
    stamps = [stamp.isoformat(timespec="nanoseconds") for stamp in frame["created"]]
    counts = [bool(current) for current in frame["current"]]
    rows = zip(stamps, table.to_dict("records"), counts)
    return [{"created": stamp, **row, "current": current} for stamp, row, current in rows]


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    with open(path, "w", encoding="utf-8-sig", newline="") as file:  # the mark tells Excel that it is UTF-8
        writer = csv.writer(file)
        writer.writerow(WRITTEN)
        for row in rows_of(frame):
            writer.writerow([_cell(name, row[name]) for name in WRITTEN])


def read_csv(path: Path) -> Read:
    csv.field_size_limit(
        min(sys.maxsize, 2**31 - 1)
    )  # a raw reply may be longer than the 128 kB allowed at first
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            yield from _csv_rows(reader)
        except csv.Error as error:
            yield f"row {reader.line_num}", {}, [Fault("", f"is no CSV: {error}.")]


def _csv_rows(reader: Any) -> Read:
    names = next(reader, [])
    if faults := _name_faults(names):
        yield "row 1", {}, faults
        return
    for number, cells in enumerate(reader, start=2):
        if len(cells) == len(names):
            values, faults = _parsed(dict(zip(names, cells)), _from_cell)
            yield f"row {number}", values, faults
        elif cells:
            yield f"row {number}", {}, [Fault("", f"has {len(cells)} cells, the head has {len(names)}.")]


def write_jsonl(path: Path, frame: pd.DataFrame) -> None:
    with open(path, "w", encoding="utf-8") as file:
        for row in rows_of(frame):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_jsonl(path: Path) -> Read:
    with open(path, encoding="utf-8-sig", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            where = f"row {number}"
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                yield where, {}, [Fault("", f"is no JSON: {error}")]
                continue
            if not isinstance(row, dict):
                yield where, {}, [Fault("", f"is no object but {type(row).__name__}.")]
            elif faults := _name_faults(list(row), needed=False):
                yield where, {}, faults
            else:
                yield (where, *_parsed(row, _from_object))


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, real = pa.string(), pa.float64()
    types = dict.fromkeys(_NUMBERS, real) | {name: pa.int64() for name in _WHOLE}
    types |= {
        "created": pa.timestamp("ns", tz="UTC"),
        "tags": pa.list_(text),
        "flag": pa.bool_(),
        "current": pa.bool_(),
    }
    rows = rows_of(frame)
    columns = {name: [row[name] for row in rows] for name in FIELDS}
    for name in ("scores", "evidence"):
        columns[name] = [json.dumps(value, ensure_ascii=False) for value in columns[name]]
    columns["created"], columns["current"] = list(frame["created"]), [row["current"] for row in rows]
    schema = pa.schema([(name, types.get(name, text)) for name in WRITTEN])
    pq.write_table(pa.table({name: columns[name] for name in WRITTEN}, schema=schema), path)


def read_parquet(path: Path) -> Read:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    if faults := _name_faults(table.column_names):
        yield "the columns", {}, faults
        return
    if "created" in table.column_names:  # an instant as a number: Python's datetime has no nanoseconds
        at = table.column_names.index("created")
        table = table.set_column(
            at, "created", table["created"].cast(pa.timestamp("ns", tz="UTC")).cast("int64")
        )
    for number, row in enumerate(table.to_pylist(), start=1):
        if row.get("created") is not None:
            row["created"] = as_seconds(row["created"])
        yield (f"row {number}", *_parsed(row, _from_object))


READERS = {"csv": read_csv, "jsonl": read_jsonl, "parquet": read_parquet}
WRITERS = {"csv": write_csv, "jsonl": write_jsonl, "parquet": write_parquet}


def _name_faults(names: list[str], needed: bool = True) -> list[Fault]:
    faults = []
    for name in names:
        if name not in (*COLUMNS, *_IGNORED):
            near = get_close_matches(name, COLUMNS, n=1, cutoff=0.7)
            faults.append(Fault(name or "a column without a name", "is no field of a rating.", f"Did you mean {near[0]}?" if near else f"Known: {', '.join(COLUMNS)}."))  # fmt: skip
    missing = [name for name in ("rater", "prompt_id", "model_a", "model_b", "verdict") if name not in names]
    faults += [Fault(name, "is missing.") for name in missing if needed]
    faults += [
        Fault(name, "comes twice.") for name in sorted({name for name in names if names.count(name) > 1})
    ]
    return faults


def _parsed(row: dict[str, Any], convert: Any) -> tuple[dict[str, Any], list[Fault]]:
    """The values that are there, converted; a missing one is left out, so that Rating's default stands."""
    values, faults = {}, []
    for name, raw in row.items():
        if name in _IGNORED:
            continue
        try:
            value = convert(name, raw)
        except (ValueError, TypeError):
            faults.append(Fault(name, f"{_short(raw)} is no {_KINDS.get(name, 'text')}."))
            continue
        if value is not None:
            values[name] = value
    return values, faults


_KINDS = {"created": "time as ISO 8601 writes it", "flag": "true or false"} | dict.fromkeys(_JSON, "JSON")
_KINDS |= dict.fromkeys(_NUMBERS, "number") | dict.fromkeys(_WHOLE, "whole number")


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name in _JSON:
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return repr(value)
    if name in _MAY_MISS and (not value or value.startswith('"')):
        return json.dumps(value, ensure_ascii=False)  # as JSON, because an empty cell is a missing value
    return f"'{value}" if value.startswith(_FORMULA) else value


def _from_cell(name: str, cell: str) -> Any:
    if not cell:
        return None
    if name in _JSON:
        return json.loads(cell)
    if name in _NUMBERS:
        return _number(name, cell)
    if name == "flag":
        return _flag(cell)
    if name == "created":
        return seconds_of(cell)
    if name in _MAY_MISS and cell.startswith('"'):
        return json.loads(cell)
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell


def _from_object(name: str, value: Any) -> Any:
    """A value of JSON or Parquet: JSON columns may be text there, times numbers; the rest Rating checks."""
    if value is None:
        return None
    if name in _JSON and isinstance(value, str):
        return json.loads(value)
    if name in _WHOLE and isinstance(value, float) and value.is_integer():
        return int(value)
    return seconds_of(value) if name == "created" else value


def _number(name: str, cell: str) -> float:
    number = float(cell)
    if name in _WHOLE:
        if not number.is_integer():
            raise ValueError
        return int(number)
    return number


def _flag(cell: str) -> bool:
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if cell.strip().lower() not in known:
        raise ValueError
    return known[cell.strip().lower()]


def seconds_of(value: Any) -> float:
    """Unix seconds of an instant: ISO 8601 (UTC where it names no zone), or a number, which is that already."""
    import pandas as pd

    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    stamp = pd.Timestamp(value)  # a ValueError where it is none
    if stamp is pd.NaT:
        raise ValueError
    stamp = stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp
    return as_seconds(stamp.as_unit("ns").value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
