"""The loss of every training row under the model that a run started from and under the one it made:

    python -m sftkit.training.score RUN_DIR [--limit N]

One process, on the GPU if there is one. It leaves `row_scores.parquet` in the run's folder and speaks through
`score.json` there (`sftkit/runs/scoring.py` says what they hold). It ends with the process that started it. The work
itself is `row_scores.py`.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
import time
from pathlib import Path
from typing import Any

from sftkit.runs import folder as disk
from sftkit.runs.scoring import LOCK, TOLD
from sftkit.training.lean_imports import lean_imports

PARENT = os.getppid()
TELL_EVERY = 0.3  # seconds


class Teller:
    """`score.json`: how far it is, and how it ended."""

    def __init__(self, folder: Path):
        self._path, self._told = folder / TOLD, 0.0
        self._state = {"pid": os.getpid(), "state": "running", "done": 0, "total": 0, "error": None}

    def tell(self, **news: Any) -> None:
        """Replace the file."""
        self._state |= news
        disk.write_json(self._path, self._state)

    def count(self, rows: int) -> None:
        """So many rows more are measured."""
        if os.getppid() != PARENT:
            sys.exit("the process that asked for these scores is gone")
        self._state["done"] += rows
        if time.monotonic() - self._told > TELL_EVERY:
            self._told = time.monotonic()
            self.tell()


def main(folder: Path, limit: int | None) -> None:
    """Measure and write; exit code 1 with the reason in `score.json` when that fails."""
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            sys.exit("The rows of this run are being scored already: wait for that to end.")
        teller = Teller(folder)
        teller.tell()
        try:
            with lean_imports():
                from sftkit.training.row_scores import score  # torch, transformers, DeepSpeed: seconds
            score(folder, limit, teller.tell, teller.count)
        except Exception as error:
            teller.tell(state="failed", error=f"{type(error).__name__}: {error}")
            raise
        teller.tell(state="finished")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int)
    given = parser.parse_args()
    main(given.folder.absolute(), given.limit)
