"""A dry run: three real steps of a run in processes of its own, to know what it will need before it is launched.

    sk.dry_run(config)      # DryRun(peak_memory_mb=…, seconds_per_step=…, total_steps=…, seconds_total=…, …)

It is a run like any other (supervisor, ranks, DeepSpeed) in a temporary folder that is removed afterwards; nothing is
written to save_path, ckpt_path or the runs folder, and no tracker is called.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sftkit.config import SFTConfig
from sftkit.errors import DryRunError
from sftkit.runs import folder as disk
from sftkit.runs import queue, starters, supervisor
from sftkit.runs.classroom import sound_caps
from sftkit.runs.run import Run

POLL = 0.1  # seconds
LEAVE_LIMIT = 5.0  # seconds for its processes to leave when it has ended


@dataclass(frozen=True)
class DryRun:
    """What a run will need. Memory in MB (10^6 bytes), at its peak in a step on the longest batch.

    `peak_memory_mb`: of the rank with most; on a GPU what tensors took, and `reserved_memory_mb` with what torch keeps
    for later; on a CPU that of the process. `device_memory_mb`: what the card, or the machine, has.
    `seconds_per_step`: of a step of mean length, the start left out; `seconds_total`: of all steps, without evaluation,
    checkpoints and start. `tokens`: of all epochs. `checkpoint_bytes`: of one checkpoint, over all ranks, counted from
    the states in memory. `device`: as it calls itself; `processes`: ranks.
    """

    peak_memory_mb: float
    reserved_memory_mb: float
    device_memory_mb: float
    memory_by_rank_mb: tuple[float, ...]
    seconds_per_step: float
    seconds_longest_step: float
    total_steps: int
    seconds_total: float
    tokens: int
    tokens_per_second: float
    checkpoint_bytes: int
    device: str
    processes: int

    @property
    def sizes(self) -> dict[str, str]:
        """`used` and `total` memory and that of a `checkpoint`, as people say them."""
        sizes = {"used": 1e6 * self.peak_memory_mb, "total": 1e6 * self.device_memory_mb, "checkpoint": self.checkpoint_bytes}  # fmt: skip
        return {name: disk.size_words(size) for name, size in sizes.items()}

    def __str__(self) -> str:
        sizes = self.sizes
        ranks = f"{self.processes} processes" if self.processes > 1 else "1 process"
        return "\n".join(
            [
                f"device      {self.device}, {ranks}",
                f"memory      {sizes['used']} at most of {sizes['total']}",
                f"step        {self.seconds_per_step:.3g} s, {self.tokens_per_second:,.0f} tokens a second",
                f"training    {self.total_steps:,} steps, {self.tokens:,} tokens, about {_duration(self.seconds_total)}",
                f"checkpoint  {sizes['checkpoint']}",
            ]
        )


def dry_run(
    config: SFTConfig,
    runs_dir: str | Path = "runs",
    timeout: float | None = None,
    *,
    progress: Callable[[str], None] | None = None,
    cancel: threading.Event | None = None,
) -> DryRun:
    """Two steps on the longest batch and one on an ordinary one, with the ranks of the run, and what they took.

        need = sk.dry_run(config)
        need.peak_memory_mb, need.seconds_total     # MB of 10^6 bytes; seconds

    `progress` gets each line that the run says. Set `cancel`, or interrupt, to end it: its processes are killed at once.
    `timeout`: seconds after which that happens by itself. `runs_dir` is used only for runs over several hosts, which
    need a folder on their shared disk; it is left as it was.

    Raises DryRunError: why it failed, with the diagnosis and what would mend it (memory, data, anything a run can die
    of); also when it was cancelled or took too long.
    """
    folder = _folder(config, Path(runs_dir))
    try:
        run = _started(config, folder)
        try:
            _follow(run, timeout, progress or (lambda _: None), cancel)
        finally:
            if run.is_alive:
                run.kill()
        return _result(run)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _folder(config: SFTConfig, runs_dir: Path) -> Path:
    """A place for the run: beside the runs, under a name that is not listed, where other hosts must see it too."""
    if not starters.spreads({"config": config.to_dict()}):
        return Path(tempfile.mkdtemp(prefix="sftkit-dry-run-"))
    runs_dir.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=".dry-run-", dir=runs_dir.absolute()))


def _started(config: SFTConfig, folder: Path) -> Run:
    quiet = config.with_(
        save_path=None, ckpt_path=None, load_checkpoint=False, report_to=None, eval_steps=0, sample_prompts=0
    )
    record = {
        "id": folder.name, "config": quiet.to_dict(), "cwd": str(Path.cwd()), "data": [], "dry_run": True,
        "gpus": list(config.gpus or ()), "processes": config.processes, "resume": False,
        "devices": list(queue.devices(config)) if sound_caps() else [],  # under caps it waits for its turn
    }  # fmt: skip
    disk.write_status(folder, "queued")
    disk.write_json(folder / disk.RUN, record)
    try:
        supervisor.start(folder)
    except OSError as error:
        raise DryRunError(f"The dry run was not started: {error}") from error
    return Run(folder)


def _follow(run: Run, timeout: float | None, progress: Callable[[str], None], cancel: threading.Event | None) -> None:  # fmt: skip
    """Until the run has ended, passing on what it says."""
    deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
    read = 0
    while True:
        status = run.status
        if ended := status.ended:
            run.wait(LEAVE_LIMIT)  # with the supervisor go the last lines of the log
        if status.state == "queued" and status.reason:
            progress(status.reason)
        read += _pass_on(run.folder / disk.LOG, read, progress)
        if ended:
            return
        if cancel and cancel.is_set():
            raise DryRunError("The dry run was cancelled.")
        if time.monotonic() > deadline:
            raise DryRunError(f"The dry run was ended: it took longer than {timeout:g} seconds.")
        time.sleep(POLL)


def _pass_on(log: Path, start: int, progress: Callable[[str], None]) -> int:
    """Give `progress` the whole lines from byte `start` on. Returns how many bytes they are."""
    with log.open("rb") as file:
        file.seek(start)
        text = file.read()
    whole = text[: text.rfind(b"\n") + 1]
    for line in whole.decode("utf-8", errors="replace").splitlines():
        progress(line)
    return len(whole)


def _result(run: Run) -> DryRun:
    status = run.status
    told = disk.read_json(run.folder / disk.DRY_RUN)
    if status.state == "finished" and told:
        return DryRun(**{**told, "memory_by_rank_mb": tuple(told["memory_by_rank_mb"])})
    diagnosis = run.diagnosis
    words = status.reason or f"it ended as {status.state} without a result"
    raise DryRunError(f"The dry run failed: {words}" + (f"\n{diagnosis}" if diagnosis else ""), diagnosis)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
