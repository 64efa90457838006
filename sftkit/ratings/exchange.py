"""Ratings out to files and in again.

store.export("ratings.csv"); store.export("ratings.jsonl"); store.export("ratings.parquet")     # every row, nothing lost
store.export("pilot.csv", project="pilot")                        # what was rated in one project alone
store.export("argilla.json", format="argilla"); store.load("tasks.json", format="label-studio", project="pilot")

CSV, JSONL and Parquet hold the whole history, one rating a row: loaded into an empty store they give the same frame().
The files of Argilla and Label Studio (ratings.argilla, ratings.label_studio) hold what those tools can hold: what
stands of each rater, with prompts and answers. Loading checks everything first: a file with faults stores nothing and
names every one of them by row and field. Rows that the store has already are not stored again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftkit.errors import Fault, GenerationError, RatingError, RatingsFileError, StoreError
from sftkit.ratings import argilla, foreign, label_studio, records
from sftkit.ratings.exchange_files import READERS, WRITERS
from sftkit.ratings.rating import Rating

if TYPE_CHECKING:
    from sftkit.generation.table import Generations
    from sftkit.ratings.store import RatingStore

SUFFIXES = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet"}
TOOLS = {"argilla": argilla, "label-studio": label_studio}
FORMATS = (*READERS, *TOOLS)
NEEDED = ("rater", "prompt_id", "model_a", "model_b", "verdict")
_STAND_INS = {"rater": "?", "prompt_id": "?", "model_a": "? a", "model_b": "? b", "verdict": "open"}
_OURS = ("id", "current")  # of frame(), where a user saved that: they follow from the rest


def export(
    store: RatingStore, path: str | Path, format: str | None = None, project: str | None = None
) -> Path:
    """Write every rating to `path` and return it; see RatingStore.export."""
    path = Path(path)
    kind = _format(path, format)
    if not path.parent.is_dir():
        raise StoreError(f"Cannot write {path}: there is no folder {path.parent}. Make it, or mend the path.")
    part = path.with_name(f"{path.name}.part")  # whole or not at all
    frame = store.frame(project=project)
    if project is not None and frame.empty:
        store.project(project)  # nothing rated yet, or a StoreError that names those there are
    try:
        if kind in TOOLS:
            found = TOOLS[kind].written(frame, _answers(store, project, frame))
            part.write_text(json.dumps(found, ensure_ascii=False, indent=1), encoding="utf-8")
        else:
            WRITERS[kind](part, frame)
        part.replace(path)
    except OSError as error:
        raise StoreError(f"Cannot write {path}: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return path


def _answers(store: RatingStore, project: str | None, frame: Any) -> Generations:
    """What stands beside the ratings: all of the store, or what the project compares."""
    if project is None:
        return store.answers()
    if project in set(store.projects()["project"]):
        return store.project(project).answers()
    from sftkit.generation.table import Generations  # its ratings came from a file, it was never made here

    every = store.answers().frame
    return Generations.from_frame(every[every["prompt_id"].isin(frame["prompt_id"])].reset_index(drop=True))


def load(store: RatingStore, path: str | Path, format: str | None = None, project: str | None = None) -> int:
    """Store the ratings of a file and return how many were new; see RatingStore.load."""
    path = Path(path)
    kind = _format(path, format)
    if not path.is_file():
        raise StoreError(f"There is no file {path}.")
    try:
        rows, answers, faults = _tool(path, kind) if kind in TOOLS else (READERS[kind](path), None, [])
        checked = list(_checked(rows, project, faults))
    except GenerationError as error:  # the answers that come with a tool's file
        raise RatingsFileError(path, [Fault("answers", str(error))]) from error
    except (OSError, ValueError) as error:  # json's, pyarrow's and Unicode's are ValueErrors
        raise RatingsFileError(path, [Fault("", f"cannot be read as {kind}: {error}")]) from error
    if faults:
        raise RatingsFileError(path, faults)
    if kind in TOOLS:
        frame = store.frame()
        checked = foreign.not_standing(checked, foreign.standing(frame[frame["current"]].to_dict("records")))
    return store._imported(checked, answers)


def _tool(path: Path, kind: str) -> tuple[Any, Any, list[Fault]]:
    with open(path, encoding="utf-8-sig") as file:
        return TOOLS[kind].read(json.load(file))


def _checked(
    rows: Iterator[tuple[str, dict[str, Any], list[Fault]]], project: str | None, faults: list[Fault]
) -> Iterator[dict[str, Any]]:
    """Rows of the table from rows of a file, as (where, values, faults found on reading); adds to `faults`."""
    for where, values, found in rows:
        values = {name: value for name, value in values.items() if name not in _OURS}
        created, found = values.pop("created", None), list(found)
        if values:  # else the row as a whole could not be read
            known = {fault.field for fault in found}
            found += [
                Fault(name, "is missing.") for name in NEEDED if name not in values and name not in known
            ]
            if project is not None:
                values["project"] = project
            try:  # with stand-ins for what is missing, so that the rest is checked too
                rating = Rating(**{name: _STAND_INS[name] for name in NEEDED if name not in values}, **values)
            except RatingError as error:
                found += error.faults
        faults += [Fault(", ".join(filter(None, (where, f.field))), f.message, f.fix) for f in found]
        if not found:
            yield {**records.as_row(rating), **({} if created is None else {"created": created})}


def _format(path: Path, given: str | None) -> str:
    known = ", ".join(FORMATS)
    if given is not None and given not in FORMATS:
        raise StoreError(f"{given!r} is no format. Known: {known}.")
    if given is None and path.suffix.lower() not in SUFFIXES:
        raise StoreError(f"{path.name!r} does not say its format. Give format=, one of: {known}.")
    return given or SUFFIXES[path.suffix.lower()]
