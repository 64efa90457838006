"""Preflight checks of the patches beside the data: what they change, and what of them does not fit any more."""

from __future__ import annotations

from collections.abc import Iterator

from sftkit.data import patch_log
from sftkit.data.patch_log import Change
from sftkit.errors import DataError
from sftkit.runs.findings import Finding, check
from sftkit.runs.look import Look
from sftkit.runs.sources import Seen
from sftkit.wording import listed, say

NAMED = 5  # rows that are named


@check
def patches_fit(look: Look) -> Iterator[Finding]:
    for field, split in look.splits.items():
        for source in split.sources:
            yield from _broken(field, source)
            yield from _applied(field, source)


def _broken(field: str, source: Seen) -> Iterator[Finding]:
    try:
        patch = patch_log.read(patch_log.beside(source.place)) if source.place else None
    except DataError:
        return  # reading the rows says so
    if patch is not None and patch.broken:
        lines = ", ".join(map(str, patch.broken[:NAMED]))
        yield Finding("warn", field, say("{file} has lines that say nothing and change nothing (line {lines}): look at them, then delete them.", file=patch.path.name, lines=lines))  # fmt: skip


def _applied(field: str, source: Seen) -> Iterator[Finding]:
    if source.patch is None:
        return
    file, fit = source.patch.patch.path.name, source.patch.fit
    if fit.lost:
        yield Finding("warn", field, say("{n} changes in {file} are not applied, because their rows are not in {source} any more (they were {rows}). Make them anew, or revert them.", n=len(fit.lost), file=file, source=source.name, rows=_rows(fit.lost)))  # fmt: skip
    if fit.moved:
        yield Finding("inform", field, say("{n} changes in {file} are applied to rows that stand elsewhere now than when they were made (they were {rows}).", n=len(fit.moved), file=file, rows=_rows(fit.moved)))  # fmt: skip
    edited, excluded = len(source.patch.edited), len(source.patch.excluded)
    if edited or excluded:
        yield Finding("inform", field, say("{file} edits {edited} rows of {source} and leaves {excluded} out.", file=file, source=source.name, edited=edited, excluded=excluded))  # fmt: skip


def _rows(changes: list[Change]) -> str:
    rows = list(dict.fromkeys(change.row for change in changes if change.row))
    named = listed(say("row {n}", n=row) for row in rows[:NAMED])
    return say("{names} and {n} more", names=named, n=len(rows) - NAMED) if len(rows) > NAMED else named
