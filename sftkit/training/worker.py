"""Train: one process of a run. Started by the run's supervisor, one for each GPU (or one on the CPU):

    python -m sftkit.training.worker RUN_DIR

It reads RUN_DIR/run.json and speaks only through files in RUN_DIR (status.json, metrics.jsonl, checkpoints/, model/,
error-rank<r>.json) and its output. The environment is torch's usual one: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR,
MASTER_PORT; without it Slurm's, and without that, this is the only process. The training itself is
`sftkit/training/loop.py`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from sftkit.runs import hosts, process
from sftkit.training import trackers
from sftkit.training.lean_imports import lean_imports
from sftkit.training.run_files import RunFiles


def main(folder: Path) -> None:
    """Run `train` so that whatever goes wrong is written down. Ends the process."""
    process.die_with_parent()
    os.environ.update(hosts.rank_environment(os.environ))  # before torch and DeepSpeed are imported
    files = RunFiles(folder, int(os.environ["RANK"]))
    try:
        if files.rank == 0:
            trackers.require(files.settings()["config"])
        with lean_imports():
            from sftkit.training import rendezvous

            if files.settings().get("dry_run"):
                from sftkit.training.dry_run import rehearse as train
            else:
                from sftkit.training.loop import train  # torch, transformers, DeepSpeed: seconds

        rendezvous.listen()
        train(files)
    except BaseException as error:
        files.error(error)
        raise
    # What is on disk is complete; the teardown of communication libraries may hang or abort.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
