"""All runs of a folder, looked at again and again: what has not changed on disk is not read a second time.

overview = Overview("runs")
overview.read()         # [{"id": …, "state": …, "loss": …, "size": None, …}, …]; once a second, if you like
Overviews("class/*/runs").read()      # of many people: ids are "ana/runs/<id>", by the path below "class"
"""

from __future__ import annotations

import math
import os
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any

from sftkit.errors import RunError
from sftkit.runs import folder as disk
from sftkit.runs.classroom import runs_folder
from sftkit.runs.listing import row_of
from sftkit.runs.run import Run
from sftkit.runs.times import time_spent

MEASURING = 0.2  # seconds of one look that may go into adding up file sizes; the rest waits for the next look
SIZE_LASTS = 10.0  # seconds for which the size of a living run is taken as known


class Overview:
    """The runs under `runs_dir`. `read` may be called in any thread."""

    def __init__(self, runs_dir: str | Path):
        self.runs_dir, self._reading = runs_folder(runs_dir), Lock()
        self._known: dict[str, tuple[Any, dict[str, Any]]] = {}  # name -> what its files looked like, its row
        self._sizes: dict[str, tuple[Any, int, float]] = {}  # name -> as above, bytes, when measured

    def read(self) -> list[dict[str, Any]]:
        """A row for each run: id, state, step, total_steps, loss and eval_loss (the last ones, or None), created (unix
        seconds), seconds (that it has taken), model, dataset, checkpoints (complete ones), why and reason (of a
        failure), size (bytes; None until measured). Plain JSON values."""
        with self._reading:
            return self._read()

    def _read(self) -> list[dict[str, Any]]:
        known = {}
        for folder in disk.run_folders(self.runs_dir):
            with suppress(RunError, OSError):  # deleted since
                name, marks = folder.name, _marks(folder)
                before = self._known.get(name)
                unchanged = before and before[0] == marks and before[1]["state"] in disk.ENDED
                known[name] = (marks, before[1] if unchanged else _row(Run(folder)))
        self._known = known
        self._measure()
        return [row | {"size": self._sizes.get(name, (None, None))[1]} for name, (_, row) in known.items()]

    def _measure(self) -> None:
        """Add up file sizes, of what is not known first, for as long as one look may take."""
        self._sizes = {name: size for name, size in self._sizes.items() if name in self._known}
        until = time.monotonic() + MEASURING
        for name, (marks, _) in sorted(self._known.items(), key=lambda item: self._measured_at(item[0])):
            before = self._sizes.get(name)
            if before and (before[0] == marks or time.monotonic() - before[2] < SIZE_LASTS):
                continue
            self._sizes[name] = (marks, disk.size_of(self.runs_dir / name), time.monotonic())
            if time.monotonic() > until:
                return

    def _measured_at(self, name: str) -> float:
        return self._sizes[name][2] if name in self._sizes else 0.0


class Overviews:
    """The runs under all folders that `pattern` (with `*`) names; those that come later too. As Overview, but for ids."""

    def __init__(self, pattern: str | Path):
        parts = Path(pattern).absolute().parts
        first = next(number for number, part in enumerate(parts) if "*" in part)
        self.root, self._below = Path(*parts[:first]), str(Path(*parts[first:]))
        self._each: dict[Path, Overview] = {}

    def read(self) -> list[dict[str, Any]]:
        """The rows of all of them; a folder that is closed to us has none."""
        found = sorted(path for path in self.root.glob(self._below) if os.path.isdir(path))
        self._each = {path: self._each.get(path) or Overview(path) for path in found}
        return [
            row | {"id": str((path / row["id"]).relative_to(self.root))}
            for path, overview in self._each.items()
            for row in overview.read()
        ]


def _marks(folder: Path) -> tuple:
    """What changes when a run does: times and sizes of the files that it writes."""
    names = (disk.RUN, disk.STATUS, disk.METRICS, disk.CHECKPOINTS, disk.MODEL, disk.STOP)
    return tuple(_mark(folder / name) for name in names)


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _row(run: Run) -> dict[str, Any]:
    row = {name: _plain(value) for name, value in row_of(run, sized=False).items()}
    spent = time_spent(run.record, run.status)
    return row | {"created": _unix(row["created"]), "seconds": spent}


def _plain(value: Any) -> Any:
    """JSON has no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _unix(created: Any) -> float:
    try:
        return datetime.fromisoformat(created).timestamp()
    except (TypeError, ValueError):
        return 0.0
