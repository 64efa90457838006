"""The ranks of a run, from their start to their end, as its supervisor holds them: processes of this machine, or of
others through the program that starts them there (`starters.py`), known then by their logs and by the exit codes that
they leave in the run's folder (`rank.py`).

Standard library and psutil only: the supervisor imports this.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from sftkit.runs import causes, hardware, hosts, process, starters
from sftkit.runs import folder as disk
from sftkit.runs.classroom import Caps
from sftkit.runs.queue import Ticket
from sftkit.runs.rank import worker_command

POLL = 0.1  # seconds
STARTER_LIMIT = 5.0  # seconds for what started the ranks to see that they have left
FAR_LIMIT = 15.0  # seconds for ranks on other hosts to leave


@dataclass
class FarProcess:
    """A rank that another program starts, perhaps on another host, by the exit code that it leaves in the folder."""

    folder: Path
    number: int
    pid = None
    until: float = 0.0  # monotonic time up to which it is waited for, once it was told to leave

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        return causes.far_exit(self.folder, self.number).get("code")

    def kill(self) -> None:
        """Let go of all far ranks: they end themselves."""
        hosts.drop(self.folder)
        self.until = time.monotonic() + FAR_LIMIT

    def wait(self) -> None:
        """Until it has left, at most FAR_LIMIT seconds after it was told to; one that was never started is not waited for."""
        log = causes.rank_log(self.folder, self.number)
        while log.exists() and self.poll() is None and time.monotonic() < self.until:
            time.sleep(POLL)


@dataclass
class Rank:
    """One training process and how much of its log has been passed on to train.log."""

    name: str
    process: subprocess.Popen | FarProcess
    log: Path
    copied: int = 0


@dataclass
class Watch:
    """What the supervisor knows of the run in hand."""

    folder: Path
    run: dict[str, Any]
    ranks: list[Rank] = field(default_factory=list)
    ticket: Ticket | None = None  # our place in the line of runs; none where others place the ranks
    starter: Rank | None = None  # the program that starts the ranks on several hosts
    port: int = 0
    word: float = 0.0  # when far ranks last heard from us
    asked_to_end: int = 0
    caps: Caps = field(default_factory=Caps)  # what the run may take
    oom_before: int = field(default_factory=hardware.oom_kills)

    @property
    def state(self) -> str:
        return disk.read_json(self.folder / disk.STATUS).get("state", "")


def start_ranks(watch: Watch) -> None:
    """Start every rank, in the folder that the paths in the settings are relative to."""
    count, port = int(watch.run.get("processes") or 1), hardware.free_port()
    causes.forget(watch.folder)
    if starters.spreads(watch.run):
        return start_starter(watch, count, port)
    disk.write_status(watch.folder, "starting")
    watch.ranks = []
    for number in range(count):
        log = causes.rank_log(watch.folder, number)
        environment = rank_environment(watch.run, number, count, port)
        command, cwd = worker_command(watch.folder), watch.run.get("cwd") or None
        watch.ranks.append(Rank(f"rank {number}", _child(command, environment, cwd, log), log))


def start_starter(watch: Watch, count: int, port: int) -> None:
    """Start the program that starts the ranks. They hang on our leash, whose token is this start's port."""
    folder = watch.folder
    start, watch.port = starters.plan(folder, watch.run, port), port
    hosts.hold(folder, f"{os.getpid()}-{port}")
    log = causes.starter_log(folder)
    watch.starter = Rank("launcher", _child(start.command, start.environment, start.cwd, log), log)
    ranks = range(count)
    watch.ranks = [Rank(f"rank {n}", FarProcess(folder, n), causes.rank_log(folder, n)) for n in ranks]
    disk.write_status(folder, "starting", start.waits_for)
    if start.waits_for:
        print(start.waits_for.replace("; ", "\n"), flush=True)


def _child(command: list[str], environment: dict[str, str], cwd: str | None, log: Path) -> subprocess.Popen:
    """A process that writes to `log` and does not outlive us."""
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=partial(process.die_with_parent, os.getpid()),
        )


def rank_environment(run: dict[str, Any], number: int, count: int, port: int) -> dict[str, str]:
    """The environment of one rank: torch's rendezvous names, its share of the cores, the run's GPUs."""
    wished = {
        # A rank with more threads than its share of the cores slows all others down.
        "OMP_NUM_THREADS": str(max(1, hardware.cpu_cores() // count)),
        "OMP_WAIT_POLICY": "passive",  # active waiting doubles a step's time beside any other busy process
        "PYTHONFAULTHANDLER": "1",  # a crash in native code says where
    }
    given = {
        "RANK": str(number),
        "LOCAL_RANK": str(number),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "PYTHONUNBUFFERED": "1",
    }
    if run.get("gpus"):
        given["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # ids as nvidia-smi counts them
        given["CUDA_VISIBLE_DEVICES"] = ",".join(str(gpu) for gpu in run["gpus"])
    return {**wished, **os.environ, **given}


def end_ranks(watch: Watch) -> None:
    """End what is left of the ranks and pass on their last words."""
    for rank in watch.ranks:
        if rank.process.poll() is None:
            rank.process.kill()
    for rank in watch.ranks:
        rank.process.wait()
    if watch.starter:
        hosts.drop(watch.folder)
        _end_starter(watch.starter.process)
    pass_on(watch, to_the_end=True)


def _end_starter(starter: subprocess.Popen) -> None:
    """End DeepSpeed's launcher or srun, which leave by themselves when their ranks have left.

    Never by SIGTERM: DeepSpeed's would then end every run that it has started on those hosts, by name.
    """
    with suppress(subprocess.TimeoutExpired):
        starter.wait(STARTER_LIMIT)
    with suppress(psutil.Error):
        for child in [*psutil.Process(starter.pid).children(recursive=True), starter]:
            with suppress(psutil.NoSuchProcess):
                child.kill()
    starter.wait()


def pass_on(watch: Watch, to_the_end: bool = False) -> None:
    """Copy what the ranks have printed since the last look to train.log (our stdout), line by line."""
    starter = [watch.starter] if watch.starter else []
    for rank in [*starter, *watch.ranks]:
        try:
            with rank.log.open("rb") as log:
                log.seek(rank.copied)
                text = log.read()
        except OSError:
            continue
        whole = text if to_the_end else text[: text.rfind(b"\n") + 1]
        rank.copied += len(whole)
        mark = f"[{rank.name}] ".encode() if starter or len(watch.ranks) > 1 else b""
        shown = b"".join(mark + _shown(line) for line in whole.split(b"\n") if line)
        with suppress(OSError):  # a full disk must not keep us from writing down how the run ends
            while shown:
                shown = shown[os.write(sys.stdout.fileno(), shown) :]


def _shown(line: bytes) -> bytes:
    """A line as a terminal would show it in the end: progress bars write over themselves."""
    return line.rstrip(b"\r").rpartition(b"\r")[2] + b"\n"
