"""What a data file was when it was used: its SHA-256 and its number of rows, kept in `run.json`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from sftkit.data.reading import read_rows


def file_facts(path: str | Path) -> dict[str, Any]:
    """`{"path", "sha256", "rows"}` of a data file. Raises `DataError` when it cannot be read."""
    rows = len(read_rows(path))
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"path": str(path), "sha256": digest, "rows": rows}
