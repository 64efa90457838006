"""One rank of a run on several hosts, beside its training process. Started there by DeepSpeed's launcher or by srun:

    python -m sftkit.runs.rank RUN_DIR

The supervisor is on another machine: it sees no exit code, and no signal of it comes here. So this process gives the
worker its environment and its log, ends it when the leash is dropped, and leaves its exit code in the run's folder.
Nothing heavy is imported: it must start at once.
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from sftkit.runs import causes, hardware, hosts, process
from sftkit.runs import folder as disk

# Tests put a worker of their own here. Private; read from the environment of whoever launches.
WORKER_VARIABLE = "SFTKIT_WORKER"
POLL = 0.2  # seconds


def main(folder: Path) -> int:
    """Run one worker to its end. Returns its exit code as a shell would tell it."""
    process.die_with_parent()
    leash = hosts.Leash(folder)
    if leash.lost:
        print(f"The run {folder} waits for no ranks.", file=sys.stderr)
        return 1
    environment = {**os.environ, **hosts.rank_environment(os.environ), hosts.LEASH_VARIABLE: "1"}
    number, oom_before = int(environment["RANK"]), hardware.oom_kills()
    with causes.rank_log(folder, number).open("wb") as log:
        worker = subprocess.Popen(
            worker_command(folder),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=partial(_before_worker, os.getpid()),
        )
    # Slurm announces the end of the time limit with the signal that the job asks for (#SBATCH --signal=USR1@300).
    signal.signal(signal.SIGUSR1, lambda *_: (folder / disk.STOP).touch())
    # A launcher ends its other ranks so when one has failed, and a user `sftkit join`.
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: worker.terminate())
    while worker.poll() is None:
        time.sleep(POLL)
        if leash.lost:
            worker.kill()
    code = worker.returncode
    told = {"code": code, "host": socket.gethostname(), "time": time.time()}
    told["out_of_memory"] = hardware.oom_kills() > oom_before
    if folder.is_dir():
        disk.write_json(causes.exit_file(folder, number), told)
    return code if code >= 0 else 128 - code


def worker_command(folder: Path) -> list[str]:
    """The command of one training process. -P: a torch.py in the folder where a run is resumed is not taken for torch."""
    worker = shlex.split(os.environ.get(WORKER_VARIABLE, ""))
    return [*(worker or [sys.executable, "-P", "-m", "sftkit.training.worker"]), str(folder)]


def _before_worker(parent: int) -> None:
    signal.signal(
        signal.SIGUSR1, signal.SIG_IGN
    )  # Slurm signals all processes of a step; this one must train on
    process.die_with_parent(parent)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute()))
