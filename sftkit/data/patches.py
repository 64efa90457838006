"""Changes of a data file's rows, kept beside it: cells edited and rows excluded, each of which can be taken back.

    patches.edit("data/train.jsonl", 7, "response", "4", reason="wrong sum")     # row 7, counted from 1
    patches.edit("data/chat.jsonl", 7, ["messages", 1, "content"], "Hello!")     # a turn of a conversation
    patches.exclude("data/train.jsonl", [9, 12], reason="held out for eval")
    patches.listing("data/train.jsonl")                                          # all of it, as a DataFrame
    patches.revert("data/train.jsonl", "3f2a…")                                  # by the id that the listing shows

The file itself is never written: training, preflight, profile and views read it with `<file>.patch.jsonl` applied. Rows
keep the numbers they have in the file.
"""

from __future__ import annotations

import datetime
import getpass
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftkit.data import patch_log
from sftkit.data.patch_log import Change, Field, Patch, row_hash
from sftkit.data.patched import Patched, kept
from sftkit.data.reading import is_hub_source, open_source, where_rows_are
from sftkit.errors import DataError
from sftkit.wording import say

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Change", "Patch", "Patched", "edit", "exclude", "include", "kept", "listing", "load", "place_of", "revert", "row_hash"]  # fmt: skip


def place_of(source: str | Path, wanted: str | None = "train") -> Path:
    """The patch file of a source: beside its file, or beside the folder of its saved split. Raises `DataError`."""
    if not isinstance(source, (str, Path)) or source == patch_log.IN_MEMORY:
        raise DataError(say("rows in memory have no file that a patch could stand beside: write them to one, and name that."))  # fmt: skip
    if is_hub_source(source):
        raise DataError(say("is on the hub, where no patch can stand beside it: save it to a file first."), file=source)  # fmt: skip
    return patch_log.beside(where_rows_are(source, wanted))


def load(source: str | Path, wanted: str | None = "train") -> Patch:
    """The patch of a source; an empty one where there is none. Raises `DataError` where it cannot be read."""
    return patch_log.read(place_of(source, wanted))


def edit(source: str | Path, row: int, field: Field | list[str | int], value: Any, *, reason: str = "", by: str | None = None, wanted: str | None = "train", opened: Any = None) -> str:  # fmt: skip
    """Change a cell of a row (1 = the first): a column, or the way into one. Returns the id of the change.

    by: who does it (None: the user of this machine). opened: the rows of the source where they are open already, as they
    are in the file or `Patched`. Raises `DataError` for a row or a place in it that is not there.
    """
    way = field if isinstance(field, str) else tuple(field)
    seen = _seen(source, wanted, opened)
    was, now = _row(seen.rows, row, source), _row(seen, row, source)
    try:
        before = patch_log.value_at(now, way)
        patch_log.with_value(now, way, value)
    except (LookupError, TypeError):
        raise DataError(
            say("has no such place in its row."), file=source, row=row, field=str(field)
        ) from None
    change = Change("edit", _new_id(), row_hash(was), row, way, before, value, **_signed(reason, by))
    patch_log.append(seen.patch.path, [change.as_dict()])
    return change.id


def exclude(source: str | Path, rows: int | Iterable[int], *, reason: str = "", by: str | None = None, wanted: str | None = "train", opened: Any = None) -> list[str]:  # fmt: skip
    """Leave rows (1 = the first) out of training; those that are already out are passed over. Returns the ids of the
    changes. Else as `edit`."""
    seen = _seen(source, wanted, opened)
    new = [row for row in _numbers(rows) if row - 1 not in seen.excluded]
    for row in new:
        _row_is_there(seen, row, source)
    signed = _signed(reason, by)
    found = zip(new, seen.rows.take([row - 1 for row in new]))
    made = [Change("exclude", _new_id(), row_hash(was), row, **signed) for row, was in found]
    patch_log.append(seen.patch.path, [change.as_dict() for change in made])
    return [change.id for change in made]


