"""What a patch file holds: changes of a data file's rows, one a line, beside the file, which itself is never written."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from sftkit.data.text_files import Row


def row_hash(row: Row) -> str:
    """16 hexadecimal digits that stand for what a row holds as it is in its file, whatever the order of its columns."""
    text = json.dumps(row, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_plain)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _plain(value: Any) -> Any:
    """What JSON has no form for: the bytes, dates and decimals of Arrow tables."""
    return value.hex() if isinstance(value, bytes) else str(value)
