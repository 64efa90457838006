"""The rows that one optimizer step trained, with what stands in them, as far as their files can still be read here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sftkit.data import patch_log
from sftkit.data.reading import named_sources, open_source
from sftkit.errors import SftkitError
from sftkit.runs import Run

LARGEST = 64 << 20  # bytes of a text file up to which it is opened for the text of a few rows
WORDS = 600  # characters of a row that are shown
ROWS = 500  # rows of a step that are shown, those of the highest loss


class BatchRows:
    """Reads rows; remembers the files it has opened."""

    def __init__(self) -> None:
        self._open: dict[tuple, Any] = {}

    def of(self, run: Run, step: int) -> dict[str, Any]:
        """The rows of a step for the page: {"step", "count", "rows": [[source, row, tokens, loss, text or None], …]}, highest
        loss first. Raises RunError when they are not on record."""
        frame = run.rows_at(step).sort_values("loss", ascending=False, kind="stable")
        shown = frame.head(ROWS)
        texts = self._texts(run, list(zip(shown["source"], shown["row"])))
        columns = zip(shown["source"], shown["row"], shown["tokens"], shown["loss"], texts)
        rows = [[str(s), int(r), int(t), _finite(loss), text] for s, r, t, loss, text in columns]
        return {"step": step, "count": len(frame), "rows": rows}

    def _texts(self, run: Run, wanted: list[tuple[str, int]]) -> list[str | None]:
        opened = {source: self._opened(run, source) for source in dict.fromkeys(s for s, _ in wanted)}
        return [_text(opened[source], row) for source, row in wanted]

    def _opened(self, run: Run, source: str) -> Any:
        """The rows of a source of the run; None where it cannot be read, or is too much to read."""
        try:
            place = Path(run.record.get("cwd") or ".", source)
            file = place.stat()
            if place.suffix.lower() not in (".parquet", ".arrow") and file.st_size > LARGEST:
                return None
            key = (str(place), file.st_mtime_ns, file.st_size, patch_log.stamp_of(patch_log.beside(place)))
            if key not in self._open:
                self._open = {key: open_source(place, named_sources(run.config, "train")[1]), **self._open}
                self._open = dict(list(self._open.items())[:8])
            return self._open[key]
        except (OSError, SftkitError, ValueError):
            return None


def _text(rows: Any, row: int) -> str | None:
    if rows is None or not 1 <= row <= len(rows):
        return None
    text = json.dumps(rows.take([row - 1])[0], ensure_ascii=False, default=str)
    return text if len(text) <= WORDS else text[:WORDS] + "…"


def _finite(value: float) -> float | None:
    return float(value) if value == value and abs(value) != float("inf") else None
