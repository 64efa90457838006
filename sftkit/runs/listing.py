"""list_runs: a table of the runs in a folder, quick enough to be asked every few seconds."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from sftkit.errors import RunError
from sftkit.runs import folder as disk
from sftkit.runs import signatures, standing
from sftkit.runs.run import Run

COLUMNS = (
    "id", "state", "step", "total_steps", "loss", "eval_loss", "created", "model", "dataset", "seconds", "size",
    "checkpoints", "reason", "why",
)  # fmt: skip
TAIL = 16_384  # bytes of the metrics in which the last loss is looked for
FAR_TAIL = 2**22  # bytes in which the last eval loss is


def list_runs(runs_dir: str | Path = "runs") -> pd.DataFrame:
    """The runs under `runs_dir`, newest first, a row each; a damaged one hides no other.

        sk.list_runs("runs")[["id", "state", "loss"]]

    Columns id, state, step, total_steps, loss and eval_loss (the last ones; NaN: none), created, model, dataset, seconds
    (from creation to the last word), size (bytes on disk), checkpoints (complete ones), reason (the run's own words on its
    state), why (of a failed run: what it failed of, in short).
    """
    rows = []
    for folder in disk.run_folders(Path(runs_dir)):
        with suppress(RunError, OSError):  # deleted since
            rows.append(row_of(Run(folder)))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.sort_values(["created", "id"], ascending=False, ignore_index=True)


def row_of(run: Run, *, sized: bool = True) -> dict[str, Any]:
    """A run's row, by COLUMNS; without its size, which takes longest, unless `sized`."""
    record = run.record
    status = standing.stands(run.folder, record)
    settings = record.get("config") if isinstance(record.get("config"), dict) else {}
    loss, eval_loss = _last_losses(run.folder / disk.METRICS, bool(settings.get("eval_dataset")))
    own, elsewhere = run.folder / disk.CHECKPOINTS, settings.get("ckpt_path")
    checkpoints = Path(str(record.get("cwd") or "."), elsewhere) if isinstance(elsewhere, str) else own
    return {
        "id": run.id,
        "state": status.state,
        "step": status.step,
        "total_steps": status.total_steps,
        "loss": loss,
        "eval_loss": eval_loss,
        "created": str(record.get("created") or ""),
        "model": str(settings.get("pretrain") or ""),
        "dataset": str(settings.get("dataset") or ""),
        "seconds": max(0.0, status.updated - _unix(record.get("created"))),
        "size": disk.size_of(run.folder) if sized else None,
        "checkpoints": len(disk.complete_checkpoints(checkpoints)),
        "reason": status.reason,
        "why": signatures.title(status.reason) if status.state == "failed" else "",
    }


def _last_losses(path: Path, evaluated: bool) -> tuple[float, float]:
    """The last loss and the last eval loss of a run, read from the end of its metrics."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL))
            text = file.read()
            loss, eval_loss = _last(text, "loss"), _last(text, "eval_loss")
            if evaluated and eval_loss != eval_loss and size > TAIL:
                file.seek(max(0, size - FAR_TAIL))
                eval_loss = _last(file.read(), "eval_loss")
    except OSError:
        return float("nan"), float("nan")
    return loss, eval_loss


def _last(text: bytes, name: str) -> float:
    """The value of `name` in the last whole line that has it. Found as text first: a parser would take far longer."""
    end = len(text)
    while (place := text.rfind(f'"{name}":'.encode(), 0, end)) >= 0:
        end = text.rfind(b"\n", 0, place) + 1
        for line in disk.parse([text[end:].partition(b"\n")[0]]):
            if isinstance(value := line.get(name), (int, float)):
                return float(value)
    return float("nan")


def _unix(created: Any) -> float:
    try:
        return datetime.fromisoformat(created).timestamp()
    except (TypeError, ValueError):
        return float("inf")
