"""Preflight checks of several hosts: the hostfile, what starts the processes, Slurm's allocation."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from sftkit.runs import hosts
from sftkit.runs.findings import Finding, check
from sftkit.runs.look import Look
from sftkit.wording import say

WITH_HOSTFILE = ("pdsh", "manual")


def _hostfile(look: Look) -> tuple[list[hosts.Host], list[tuple[int, str]]]:
    """Hosts and faults of the hostfile. Raises OSError or UnicodeDecodeError when it cannot be read."""
    return hosts.parse(Path(look.config.hostfile or "").read_text(encoding="utf-8"))


def _set_processes(count: int) -> tuple[dict[str, int], str]:
    return {"num_processes": count}, say("Set num_processes={count}", count=count)


@check
def hostfile_can_be_read(look: Look) -> Iterator[Finding]:
    if look.config.launcher not in WITH_HOSTFILE:
        return
    try:
        named, faults = _hostfile(look)
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or say("it is no text")
        yield Finding(
            "stop",
            "hostfile",
            say("{hostfile} cannot be read: {why}.", hostfile=look.config.hostfile, why=why),
        )
        return
    for row, what in faults:
        yield Finding(
            "stop",
            "hostfile",
            say("{hostfile}, row {row}: {what}", hostfile=look.config.hostfile, row=row, what=what),
        )
    slots = sum(host.slots for host in named)
    if not faults and slots != look.config.num_processes:
        yield Finding("stop", "num_processes", say("{num_processes} processes, and the hostfile has {slots} slots.", num_processes=look.config.num_processes, slots=slots), *_set_processes(slots))  # fmt: skip


@check("device")
def the_first_host_is_this_one(look: Look) -> Iterator[Finding]:
    """By hand, rank 0 is started here, and the others look for it on the first host."""
    if look.config.launcher != "manual":
        return
    try:
        named, faults = _hostfile(look)
    except (OSError, UnicodeDecodeError):
        return
    if not named or faults:
        return
    for number, host in enumerate(named):
        try:
            here = hosts.is_here(host.address)
        except OSError:
            yield Finding(
                "stop", "hostfile", say("No address is known here for the host {name}.", name=host.name)
            )
            continue
        if number == 0 and not here:
            yield Finding("stop", "hostfile", say("The first host, {name}, is not this machine. Launch there, or put this machine first.", name=host.name))  # fmt: skip


@check("device")
def the_starter_is_there(look: Look) -> Iterator[Finding]:
    launcher = look.config.launcher
    by_hand = {"launcher": "manual"}, say("Start the other hosts by hand")
    if launcher == "pdsh":
        for program in ("pdsh", "ssh"):
            if not shutil.which(program):
                yield Finding("stop", "launcher", say("{program} is not installed here; DeepSpeed starts other hosts with it.", program=program), *by_hand)  # fmt: skip
    if launcher != "slurm":
        return
    if not shutil.which("srun"):
        yield Finding(
            "stop", "launcher", say("There is no srun here: this is no machine of a Slurm cluster.")
        )
    elif not os.environ.get("SLURM_JOB_ID"):
        yield Finding("stop", "launcher", say("This is not inside a Slurm job. Start Jupyter or `sftkit launch` in one: salloc --ntasks={processes}, or sbatch (`sftkit launch --help` shows a script).", processes=look.config.processes))  # fmt: skip
    elif (tasks := os.environ.get("SLURM_NTASKS", "")).isdigit() and int(tasks) < look.config.processes:
        yield Finding("warn", "num_processes", say("{processes} processes, and the Slurm job was given {tasks} tasks.", processes=look.config.processes, tasks=tasks), *_set_processes(int(tasks)))  # fmt: skip


@check
def what_the_hosts_must_share(look: Look) -> Iterator[Finding]:
    if look.config.launcher != "local":
        yield Finding("inform", "launcher", say("Every host must see {absolute}, the model, the data and this Python under the same paths (a shared disk).", absolute=look.runs_dir.absolute()))  # fmt: skip
