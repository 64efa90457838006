"""What the training processes write into the run's folder: status, metrics, errors. Only rank 0 writes the first two."""

from __future__ import annotations

import json
import os
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HEARTBEAT = 0.5  # seconds; whoever watches takes a status that stays old for a hang


def replace(path: Path, text: str) -> None:
    """Write `path` so that readers see the old text or the new, never half of it."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


@dataclass
class RunFiles:
    """The folder of one run, as one rank writes it."""

    folder: Path
    rank: int = 0
    step: int = 0
    total_steps: int = 0
    _beat: float = field(default=0.0, repr=False)

    def settings(self) -> dict[str, Any]:
        """What `run.json` says of the run."""
        return json.loads((self.folder / "run.json").read_text(encoding="utf-8"))

    def say(self, text: str) -> None:
        """A line of the log, said once."""
        if self.rank == 0:
            print(text, flush=True)

    def status(self, state: str, reason: str = "") -> None:
        """Replace `status.json`."""
        if self.rank == 0:
            self._beat = time.monotonic()
            words = {"state": state, "step": self.step, "total_steps": self.total_steps}
            replace(self.folder / "status.json", json.dumps({**words, "reason": reason, "updated": time.time()}, ensure_ascii=False))  # fmt: skip

    def beat(self) -> None:
        """Show that the run is alive, between steps too."""
        if time.monotonic() - self._beat > HEARTBEAT:
            self.status("running")

    def metrics(self, line: dict[str, Any]) -> None:
        """Add one line to `metrics.jsonl`, whole: a line is one write."""
        if self.rank == 0:
            with (self.folder / "metrics.jsonl").open("ab", buffering=0) as file:
                file.write((json.dumps(line) + "\n").encode())

    def forget_metrics_after(self, step: int) -> None:
        """Drop what was logged after the checkpoint that the run goes on from."""
        path = self.folder / "metrics.jsonl"
        if self.rank == 0 and path.exists():
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            replace(path, "".join(line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step))  # fmt: skip

    @property
    def stop_asked(self) -> bool:
        """Somebody asks for a checkpoint and an end (`Run.stop`)."""
        return (self.folder / "stop").exists()

    def error(self, error: BaseException) -> None:
        """Leave this rank's last words: the supervisor reads them."""
        words = {
            "type": type(error).__name__,
            "message": str(error),
            "traceback": "".join(traceback.format_exception(error)),
            "time": time.time(),
        }
        replace(self.folder / f"error-rank{self.rank}.json", json.dumps(words, ensure_ascii=False))
