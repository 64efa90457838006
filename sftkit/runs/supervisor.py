"""Start a run's ranks, watch them, and write down how it ended when they cannot.

    python -m sftkit.runs.supervisor RUN_DIR [--resume] [--queue]

Started by `launch` and `Run.resume`. With --queue it first waits until its devices are free (`queue.py`). Where
caps are set (`classroom.py`) it always does, and holds the run within them (`limits.py`). It leaves the process tree of the notebook (fork and setsid), so
that neither a closed terminal nor a kernel that ends its children reaches it, and writes only to files. It must start
at once: standard library and psutil, nothing else.

The ranks write `running`, `stopped` and `finished` themselves (rank 0). The supervisor writes `starting` before them and
`failed` after them. On several hosts another program starts the ranks (`starters.py`); the supervisor starts that one,
and knows each rank by its log and the exit code that it leaves in the run's folder (`rank.py`). SIGTERM (a machine that
shuts down) asks for a checkpoint, like `Run.stop()`; a second one ends the run at once.
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
from pathlib import Path
from typing import IO, Any

from sftkit.runs import causes, classroom, hardware, hosts, limits, process
from sftkit.runs import folder as disk
from sftkit.runs.queue import Ticket
from sftkit.runs.ranks import POLL, Watch, end_ranks, pass_on, start_ranks
from sftkit.runs.times import time_taken

# Seconds without a new status.json after which a running run counts as hung.
HEARTBEAT_VARIABLE = "SFTKIT_HEARTBEAT_LIMIT"
HEARTBEAT_LIMIT = 600.0
FAR_POLL = 0.5  # seconds; each look opens two files a rank on a shared disk
GRACE = 1.0  # seconds for the other ranks to tell their part once one has died
FAR_GRACE = 5.0  # the same on other hosts: their words come over a shared disk
FACTS_LIMIT = 60.0  # seconds that reading large data files may outlast the training
TEARDOWN_LIMIT = 60.0  # seconds that ranks may take to leave after the run has ended
QUEUE_POLL = 0.3  # seconds between two looks at the line
QUEUE_WORD = 60.0  # seconds after which a waiting run says again that it lives
LEFT_QUEUE = "stopped while it waited in the queue: nothing was trained"


def start(folder: Path, *, resume: bool = False, queue: bool = False) -> None:
    """Start the supervisor of `folder` and return once run.json names its pid, and it has its place in the line of runs.
    Raises OSError with the reason, ConfigError for caps that are none."""
    queue = queue or bool(classroom.caps())
    flags = [flag for flag, wanted in (("--resume", resume), ("--queue", queue)) if wanted]
    with (folder / disk.LOG).open("a+b") as log:
        before = log.seek(0, os.SEEK_END)
        first = subprocess.run(
            [sys.executable, "-m", "sftkit.runs.supervisor", str(folder), *flags],
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


def main(folder: Path, *, resume: bool = False, queue: bool = False) -> None:
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
    watch = Watch(folder, disk.read_json(folder / disk.RUN))
    watch.caps = classroom.caps()
    watch.ticket = _ticket(watch, queue)
    watch.run = _enter(watch, resume, "queued" if queue else "starting")
    signal.signal(signal.SIGTERM, lambda *_: _asked_to_end(watch))
    os.write(tell, b"1")
    os.close(tell)
    try:
        if not queue or wait_for_devices(watch):
            _hold(watch)
            facts = _start_facts(watch)
            supervise(watch)
            if watch.ticket:
                watch.ticket.leave()
            if facts:
                facts.wait(FACTS_LIMIT)
    except Exception as error:
        traceback.print_exc()  # into train.log
        if watch.state not in disk.ENDED:
            _write_end(folder, "failed", f"the supervisor broke: {type(error).__name__}: {error}")
    finally:
        end_ranks(watch)
        if watch.ticket:
            watch.ticket.leave()
        lock.close()
        os.killpg(0, signal.SIGKILL)  # whatever a rank has left behind in our group, and ourselves


def _start_facts(watch: Watch) -> subprocess.Popen | None:
    """Hashes of data files too large for `launch` to read are made beside the training."""
    if all(file.get("sha256") for file in watch.run.get("data", [])):
        return None
    command = [sys.executable, "-m", "sftkit.runs.facts", str(watch.folder)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)


def _lock(folder: Path) -> IO[bytes]:
    """The right to be this folder's only supervisor, held as long as we live."""
    lock = disk.open_lock(folder)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.exit("This run has a supervisor already.")
    return lock


