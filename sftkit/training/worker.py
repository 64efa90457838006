"""Train: one process of a run. Started by the run's supervisor, one for each GPU (or one on the CPU):

    python -m sftkit.training.worker RUN_DIR

It reads RUN_DIR/run.json and speaks only through files in RUN_DIR (status.json, metrics.jsonl, checkpoints/, model/,
error-rank<r>.json) and its output. The environment is torch's usual one: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR,
MASTER_PORT; without it, this is the only process. The training itself is `sftkit/training/loop.py`.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
from pathlib import Path

from sftkit.training.run_files import RunFiles


def main(folder: Path) -> None:
    """Run `train` so that whatever goes wrong is written down. Ends the process."""
    _prepare_environment()
    files = RunFiles(folder, int(os.environ["RANK"]))
    try:
        from sftkit.training.loop import train  # torch, transformers, DeepSpeed: seconds

        train(files)
    except BaseException as error:
        files.error(error)
        raise
    # What is on disk is complete; the teardown of communication libraries may hang or abort.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _prepare_environment() -> None:
    """Settings that must stand before torch and DeepSpeed are imported."""
    _die_with_parent()
    for name, value in {
        "RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1",
    }.items():
        os.environ.setdefault(name, value)
    if "MASTER_PORT" not in os.environ:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            os.environ["MASTER_PORT"] = str(free.getsockname()[1])


def _die_with_parent() -> None:
    """On Linux: end this process when the one that started it ends, however that happens (PR_SET_PDEATHSIG = 1)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
