"""A run as its folder tells it: state, metrics, log; stop, kill, resume. Any notebook can open any run.

    run = load_run("runs/20261124-101500-tiny-base")
    run.status                  # Status(state='running', step=12, total_steps=40, …)
    run.metrics()               # DataFrame
    run.stop(); run.wait()

Nothing here is remembered in the kernel: what is shown is what is on disk, checked against the processes that live.
"""

from __future__ import annotations

import math
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from sftkit.config import SFTConfig
from sftkit.errors import RunError, RunNotFound
from sftkit.runs import folder as disk
from sftkit.runs import hosts, process, row_losses, supervisor
from sftkit.runs.points import Points

METRICS = (
    "step", "epoch", "loss", "learning_rate", "grad_norm", "tokens", "tokens_per_second", "seconds", "memory_mb",
    "eval_loss", "eval_loss_by_task",
)  # fmt: skip
GONE = "the run's processes are gone (machine restarted or killed)"
KILLED = "killed: ended at once by kill(); nothing was saved after the last checkpoint"
START_LIMIT = 30.0  # seconds that a supervisor may take to say who it is
LEAVE_LIMIT = 15.0  # seconds that wait() gives an ended run's processes to leave, so that their GPU is free


@dataclass(frozen=True)
class Status:
    """Where a run stands. `updated` is the time of the last word from it (unix seconds, 0: none yet)."""

    state: str
    step: int = 0
    total_steps: int = 0
    reason: str = ""
    updated: float = 0.0

    @property
    def ended(self) -> bool:
        """Whether the run is over: stopped, finished or failed."""
        return self.state in disk.ENDED


