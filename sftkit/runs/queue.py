"""Who uses which device of this machine, and who comes next: one line for all runs of a user, whatever folder, kernel
or terminal they were started from; or of all users, where an administrator has made a folder for it (`queue_room.py`).

Every supervisor keeps a place in the line: a small file that it holds locked for as long as it lives, saying which
devices the run uses or waits for. The lock goes with the process, however that ends, so a killed run frees its devices
at once. Whose turn it is says `queue_turn.py`.

Standard library and psutil only: the supervisor imports this.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import psutil

from sftkit.runs import classroom, hardware, queue_room, queue_turn
from sftkit.runs.queue_turn import CPU, Machine, Place

TOUCH_EVERY = 3600.0  # seconds; what is old in /tmp is cleared away on many machines


def devices(config: Any) -> tuple[str, ...]:
    """The devices that a run of these settings uses here: ("GPU 0", …) or ("CPU",); none where others place its ranks."""
    if config.launcher != "local":
        return ()
    if config.gpus:
        return tuple(f"GPU {gpu}" for gpu in config.gpus)
    there = hardware.visible_ids()
    if there is None:
        there = [str(gpu.id) for gpu in hardware.gpus()]
    elif there and not hardware.gpus():  # the variable is set on a machine without cards
        there = []
    return tuple(f"GPU {gpu}" for gpu in there[: config.processes]) or (CPU,)


def holders(wanted: Iterable[str]) -> list[Place]:
    """The living runs that use, or wait for, any of these devices, first come first."""
    return [place for place in _line(queue_room.room()) if set(place.devices) & set(wanted)]


def person() -> tuple[int, str]:
    """Whose runs are ours: uid and name."""
    return os.getuid(), classroom.user()[:40]


def would_wait_for(wanted: Iterable[str], caps: classroom.Caps) -> str:
    """What a run launched now would wait for, in words; "" when it could start."""
    last = Place(10**12, "", tuple(wanted), True, person(), caps.cores, caps.memory, caps.runs)
    return queue_turn.waits_for(last, _line(queue_room.room()), _machine())


def spare_cpus(count: int) -> tuple[int, ...]:
    """The cores that the fewest runs are on, for a process beside them."""
    try:
        line = _line(queue_room.room())
    except OSError:
        line = []
    return queue_turn.least_used(line, _cpus(), count)


class Ticket:
    """A run's place in the line, kept until `leave()` or the end of this process. `.cpus`: the cores it was given."""

    def __init__(
        self,
        run: str,
        folder: Path,
        devices: Iterable[str],
        *,
        waits: bool,
        caps: classroom.Caps = classroom.Caps(),  # noqa: B008 - it never changes
    ):
        """Take the next place. With `waits=False` the devices count as used at once, whoever else uses them."""
        self.devices, self.run, self.cpus = tuple(devices), run, ()
        self._folder, self._caps = folder, caps
        self._room, self._touched = queue_room.room(), time.monotonic()
        self._machine, self._allowed = _machine(), _cpus()  # before this process keeps to its cores
        with queue_room.door(self._room):
            number = 1 + max(map(queue_room.number, queue_room.files(self._room)), default=0)
            self._path = self._room / f"{number:08d}"
            self._file: IO[str] = queue_room.made(self._path)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._place = Place(
                number, run, self.devices, waits, person(), caps.cores, caps.memory, caps.runs
            )
            self._tell(waits)

    def try_to_start(self) -> str:
        """Take the devices if it is our turn. Returns what we wait for in words, "" when they are ours."""
        with queue_room.door(self._room):
            line = _line(self._room, clean=True)
            words = queue_turn.waits_for(self._place, line, self._machine)
            if not words:
                if self._caps.cores:
                    self.cpus = queue_turn.least_used(line, self._allowed, self._caps.cores)
                self._tell(waits=False)
        return words

    def keep(self) -> None:
        """Say now and then that the file is still in use."""
        if time.monotonic() - self._touched > TOUCH_EVERY:
            self._touched = time.monotonic()
            os.utime(self._path)

    def leave(self) -> None:
        """Give the place, and the devices, up."""
        self._path.unlink(missing_ok=True)
        self._file.close()

    def _tell(self, waits: bool) -> None:
        place = self._place
        told = {
            "run": self.run, "folder": str(self._folder), "user": place.person[1], "devices": list(self.devices), "waits": waits,
            "cores": place.cores, "memory": place.memory, "runs": place.runs, "cpus": list(self.cpus),
        }  # fmt: skip
        self._file.seek(0)
        self._file.truncate()
        json.dump(told, self._file, ensure_ascii=False)
        self._file.flush()


def _line(folder: Path, *, clean: bool = False) -> list[Place]:
    """The places of living runs, in order."""
    return [Place.of(*told) for told in queue_room.told(folder, clean=clean)]


def _machine() -> Machine:
    """What all in the line share: not what a limit around one person's processes leaves to them."""
    memory = psutil.virtual_memory().total
    with suppress(OSError, ValueError):  # the container that all of us may be in
        memory = min(memory, int((hardware.CGROUPS / "memory.max").read_text()))
    return Machine(hardware.cpu_cores(), memory)


def _cpus() -> list[int]:
    """The numbers of the cores that this process may be on; none where the system has no such thing."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
