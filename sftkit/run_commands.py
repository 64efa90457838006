"""What `sftkit runs` does: shows the runs of a folder, or one word about one of them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sftkit.errors import ConfigError, RunError


def show(runs_dir: Path, console: Console) -> None:
    """The table of the runs; of a run that failed or waits, why."""
    from sftkit.runs import list_runs

    frame = list_runs(runs_dir)
    if frame.empty:
        console.print(f"no runs in {runs_dir} yet; `sftkit launch` starts one", soft_wrap=True)
        return
    notes = [row.why or (row.reason if row.state == "queued" else "") for row in frame.itertuples()]
    columns = {
        "run": frame["id"],
        "state": frame["state"],
        "step": [f"{row.step}/{row.total_steps or '?'}" for row in frame.itertuples()],
        "loss": frame["loss"].map(_number),
        "eval": frame["eval_loss"].map(_number),
        "time": [f"{seconds:.0f} s" for seconds in frame["seconds"]],
        "MB": [f"{size / 1e6:.0f}" for size in frame["size"]],
        "saved": [str(count or "") for count in frame["checkpoints"]],
        "": notes,
    }
    if_any = ("eval", "saved", "")
    shown = {name: list(cells) for name, cells in columns.items() if name not in if_any or any(cells)}
    table = Table(box=None)
    for name, cells in shown.items():
        # A name is there to be copied: it is broken last.
        least = min(max(map(len, cells)), console.width // 2) if name == "run" else None
        table.add_column(name, min_width=least)
    for row in zip(*shown.values(), strict=True):
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    console.print(table)


def _number(value: float) -> str:
    return "" if value != value else f"{value:.4g}"


def stop(run: Any, console: Console) -> None:
    """With a checkpoint; a run that waits leaves the queue."""
    before = run.status
    run.stop()
    if before.ended:
        done = f"is over: {before.state}"
    elif before.state == "queued":
        done = "leaves the queue"
    else:
        done = "will save a checkpoint and stop at its next step"
    console.print(f"{run.id} {done}", soft_wrap=True)


def duplicate(run: Any, flags: list[str], queue: bool, console: Console) -> None:
    """Launch a copy; `flags` are the settings that change, as `sftkit launch` takes them."""
    from sftkit.command import translate

    found = translate(shlex.join(["launch", *flags]))
    if found.faults:
        raise ConfigError(list(found.faults))
    other = run.duplicate(queue=queue, **found.settings)
    for name in ("save_path", "ckpt_path"):
        theirs, ours = getattr(run.config, name), getattr(other.config, name)
        if theirs and name not in found.settings:
            console.print(f"{name}: {ours}, so that nothing in {theirs} is overwritten", soft_wrap=True)
    console.print(f"{other.folder}", soft_wrap=True)


def delete(run: Any, keep_model: bool, outside: bool, sure: bool, console: Console) -> None:
    """Ask for the run's name before anything goes, unless the user is `sure`."""
    confirm = run.id
    if not sure:
        try:
            run.delete(keep_model=keep_model, outside=outside)  # says what would go
        except RunError as error:
            console.print(str(error).rpartition(" Do it with")[0], soft_wrap=True)
        confirm = typer.prompt("Type the run's name to delete it", default="", show_default=False)
    if confirm != run.id:
        console.print("Nothing was deleted.")
        raise typer.Exit(1)
    console.print(str(run.delete(confirm, keep_model=keep_model, outside=outside)), soft_wrap=True)


def why(run: Any, console: Console) -> None:
    """Cause, what to do, and the raw lines."""
    found = run.diagnosis
    if found is None:
        console.print(f"{run.id} has not failed: it is {run.status.state}.", soft_wrap=True)
        return
    console.print(f"{found}\n\n{found.evidence}", soft_wrap=True)
