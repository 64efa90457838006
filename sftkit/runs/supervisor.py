"""Start a run's ranks, watch them, and write down how it ended when they cannot.

    python -m sftkit.runs.supervisor RUN_DIR

Started by `launch` and `Run.resume`. It leaves the process tree of the notebook (fork and setsid), so
that neither a closed terminal nor a kernel that ends its children reaches it, and writes only to files. It must start
at once: standard library and psutil, nothing else.

The ranks write `running`, `stopped` and `finished` themselves (rank 0). The supervisor writes `starting` before them and
`failed` after them. On several hosts another program starts the ranks (`starters.py`); the supervisor starts that one,
and knows each rank by its log and the exit code that it leaves in the run's folder (`rank.py`). SIGTERM (a machine that shuts down) asks for a checkpoint, like `Run.stop()`; a second one ends the
run at once.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

import psutil

from sftkit.runs import causes, hardware, hosts, process, starters
from sftkit.runs import folder as disk
from sftkit.runs.rank import worker_command

# Seconds without a new status.json after which a running run counts as hung.
HEARTBEAT_VARIABLE = "SFTKIT_HEARTBEAT_LIMIT"
HEARTBEAT_LIMIT = 600.0
POLL = 0.1  # seconds
FAR_POLL = 0.5  # seconds; each look opens two files a rank on a shared disk
GRACE = 1.0  # seconds for the other ranks to tell their part once one has died
FAR_GRACE = 5.0  # the same on other hosts: their words come over a shared disk
STARTER_LIMIT = 5.0  # seconds for what started the ranks to see that they have left
FAR_LIMIT = 15.0  # seconds for ranks on other hosts to leave
FACTS_LIMIT = 60.0  # seconds that reading large data files may outlast the training
TEARDOWN_LIMIT = 60.0  # seconds that ranks may take to leave after the run has ended


def start(folder: Path, *, resume: bool = False) -> None:
    """Start the supervisor of `folder` and return once run.json names its pid. Raises OSError with the reason."""
    with (folder / disk.LOG).open("a+b") as log:
        before = log.seek(0, os.SEEK_END)
        first = subprocess.run(
            [sys.executable, "-m", "sftkit.runs.supervisor", str(folder), *(["--resume"] if resume else [])],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            check=False,
        )
        log.seek(before)
        said = log.read().decode("utf-8", errors="replace").strip()
    if first.returncode:
        raise OSError(f"the supervisor did not start: {said[-1000:] or 'it said nothing'}")


@dataclass
class FarProcess:
    """A rank that another program starts, perhaps on another host, by the exit code that it leaves in the folder."""

    folder: Path
    number: int
    pid = None
    until: float = 0.0  # monotonic time up to which it is waited for, once it was told to leave

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        return causes.far_exit(self.folder, self.number).get("code")

    def kill(self) -> None:
        """Let go of all far ranks: they end themselves."""
        hosts.drop(self.folder)
        self.until = time.monotonic() + FAR_LIMIT

    def wait(self) -> None:
        """Until it has left, at most FAR_LIMIT seconds after it was told to; one that was never started is not waited for."""
        log = causes.rank_log(self.folder, self.number)
        while log.exists() and self.poll() is None and time.monotonic() < self.until:
            time.sleep(POLL)


@dataclass
class Rank:
    """One training process and how much of its log has been passed on to train.log."""

    name: str
    process: subprocess.Popen | FarProcess
    log: Path
    copied: int = 0


@dataclass
class Watch:
    """What the supervisor knows of the run in hand."""

    folder: Path
    run: dict[str, Any]
    ranks: list[Rank] = field(default_factory=list)
    starter: Rank | None = None  # the program that starts the ranks on several hosts
    port: int = 0
    word: float = 0.0  # when far ranks last heard from us
    asked_to_end: int = 0
    oom_before: int = field(default_factory=hardware.oom_kills)

    @property
    def state(self) -> str:
        return disk.read_json(self.folder / disk.STATUS).get("state", "")


def main(folder: Path, *, resume: bool = False) -> None:
    """Become a process that belongs to nobody, then supervise."""
    ready, tell = os.pipe()
    if os.fork():
        os.close(tell)
        # The caller waits for this process: it ends when run.json names the supervisor's pid.
        os._exit(0 if os.read(ready, 1) else 1)
    os.close(ready)
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    lock = _lock(folder)
    watch = Watch(folder, _enter(folder, resume))
    signal.signal(signal.SIGTERM, lambda *_: _asked_to_end(watch))
    os.write(tell, b"1")
    os.close(tell)
    try:
        facts = _start_facts(watch)
        supervise(watch)
        if facts:
            facts.wait(FACTS_LIMIT)
    except Exception as error:
        traceback.print_exc()  # into train.log
        with suppress(OSError):
            if watch.state not in disk.ENDED:
                disk.write_status(folder, "failed", f"the supervisor broke: {type(error).__name__}: {error}")
    finally:
        end(watch)
        lock.close()
        os.killpg(0, signal.SIGKILL)  # whatever a rank has left behind in our group, and ourselves


def _start_facts(watch: Watch) -> subprocess.Popen | None:
    """Hashes of data files too large for `launch` to read are made beside the training."""
    if all(file.get("sha256") for file in watch.run.get("data", [])):
        return None
    command = [sys.executable, "-m", "sftkit.runs.facts", str(watch.folder)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)


def _lock(folder: Path) -> IO[str]:
    """The right to be this folder's only supervisor, held as long as we live."""
    lock = (folder / ".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.exit("This run has a supervisor already.")
    return lock


def _enter(folder: Path, resume: bool) -> dict[str, Any]:
    """Put ourselves into run.json and say `starting`. Returns run.json."""
    run = {**disk.read_json(folder / disk.RUN), **process.identity(os.getpid())}
    if resume:
        run["resume"] = True
        (folder / disk.STOP).unlink(missing_ok=True)
    disk.write_json(folder / disk.RUN, run)
    disk.write_status(folder, "starting")
    return run


def supervise(watch: Watch) -> None:
    """Run the ranks to their end; once more with another port when the first one was taken in the meantime."""
    for attempt in (1, 2):
        start_ranks(watch)
        reason = follow(watch)
        end(watch)
        if not reason or not watch.folder.is_dir():
            return
        if attempt == 1 and causes.port_taken(watch.folder, len(watch.ranks)) and watch.state == "starting":
            print("The port was taken in the meantime: once more with another one.", flush=True)
            continue
        disk.write_status(watch.folder, "failed", reason)
        print(f"The run failed: {reason}", flush=True)
        return


def start_ranks(watch: Watch) -> None:
    """Start every rank, in the folder that the paths in the settings are relative to."""
    count, port = int(watch.run.get("processes") or 1), hardware.free_port()
    causes.forget(watch.folder)
    if starters.spreads(watch.run):
        return start_starter(watch, count, port)
    disk.write_status(watch.folder, "starting")
    watch.ranks = []
    for number in range(count):
        log = causes.rank_log(watch.folder, number)
        environment = rank_environment(watch.run, number, count, port)
        command, cwd = worker_command(watch.folder), watch.run.get("cwd") or None
        watch.ranks.append(Rank(f"rank {number}", _child(command, environment, cwd, log), log))


def start_starter(watch: Watch, count: int, port: int) -> None:
    """Start the program that starts the ranks. They hang on our leash, whose token is this start's port."""
    folder = watch.folder
    start, watch.port = starters.plan(folder, watch.run, port), port
    hosts.hold(folder, f"{os.getpid()}-{port}")
    log = causes.starter_log(folder)
    watch.starter = Rank("launcher", _child(start.command, start.environment, start.cwd, log), log)
    ranks = range(count)
    watch.ranks = [Rank(f"rank {n}", FarProcess(folder, n), causes.rank_log(folder, n)) for n in ranks]
    disk.write_status(folder, "starting", start.waits_for)
    if start.waits_for:
        print(start.waits_for.replace("; ", "\n"), flush=True)


def _child(command: list[str], environment: dict[str, str], cwd: str | None, log: Path) -> subprocess.Popen:
    """A process that writes to `log` and does not outlive us."""
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=partial(process.die_with_parent, os.getpid()),
        )


