"""What data was when it was used: its SHA-256 and its number of rows, kept in `run.json`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from sftkit.data.patched import Patched
from sftkit.data.reading import open_source, where_rows_are
from sftkit.data.tables import data_files


def file_facts(source: str | Path, wanted: str | None = "train", rows: Any = None) -> dict[str, Any]:
    """`{"path", "sha256", "rows"}` of a data file, or of one split of a `save_to_disk` folder.

    With a patch beside it also `patch` (`patch_facts`); `rows` counts those of the file. A folder's SHA-256 is that of its
    data files one after the other, in order of their names (`cat data-*.arrow | sha256sum`). rows: those of the source,
    where they are open already. Raises `DataError` when it cannot be read.
    """
    rows = open_source(source, wanted) if rows is None else rows
    facts = {"path": str(source), "sha256": content_sha256(source, wanted), "rows": len(rows)}
    patch = patch_facts(rows)
    return {**facts, "patch": patch} if patch else facts


def content_sha256(source: str | Path, wanted: str | None = "train") -> str:
    """The SHA-256 of a source's data files, read in pieces. Raises `DataError` where they are not here."""
    digest = hashlib.sha256()
    for file in sorted(data_files(where_rows_are(source, wanted))):
        with file.open("rb") as opened:
            while piece := opened.read(2**20):
                digest.update(piece)
    return digest.hexdigest()


def patch_facts(rows: Any) -> dict[str, Any] | None:
    """What a patch does to the rows it is applied to: `file`, `sha256` (of the changes that stand), `edited` and `excluded`
    (rows), `lost` (changes whose row is not there any more). None where none stands."""
    if not isinstance(rows, Patched):
        return None
    patch = rows.patch
    counts = {"edited": len(rows.edited), "excluded": len(rows.excluded), "lost": len(rows.fit.lost)}
    return {"file": patch.path.name, "sha256": patch.digest, **counts}


def mark(facts: dict[str, Any]) -> str | None:
    """What tells whether a source is what it was: its SHA-256, with that of its patch; None where it is not known."""
    patch = facts.get("patch")
    return f"{facts['sha256']} with patch {patch['sha256']}" if patch and facts["sha256"] else facts["sha256"]


def size_of(source: str | Path, wanted: str | None = "train") -> int:
    """Bytes of a source's data files. Raises `DataError` where they are not here."""
    return sum(file.stat().st_size for file in data_files(where_rows_are(source, wanted)))
