"""What the training processes write into the run's folder: status, metrics, errors. Only rank 0 writes the first two."""

from __future__ import annotations

import json
import math
import os
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sftkit.runs import folder as disk
from sftkit.runs import hosts
from sftkit.training.trackers import Trackers

HEARTBEAT = 0.5  # seconds; whoever watches takes a status that stays old for a hang


@dataclass
class RunFiles:
    """The folder of one run, as one rank writes it."""

    folder: Path
    rank: int = 0
    step: int = 0
    total_steps: int = 0
    _beat: float = field(default=0.0, repr=False)
    _trackers: Trackers | None = field(default=None, repr=False)

    def settings(self) -> dict[str, Any]:
        """What `run.json` says of the run."""
        return json.loads((self.folder / disk.RUN).read_text(encoding="utf-8"))

    def data(self, counts: dict[str, dict[str, int] | None]) -> None:
        """Leave in `data.json` what became of the rows of each split (None: not read)."""
        if self.rank == 0:
            disk.write_json(self.folder / disk.DATA, counts)

    def say(self, text: str) -> None:
        """A line of the log, said once."""
        if self.rank == 0:
            print(text, flush=True)

    def status(self, state: str, reason: str = "") -> None:
        """Replace `status.json`. With the end of a run, its trackers end too."""
        if self.rank != 0:
            return
        if hosts.is_cut(self.folder):  # a run killed from another host: its status is no longer ours to write
            os._exit(1)
        self._beat = time.monotonic()
        disk.write_status(self.folder, state, reason, step=self.step, total=self.total_steps)
        if state in disk.ENDED:
            self._end_trackers(state)

    def beat(self) -> None:
        """Show that the run is alive, between steps too."""
        if time.monotonic() - self._beat > HEARTBEAT:
            self.status("running")

    def metrics(self, line: dict[str, Any]) -> None:
        """Add one line to `metrics.jsonl`, whole: a line is one write. The run's trackers get it too."""
        if self.rank != 0:
            return
        self.append(disk.METRICS, json.dumps(line) + "\n")
        if self._trackers is None:
            self._trackers = Trackers(self.settings()["config"], self.folder, self.say)
        self._trackers.log(line)

    def append(self, name: str, text: str) -> None:
        """Add whole lines to a file of the run, in one write."""
        if self.rank == 0:
            left = text.encode()
            with (self.folder / name).open("ab", buffering=0) as file:
                while left:  # a disk that is nearly full takes a part, and complains at the next
                    left = left[file.write(left) :]

    def _end_trackers(self, state: str) -> None:
        if self._trackers:
            self._trackers.close(state)

    def forget_after(self, step: int) -> None:
        """Drop what was logged and answered after the checkpoint that the run goes on from."""
        for path in (self.folder / disk.METRICS, self.folder / disk.SAMPLES):
            if self.rank == 0 and path.exists():
                whole = path.read_bytes().split(b"\n")[:-1]  # a last line without its end was cut by a kill
                kept = [line for line in whole if _step_of(line) <= step]
                disk.write_text(path, b"".join(line + b"\n" for line in kept).decode())

    @property
    def stop_asked(self) -> bool:
        """Somebody asks for a checkpoint and an end (`Run.stop`)."""
        return (self.folder / disk.STOP).exists()

    def error(self, error: BaseException) -> None:
        """Leave this rank's last words: the supervisor reads them."""
        words = {
            "type": type(error).__name__,
            "message": str(error),
            "traceback": "".join(traceback.format_exception(error)),
            "time": time.time(),
        }
        try:
            disk.write_json(self.folder / f"error-rank{self.rank}.json", words)
        except OSError:  # a full disk: there is room kept for this
            disk.free_reserve(self.folder)
            disk.write_json(self.folder / f"error-rank{self.rank}.json", words)
        self._end_trackers("failed")


def _step_of(line: bytes) -> float:
    """The step of a line; infinite for one that a full disk has cut, so that it is dropped."""
    points = disk.parse([line])
    step = points[0].get("step") if len(points) == 1 else None
    return step if isinstance(step, int) else math.inf
