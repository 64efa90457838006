"""A real Slurm on the two hosts of two_hosts.py: its controller on alpha, a node on each. Not a stand-in."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.runs.two_hosts import TwoHosts

CONF = """ClusterName=sftkit
SlurmctldHost=alpha
AuthType=auth/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
KillWait=5
NodeName=alpha,beta CPUs=1 RealMemory=1000 State=UNKNOWN
PartitionName=all Nodes=alpha,beta Default=YES MaxTime=INFINITE State=UP
"""
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun")


def missing() -> str:
    """What Slurm lacks on this machine; empty where all is there."""
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    if absent := [program for program in PROGRAMS if not shutil.which(program, path=path)]:
        return f"{', '.join(absent)} not installed (Debian: slurm-wlm)"
    return ""


@contextmanager
def slurm(pair: TwoHosts, folder: Path) -> Iterator[dict[str, str]]:
    """Start it, wait until both nodes are idle, and end it. Yields the environment of its commands."""
    for place in ("state", "alpha", "beta"):
        (folder / place).mkdir(parents=True)
    (folder / "slurm.conf").write_text(CONF.format(folder=folder))
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
    environment = {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
    quiet = {
        "env": environment,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
    }  # they write logs
    daemons = [*_munge(folder), pair.start("alpha", "slurmctld", "-D", "-c", **quiet)]
    try:
        daemons += [pair.start(name, "slurmd", "-D", "-N", name, **quiet) for name in ("alpha", "beta")]
        _until_idle(pair, environment, folder)
        yield environment
    finally:
        for daemon in daemons:
            daemon.send_signal(signal.SIGKILL)
            daemon.wait()


def _munge(folder: Path) -> list[subprocess.Popen]:
    """munged, which vouches for users, where none is running."""
    if not subprocess.run(["munge", "-n"], capture_output=True).returncode:
        return []
    for place in ("/run/munge", "/var/lib/munge", "/var/log/munge"):
        Path(place).mkdir(parents=True, exist_ok=True)
        with suppress(LookupError):
            shutil.chown(place, "munge", "munge")
    return [subprocess.Popen(["munged", "--foreground", "--force"], stderr=(folder / "munged.log").open("w"))]


def _until_idle(pair: TwoHosts, environment: dict[str, str], folder: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        said = pair.start(
            "alpha", "sinfo", "-h", "-o", "%D %t", env=environment, stdout=-1, stderr=-1, text=True
        )
        if "2 idle" in said.communicate(timeout=20)[0]:
            return
        time.sleep(0.3)
    logs = "\n".join(path.read_text(errors="replace")[-2000:] for path in folder.glob("*.log"))
    raise AssertionError(f"Slurm does not come up:\n{logs}")