def include(source: str | Path, rows: int | Iterable[int], *, by: str | None = None, wanted: str | None = "train", opened: Any = None) -> list[str]:  # fmt: skip
    """Take excluded rows (1 = the first) back: whatever excludes them is reverted. Returns the ids of that."""
    by_row = _seen(source, wanted, opened).fit.by_row
    found = [change.id for row in _numbers(rows) for change in by_row.get(row - 1, []) if change.op == "exclude"]  # fmt: skip
    return revert(source, found, by=by, wanted=wanted)


def revert(source: str | Path, ids: str | Iterable[str], *, by: str | None = None, wanted: str | None = "train") -> list[str]:  # fmt: skip
    """Take changes back by their ids; those that were taken back already are passed over. Returns the ids of those that
    were not. Raises `DataError` for an id that is not in the patch, and then takes nothing back."""
    patch = load(source, wanted)
    asked = list(dict.fromkeys([ids] if isinstance(ids, str) else ids))
    if unknown := [one for one in asked if one not in {change.id for change in patch.every}]:
        raise DataError(say("has no change with the id {names}.", names=", ".join(unknown)), file=patch.path)
    standing = {change.id for change in patch.changes}
    now = [one for one in asked if one in standing]
    signed = _signed("", by)
    patch_log.append(patch.path, [{"op": "revert", "id": _new_id(), "reverts": one, "by": signed["by"], "at": signed["at"]} for one in now])  # fmt: skip
    return now


LISTED = ("id", "at", "by", "op", "row", "field", "before", "after", "reason", "state")


def listing(source: str | Path, wanted: str | None = "train", *, opened: Any = None) -> pd.DataFrame:
    """Every change ever made, oldest first, with the columns LISTED.

    `row` is where its row is now; `state`: "applied", "moved" (applied to a row that stood elsewhere when the change was
    made), "lost" (its row is not in the file any more) or "reverted".
    """
    import pandas as pd

    if opened is None and not load(source, wanted).every:
        return pd.DataFrame(columns=list(LISTED))
    seen = _seen(source, wanted, opened)
    if not seen.patch.every:
        return pd.DataFrame(columns=list(LISTED))
    patch, fit = seen.patch, seen.fit
    now = {change.id: number + 1 for number, changes in fit.by_row.items() for change in changes}
    states = {change.id: "moved" for change in fit.moved} | {change.id: "lost" for change in fit.lost} | dict.fromkeys(patch.reverted, "reverted")  # fmt: skip
    lines = [{**vars(change), "row": now.get(change.id, change.row), "field": shown(change.field), "state": states.get(change.id, "applied")} for change in patch.every]  # fmt: skip
    frame = pd.DataFrame(lines, columns=list(LISTED)).astype({"before": object, "after": object})
    return frame.astype({"row": "Int64"})


def shown(field: Field) -> str:
    """A cell in words: `messages › 2 › content` (turns count from 1)."""
    return " › ".join(str(step + 1) if isinstance(step, int) else step for step in patch_log.steps(field))


def _seen(source: str | Path, wanted: str | None, opened: Any) -> Patched:
    """The rows with the patch as it stands now, which may be empty."""
    if isinstance(opened, Patched):
        return opened.now()
    patch = load(source, wanted)  # first: it says where none can be
    return Patched.of(open_source(source, wanted, as_is=True) if opened is None else opened, patch)


def _numbers(rows: int | Iterable[int]) -> list[int]:
    return [rows] if isinstance(rows, int) else sorted({int(row) for row in rows})


def _row_is_there(rows: Any, row: int, source: object) -> None:
    if not 1 <= row <= len(rows):
        raise DataError(say("there is no such row; it has {n:,}.", n=len(rows)), file=source, row=row)


def _row(rows: Any, row: int, source: object) -> dict[str, Any]:
    _row_is_there(rows, row, source)
    return rows.take([row - 1])[0]


def _signed(reason: str, by: str | None) -> dict[str, str]:
    return {"reason": reason, "by": _user() if by is None else by, "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")}  # fmt: skip


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without the user's name
        return ""


def _new_id() -> str:
    return secrets.token_hex(6)
