"""What data was when it was used: its SHA-256 and its number of rows, kept in `run.json`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from sftkit.data.reading import open_source, where_rows_are
from sftkit.data.tables import data_files


def file_facts(source: str | Path, wanted: str | None = "train") -> dict[str, Any]:
    """`{"path", "sha256", "rows"}` of a data file, or of one split of a `save_to_disk` folder.

    A folder's SHA-256 is that of its data files one after the other, in order of their names
    (`cat data-*.arrow | sha256sum`). Raises `DataError` when it cannot be read.
    """
    rows = len(open_source(source, wanted))
    digest = hashlib.sha256()
    for file in sorted(data_files(where_rows_are(source, wanted))):
        with file.open("rb") as opened:
            while piece := opened.read(2**20):
                digest.update(piece)
    return {"path": str(source), "sha256": digest.hexdigest(), "rows": rows}


def size_of(source: str | Path, wanted: str | None = "train") -> int:
    """Bytes of a source's data files. Raises `DataError` where they are not here."""
    return sum(file.stat().st_size for file in data_files(where_rows_are(source, wanted)))
