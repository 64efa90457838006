"""An eval set on disk: its rows, what made it, and how training is kept off them.

data/eval.jsonl                the rows
data/eval.jsonl.made.json      seed, sizes, sources with their SHA-256, hash of each row, the changes that hold them out
data/train.jsonl.patch.jsonl   "exclude" lines with the reason "held out for eval"; or a file of the other rows
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftkit.data import patches
from sftkit.data.fingerprint import file_facts
from sftkit.data.lens.rows import Item, Rows
from sftkit.data.patched import Patched
from sftkit.data.shaping import PLAIN_KEYS, Columns
from sftkit.data.text_files import Row
from sftkit.errors import DataError
from sftkit.wording import say

if TYPE_CHECKING:
    from sftkit.data.lens.eval_set import EvalSet

SIDECAR = ".made.json"
REASON = "held out for eval"


def written(made: EvalSet) -> list[Row]:
    """The rows as they go to the file."""
    return [_with_task(row, item, task, made.items) for (item, row), task in zip(shaped(made.items), made.tasks)]  # fmt: skip


def shaped(rows: Rows) -> Iterator[tuple[Item, Row]]:
    """Rows as they are in the data; as lists of messages where their sources have different columns. Raises `DataError`
    where one is not what it was when it was read."""
    alike = len({str(one) for one in rows.columns.values()}) <= 1
    key = rows.config.input_key if rows.config else PLAIN_KEYS[0]
    name = "messages" if key == PLAIN_KEYS[0] else key
    for item in rows.items.unchanged():
        yield item, dict(item.raw or {}) if alike else {name: item.example.messages, **_named(item, rows)}


def _named(item: Item, rows: Rows) -> Row:
    return {_task_key(None, rows): item.task} if item.task else {}


def _task_key(columns: Columns | None, rows: Rows) -> str:
    return (columns and columns.task) or (rows.config and rows.config.task_key) or "task"


def _with_task(row: Row, item: Item, task: str, rows: Rows) -> Row:
    """The row with the task type that was guessed for it, if one was."""
    if item.task or not task:
        return row
    return {**row, _task_key(rows.columns.get(item.source), rows): task, "task_guessed": True}


def save(made: EvalSet, path: Path, train_out: Path | None, overwrite: bool) -> Path:
    """As `EvalSet.save`. What cannot work is found before anything is written; what fails later is taken back. The rows are
    held out first: whatever happens then, no row of an eval file is trained."""
    _checked(made, path, train_out, overwrite)
    sidecar = path.with_name(path.name + SIDECAR)
    before = _made_before(sidecar)
    facts = _facts(made) | {"file": path.name, "train_out": str(train_out) if train_out else None}
    held: dict[str, list[str]] = {}
    try:
        if train_out:
            _write(train_out, _lines(row for _, row in shaped(made.rest)))
        else:
            held = {name: _hold_out(made, name) for name in made.items.sources}
        _write(path, _lines(made.rows))
        both = {name: [*before.get(name, []), *held.get(name, [])] for name in {**before, **held}}
        _write(sidecar, [_json(facts | {"held_out": both})])
    except BaseException:
        for name, ids in held.items():
            patches.revert(name, ids, wanted=_split(made))
        raise
    return path


def release(path: str | Path) -> int:
    """Take the rows of a saved eval set back into training; the file stays. Returns how many rows are trained again.

    Raises `DataError` where there is no record beside it.
    """
    sidecar = Path(path).with_name(Path(path).name + SIDECAR)
    if not sidecar.is_file():
        raise DataError(
            say("has no record of how it was made beside it ({name}).", name=sidecar.name), file=path
        )
    facts = json.loads(sidecar.read_text(encoding="utf-8"))
    wanted = facts.get("split", "train")
    count = sum(
        len(patches.revert(name, ids, wanted=wanted)) for name, ids in facts["held_out"].items() if ids
    )
    _write(sidecar, [_json(facts | {"held_out": {}})])
    return count


def _hold_out(made: EvalSet, name: str) -> list[str]:
    rows = [item.row for item in made.items.items if item.source == name]
    opened = made.items.opened[name]
    as_is = opened.rows if isinstance(opened, Patched) else opened
    return patches.exclude(name, rows, reason=REASON, wanted=_split(made), opened=as_is)


def _split(made: EvalSet) -> str:
    return made.items.config.dataset_split if made.items.config else "train"


def _checked(made: EvalSet, path: Path, train_out: Path | None, overwrite: bool) -> None:
    for name in made.items.sources:
        if any(
            one and one.exists() and Path(name).exists() and one.samefile(name) for one in (path, train_out)
        ):
            raise DataError(say("is the training data itself: name another file."), file=name)
        if not train_out:
            patches.place_of(name, _split(made))
    if not made.items.sources and not train_out:
        raise DataError(say("the rows come from no file, so nothing beside it can hold them out: give train_out, a file for the other rows."), file=path)  # fmt: skip
    if train_out and path.absolute() == train_out.absolute():
        raise DataError(say("cannot hold the eval rows and the training rows both."), file=path)
    for one in (path, train_out):
        if one and one.suffix.lower() != ".jsonl":
            raise DataError(say("is written as JSON lines: name it .jsonl."), file=one)
        if one and one.exists() and not overwrite:
            raise DataError(
                say("is there already: name another file, or allow it to be overwritten."), file=one
            )
        if one and not one.parent.is_dir():
            raise DataError(say("its folder is not there."), file=one)


def _made_before(sidecar: Path) -> dict[str, list[str]]:
    """What the eval set that is overwritten holds out: it stays out, since nobody looked whether the new rows are like it."""
    try:
        return dict(json.loads(sidecar.read_text(encoding="utf-8"))["held_out"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _facts(made: EvalSet) -> dict[str, Any]:
    from sftkit import __version__

    wanted = made.wanted
    rows = zip(made.items.items, made.tasks, made.bands)
    return {
        "sftkit": __version__,
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seed": wanted.seed,
        "size": wanted.size,
        "by": list(wanted.by),
        "least": wanted.least,
        "near": wanted.near,
        "tasks_guessed": str(made.guessed) or None,
        "split": _split(made),
        "sources": [file_facts(name, _split(made), rows) for name, rows in made.items.opened.items()],
        "strata": made.strata.to_dict("records"),
        "notes": [str(note) for note in made.notes],
        "match": [str(line) for line in made.report.verdicts()],
        "leaks": str(made.leaks.verdict),
        "rows": [{"source": item.source, "row": item.row, "hash": item.hash, "task": task, "band": band} for item, task, band in rows],
    }  # fmt: skip


def _json(facts: dict[str, Any]) -> str:
    return json.dumps(facts, ensure_ascii=False, indent=1, default=str) + "\n"


def _lines(rows: Iterable[Row]) -> Iterator[str]:
    return (_line(row) + "\n" for row in rows)


def _line(row: Row) -> str:
    text = json.dumps(row, ensure_ascii=False, default=str)
    try:
        text.encode()
    except UnicodeEncodeError:  # half an emoji in a column that is not trained
        return json.dumps(row, default=str)
    return text


def _write(path: Path, pieces: Iterable[str]) -> None:
    """The whole file or none of it."""
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with new.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(pieces)
        new.replace(path)
    except OSError as error:
        raise DataError(say("cannot be written: {strerror}.", strerror=error.strerror), file=path) from None
    finally:
        new.unlink(missing_ok=True)
