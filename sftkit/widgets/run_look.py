"""One look at a run's folder: everything that RunMonitor shows, read in a thread."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from sftkit.errors import RunError
from sftkit.runs import Run, Status
from sftkit.runs import folder as disk
from sftkit.runs.causes import Diagnosis
from sftkit.runs.times import time_left, time_spent

FIGURES = ("loss", "eval_loss", "learning_rate", "grad_norm", "tokens_per_second", "memory_mb", "epoch")


@dataclass(frozen=True)
class Seen:
    """What a look found."""

    status: Status
    can: frozenset[str]  # of stop, kill, resume, duplicate, delete
    stop_asked: bool
    spent: float | None  # seconds that the run has taken so far, over all its starts
    left: float | None = None  # seconds to the end, where that can be told
    figures: dict[str, float] = field(default_factory=dict)  # the newest value of each of FIGURES
    eval_before: float | None = None  # the eval loss before the newest one
    by_task: dict[str, float] = field(default_factory=dict)  # newest eval loss of each task type
    task_before: dict[str, float] = field(default_factory=dict)  # and the one before
    model: Path | None = None  # of a finished run
    diagnosis: Diagnosis | None = None
    read: bool = True  # whether metrics were read


def first_look(run: Run) -> Seen:
    """State and buttons alone: at once, however long the run's metrics are."""
    status, record = run.status, run.record
    stop_asked = (run.folder / disk.STOP).exists()
    return Seen(status, _can(run), stop_asked, time_spent(record, status), read=False)


def _can(run: Run) -> frozenset[str]:
    if not run.folder.is_dir():
        return frozenset()
    try:
        return run.can
    except RunError:  # run.json is damaged: nothing can be started from it
        return frozenset({"delete"})


def look(run: Run) -> Seen:
    """All of it. May be called in any thread."""
    first, points = first_look(run), run.metrics()
    status = first.status
    evals, tasks = points["eval_loss"].dropna(), _by_task(points)
    return Seen(
        status,
        first.can,
        first.stop_asked,
        first.spent,
        left=time_left(points, status),
        figures={name: float(points[name][last]) for name in FIGURES if (last := _last(points[name])) is not None},
        eval_before=float(evals.iloc[-2]) if len(evals) > 1 else None,
        by_task=tasks[-1] if tasks else {},
        task_before=tasks[-2] if len(tasks) > 1 else {},
        model=run.model_path.resolve() if status.state == "finished" and run.record.get("config") else None,
        diagnosis=run.diagnosis if status.state == "failed" else None,
    )  # fmt: skip


def _last(values: pd.Series) -> Any:
    """Where the last value of a column is."""
    return values.last_valid_index()


def _by_task(points: pd.DataFrame) -> list[dict[str, float]]:
    """Eval losses by task type of the last two evaluations that have them."""
    told = [value for value in points["eval_loss_by_task"].dropna().iloc[-2:] if isinstance(value, Mapping)]
    return [{str(task): float(loss) for task, loss in each.items() if _is_number(loss)} for each in told]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