class Run:
    """One training run, by its folder. Cheap to make; several may look at the same run."""

    def __init__(self, path: str | Path):
        self.folder = Path(path).absolute()
        if not (self.folder / disk.RUN).is_file():
            raise RunNotFound(_not_found(self.folder))
        self._points = Points(self.folder)

    @property
    def id(self) -> str:
        """The name of the run's folder."""
        return self.folder.name

    @property
    def record(self) -> dict[str, Any]:
        """run.json: settings, command, versions, git commit, data, processes."""
        return disk.read_json(self.folder / disk.RUN)

    @property
    def config(self) -> SFTConfig:
        """The settings of the run."""
        return SFTConfig.from_dict(self._settings)

    @property
    def _settings(self) -> dict[str, Any]:
        if not isinstance(settings := self.record.get("config"), dict):
            raise RunError(f"{self.folder / disk.RUN} holds no settings: the file is damaged.")
        return settings

    @property
    def data(self) -> list[dict[str, Any]]:
        """The data files: path, sha256, rows, split ("train" or "eval")."""
        return self.record.get("data", [])

    @property
    def rows(self) -> dict[str, dict[str, int]]:
        """What became of the rows of "train" and "eval": rows, kept, truncated, shortened, nothing_to_train, tokens,
        trained_tokens (the last two of the rows kept, in one epoch). Empty until the data are read."""
        return {split: counts for split, counts in disk.read_json(self.folder / disk.DATA).items() if counts}

    @property
    def model_path(self) -> Path:
        """Folder of the finished model: the setting save_path, else `model` in the run's folder."""
        return self._place(self._settings.get("save_path"), disk.MODEL)

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints: the setting ckpt_path, else `checkpoints` in the run's folder."""
        return self._place(self._settings.get("ckpt_path"), disk.CHECKPOINTS)

    def _place(self, setting: str | None, name: str) -> Path:
        return Path(self.record.get("cwd") or ".", setting).absolute() if setting else self.folder / name

    @property
    def status(self) -> Status:
        """State and step, as true as can be known: a run whose processes are gone has failed, whatever its file says."""
        said = self._said()
        if said.ended or self._lives():
            return said
        said = self._said()  # it may have written its end and left between the two looks
        if said.ended:
            return said
        if not self.folder.is_dir():
            return replace(said, state="failed", reason="the run folder was deleted")
        return replace(said, state="failed", reason=GONE)

    def _said(self) -> Status:
        """What status.json says, in the right types whatever was written there."""
        told = disk.read_json(self.folder / disk.STATUS)
        state = told.get("state")
        return Status(
            state=state if state in disk.STATES else "queued",
            step=int(_number(told.get("step"))),
            total_steps=int(_number(told.get("total_steps"))),
            reason=str(told.get("reason") or ""),
            updated=_number(told.get("updated")),
        )

    def _lives(self) -> bool:
        record = self.record
        if "pid" not in record:  # between launch() and its supervisor's first breath
            return time.time() - self._said().updated < START_LIMIT
        if process.is_here(record):
            return process.is_alive(record)
        # Another machine's processes (a shared disk): its heartbeat is all there is to see.
        return time.time() - self._said().updated < supervisor.HEARTBEAT_LIMIT

    def metrics(self) -> pd.DataFrame:
        """Every logged point, a row each, in the columns METRICS (NaN where absent). A half-written line waits."""
        self._points.read()
        frame = self._points.frame()
        return frame.reindex(columns=[*METRICS, *(name for name in frame.columns if name not in METRICS)])

    def rows_at(self, step: int) -> pd.DataFrame:
        """The rows that step `step` trained: source, row, loss (mean over its trained tokens), tokens (trained ones).
        Raises RunError when the step is not on record."""
        return row_losses.rows_at(self.folder, step)

    def row_losses(self) -> pd.DataFrame:
        """Every row trained so far: source, row, times (trained), tokens, first_loss, last_loss; in the data's order."""
        return row_losses.row_losses(self.folder)

    def log(self, tail: int = 200) -> str:
        """The last `tail` lines of what the run has printed."""
        return disk.tail(self.folder / disk.LOG, tail)

    def wait(self, timeout: float | None = None, poll: float = 0.2) -> Status:
        """Wait until the run is over, at most `timeout` seconds, and return where it stands then."""
        deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
        while not (status := self.status).ended and time.monotonic() < deadline:
            time.sleep(min(poll, max(0.0, deadline - time.monotonic())))
        if status.ended:
            leave = min(deadline, time.monotonic() + LEAVE_LIMIT)
            while self.is_alive and time.monotonic() < leave:
                time.sleep(0.02)
        return status

    @property
    def is_alive(self) -> bool:
        """Whether processes of this run live on this machine (an ended run's may still be leaving)."""
        record = self.record
        return process.is_here(record) and process.is_alive(record)

    def stop(self) -> None:
        """Ask the run to write a checkpoint and leave at its next step. Returns at once: `wait()` sees it end."""
        if not self.status.ended:
            (self.folder / disk.STOP).touch()

    def kill(self, timeout: float = 10.0) -> Status:
        """End the run's processes at once, without a checkpoint, and write so into its status.

        Raises RunError when the run lives on another machine, or its processes do not go within `timeout` seconds.
        """
        record = self.record
        if not process.is_here(record):
            raise RunError(
                f"The run {self.id} is on {record.get('host')}: kill it there, or ask it to stop() from here."
            )
        before = self.status
        hosts.drop(self.folder)  # ranks on other hosts see it and leave within a second or two
        if process.is_alive(record):  # the supervisor leads the group that holds every rank
            try:
                os.killpg(record["pid"], signal.SIGKILL)
            except PermissionError:
                raise RunError(
                    f"The run {self.id} was started by another user, who alone can kill it."
                ) from None
            except ProcessLookupError:
                pass  # it has just left by itself
            self._wait_until_gone(record["pid"], timeout)
        if not before.ended:
            disk.write_status(self.folder, "stopped", KILLED)
        return self.status

    def _wait_until_gone(self, group: int, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while members := process.group_members(group):
            if time.monotonic() > deadline:
                raise RunError(f"Processes {members} of the run {self.id} do not end: look at them by hand.")
            time.sleep(0.02)

    def resume(self) -> Run:
        """Start the same run again from its newest checkpoint, in the same folder. Returns itself.

        Raises RunError when it is still running or finished, or there is no complete checkpoint to go on from.
        """
        if not (status := self.status).ended:
            raise RunError(f"The run {self.id} is {status.state}: stop it first, or wait for its end.")
        if status.state == "finished":  # its model would be overwritten by the same one, trained again
            raise RunError(
                f"The run {self.id} is finished: there is nothing left to train. Launch a new run."
            )
        if self.is_alive:
            raise RunError(f"The processes of the run {self.id} are still leaving: try again in a moment.")
        if disk.newest_checkpoint(self.checkpoints) is None:
            raise RunError(
                f"There is nothing to resume: no complete checkpoint in {self.checkpoints}. Launch it anew."
            )
        try:
            supervisor.start(self.folder, resume=True)
        except OSError as error:
            raise RunError(f"The run {self.id} was not resumed: {error}") from error
        return self

    def __repr__(self) -> str:
        status = self.status
        return f"Run({self.id!r}, {status.state}, step {status.step} of {status.total_steps or '?'})"

    def _repr_html_(self) -> str:
        """A short card; everything from disk is escaped."""
        status, settings = self.status, _settings_of(self.record)
        facts = {
            "state": status.state + (f": {status.reason}" if status.reason else ""),
            "step": f"{status.step} of {status.total_steps or '?'}",
            "model": settings.get("pretrain", ""),
            "data": settings.get("dataset", ""),
            "folder": self.folder,
        }
        rows = "".join(
            f"<tr><th style='text-align:left'>{name}</th><td style='text-align:left'>{escape(str(value))}</td></tr>"
            for name, value in facts.items()
        )
        return f"<table><caption>Run {escape(self.id)}</caption>{rows}</table>"


def load_run(path: str | Path) -> Run:
    """The run in folder `path`, from any notebook and after any restart. Raises RunNotFound."""
    return Run(path)


def list_runs(runs_dir: str | Path = "runs") -> pd.DataFrame:
    """The runs under `runs_dir`, newest first: id, state, step, total_steps, loss (last), created, model, dataset,
    seconds (from creation to the last word), size (bytes on disk)."""
    columns = ["id", "state", "step", "total_steps", "loss", "created", "model", "dataset", "seconds", "size"]
    runs = []
    for path in Path(runs_dir).glob(f"*/{disk.RUN}"):
        with suppress(RunNotFound):  # deleted since
            runs.append(Run(path.parent))
    table = pd.DataFrame([_row(run) for run in runs], columns=columns)
    return table.sort_values(["created", "id"], ascending=False, ignore_index=True)


def _row(run: Run) -> dict[str, Any]:
    status, record = run.status, run.record
    settings = _settings_of(record)
    return {
        "id": run.id,
        "state": status.state,
        "step": status.step,
        "total_steps": status.total_steps,
        "loss": _last_loss(run.folder / disk.METRICS),
        "created": record.get("created", ""),
        "model": settings.get("pretrain", ""),
        "dataset": settings.get("dataset", ""),
        "seconds": max(0.0, status.updated - _unix(record.get("created"))),
        "size": _size(run.folder),
    }


def _settings_of(record: dict[str, Any]) -> dict[str, Any]:
    """The settings to show; none of a damaged run.json, so that one bad folder does not hide the others."""
    return settings if isinstance(settings := record.get("config"), dict) else {}


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else 0.0


def _last_loss(path: Path) -> float:
    points = disk.parse(disk.tail(path, 50).encode().splitlines())
    return next((point["loss"] for point in reversed(points) if point.get("loss") is not None), float("nan"))


def _unix(created: Any) -> float:
    try:
        return datetime.fromisoformat(created).timestamp()
    except (TypeError, ValueError):
        return float("inf")


def _size(folder: Path) -> int:
    """Bytes of all files below; files that vanish meanwhile (a checkpoint is renamed) count nothing."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except OSError:
                continue
    return total


def _not_found(folder: Path) -> str:
    siblings = sorted(path.parent.name for path in folder.parent.glob(f"*/{disk.RUN}"))
    there = f" Newest there: {', '.join(siblings[-3:])}." if siblings else ""
    return f"There is no run at {folder}: it holds no {disk.RUN}.{there}"
