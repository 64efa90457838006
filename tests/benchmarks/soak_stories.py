"""What happens to the runs of the soak: nineteen stories, each of which knows how its run must have ended."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sftkit.runs import Run, launch, load_run, queue
from sftkit.runs.folder import complete_checkpoints
from sftkit.runs.run import KILLED, KILLED_IN_QUEUE
from sftkit.runs.standing import BROKE_OFF, GONE
from sftkit.runs.supervisor import LEFT_QUEUE
from tests.benchmarks import soak_left as left
from tests.benchmarks.soak_stage import (
    PATIENCE,
    Stage,
    Told,
    new_kernel,
    note,
    on,
    over,
    rank_of,
    reached,
    saved,
    somewhere,
    start,
    still,
    strike,
    until,
)  # fmt: skip
from tests.faults.drill import fill

LAUNCH = """
import sys, resource
from sftkit.config import SFTConfig
from sftkit.runs import launch
limit = {limit}
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
print(launch({config!r}, {runs!r}, queue=True, findings={findings!r}).folder, flush=True)
"""
AGAIN = "import sftkit as sk\nrun = sk.load_run({folder!r})\nprint(run.status.state, len(run.metrics()))"


# the stories


def in_peace(stage: Stage, told: Told, dice: random.Random) -> None:
    over(told, start(stage, told), "finished")


def two_ranks_in_peace(stage: Stage, told: Told, dice: random.Random) -> None:
    over(told, start(stage, told, 2), "finished")


def worker_killed(stage: Stage, told: Told, dice: random.Random) -> None:
    run = start(stage, told)
    if strike(told, run, "the worker", lambda ranks: ranks, somewhere(stage, dice)):
        over(told, run, "failed", "^rank 0 was ended by SIGKILL")
        return on(told, run)
    over(told, run, "finished")


def rank_killed(stage: Stage, told: Told, dice: random.Random) -> None:
    run = start(stage, told, 2)
    rank = told.ranks - 1
    if strike(told, run, "one rank of two", lambda ranks: rank_of(ranks, rank), somewhere(stage, dice)):
        over(told, run, "failed", f"^rank {rank} was ended by SIGKILL")
        return on(told, run)
    over(told, run, "finished")


def supervisor_killed(stage: Stage, told: Told, dice: random.Random) -> None:
    run = start(stage, told)
    if strike(told, run, "the supervisor", lambda _: [run.record["pid"]], somewhere(stage, dice)):
        over(told, run, "failed", f"^{re.escape(GONE)}")
        return on(told, run)
    over(told, run, "finished")


def launcher_killed(stage: Stage, told: Told, dice: random.Random) -> None:
    """DeepSpeed's launcher, which starts the ranks of a host; such runs have no place in the line."""
    ranks = min(2, len(stage.cards) or 2)
    hostfile = stage.folder / "hostfile"
    hostfile.write_text(f"localhost slots={ranks}\n")
    config = stage.config.with_(launcher="manual", hostfile=str(hostfile), num_processes=ranks)
    run = launch(config, stage.runs)
    told.folder, told.ranks = run.folder, ranks
    launchers = lambda _: left.of_folder(run.folder, "deepspeed.launcher.launch")  # noqa: E731
    if strike(told, run, "DeepSpeed's launcher", launchers, somewhere(stage, dice)):
        over(told, run, "failed", "^(the program that starts the ranks|rank .)")
        if "resume" in run.can:  # beside the line, as it was launched
            run.resume()
            told.starts += 1
            over(told, run, "finished")
        return
    over(told, run, "finished")


def _calling(stage: Stage, limit: int = 0) -> str:
    config = stage.config.with_(gpus=stage.devices(1))
    runs = str(stage.folder / f"runs-{time.monotonic_ns()}")
    return LAUNCH.format(config=config, runs=runs, findings=stage.findings, limit=limit).replace(
        "from sftkit.config import SFTConfig", f"from sftkit.config import SFTConfig\nruns = {runs!r}"
    )


def _only_run(code: str) -> Path | None:
    runs = Path(re.search(r"^runs = '(.*)'$", code, re.MULTILINE)[1])
    return next(iter(runs.glob("*/run.json")), None)


