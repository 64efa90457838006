"""What the stories of the soak are made of: the stage they share, what is told of a run, the blow, the end, the resumption.

A blow falls on a run that stands still (SIGSTOP to its ranks): what status.json said then is all that it will ever have
said, so there is no guess about who was quicker. A blow that finds its run ended came too late, and is counted as such.
"""

from __future__ import annotations

import os
import random
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from jupyter_client import BlockingKernelClient, KernelManager
from jupyter_client.manager import start_new_kernel

from sftkit.config import SFTConfig
from sftkit.runs import Run, launch
from sftkit.runs.folder import complete_checkpoints, step_of
from tests.benchmarks import soak_left as left

PATIENCE = 900.0  # seconds for anything: the machine may have much else to do


@dataclass
class Told:
    """What was done to one run, and what must therefore be true of it. `state` "deleted": there is no folder any more."""

    story: str
    folder: Path | None = None
    state: str = "finished"
    reason: str = ""  # a pattern that its reason must match
    ranks: int = 1
    starts: int = 1
    blows: list[str] = field(default_factory=list)
    late: int = 0
    leaders: set[int] = field(default_factory=set)
    ports: set[int] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)


@dataclass
class Stage:
    """What all stories share."""

    config: SFTConfig
    folder: Path
    steps: int
    at_once: int
    cards: list[int]  # none: the line's devices are made-up numbers of cards, the training is on the CPU
    seed: int = 0
    _count: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    def devices(self, count: int) -> tuple[int, ...]:
        """The next devices, one after the other."""
        there = self.cards or list(range(self.at_once))
        with self._lock:
            first, self._count = self._count, self._count + count
        return tuple(sorted({there[n % len(there)] for n in range(first, first + count)}))

    @property
    def findings(self) -> list | None:
        """Preflight knows no cards here: it is left out where they are made up."""
        return None if self.cards else []


# what a story is made of


def start(stage: Stage, told: Told, ranks: int = 1, runs: Path | None = None) -> Run:
    """Launch through the line, from this process."""
    config = stage.config.with_(gpus=stage.devices(ranks))
    told.ranks = config.processes
    run = launch(config, runs or stage.runs, queue=True, findings=stage.findings)
    told.folder = run.folder
    return run


def note(told: Told, run: Run) -> list[int]:
    """The pids of the run's ranks; its supervisor and ports are kept for the end."""
    workers = left.of_folder(run.folder, "sftkit.training.worker")
    told.ports |= {port for pid in workers if (port := left.port_of(pid))}
    if pid := run.record.get("pid"):
        told.leaders.add(pid)
    return workers


def until(told: Told, what: Callable[[], object], name: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited in vain for: {name}")
        time.sleep(0.05)


def new_kernel() -> tuple[KernelManager, BlockingKernelClient]:
    """A kernel that answers. On a busy machine one in some dozens never does, and nobody is told why: three tries."""
    for attempt in range(3):
        try:
            return start_new_kernel(startup_timeout=PATIENCE / 5)
        except RuntimeError:
            if attempt == 2:
                raise
    raise AssertionError


def reached(told: Told, run: Run, step: int) -> bool:
    """Wait for that step. False when the run has ended."""
    until(told, lambda: run.status.ended or run.status.step >= step, f"step {step} of {run.id}")
    note(told, run)
    return not run.status.ended


@contextmanager
def still(pids: list[int]) -> Iterator[None]:
    """Those processes stand still meanwhile."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    for pid in pids:
        with suppress(psutil.Error):
            while psutil.Process(pid).status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE):
                time.sleep(0.005)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def strike(told: Told, run: Run, who: str, victims: Callable[[list[int]], list[int]], step: int) -> bool:
    """SIGKILL at `step` to the `victims` that are chosen among, or known by, the ranks. False when it came too late."""
    if reached(told, run, step) and (ranks := note(told, run)):
        with still(ranks):
            if not run.status.ended and (chosen := victims(ranks)):
                for pid in chosen:
                    os.kill(pid, signal.SIGKILL)
                told.blows.append(f"SIGKILL to {who}")
                return True
    told.late += 1
    return False


def rank_of(pids: list[int], rank: int) -> list[int]:
    return [pid for pid in pids if psutil.Process(pid).environ().get("RANK") == str(rank)]


def over(told: Told, run: Run, state: str, reason: str = "") -> None:
    """Wait for the end, which must be this one, with nobody left."""
    told.state, told.reason = state, reason
    status = run.wait(PATIENCE)
    note(told, run)
    if status.state != state or not re.search(reason, status.reason):
        told.wrong.append(f"{run.id} should be {state} ({reason}), is {status}\n{run.log(20)}")
    if alive := left.settled(lambda: left.of_folder(run.folder), 10.0):
        told.wrong.append(f"{run.id} has ended and has processes {alive}")


def on(told: Told, run: Run) -> None:
    """Resume, through the line, to the end; a run that has trained and has no checkpoint must say that it cannot."""
    if "resume" in run.can:
        run.resume(queue=True)
        told.starts += 1
        over(told, run, "finished")
    elif complete_checkpoints(run.checkpoints):
        told.wrong.append(f"{run.id} has a checkpoint, and cannot be resumed: {sorted(run.can)}")


def saved(told: Told, run: Run) -> None:
    """After a stop there is a checkpoint of the very step."""
    if run.status.step and run.status.step not in [
        step_of(path) for path in complete_checkpoints(run.checkpoints)
    ]:
        told.wrong.append(f"{run.id} stopped at step {run.status.step} without its checkpoint")


def somewhere(stage: Stage, dice: random.Random) -> int:
    """A step in the middle."""
    return dice.randint(2, max(3, stage.steps * 2 // 3))
