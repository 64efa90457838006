"""sftkit's own worker on the task: `python sftkit_sft.py RUN_DIR`, with the clock read after every step."""

from __future__ import annotations

import sys
from pathlib import Path

from marks import mark

from sftkit.training import worker
from sftkit.training.run_files import RunFiles

own_metrics = RunFiles.metrics


def metrics(self: RunFiles, line: dict) -> None:
    own_metrics(self, line)
    if "loss" in line:
        mark(line["step"])


RunFiles.metrics = metrics
worker.main(Path(sys.argv[1]))