def caller_killed(stage: Stage, told: Told, dice: random.Random) -> None:
    """The Python that calls launch(), at a moment around its return."""
    code = _calling(stage)
    caller = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
    until(told, lambda: _only_run(code) or caller.poll() is not None, "the run's folder")
    time.sleep(dice.random() * 0.6)
    caller.kill()
    caller.wait()
    told.blows.append("SIGKILL to who called launch()")
    run = load_run(_only_run(code).parent)
    told.folder = run.folder
    until(told, lambda: "pid" in run.record or run.status.ended, "the supervisor")
    over(told, run, "finished") if "pid" in run.record else over(told, run, "failed", f"^{BROKE_OFF}")


def _in_a_kernel(stage: Stage, told: Told, client) -> Run:
    said: list[str] = []

    def hear(message: dict) -> None:
        said.append(message["content"].get("text", "") or "\n".join(message["content"].get("traceback", [])))

    client.execute_interactive(_calling(stage), timeout=PATIENCE, output_hook=hear)
    run = load_run("".join(said).strip())
    told.folder = run.folder
    return run


def kernel_killed(stage: Stage, told: Told, dice: random.Random) -> None:
    """In the middle of a cell: it can tell nobody."""
    manager, client = new_kernel()
    try:
        run = _in_a_kernel(stage, told, client)
        client.execute("import time; time.sleep(6000)")
        reached(told, run, somewhere(stage, dice))
        os.kill(manager.provisioner.pid, signal.SIGKILL)
        told.blows.append("SIGKILL to the kernel that launched it")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    over(told, run, "finished")


def kernel_restarted(stage: Stage, told: Told, dice: random.Random) -> None:
    """Restarted as JupyterLab does it; the new one opens the run by its folder."""
    manager, client = new_kernel()
    try:
        run = _in_a_kernel(stage, told, client)
        reached(told, run, somewhere(stage, dice))
        manager.restart_kernel()
        told.blows.append("restart of the kernel that launched it")
        client.wait_for_ready(PATIENCE)
        said: list[str] = []
        code = AGAIN.format(folder=str(run.folder))
        client.execute_interactive(
            code, timeout=PATIENCE, output_hook=lambda m: said.append(m["content"].get("text", ""))
        )
        if not re.match(r"(queued|starting|running|finished) \d+\s*$", "".join(said)):
            told.wrong.append(f"the restarted kernel said {''.join(said)!r} of {run.id}")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    over(told, run, "finished")


def disk_full(stage: Stage, told: Told, dice: random.Random) -> None:
    """On a disk of its own; without the right to mount one, a limit of what a file may hold stands in."""
    small = stage.folder / f"small-{time.monotonic_ns()}"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=160m", "sftkit-soak", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        return file_too_large(stage, told, dice)
    run = start(stage, told, runs=small / "runs")
    if reached(told, run, somewhere(stage, dice)):
        filler = fill(small)
        told.blows.append("the disk filled up")
        run.wait(PATIENCE)
        if run.status.state != "finished":
            over(told, run, "failed")
            if (cause := run.diagnosis.cause) != "disk_full":
                told.wrong.append(f"{run.id} failed of a full disk, and is said to have failed of {cause}")
        filler.unlink()
        if run.status.state != "finished":
            return on(told, run)
    told.late += 1
    over(told, run, "finished")


def file_too_large(stage: Stage, told: Told, dice: random.Random) -> None:
    """ulimit -f: a checkpoint does not fit."""
    code = _calling(stage, limit=4 * 2**20)
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    run = load_run(said.stdout.strip())
    told.folder = run.folder
    told.blows.append("a limit of 4 MB a file")
    over(told, run, "failed", "(?i)file too large|write|iostream|pos")
    if complete_checkpoints(run.checkpoints):
        told.wrong.append(f"{run.id} has a checkpoint that cannot be whole")


def stopped_and_resumed(stage: Stage, told: Told, dice: random.Random) -> None:
    run = start(stage, told)
    if reached(told, run, somewhere(stage, dice)):
        run.stop()
        told.blows.append("stop()")
        if run.wait(PATIENCE).state == "stopped":
            over(told, run, "stopped")
            saved(told, run)
            return on(told, run)
    told.late += 1
    over(told, run, "finished")


