"""Losses of the training rows before and after a run, measured by a process of its own.

score.json           {"pid", "state": "running" | "finished" | "failed", "done", "total", "error"}; rows under both models
row_scores.parquet   source, row, tokens (trained), base_loss, tuned_loss (means over the trained tokens)
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from sftkit.errors import RunError
from sftkit.runs import folder as disk
from sftkit.runs import limits

TOLD, SCORES, LOG, LOCK = "score.json", "row_scores.parquet", "score.log", ".score-lock"
COLUMNS = ["source", "row", "tokens", "base_loss", "tuned_loss"]


class Scoring:
    """A measurement under way. It ends with this kernel, or by `stop()`; what was measured before stays on disk."""

    def __init__(self, folder: Path, limit: int | None, gpus: list[int]):
        self._folder = folder
        command = [sys.executable, "-m", "sftkit.training.score", str(folder)]
        environment = dict(os.environ)
        if gpus:
            environment |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": str(gpus[0])}
        with (folder / LOG).open("wb") as log:
            self._process = subprocess.Popen(
                command if limit is None else [*command, "--limit", str(limit)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=limits.for_child(),
            )

    @property
    def done(self) -> bool:
        """Whether it is over, well or not."""
        return self._process.poll() is not None

    @property
    def progress(self) -> float:
        """0 to 1: the share of rows that are measured, under either model."""
        told = self._told
        if told.get("state") == "finished":
            return 1.0
        return told.get("done", 0) / max(1, told.get("total", 0))

    @property
    def error(self) -> str | None:
        """Why it failed; None while it runs, and when it went well."""
        code = self._process.poll()
        if not code:
            return None
        if code == -signal.SIGKILL and self._stopped:
            return "stopped"
        return self._told.get("error") or disk.tail(self._folder / LOG, 1) or f"it left with exit code {code}"

    def wait(self, timeout: float | None = None) -> pd.DataFrame:
        """The scores (`Run.row_scores`) once they are there. Raises RunError when it failed, or takes longer."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise RunError(
                f"The rows are not scored after {timeout:g} seconds: wait longer, or stop()."
            ) from None
        if self.error:
            raise RunError(f"The rows were not scored: {self.error}")
        return row_scores(self._folder)

    def stop(self) -> None:
        """End it now."""
        self._stopped = True
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    _stopped = False

    @property
    def _told(self) -> dict[str, Any]:
        told = disk.read_json(self._folder / TOLD)
        return told if told.get("pid") == self._process.pid else {}  # not an earlier one's

    def __repr__(self) -> str:
        return f"Scoring({self._folder.name!r}, {self.progress:.0%}{f', {self.error}' if self.error else ''})"


def start(folder: Path, model: Path, limit: int | None, gpus: list[int]) -> Scoring:
    """Measure up to `limit` rows, drawn with the seed (None: all). Raises RunError when there is no finished `model`."""
    if limit is not None and limit < 1:
        raise RunError(f"limit={limit} scores nothing: give 1 or more, or None for all rows.")
    if not disk.holds_model(model):
        raise RunError(f"The run {folder.name} has no finished model yet ({model}): its rows can be scored when it has.")  # fmt: skip
    return Scoring(folder, limit, gpus)


def row_scores(folder: Path) -> pd.DataFrame:
    """source, row, tokens, base_loss, tuned_loss. Raises RunError when nothing has been scored."""
    path = folder / SCORES
    if not path.is_file():
        raise RunError("The rows of this run have not been scored: run.score_rows().wait() does it.")
    try:
        return pd.read_parquet(path)[COLUMNS]
    except (OSError, ValueError, KeyError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error