def rank_environment(run: dict[str, Any], number: int, count: int, port: int) -> dict[str, str]:
    """The environment of one rank: torch's rendezvous names, its share of the cores, the run's GPUs."""
    wished = {
        # A rank with more threads than its share of the cores slows all others down.
        "OMP_NUM_THREADS": str(max(1, hardware.cpu_cores() // count)),
        "OMP_WAIT_POLICY": "passive",  # active waiting doubles a step's time beside any other busy process
        "PYTHONFAULTHANDLER": "1",  # a crash in native code says where
    }
    given = {
        "RANK": str(number),
        "LOCAL_RANK": str(number),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "PYTHONUNBUFFERED": "1",
    }
    if run.get("gpus"):
        given["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # ids as nvidia-smi counts them
        given["CUDA_VISIBLE_DEVICES"] = ",".join(str(gpu) for gpu in run["gpus"])
    return {**wished, **os.environ, **given}


def follow(watch: Watch) -> str:
    """Watch until the run has ended. Returns why it failed, or nothing when rank 0 has written its end itself."""
    limit = float(os.environ.get(HEARTBEAT_VARIABLE) or HEARTBEAT_LIMIT)
    # Both by the monotonic clock: a clock set back or forward must not end a run.
    last_sign, last_seen = time.monotonic(), None
    while True:
        time.sleep(FAR_POLL if watch.starter else POLL)
        pass_on(watch)
        if not watch.folder.is_dir():
            return "the run folder was deleted"
        codes = [rank.process.poll() for rank in watch.ranks]
        if all(code == 0 for code in codes):
            return "" if watch.state in disk.ENDED else "the ranks left without a word on how the run ended"
        if any(codes) or _starter_failed(watch):
            return _death(watch)
        _say_that_we_live(watch)
        if watch.asked_to_end > 1:
            return "ended by SIGTERM"
        seen = _sign_of_life(watch.folder)
        if seen != last_seen:
            last_sign, last_seen = time.monotonic(), seen
        silent, state = time.monotonic() - last_sign, watch.state
        if state in disk.ENDED and silent > TEARDOWN_LIMIT:
            return ""
        if state in ("running", "stopping") and silent > limit:
            return causes.hung(silent, [rank.process.pid for rank in watch.ranks if rank.process.pid])


def _starter_failed(watch: Watch) -> bool:
    return watch.starter is not None and bool(watch.starter.process.poll())


def _say_that_we_live(watch: Watch) -> None:
    """A word along the leash, for ranks on other hosts."""
    if watch.starter and time.monotonic() - watch.word > hosts.LEASH_EVERY:
        watch.word = time.monotonic()
        with suppress(OSError):  # a disk that stutters: the ranks are patient
            hosts.hold(watch.folder, f"{os.getpid()}-{watch.port}")


def _death(watch: Watch) -> str:
    """A rank has left with an error: let the others say their part, then tell whose fault it was."""
    exits: dict[int, int] = {}
    deadline = time.monotonic() + (FAR_GRACE if watch.starter else GRACE)
    while time.monotonic() < deadline:
        for number, rank in enumerate(watch.ranks):
            if (code := rank.process.poll()) is not None:
                exits.setdefault(number, code)
        if len(exits) == len(watch.ranks):
            break
        time.sleep(0.02)
    end(watch)
    if watch.state in disk.ENDED:  # an abort while leaving: the work is done and on disk
        return ""
    if watch.starter and not exits:
        return causes.not_started(watch.folder, watch.starter.process.returncode)
    return causes.first_cause(watch.folder, exits, out_of_memory=hardware.oom_kills() > watch.oom_before)


def end(watch: Watch) -> None:
    """End what is left of the ranks and pass on their last words."""
    for rank in watch.ranks:
        if rank.process.poll() is None:
            rank.process.kill()
    for rank in watch.ranks:
        rank.process.wait()
    if watch.starter:
        hosts.drop(watch.folder)
        _end_starter(watch.starter.process)
    pass_on(watch, to_the_end=True)


def _end_starter(starter: subprocess.Popen) -> None:
    """End DeepSpeed's launcher or srun, which leave by themselves when their ranks have left.

    Never by SIGTERM: DeepSpeed's would then end every run that it has started on those hosts, by name.
    """
    with suppress(subprocess.TimeoutExpired):
        starter.wait(STARTER_LIMIT)
    with suppress(psutil.Error):
        for child in [*psutil.Process(starter.pid).children(recursive=True), starter]:
            with suppress(psutil.NoSuchProcess):
                child.kill()
    starter.wait()


def pass_on(watch: Watch, to_the_end: bool = False) -> None:
    """Copy what the ranks have printed since the last look to train.log (our stdout), line by line."""
    starter = [watch.starter] if watch.starter else []
    for rank in [*starter, *watch.ranks]:
        try:
            with rank.log.open("rb") as log:
                log.seek(rank.copied)
                text = log.read()
        except OSError:
            continue
        whole = text if to_the_end else text[: text.rfind(b"\n") + 1]
        rank.copied += len(whole)
        mark = f"[{rank.name}] ".encode() if starter or len(watch.ranks) > 1 else b""
        sys.stdout.buffer.write(b"".join(mark + _shown(line) for line in whole.split(b"\n") if line))
    sys.stdout.buffer.flush()


def _shown(line: bytes) -> bytes:
    """A line as a terminal would show it in the end: progress bars write over themselves."""
    return line.rstrip(b"\r").rpartition(b"\r")[2] + b"\n"


def _sign_of_life(folder: Path) -> tuple[int, int] | None:
    try:
        status = (folder / disk.STATUS).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino


def _asked_to_end(watch: Watch) -> None:
    watch.asked_to_end += 1
    if watch.folder.is_dir():
        (watch.folder / disk.STOP).touch()


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), resume="--resume" in sys.argv[2:])