def stopped_now(stage: Stage, told: Told, dice: random.Random) -> None:
    run = start(stage, told)
    if reached(told, run, somewhere(stage, dice)):
        with still(note(told, run)):
            if not run.status.ended:
                told.blows.append("kill()")
                run.kill(PATIENCE)
        if told.blows:
            over(told, run, "stopped", f"^{re.escape(KILLED)}")
            return on(told, run)
    told.late += 1
    over(told, run, "finished")


def machine_shuts_down(stage: Stage, told: Told, dice: random.Random) -> None:
    """SIGTERM to the supervisor asks for a checkpoint and an end."""
    run = start(stage, told)
    if reached(told, run, somewhere(stage, dice)):
        with suppress(ProcessLookupError):
            os.kill(run.record["pid"], signal.SIGTERM)
        told.blows.append("SIGTERM to the supervisor")
        if run.wait(PATIENCE).state == "stopped":
            over(told, run, "stopped")
            return saved(told, run)
    told.late += 1
    over(told, run, "finished")


def hangs(stage: Stage, told: Told, dice: random.Random) -> None:
    """A rank is suspended for good: whoever watches ends the run."""
    run = start(stage, told)
    if reached(told, run, somewhere(stage, dice)):
        for pid in note(told, run):
            os.kill(pid, signal.SIGSTOP)
        told.blows.append("SIGSTOP to the worker")
        if run.wait(PATIENCE).state != "finished":
            over(told, run, "failed", r"^hung: .*rank 0 suspended")
            return on(told, run)
    told.late += 1
    over(told, run, "finished")


def leaves_the_line(stage: Stage, told: Told, dice: random.Random) -> None:
    """While it waits: stopped, killed, deleted, or its supervisor killed."""
    card = stage.cards[0] if stage.cards else 100 + stage.devices(1)[0] + time.monotonic_ns() % 10**6
    holder = queue.Ticket("holder", stage.folder, [f"GPU {card}"], waits=False)
    try:
        run = launch(stage.config.with_(gpus=(card,)), stage.runs, queue=True, findings=stage.findings)
        told.folder = run.folder
        until(told, lambda: "held by run holder" in run.status.reason, "its place in the line")
        note(told, run)
        way = told.story.rpartition(": ")[2]
        told.blows.append(f"in the line: {way}")
        if way == "stop()":
            run.stop()
            over(told, run, "stopped", f"^{LEFT_QUEUE}")
        elif way == "kill()":
            run.kill(PATIENCE)
            over(told, run, "stopped", f"^{KILLED_IN_QUEUE}")
        elif way == "delete()":
            run.delete(confirm=run.id)
            told.state = "deleted"
        else:
            os.kill(run.record["pid"], signal.SIGKILL)
            over(told, run, "failed", f"^{re.escape(GONE)}")
    finally:
        holder.leave()


STORIES: dict[str, tuple[Callable[[Stage, Told, random.Random], None], int]] = {
    "nothing": (in_peace, 6),
    "nothing, two ranks": (two_ranks_in_peace, 2),
    "worker killed": (worker_killed, 6),
    "one rank of two killed": (rank_killed, 4),
    "supervisor killed": (supervisor_killed, 5),
    "DeepSpeed's launcher killed": (launcher_killed, 2),
    "who called launch() killed": (caller_killed, 3),
    "kernel killed": (kernel_killed, 3),
    "kernel restarted": (kernel_restarted, 3),
    "disk full": (disk_full, 4),
    "file size limited": (file_too_large, 1),
    "stop(), resume()": (stopped_and_resumed, 3),
    "kill()": (stopped_now, 2),
    "SIGTERM, as when the machine shuts down": (machine_shuts_down, 1),
    "worker suspended": (hangs, 1),
    "in the line: stop()": (leaves_the_line, 1),
    "in the line: kill()": (leaves_the_line, 1),
    "in the line: delete()": (leaves_the_line, 1),
    "in the line: supervisor killed": (leaves_the_line, 1),
}
SMALL = ("supervisor killed", "disk full", "kernel restarted", "in the line: supervisor killed")


def play(stage: Stage, name: str, number: int) -> Told:
    """One story from begin to end. What goes wrong in it is in `wrong`."""
    told = Told(name)
    try:
        STORIES[name][0](stage, told, random.Random(f"{stage.seed} {number}"))
    except Exception:
        told.wrong.append(f"{name}: {traceback.format_exc()}")
    return told
