"""What starts the ranks of a run on several hosts: DeepSpeed over pdsh, DeepSpeed by hand on each host, or Slurm.

    sftkit join RUN_DIR --node-rank K          # launcher="manual": on every host but the first

Each starts `python -m sftkit.runs.rank RUN_DIR` so many times on each host. The run's folder, the model and the data lie
on a disk that all hosts see under the same path, and so does this Python.

A Slurm batch script, where `launch` waits for the run to end because the job ends with its script; USR1, sent some time
before the limit, saves a checkpoint and stops:

    #SBATCH --nodes=2 --ntasks-per-node=8 --gpus-per-node=8 --signal=USR1@300
    sftkit launch --launcher slurm --num_processes 16 --runs-dir /shared/runs --pretrain … --dataset …
"""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sftkit.errors import RunError
from sftkit.runs import folder as disk
from sftkit.runs import hosts, process

RANK = "sftkit.runs.rank"


@dataclass(frozen=True)
class Start:
    """The program that starts all ranks, or this host's; `waits_for` says what the user has to do meanwhile."""

    command: list[str]
    environment: dict[str, str]
    cwd: str | None
    waits_for: str = ""


def spreads(run: dict[str, Any]) -> bool:
    """Whether another program than the supervisor starts the ranks of this run."""
    return _settings(run).get("launcher", "local") != "local"


def plan(folder: Path, run: dict[str, Any], port: int) -> Start:
    """How the ranks of `run` are started. Puts the hosts and their meeting point into run.json, for `join`.

    Raises DataError for a faulty hostfile, RunError for hosts that cannot be used so.
    """
    settings = _settings(run)
    # What one rank needs, on whatever host: DeepSpeed's pdsh passes variables on whose names begin so.
    environment = _environment()
    if settings["launcher"] == "slurm":
        environment["MASTER_PORT"] = str(port)
        if "SLURM_CPUS_PER_TASK" in environment:  # srun no longer takes it from the job by itself
            environment.setdefault("SRUN_CPUS_PER_TASK", environment["SLURM_CPUS_PER_TASK"])
        return Start(_srun(folder, int(run["processes"])), environment, run.get("cwd"))
    named = hosts.read(Path(run.get("cwd") or ".", settings["hostfile"]))
    if (slots := sum(host.slots for host in named)) != run["processes"]:
        raise RunError(f"The hostfile has {slots} slots and num_processes is {run['processes']}.")
    try:
        address = hosts.meeting_address(named)
    except OSError as error:
        raise RunError(f"The hostfile names a host that is not known here: {error}") from None
    run |= {"hosts": [[host.name, host.slots] for host in named], "meeting": [address, port]}
    disk.write_json(folder / disk.RUN, run)
    if settings["launcher"] == "pdsh":
        # It hands variables over in a command line, which everybody sees: those of MLflow may be passwords.
        environment = {name: value for name, value in environment.items() if not name.startswith("MLFLOW")}
        return Start(_pdsh(folder, named, address, port), environment, "/")
    return Start(_half(folder, run, 0), environment, run.get("cwd"), _calls(folder, named))


def _srun(folder: Path, processes: int) -> list[str]:
    """--overlap: the notebook itself may be a step of the job that holds all of its cores."""
    options = [f"--ntasks={processes}", "--kill-on-bad-exit=1", "--overlap"]
    return ["srun", *options, sys.executable, "-m", RANK, str(folder)]


def _pdsh(folder: Path, named: list[hosts.Host], address: str, port: int) -> list[str]:
    """DeepSpeed's own launcher. It quotes blanks in the folder's name and nothing else."""
    if re.search(r"[^\w@%+=:,./ -]", str(folder)):
        raise RunError(f"DeepSpeed's pdsh launcher cannot pass on the folder name {folder}: choose a plainer one.")  # fmt: skip
    lines = "".join(f"{host.name} slots={host.slots}\n" for host in named)
    (folder / hosts.HOSTFILE).write_text(lines, encoding="utf-8")
    # --force_multi: one host in the file need not be this one.
    where = ["--hostfile", str(folder / hosts.HOSTFILE), "--launcher", "pdsh", "--force_multi"]
    meeting = ["--master_addr", address, "--master_port", str(port)]
    runner = [sys.executable, "-m", "deepspeed.launcher.runner", *where, *meeting]
    return [*runner, "--no_local_rank", "--module", RANK, str(folder)]


def _half(folder: Path, run: dict[str, Any], node: int) -> list[str]:
    """What `deepspeed --no_ssh --node_rank NODE` would start on this host: its launcher of one host's ranks.

    Without the front end between, which dies of a signal and leaves the ranks behind.
    """
    slots = {name: list(range(count)) for name, count in run["hosts"]}
    world = base64.urlsafe_b64encode(json.dumps(slots).encode()).decode()
    address, port = run["meeting"]
    launch = [sys.executable, "-u", "-m", "deepspeed.launcher.launch", f"--world_info={world}"]
    place = [f"--node_rank={node}", f"--master_addr={address}", f"--master_port={port}"]
    return [*launch, *place, "--log_level=error", "--no_local_rank", "--module", RANK, str(folder)]


def _calls(folder: Path, named: list[hosts.Host]) -> str:
    """What is to be run on each other host."""
    command = shlex.join([sys.executable, "-m", "sftkit.cli", "join", str(folder), "--node-rank"])
    return "; ".join(
        f"waiting for host {host.name}: run there: {command} {node}"
        for node, host in enumerate(named)
        if node
    )


def join(folder: Path, node: int) -> int:
    """Start this host's ranks of the run in `folder` and wait for them. Returns an exit code.

    Raises RunError when the run waits for no such host.
    """
    run = disk.read_json(folder / disk.RUN)
    named = run.get("hosts") or []
    if _settings(run).get("launcher") != "manual":
        raise RunError(f"The run {folder} starts its hosts by itself, or is no run: nothing to join.")
    if not 1 <= node < len(named):
        raise RunError(f"There is no host {node} to join as: the run has 1 to {len(named) - 1}.")
    if hosts.Leash(folder).lost:
        raise RunError(f"The run {folder} is not waiting for hosts: look at its status, launch or resume it.")
    command = _half(folder, run, node)
    half = subprocess.Popen(
        command,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        preexec_fn=partial(process.die_with_parent, os.getpid()),
    )
    try:
        return half.wait()
    except KeyboardInterrupt:  # the ranks have got it too, and write down that they end
        return half.wait()


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}


def _settings(run: dict[str, Any]) -> dict[str, Any]:
    return settings if isinstance(settings := run.get("config"), dict) else {}
