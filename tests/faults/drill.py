"""What the drill needs: waiting for a run to get somewhere, disks that are small and fill up."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from sftkit.runs import Run


def until(what: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait until `what()` is true; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def until_step(run: Run, step: int, seconds: float = 120.0) -> None:
    """Wait until the run has done `step`; fail when it ends before."""
    deadline = time.monotonic() + seconds
    while run.status.step < step:
        assert not run.status.ended and time.monotonic() < deadline, f"{run.status}\n{run.log()}"
        time.sleep(0.01)


def fill(disk: Path, leave: int = 0) -> Path:
    """Write a file that leaves about `leave` bytes free on a disk."""
    told = os.statvfs(disk)
    path = disk / f"filler-{time.monotonic_ns()}"
    with path.open("wb", buffering=0) as file:
        room = max(0, told.f_bavail * told.f_frsize - leave)
        try:
            while room > 0:
                room -= file.write(b"\0" * min(room, 2**16))
        except OSError:  # somebody else was writing too: it is full all the same
            pass
    return path
