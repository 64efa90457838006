"""A run as its folder tells it: state, metrics, log; stop, kill, resume, copy, delete. Any notebook can open any run.

    run = load_run("runs/20261124-101500-tiny-base")
    run.status                  # Status(state='running', step=12, total_steps=40, …)
    run.metrics()               # DataFrame
    run.stop(); run.wait()

Nothing here is remembered in the kernel: what is shown is what is on disk, checked against the processes that live.
"""

from __future__ import annotations

import os
import signal
import time
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from sftkit.config import SFTConfig
from sftkit.errors import RunError, RunNotFound
from sftkit.runs import classroom, hosts, owner, process, row_losses, standing, supervisor
from sftkit.runs import folder as disk
from sftkit.runs.points import Points
from sftkit.runs.standing import Status
from sftkit.wording import say

if TYPE_CHECKING:
    from sftkit.runs.causes import Diagnosis
    from sftkit.runs.deletion import Deleted
    from sftkit.runs.hardware import Meter, RunUse
    from sftkit.runs.scoring import Scoring

SAMPLES = ("step", "prompt", "response", "reference", "task", "source", "row")
METRICS = (
    "step", "epoch", "loss", "learning_rate", "grad_norm", "tokens", "tokens_per_second", "seconds", "memory_mb",
    "eval_loss", "eval_loss_by_task",
)  # fmt: skip
KILLED_IN_QUEUE = "killed while it waited in the queue: nothing was trained"
KILLED = "killed: ended at once by kill(); nothing was saved after the last checkpoint"
LEAVE_LIMIT = 15.0  # seconds that wait() gives an ended run's processes to leave, so that their GPU is free


