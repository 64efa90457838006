"""What holds a run within its caps: it stays on its cores, and memory is refused to it, or it is ended, beyond its share.

A process that asks for far more than the cap gets an error at once (RLIMIT_DATA). What the ranks hold together is looked
at ten times a second by the supervisor. Both count what is a process's own: not the libraries, which all share.

Standard library and psutil only: the supervisor imports this.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import psutil

from sftkit.runs import causes, queue
from sftkit.runs.classroom import GIB, Caps, caps

ROOM = 256 * 2**20  # bytes that a process may have asked for and not use: stacks of threads, arenas
# What libraries say when memory, or a thread's stack, is refused to them.
REFUSED = re.compile(
    r"DefaultCPUAllocator|bad_alloc|Cannot allocate memory|\[Errno 12\]|MemoryError|Unable to allocate|out of memory|"
    r"can't start new thread|Thread creation failed|pthread_create failed|failed to map segment",
    re.IGNORECASE,
)
SAID = "a run may take {limit:.3g} GiB here"


def hold(wished: Caps, cpus: Iterable[int], *, gpu: bool) -> None:
    """Hold this process, and all that it starts from now on, within caps. `cpus`: its cores; none: where it likes.

    With a `gpu` nothing is refused at once: CUDA asks for far more than it uses.
    """
    if cpus := set(cpus):
        os.sched_setaffinity(0, cpus)
        if int(os.environ.get("OMP_NUM_THREADS") or 0) > len(cpus):
            del os.environ["OMP_NUM_THREADS"]  # each rank gets its share
    if wished.memory and not gpu:
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        limit = wished.memory + ROOM
        limit = limit if most == resource.RLIM_INFINITY else min(limit, most)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def for_child() -> Callable[[], None] | None:
    """What a process that answers or scores does before it begins (`preexec_fn`), to keep within the caps in force."""
    wished = caps()
    if not (wished.cores or wished.memory):
        return None
    cpus = queue.spare_cpus(wished.cores) if wished.cores else ()
    return partial(hold, wished, cpus, gpu=shutil.which("nvidia-smi") is not None)


def taken(pids: Iterable[int]) -> int:
    """Bytes that processes hold for themselves, in memory of their own or shared (/dev/shm)."""
    return sum(map(_own, pids))


def _own(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return sum(
            int(line.split()[1]) * 1024 for line in lines if line.startswith(("RssAnon:", "RssShmem:"))
        )
    except (OSError, ValueError, IndexError):
        pass
    try:  # a system without /proc
        return psutil.Process(pid).memory_info().rss
    except psutil.Error:
        return 0


def over(wished: Caps, pids: Iterable[int]) -> str:
    """Why a run of these processes must end: "" while it keeps within its memory."""
    if not wished.memory or (held := taken(pids)) <= wished.memory:
        return ""
    return f"its processes took {held / GIB:.3g} GiB of memory, and {_limit(wished)}"


def explained(wished: Caps, folder: Path, reason: str) -> str:
    """The reason of a failure, with the cap named where memory was refused."""
    if not wished.memory or not REFUSED.search("\n".join([reason, _end_of_log(folder, reason)])):
        return reason
    return f"{reason}; {_limit(wished)}"


def _end_of_log(folder: Path, reason: str) -> str:
    words = causes.last_words(folder, reason, lines=40)
    return "\n".join([words.exception, words.raw])


def _limit(wished: Caps) -> str:
    return SAID.format(limit=wished.memory_gb)
