"""What a soak may not leave behind: processes, file handles, shared memory, temporary files, ports, places in the line.

All that the soak starts carries its mark in the environment, so /proc tells what is its own, whoever's child it became.
"""

from __future__ import annotations

import gc
import os
import re
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from sftkit.runs.standing import GONE

if TYPE_CHECKING:
    from tests.benchmarks.soak_stage import Told

MARK = "SFTKIT_SOAK"
LEAVE = 20.0  # seconds that what is ending may take


def marked(mark: str) -> dict[int, str]:
    """Pid -> command of every process that carries the mark, but for this one and those that it descends from."""
    ours = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    wanted, found = f"{MARK}={mark}".encode(), {}
    for pid in psutil.pids():
        with suppress(OSError, psutil.Error):
            if pid in ours or wanted not in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                continue
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found[pid] = " ".join(psutil.Process(pid).cmdline())[:200]
    return found


def of_folder(folder: Path, part: str = "") -> list[int]:
    """Pids of the processes with that folder, and `part`, in their command."""
    found = []
    for pid in psutil.pids():
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
            if str(folder) in words and any(part in word for word in words):
                found.append(pid)
    return found


def port_of(pid: int) -> int | None:
    """The port at which a rank meets the others."""
    with suppress(OSError, psutil.Error):
        return int(psutil.Process(pid).environ().get("MASTER_PORT") or 0) or None
    return None


def handles() -> Counter[str]:
    """What this process holds open, by name; a pipe or socket by its kind, since its number says nothing."""
    gc.collect()
    found: Counter[str] = Counter()
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the one that listed the folder
            target = os.readlink(f"/proc/self/fd/{name}")
            found[target.partition(":[")[0] if ":[" in target else target] += 1
    return found


def more_than(before: Counter[str], after: Counter[str]) -> list[str]:
    """What there is more of, in words."""
    return [f"{count} x {name}" for name, count in sorted((after - before).items())]


def taken(ports: set[int], mark: str) -> list[str]:
    """Those ports that a process of ours still holds, or nobody who can be named."""
    owners = {c.laddr.port: c.pid for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.laddr}
    own = marked(mark)
    found = []
    for port in sorted(ports):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                if owners.get(port) in (None, *own):
                    found.append(f"port {port}")
    return found


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(os.listdir(folder)) if folder.is_dir() else []


def half_written(run: Path) -> list[str]:
    """Parts of files and folders in a run's folder: what has a name with a dot in front and is no lock, reserve or leash."""
    kept = {".lock", ".reserve", ".leash"}
    found = [path for path in run.glob(".*") if path.name not in kept]
    return [str(path.relative_to(run.parent)) for path in [*found, *run.glob("checkpoints/.*")]]


def by_runs(folder: Path, told: list[Told]) -> dict[str, list[str]]:
    """What the runs have left on the machine, by kind. Where the supervisor itself was killed, nobody is there to sweep up
    before the run is resumed or deleted."""
    mark = os.environ[MARK]
    there = [one for one in told if one.folder]
    swept = [
        one for one in there if one.state != "failed" or not one.reason or not re.search(one.reason, GONE)
    ]
    return {
        "processes": [f"{pid}: {words}" for pid, words in settled(lambda: marked(mark)).items()],
        "ports": taken({port for one in told for port in one.ports}, mark),
        "temporary files and folders": names(folder / "tmp"),
        "places in the line": [name for name in names(folder / "line") if name != ".door"],
        "connection files of kernels": names(folder / "jupyter"),
        "half-written parts in run folders": [part for one in swept for part in half_written(one.folder)],
    }


def cards_used_by(pids: set[int]) -> tuple[int, list[str]]:
    """How many cards there are, and which of these processes (or of dead ones) hold memory of one."""
    ask = ["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader"]
    try:
        told = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
        count = len(subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True).stdout.splitlines())
    except (OSError, subprocess.CalledProcessError):
        return 0, []
    return count, [line for line in told.splitlines() if int(line.split(",")[0]) in pids]


def settled(what: Callable[[], list | dict], seconds: float = LEAVE) -> list | dict:
    """`what()` once it is empty, or as it is when the time is up."""
    deadline = time.monotonic() + seconds
    while (found := what()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found