class Run:
    """One training run, by its folder. Cheap to make; several may look at the same run.

        run.status.state, run.status.step           # ("finished", 4)
        run.metrics()[["step", "loss"]]             # a DataFrame; loss in nats a trained token
        print(run.log(tail=20))

    `.folder` is its path. Raises RunNotFound.
    """

    def __init__(self, path: str | Path):
        self.folder = _given(path).absolute()
        if not os.path.isfile(self.folder / disk.RUN):
            raise RunNotFound(_not_found(self.folder))
        if odd := disk.no_files(self.folder):
            raise RunNotFound(f"{self.folder} is no run of sftkit: {', '.join(odd[:5])} in it is neither a file nor a folder.")  # fmt: skip
        self._points = Points(self.folder)
        self._meter: Meter | None = None

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
        """The data files: path, sha256, rows, split ("train" or "eval"), and `patch` where one stood beside it."""
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
        if not isinstance(setting, str) or not setting:  # or of a damaged run.json
            return self.folder / name
        return Path(str(self.record.get("cwd") or "."), setting).absolute()

    @property
    def status(self) -> Status:
        """State and step, as true as can be known: a run whose processes are gone has failed, whatever its file says."""
        return standing.stands(self.folder, self.record)

    @property
    def diagnosis(self) -> Diagnosis | None:
        """Why the run failed, in words, with changes of settings that may mend it; None unless it has failed."""
        from sftkit.runs import signatures

        record = self.record
        status = standing.stands(self.folder, record)
        if status.state != "failed":
            return None
        return signatures.of_run(self.folder, status.reason, _settings_of(record))

    def usage(self) -> RunUse:
        """What the run's processes take of this machine now; its `cpu` is known from the second call on."""
        from sftkit.runs.hardware import Meter

        if self._meter is None:
            self._meter = Meter()
        record = self.record
        here = process.is_here(record) and process.is_alive(record)
        return self._meter.read(
            process.group_members(record["pid"]) if here else [], bool(record.get("gpus"))
        )

    def metrics(self) -> pd.DataFrame:
        """Every logged point, a row each; NaN where absent, and a half-written line waits.

        Columns step, epoch, loss (nats a trained token, of the whole step on all ranks), learning_rate, grad_norm, tokens
        and seconds (of training so far, all ranks), tokens_per_second (since the line before), memory_mb (peak, 10^6 bytes:
        of the card, on a CPU of the process), eval_loss, eval_loss_by_task ({task: loss}).
        """
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

    def score_rows(self, limit: int | None = None) -> Scoring:
        """Measure the loss of each training row (of `limit` of them, drawn with the seed) under the model the run started
        from and under its own, in a process of its own. Returns at once: `.progress`, `.error`, `.wait()`, `.stop()`."""
        from sftkit.runs import scoring

        owner.refuse_others(self.folder, "score")
        return scoring.start(self.folder, self.model_path, limit, self.record.get("gpus") or [])

    def row_scores(self) -> pd.DataFrame:
        """What score_rows() has measured: source, row, tokens, base_loss, tuned_loss. Raises RunError before that."""
        from sftkit.runs import scoring

        return scoring.row_scores(self.folder)

    def samples(self) -> pd.DataFrame:
        """The answers to the fixed prompts at each checkpoint, a row each: step, prompt, response, reference, task, source,
        row (from 1, in its source) and what else there is."""
        lines, _ = disk.read_lines(self.folder / disk.SAMPLES)
        named = dict.fromkeys([*SAMPLES, *(name for line in lines for name in line)])
        return pd.DataFrame(lines, columns=list(named))

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

    @property
    def can(self) -> frozenset[str]:
        """What makes sense now, of "stop", "kill", "resume", "duplicate" and "delete"."""
        record = self.record
        if owner.other(self.folder):
            return frozenset({"duplicate"})
        status, here = standing.stands(self.folder, record), process.is_here(record)
        if not status.ended:
            more = {"kill"} if here else set()
            return frozenset(
                {"stop", "duplicate"} | more | ({"delete"} if status.state == "queued" else set())
            )
        if here and process.is_alive(record):  # still leaving
            return frozenset({"duplicate"})
        more = {"resume"} if status.state != "finished" and self._has_a_start() else set()
        return frozenset({"duplicate", "delete"} | more)

    def stop(self) -> None:
        """Ask the run to write a checkpoint and leave at its next step. Returns at once: `wait()` sees it end.

        A run that waits in the queue leaves it. Raises RunError when the run is another user's.
        """
        owner.refuse_others(self.folder, "stop")
        if not self.status.ended:
            (self.folder / disk.STOP).touch()

    def kill(self, timeout: float = 10.0) -> Status:
        """End the run's processes at once, without a checkpoint, and write so into its status.

        Raises RunError when the run lives on another machine, is another user's, or its processes do not go within
        `timeout` seconds.
        """
        owner.refuse_others(self.folder, "kill")
        record = self.record
        if not process.is_here(record):
            raise RunError(
                f"The run {self.id} is on {record.get('host')}: kill it there, or ask it to stop() from here."
            )
        before = self.status
        hosts.drop(self.folder)  # ranks on other hosts see it and leave within a second or two
        if process.is_alive(record):  # the supervisor leads the group that holds every rank
            if not process.supervises(record["pid"], self.folder):
                raise RunError(
                    f"Process {record['pid']}, which {disk.RUN} names, does not supervise {self.folder}: it is left alone."
                )
            try:
                os.killpg(record["pid"], signal.SIGKILL)
            except PermissionError:
                raise RunError(
                    f"The run {self.id} was started by another user, who alone can kill it."
                ) from None
            except ProcessLookupError:
                pass  # it has just left by itself
            self._wait_until_gone(record["pid"], timeout)
            disk.sweep(self.folder)  # half a checkpoint, which may be what fills the disk
        if not before.ended:
            disk.write_status(self.folder, "stopped", KILLED_IN_QUEUE if before.state == "queued" else KILLED)
        return self.status

    def _wait_until_gone(self, group: int, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while members := process.group_members(group):
            if time.monotonic() > deadline:
                raise RunError(f"Processes {members} of the run {self.id} do not end: look at them by hand.")
            time.sleep(0.02)

    def _has_a_start(self) -> bool:
        """Whether there is a checkpoint to go on from, or nothing was trained yet, so that the start is one."""
        if not _settings_of(self.record):  # damaged
            return False
        trained = standing.said(self.folder).step or (self.folder / disk.METRICS).is_file()
        return not trained or disk.newest_checkpoint(self.checkpoints) is not None

    def resume(self, queue: bool = False) -> Run:
        """Start the same run again from its newest checkpoint, in the same folder; `queue` as in `launch`. Returns itself.

        A run that ended before its first step begins at the beginning. Raises RunError when it is still running or
        finished, is another user's, or there is no complete checkpoint to go on from.
        """
        owner.refuse_others(self.folder, "resume")
        if not (status := self.status).ended:
            raise RunError(f"The run {self.id} is {status.state}: stop it first, or wait for its end.")
        if status.state == "finished":  # its model would be overwritten by the same one, trained again
            raise RunError(
                f"The run {self.id} is finished: there is nothing left to train. Launch a new run."
            )
        if self.is_alive:
            raise RunError(f"The processes of the run {self.id} are still leaving: try again in a moment.")
        if not self._has_a_start():
            raise RunError(
                f"There is nothing to resume: no complete checkpoint in {self.checkpoints}. Launch it anew."
            )
        try:
            supervisor.start(self.folder, resume=True, queue=queue)
        except OSError as error:
            raise RunError(f"The run {self.id} was not resumed: {error}") from error
        return self

    def settings_for_copy(self, **changes: Any) -> SFTConfig:
        """The settings of a copy of this run, with changes. A `save_path` or `ckpt_path` of its own gets a free name
        beside it, so that the copy overwrites nothing, and `load_checkpoint` is off unless the changes say otherwise."""
        from sftkit.runs.copies import settings_for_copy

        beside = [disk.read_json(folder / disk.RUN) for folder in disk.run_folders(self.folder.parent)]
        return settings_for_copy(self.config, Path(self.record.get("cwd") or "."), changes, beside)

    @property
    def copies_lie_in(self) -> Path:
        """Where copies of this run go: beside it; of another user's run, into our own runs folder."""
        return classroom.runs_folder("runs") if owner.other(self.folder) else self.folder.parent

    def duplicate(self, queue: bool = False, runs_dir: str | Path | None = None, **changes: Any) -> Run:
        """Launch a new run with this one's settings and `changes` (learning_rate=1e-5, …), beside this one or in `runs_dir`.

        Where this run saves outside its folder, the copy saves under a free name beside it: see `settings_for_copy`.
        Raises ConfigError and LaunchError as `launch` does.
        """
        from sftkit.runs.launcher import launch

        config = self.settings_for_copy(**changes)
        return launch(config, runs_dir or self.copies_lie_in, queue, copied_from=self.id)

    def delete(self, confirm: str = "", *, keep_model: bool = False, outside: bool = False) -> Deleted:
        """Delete the run's folder. Asked twice: without `confirm=run.id` it only says what would go, as a RunError.

        `keep_model` leaves the model where it is. What save_path and ckpt_path put elsewhere stays, unless `outside` is
        true and no other run beside this one names those places. A run that waits in the queue is taken out of it; one
        that runs is not deleted (RunError).
        """
        from sftkit.runs.deletion import delete

        owner.refuse_others(self.folder, "delete")
        return delete(self, confirm, keep_model=keep_model, outside=outside)

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
    """The run in folder `path`, from any notebook and after any restart.

        run = sk.load_run(run.folder)

    "runs/<id>" is looked for where `runs` means another place (SFTKIT_RUNS_DIR), too. Raises RunNotFound.
    """
    path = _given(path)
    elsewhere = classroom.runs_folder(path.parent) / path.name
    return Run(elsewhere if os.path.isfile(elsewhere / disk.RUN) else path)


def _settings_of(record: dict[str, Any]) -> dict[str, Any]:
    """The settings to show; none of a damaged run.json, so that one bad folder does not hide the others."""
    return settings if isinstance(settings := record.get("config"), dict) else {}


def _given(path: str | Path | None) -> Path:
    """The path as one. Raises RunNotFound for None, which form.run is in a notebook run from top to bottom."""
    if path is None:
        raise RunNotFound(say("There is no run yet: form.run is None until Launch is pressed. Press it, then run this cell again."))  # fmt: skip
    return Path(path)


def _not_found(folder: Path) -> str:
    if owner.is_closed(folder):
        return f"The run at {folder} is closed to you: it belongs to somebody else, who can open its folder to others."
    siblings = sorted(path.name for path in disk.run_folders(folder.parent))
    there = f" Newest there: {', '.join(siblings[-3:])}." if siblings else ""
    return f"There is no run at {folder}: it holds no {disk.RUN}.{there}"
