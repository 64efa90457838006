"""Which rows each step trained, and their losses, written as the training goes: a few microseconds a step.

`sftkit/runs/row_losses.py` says what the files hold, and reads them.
"""

from __future__ import annotations

import os
from bisect import bisect_right

import numpy as np

from sftkit.runs.row_losses import NO_ROW, PLACES, RECORDS, record, records
from sftkit.training.batches import Rows
from sftkit.training.run_files import RunFiles


class RowLog:
    """The record of rank 0; on the other ranks nothing is written."""

    def __init__(self, files: RunFiles, rows: Rows, batch: int):
        """Goes on after `files.step`: what a run left that has trained further than its checkpoint is dropped."""
        self._batch = min(batch, len(rows))
        self._file = None
        if files.rank != 0:
            return
        _write_places(files, rows, self._batch)
        steps = records(files.folder, self._batch)["step"]
        self._file = (files.folder / RECORDS).open("ab")
        self._file.truncate(bisect_right(steps, files.step) * record(self._batch).itemsize)

    def add(self, step: int, numbers: np.ndarray, losses: np.ndarray) -> None:
        """Step `step` (1 = the first) has trained the rows `numbers` [rows], whose mean losses were `losses` [rows]."""
        if self._file is None:
            return
        line = np.zeros(1, record(self._batch))
        line["step"], line["rows"] = step, NO_ROW
        line["rows"][0, : len(numbers)], line["losses"][0, : len(numbers)] = numbers, losses
        self._file.write(line.tobytes())
        self._file.flush()


def _write_places(files: RunFiles, rows: Rows, batch: int) -> None:
    """Where each training row stands in the data."""
    sources = {
        source: place for place, source in enumerate(dict.fromkeys(source for source, _ in rows.places))
    }
    part = files.folder / f".{PLACES}"
    with part.open("wb") as file:
        np.savez(
            file,
            sources=np.array(list(sources), str),
            source=np.array([sources[source] for source, _ in rows.places], np.uint32),
            row=np.array([row for _, row in rows.places], np.uint32),
            tokens=rows.trained.astype(np.uint32),
            batch=np.array(batch, np.uint32),
        )
    os.replace(part, files.folder / PLACES)
