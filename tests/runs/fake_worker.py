"""A FAKE worker for tests of sftkit/runs: writes the files a real one writes and trains nothing.

It takes its manners from the environment: FAKE_STEPS, FAKE_SECONDS (a step), FAKE_FAULT ("raise", "exit", "abort",
"kill", "port", "linger", "eat", …) on FAKE_FAULT_RANK (default: the last) at step 2. FAKE_CGROUP: the control group that it
enters first.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

FOLDER, RANK, WORLD = Path(sys.argv[1]), int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
STEPS, SECONDS = int(os.environ.get("FAKE_STEPS", "3")), float(os.environ.get("FAKE_SECONDS", "0.05"))
FAULT = os.environ.get("FAKE_FAULT", "")
FAULTY = int(os.environ.get("FAKE_FAULT_RANK", WORLD - 1)) == RANK


def replace(name: str, value: dict) -> None:
    part = FOLDER / f".{name}.part"
    part.write_text(json.dumps(value), encoding="utf-8")
    os.replace(part, FOLDER / name)


def status(state: str, step: int, reason: str = "") -> None:
    if RANK == 0:
        told = {"state": state, "step": step, "total_steps": STEPS, "reason": reason, "updated": time.time()}
        replace("status.json", told)


def checkpoint(step: int) -> None:
    if RANK == 0:
        (FOLDER / "checkpoints" / f"step-{step}").mkdir(parents=True, exist_ok=True)


def misbehave(step: int) -> None:
    if not (FAULTY and step == 2):
        return
    if FAULT == "raise":
        raise ValueError("row 7 has no answer")
    if FAULT == "echo":  # what a rank sees of another one's death, said before the dead one can speak
        raise RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:4711")
    if FAULT == "exit":
        print("ImportError: no module named tensors", file=sys.stderr)
        sys.exit(3)
    if FAULT == "abort":
        os.abort()
    if FAULT == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if FAULT == "eat":  # all the memory there is
        held = []
        while True:
            held.append(bytearray(os.urandom(2**20)))
    if FAULT == "mute":
        os._exit(0)


def main() -> None:
    if group := os.environ.get("FAKE_CGROUP"):
        (Path(group) / "cgroup.procs").write_text(str(os.getpid()))
    if FAULT == "port" and not (FOLDER / "tried").exists():
        (FOLDER / "tried").touch()
        raise OSError("[Errno 98] EADDRINUSE: address already in use")
    record = json.loads((FOLDER / "run.json").read_text(encoding="utf-8"))
    first = 1
    if record.get("resume"):
        saved = FOLDER.glob("checkpoints/step-*")
        first += max((int(path.name[5:]) for path in saved), default=0)
    print(f"fake rank {RANK} of {WORLD} on port {os.environ['MASTER_PORT']}", flush=True)
    print("pid", os.getpid(), "threads", os.environ["OMP_NUM_THREADS"], file=sys.stderr, flush=True)
    for step in range(first, STEPS + 1):
        time.sleep(SECONDS)
        misbehave(step)
        status("running", step)
        if RANK == 0:
            with (FOLDER / "metrics.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, "loss": 1 / step, "epoch": step / STEPS}) + "\n")
        if (FOLDER / "stop").exists():
            status("stopping", step)
            checkpoint(step)
            status("stopped", step)
            return
    status("finished", STEPS)
    if FAULT == "crash at exit":
        os.abort()
    if FAULT == "linger":  # a grandchild that would outlive its rank
        os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "3600")


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        told = {"type": type(error).__name__, "message": str(error), "traceback": traceback.format_exc()}
        replace(f"error-rank{RANK}.json", told | {"time": time.time()})
        traceback.print_exc()
        sys.exit(1)
