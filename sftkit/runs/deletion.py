"""Deleting a run: asked twice, moved away in one stroke before anything is removed, never through a link."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sftkit.errors import RunError
from sftkit.runs import folder as disk
from sftkit.runs import process

if TYPE_CHECKING:
    from sftkit.runs.run import Run

AWAY, KEPT = ".deleted-", ".kept-"  # names in the runs folder that no run has


@dataclass(frozen=True)
class Deleted:
    """What `Run.delete` has done: `bytes` freed, and the places of this run that were `kept`."""

    id: str
    bytes: int
    kept: tuple[Path, ...] = ()

    def __str__(self) -> str:
        kept = f" Kept: {', '.join(map(str, self.kept))}." if self.kept else ""
        return f"The run {self.id} was deleted: {disk.size_words(self.bytes)} freed.{kept}"


def delete(run: Run, confirm: str, *, keep_model: bool, outside: bool) -> Deleted:
    """Delete `run` when `confirm` is its id. Raises RunError otherwise, saying what would go, and for a living run."""
    places = _outside(run)
    if confirm != run.id:
        raise RunError(_question(run, places, confirm, keep_model, outside))
    if run.folder.is_symlink():
        raise RunError(f"{run.folder} is a link: delete the run where it lies, {run.folder.resolve()}.")
    if run.status.state == "queued" and run.is_alive:
        run.kill()
    with _alone(run):
        _sweep(run.folder.parent)
        kept = [] if outside else [place for place in places if place.exists()]
        freed = sum(_remove_outside(run, place, kept) for place in places) if outside else 0
        if keep_model and (run.folder / disk.MODEL).is_dir():
            kept.append(run.folder / disk.MODEL)
        freed += _remove(run.folder, keep_model)
    return Deleted(run.id, freed, tuple(kept))


def _question(run: Run, places: list[Path], confirm: str, keep_model: bool, outside: bool) -> str:
    wrong = f"{confirm!r} is not the id of this run. " if confirm else ""
    size = disk.size_of(run.folder) - (disk.size_of(run.folder / disk.MODEL) if keep_model else 0)
    holds = f"{len(disk.complete_checkpoints(run.folder / disk.CHECKPOINTS))} checkpoints"
    holds += " and its model" if (run.folder / disk.MODEL).is_dir() and not keep_model else ""
    there = [place for place in places if place.exists()]
    goes = "goes too" if outside else "stays"
    more = f" What it saved elsewhere {goes}: {', '.join(map(str, there))}." if there else ""
    return (
        f"{wrong}This would delete the run {run.id} for good: {disk.size_words(size)}, with {holds}.{more}"
        f" Do it with run.delete(confirm={run.id!r})."
    )


@contextmanager
def _alone(run: Run) -> Iterator[None]:
    """Hold the run's lock, so that nobody resumes it meanwhile. Raises RunError when it lives."""
    status = run.status
    if not status.ended:
        raise RunError(f"The run {run.id} is {status.state}: stop() or kill() it before you delete it.")
    try:
        with disk.open_lock(run.folder) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if process.is_here(run.record) and run.is_alive:
                raise BlockingIOError
            yield
    except BlockingIOError:
        raise RunError(
            f"The processes of the run {run.id} are still leaving: try again in a moment."
        ) from None


def _remove(folder: Path, keep_model: bool) -> int:
    """Move the folder away under a name that no run has, then remove it. Returns the bytes freed."""
    away, aside = folder.with_name(f"{AWAY}{folder.name}"), folder.with_name(f"{KEPT}{folder.name}")
    model = keep_model and (folder / disk.MODEL).is_dir()
    if model:
        os.replace(folder / disk.MODEL, aside)
    os.replace(folder, away)
    if model:  # back where it was: other notebooks know it by that path
        folder.mkdir()
        os.replace(aside, folder / disk.MODEL)
    freed = disk.size_of(away)
    shutil.rmtree(away, ignore_errors=True)
    return freed - (disk.size_of(away) if away.exists() else 0)


def _sweep(runs_dir: Path) -> None:
    """Remove what a deletion that was interrupted has left."""
    for left in runs_dir.glob(f"{AWAY}*"):
        shutil.rmtree(left, ignore_errors=True)


def _outside(run: Run) -> list[Path]:
    """The places outside its folder that this run saves to."""
    places = (run.model_path, run.checkpoints)
    return [place for place in places if not place.resolve().is_relative_to(run.folder.resolve())]


def _remove_outside(run: Run, place: Path, kept: list[Path]) -> int:
    """Remove a model or checkpoints outside the run's folder, when they are plainly its own. Returns the bytes freed."""
    if place.is_symlink() or not place.is_dir() or _named_by_another(run, place):
        kept += [place] if place.exists() else []
        return 0
    if place == run.model_path:
        parts = [place] if disk.holds_model(place) else []
    else:
        parts = disk.complete_checkpoints(place)
    freed = sum(map(disk.size_of, parts))
    for part in parts:
        shutil.rmtree(part, ignore_errors=True)
    if place.is_dir():
        kept += [place] if any(place.iterdir()) else []
        if not any(place.iterdir()):
            place.rmdir()
    return freed


def _named_by_another(run: Run, place: Path) -> bool:
    """Whether another run beside this one saves there, or starts from what is there."""
    from sftkit.runs.run import Run

    for folder in disk.run_folders(run.folder.parent):
        if folder == run.folder:
            continue
        other = Run(folder)
        settings = other.record.get("config")
        if not isinstance(settings, dict):  # damaged: it might
            return True
        base = Path(other.record.get("cwd") or ".", str(settings.get("pretrain") or ""))
        if place.resolve() in {path.resolve() for path in (other.model_path, other.checkpoints, base)}:
            return True
    return False
