"""Is that process still the one that was started? A pid alone does not say so: numbers are used again.

Linux counts a process's start in ticks since boot, which a changed clock does not touch; with the boot id beside it, the
pair names a process for good. Elsewhere the start time by the clock has to do.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import psutil

SUPERVISOR = "sftkit.runs.supervisor"
CLOCK_SLACK = 2.0  # seconds that a start time read twice may differ where only the clock tells
PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def identity(pid: int) -> dict[str, Any]:
    """What run.json keeps of a process: `pid`, `pid_started` (unix seconds), `pid_mark` (boot id and ticks), `host`."""
    return {
        "pid": pid,
        "pid_started": psutil.Process(pid).create_time(),
        "pid_mark": _mark(pid),
        "host": socket.gethostname(),
    }


def is_alive(kept: dict[str, Any]) -> bool:
    """Whether the process described by `identity` runs on this machine; a zombie does not."""
    pid = kept.get("pid")
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return False
        if kept.get("pid_mark") and (mark := _mark(pid)):
            return mark == kept["pid_mark"]
        return abs(process.create_time() - float(kept.get("pid_started") or 0)) < CLOCK_SLACK
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:  # it exists and belongs to somebody else: not ours to call dead
        return True


def supervises(pid: int, folder: Path) -> bool:
    """Whether that process is the supervisor of the run in `folder`: a run.json from elsewhere may name any process."""
    try:
        words = psutil.Process(pid).cmdline()
    except psutil.Error:
        return False
    return SUPERVISOR in words and any(word and os.path.realpath(word) == os.path.realpath(folder) for word in words)  # fmt: skip


def was_restarted(kept: dict[str, Any]) -> bool:
    """Whether the machine has been restarted since the process described by `identity` began; False where nobody can say."""
    then, now = str(kept.get("pid_mark") or "").partition(":")[0], _boot()
    return bool(then and now) and then != now


def is_here(kept: dict[str, Any]) -> bool:
    """Whether the process was started on this host, so that its pid means something here."""
    return kept.get("host") in (None, "", socket.gethostname())


def die_with_parent(parent: int | None = None) -> None:
    """On Linux: the kernel ends this process when the one that started it (pid `parent`) ends, however that happens."""
    if _LIBC:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent and os.getppid() != parent:  # it died before the line above
        os._exit(1)


def _mark(pid: int) -> str:
    try:
        # The name, in brackets, may hold blanks and brackets: fields are counted from its end. Field 22 is starttime.
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
    return f"{_boot()}:{ticks}"


def _boot() -> str:
    """What Linux calls this start of the machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def group_members(group: int) -> list[int]:
    """Pids of the process group that still run (zombies left out)."""
    members = []
    for pid in psutil.pids():
        try:  # the group first: to ask for it is a hundred times cheaper than for the status
            if os.getpgid(pid) == group and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                members.append(pid)
        except (ProcessLookupError, PermissionError, psutil.Error):
            continue
    return members
