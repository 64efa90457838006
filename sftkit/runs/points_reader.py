"""Reads huge metrics files into their caches (points.py), in a process of its own and with less right to the CPU than
whoever waits for a picture: in the kernel, parsing would take turns with every redraw.

    reader = Reader([run.folder, …])       # at once; `reader.running` until all is read
    python -m sftkit.runs.points_reader FOLDER …
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

PIECE = 64 << 20  # bytes between two looks whether whoever started it is still there
PAUSE = 0.1  # seconds between two looks whether somebody else has read on
YIELDING = 10  # niceness: everybody who is awake goes first


class Reader:
    """The process that reads the metrics of these run folders, one after the other."""

    def __init__(self, folders: Sequence[Path]):
        command = [sys.executable, "-m", "sftkit.runs.points_reader", *map(str, folders)]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        """End it; what it has read is kept."""
        if self.running:
            self._process.terminate()
            self._process.wait()


def read(folders: Sequence[Path]) -> None:
    """Read all of them, as long as the process that asked for it lives."""
    import pyarrow

    from sftkit.runs.points import Points

    pyarrow.set_cpu_count(max(1, (os.cpu_count() or 2) - 1))
    asked_by = os.getppid()
    for folder in folders:
        points = Points(folder)
        known = 0.0
        while points.read(PIECE) and os.getppid() == asked_by:
            if points.progress == known:  # somebody else is reading it
                time.sleep(PAUSE)
            known = points.progress


if __name__ == "__main__":
    with suppress(OSError):
        os.nice(YIELDING)
    read([Path(folder) for folder in sys.argv[1:]])