def _ticket(watch: Watch, queue: bool) -> Ticket | None:
    """Our place in the line of runs. A run that does not wait goes without one rather than not at all."""
    devices = watch.run.get("devices") or ()
    if not devices:
        return None
    try:
        return Ticket(watch.folder.name, watch.folder, devices, waits=queue, caps=watch.caps)
    except OSError as error:
        if queue:
            sys.exit(f"The queue cannot be used: {error}")
        print(f"Runs in the queue do not see this one: {error}", flush=True)
        return None


def _hold(watch: Watch) -> None:
    """Keep to our cores and our memory; the ranks inherit it."""
    cpus = watch.ticket.cpus if watch.ticket else ()
    gpu = any(device.startswith("GPU") for device in watch.run.get("devices") or ())
    limits.hold(watch.caps, cpus, gpu=gpu)


def wait_for_devices(watch: Watch) -> bool:
    """Wait for our turn. False when the run was stopped, or its folder deleted, before it came."""
    said, word = None, 0.0
    while watch.ticket and watch.folder.is_dir():
        if (watch.folder / disk.STOP).exists():
            (watch.folder / disk.STOP).unlink()
            _write_end(watch.folder, "stopped", LEFT_QUEUE)
            return False
        try:
            waits_for = watch.ticket.try_to_start()
        except (
            OSError
        ) as error:  # a full disk, somebody suspended in the door: the next look may find it mended
            waits_for = f"waiting for the queue: {error}"
        if not waits_for:
            return True
        watch.ticket.keep()
        if waits_for != said or time.monotonic() - word > QUEUE_WORD:
            said, word = waits_for, time.monotonic()
            with suppress(OSError):
                disk.write_status(watch.folder, "queued", waits_for)
        time.sleep(QUEUE_POLL)
    return watch.folder.is_dir()


def _write_end(folder: Path, state: str, reason: str) -> None:
    """Write how the run ended; on a full disk, into the room that was kept for it."""
    for _ in range(2):
        try:
            return disk.write_status(folder, state, reason)
        except OSError:
            disk.free_reserve(folder)
    print(f"The end could not be written down: {state}: {reason}", flush=True)


def _enter(watch: Watch, resume: bool, state: str) -> dict[str, Any]:
    """Put ourselves into run.json and say `starting` or `queued`. Returns run.json."""
    folder = watch.folder
    before = disk.read_json(folder / disk.RUN)
    run = {**before, **process.identity(os.getpid()), "caps": watch.caps.known}
    if resume:
        run["resume"] = True
        run["spent"] = time_taken(before, disk.read_json(folder / disk.STATUS).get("updated"))  # earlier
        (folder / disk.STOP).unlink(missing_ok=True)
    disk.write_json(folder / disk.RUN, run)
    disk.write_status(folder, state)
    disk.keep_reserve(folder)
    return run


def supervise(watch: Watch) -> None:
    """Run the ranks to their end; once more with another port when the first one was taken in the meantime."""
    for attempt in (1, 2):
        start_ranks(watch)
        reason = follow(watch)
        end_ranks(watch)
        if not reason or not watch.folder.is_dir():
            return
        if attempt == 1 and causes.port_taken(watch.folder, len(watch.ranks)) and watch.state == "starting":
            print("The port was taken in the meantime: once more with another one.", flush=True)
            continue
        disk.sweep(watch.folder)
        _write_end(watch.folder, "failed", reason)
        print(f"The run failed: {reason}", flush=True)
        return


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
        if watch.ticket:
            watch.ticket.keep()
        if watch.asked_to_end > 1:
            return "ended by SIGTERM"
        if too_much := limits.over(
            watch.caps, [rank.process.pid for rank in watch.ranks if rank.process.pid]
        ):
            return too_much
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
    end_ranks(watch)
    if watch.state in disk.ENDED:  # an abort while leaving: the work is done and on disk
        return ""
    if watch.starter and not exits:
        return causes.not_started(watch.folder, watch.starter.process.returncode)
    reason = causes.first_cause(
        watch.folder,
        exits,
        out_of_memory=hardware.oom_kills() > watch.oom_before,
        disk_full=disk.is_full(watch.folder),
    )
    return limits.explained(watch.caps, watch.folder, reason)


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
    main(Path(sys.argv[1]).absolute(), resume="--resume" in sys.argv[2:], queue="--queue" in sys.argv[2:])
