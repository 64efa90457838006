"""Rows with their patch applied, wherever rows are read.

    rows = patched(rows, place)      # what is beside `place` applied; the same rows where nothing is
    kept(rows)                       # numbers (0 = the first) of the rows that are not excluded

Numbers stay those of the file, whatever is excluded: `take` takes them, `len` counts all of them, and `kept` names those
that are used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sftkit.data import patch_log
from sftkit.data.patch_log import Change, Patch, row_hash, with_value
from sftkit.data.text_files import Row
from sftkit.errors import DataError
from sftkit.wording import say

PIECE = 4096  # rows hashed at a time


@dataclass(frozen=True)
class Fit:
    """Where the changes of a patch belong: row number (0 = the first) -> its changes; `moved`: those whose row stands
    elsewhere than when they were made; `lost`: those whose row is not in the file any more."""

    by_row: dict[int, list[Change]] = field(default_factory=dict)
    moved: list[Change] = field(default_factory=list)
    lost: list[Change] = field(default_factory=list)

    def add(self, number: int, changes: list[Change]) -> None:
        self.by_row.setdefault(number, []).extend(changes)


@dataclass(frozen=True)
class Patched:
    """Rows of a source with `patch` applied. `fit` says where; `hashes`: those of rows (number -> hash) known so far."""

    rows: Any  # has columns, len() and take(numbers)
    patch: Patch
    fit: Fit
    hashes: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Any, patch: Patch, hashes: dict[int, str] | None = None) -> Patched:
        """`rows` as they are in the file, with a patch, which may be empty."""
        hashes = {} if hashes is None else hashes
        return cls(rows, patch, fitted(rows, patch, hashes=hashes), hashes)

    def now(self) -> Patched:
        """The same with the patch as it stands now."""
        if patch_log.stamp_of(self.patch.path) == self.patch.stamp:
            return self
        return Patched.of(self.rows, patch_log.read(self.patch.path), self.hashes)

    @property
    def columns(self) -> list[str]:
        known = list(self.rows.columns)
        edits = [change.field for changes in self.fit.by_row.values() for change in changes if change.op == "edit"]  # fmt: skip
        return list(dict.fromkeys([*known, *(patch_log.steps(way)[0] for way in edits)]))

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def excluded(self) -> set[int]:
        """Numbers of the rows that are left out."""
        return {number for number, changes in self.fit.by_row.items() if any(change.op == "exclude" for change in changes)}  # fmt: skip

    @cached_property
    def edited(self) -> set[int]:
        """Numbers of the rows of which a cell is changed."""
        return {number for number, changes in self.fit.by_row.items() if any(change.op == "edit" for change in changes)}  # fmt: skip

    def __str__(self) -> str:
        """What the patch does, for a log."""
        lost = f"; {len(self.fit.lost)} of its changes are not applied, because their rows are not there any more" if self.fit.lost else ""  # fmt: skip
        return f"{self.patch.path} edits {len(self.edited)} rows and leaves {len(self.excluded)} out{lost}"

    def take(self, numbers: Sequence[int]) -> list[Row]:
        """The rows of these numbers as edited, also of excluded ones. Raises `DataError` where an edit does not fit."""
        by_row = self.fit.by_row
        taken = zip(numbers, self.rows.take(numbers))
        return [self._edited(row, number, by_row[number]) if number in by_row else row for number, row in taken]  # fmt: skip

    def may_hold(self, number: int, wanted: str) -> bool:
        """As `LineIndex.may_hold`, for rows that have it."""
        quick = getattr(self.rows, "may_hold", None)
        return number in self.fit.by_row or quick is None or quick(number, wanted)

    def _edited(self, row: Row, number: int, changes: list[Change]) -> Row:
        for change in changes:
            if change.op == "edit":
                try:
                    row = with_value(row, change.field, change.after)
                except (LookupError, TypeError):
                    words = say("the edit {id} of {field} finds no such place in its row: revert it.", id=change.id, field=str(change.field))  # fmt: skip
                    raise DataError(words, file=self.patch.path, row=number + 1) from None
        return row


def patched(rows: Any, place: Path, *, part: bool = False) -> Any:
    """`rows` with the patch beside `place` applied; as they are where no change stands. part: they are only the first
    rows of the file, so what is not found among them is not looked for."""
    patch = patch_log.read(patch_log.beside(place))
    return Patched(rows, patch, fitted(rows, patch, part=part)) if patch.changes else rows


def kept(rows: Any) -> Sequence[int]:
    """Numbers (0 = the first) of the rows that are used, ascending."""
    gone = rows.excluded if isinstance(rows, Patched) else set()
    return [number for number in range(len(rows)) if number not in gone] if gone else range(len(rows))


def fitted(rows: Any, patch: Patch, *, part: bool = False, hashes: dict[int, str] | None = None) -> Fit:
    """Where the changes that stand belong. Rows are first looked for where they were; only when one is not there are all
    rows hashed. hashes: those of rows that are known; they become more."""
    found, homeless = Fit(), {}
    by_row: dict[tuple[str, int | None], list[Change]] = {}
    for change in patch.changes:
        by_row.setdefault((change.hash, change.row), []).append(change)
    here = {} if hashes is None else hashes
    named = {row - 1 for _, row in by_row if row is not None and row <= len(rows)}
    here.update(_hashes(rows, sorted(named - here.keys())))
    for (wanted, row), changes in by_row.items():
        if row is not None and here.get(row - 1) == wanted:
            found.add(row - 1, changes)
        elif not (part and row is not None):
            homeless[wanted, row] = changes
    if homeless:
        _house(rows, homeless, found)
    age = {change.id: number for number, change in enumerate(patch.every)}
    for changes in found.by_row.values():
        changes.sort(key=lambda change: age[change.id])
    if part:
        found.lost.clear()
    return found


def _house(rows: Any, homeless: dict[tuple[str, int | None], list[Change]], found: Fit) -> None:
    """Look through all rows for those that stand elsewhere now; each row takes the changes of one."""
    wanted = {digest for digest, _ in homeless}
    places: dict[str, list[int]] = {}
    for number, digest in _hashes(rows, range(len(rows))):
        if digest in wanted:
            places.setdefault(digest, []).append(number)
    taken = set(found.by_row)
    for (digest, row), changes in sorted(homeless.items(), key=lambda item: item[0][1] or 0):
        there = places.get(digest, [])
        if row is not None:
            free = [number for number in there if number not in taken]  # rather than the row of another
            there = sorted(free or there, key=lambda number: abs(number - row + 1))[:1]
            taken.update(there)
            found.moved.extend(changes if there else [])
        if not there:
            found.lost.extend(changes)
        for number in there:
            found.add(number, changes)


def _hashes(rows: Any, numbers: Sequence[int]) -> Iterator[tuple[int, str]]:
    """Number and hash of each of these ascending rows; one that cannot be read has none."""
    for first in range(0, len(numbers), PIECE):
        piece = numbers[first : first + PIECE]
        for number, row in zip(piece, taken(rows, piece)):
            if not isinstance(row, DataError):
                yield number, row_hash(row)


def taken(rows: Any, numbers: Sequence[int]) -> list[Row | DataError]:
    """Rows of a source; where one of them cannot be read, each by itself."""
    try:
        return rows.take(numbers)
    except DataError as error:
        if len(numbers) == 1:
            return [error]
        return [found for number in numbers for found in taken(rows, [number])]
