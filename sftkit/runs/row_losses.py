"""Which rows each optimizer step trained, and the mean loss of each: the two files, and what a notebook asks of them.

rows.npz   `sources` [sources] names; for every training row `source` (its place there), `row` (from 1), `tokens` (trained
           ones), each [rows]; `batch`: rows in a full step
rows.bin   a record of fixed size a step (`record`), in rising order of steps; a last one cut short is still being written

Rows without anything to train are in neither.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np

from sftkit.errors import RunError

if TYPE_CHECKING:
    import pandas as pd

PLACES, RECORDS = "rows.npz", "rows.bin"
NO_ROW = 2**32 - 1  # fills up the record of a step with fewer rows than `batch`
AT_ONCE = 2**22  # losses in memory at a time


def record(batch: int) -> np.dtype:
    """One step: its number (1 = the first), its rows as numbers into rows.npz, their mean losses."""
    return np.dtype([("step", "<u4"), ("rows", "<u4", (batch,)), ("losses", "<f4", (batch,))])


def rows_at(folder: Path, step: int) -> pd.DataFrame:
    """The rows that step `step` trained: source, row, loss (mean over its trained tokens), tokens (trained ones).

    Raises RunError when the step is not on record.
    """
    places = _places(folder)
    steps = records(folder, int(places["batch"]))
    at = bisect_left(steps["step"], step)  # reads a few records; numpy's search would read them all
    if at == len(steps) or steps["step"][at] != step:
        known = f"steps {steps['step'][0]} to {steps['step'][-1]} are" if len(steps) else "no step is yet"
        raise RunError(f"The rows of step {step} are not on record: {known}.")
    numbers, losses = steps[at]["rows"], steps[at]["losses"]
    numbers, losses = numbers[numbers != NO_ROW], losses[numbers != NO_ROW]
    frame = _named(places, numbers)
    frame.insert(2, "loss", losses.astype(float))
    return frame


def row_losses(folder: Path) -> pd.DataFrame:
    """Every row trained so far, in the order of the data: source, row, times (trained), tokens, first_loss, last_loss."""
    places = _places(folder)
    steps = records(folder, int(places["batch"]))
    count = len(places["row"])
    times = np.zeros(count, np.int64)
    first, last = np.full(count, np.nan), np.full(count, np.nan)
    for numbers, losses in _parts(steps):
        new = times[numbers] == 0
        first[numbers[new][::-1]] = losses[new][::-1]  # of a row that comes twice, what is written last stays
        last[numbers] = losses
        times += np.bincount(numbers, minlength=count)
    trained = np.flatnonzero(times)
    frame = _named(places, trained)
    frame.insert(2, "times", times[trained])
    return frame.assign(first_loss=first[trained], last_loss=last[trained])


def _parts(steps: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Row numbers and losses in the order they were trained, some steps at a time."""
    batch = steps.dtype["rows"].shape[0]
    size = max(1, AT_ONCE // batch)
    for start in range(0, len(steps), size):
        part = steps[start : start + size]
        numbers, losses = part["rows"].ravel(), part["losses"].ravel()
        yield numbers[numbers != NO_ROW], losses[numbers != NO_ROW]


def _named(places: dict[str, np.ndarray], numbers: np.ndarray) -> pd.DataFrame:
    import pandas as pd  # half a second that a training process, which only writes, need not wait for

    sources = pd.Categorical.from_codes(places["source"][numbers], pd.Index(places["sources"].tolist(), dtype=object))  # fmt: skip
    return pd.DataFrame(
        {
            "source": sources.astype(object),
            "row": places["row"][numbers].astype(np.int64),
            "tokens": places["tokens"][numbers].astype(np.int64),
        }
    )


def _places(folder: Path) -> dict[str, np.ndarray]:
    """rows.npz; of no rows where it is absent."""
    try:
        with np.load(folder / PLACES, allow_pickle=False) as file:
            return dict(file)
    except FileNotFoundError:
        none = np.zeros(0, np.uint32)
        return {
            "sources": np.array([], str),
            "source": none,
            "row": none,
            "tokens": none,
            "batch": np.array(1),
        }
    except (OSError, ValueError, BadZipFile) as error:
        raise RunError(f"{folder / PLACES} cannot be read: {error}") from error


def records(folder: Path, batch: int) -> np.ndarray:
    """The whole records of rows.bin, read from disk when they are looked at."""
    kind, path = record(batch), folder / RECORDS
    whole = path.stat().st_size // kind.itemsize if path.is_file() else 0
    return np.memmap(path, kind, "r", shape=(whole,)) if whole else np.zeros(0, kind)
