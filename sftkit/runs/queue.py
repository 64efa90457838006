"""Who uses which device of this machine, and who comes next: one line for all runs of a user, whatever folder, kernel
or terminal they were started from.

Every supervisor keeps a place in the line: a small file that it holds locked for as long as it lives, saying which
devices the run uses or waits for. The lock goes with the process, however that ends, so a killed run frees its devices
at once. A run that waits may start when nobody before it in the line uses or wants one of its devices.

Standard library only: the supervisor imports this.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sftkit.runs import hardware

CPU = "CPU"
# A fixed place on this machine's own disk: TMPDIR differs between terminals, and locks on a shared home may not work.
PLACE_VARIABLE = "SFTKIT_QUEUE"
LOCAL = Path("/tmp")
DOOR = ".door"
DOOR_LIMIT = 5.0  # seconds; whoever holds the door for longer is suspended
TOUCH_EVERY = 3600.0  # seconds; what is old in /tmp is cleared away on many machines


@dataclass(frozen=True)
class Place:
    """One run's place in the line: its devices, and whether it `waits` for them or uses them."""

    number: int
    run: str
    folder: str
    devices: tuple[str, ...]
    waits: bool


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
    return [place for place in _line(_room()) if set(place.devices) & set(wanted)]


class Ticket:
    """A run's place in the line, kept until `leave()` or the end of this process."""

    def __init__(self, run: str, folder: Path, devices: Iterable[str], *, waits: bool):
        """Take the next place. With `waits=False` the devices count as used at once, whoever else uses them."""
        self.devices, self.run = tuple(devices), run
        self._told = {"run": run, "folder": str(folder), "devices": list(self.devices)}
        self._room, self._touched = _room(), time.monotonic()
        with _door(self._room):
            number = 1 + max((_number(path) for path in _files(self._room)), default=0)
            self._path = self._room / f"{number:08d}"
            self._file: IO[str] = self._path.open("x+", encoding="utf-8")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._tell(waits)

    def try_to_start(self) -> str:
        """Take the devices if it is our turn. Returns what we wait for in words, "" when they are ours."""
        with _door(self._room):
            before = self._before()
            if not before:
                self._tell(waits=False)
                return ""
        return _words(self.devices, before)

    def _before(self) -> list[Place]:
        """Who uses our devices, and who has waited for them for longer than we have."""
        number = _number(self._path)
        others = [place for place in _line(self._room, clean=True) if place.number != number]
        ours = set(self.devices)
        return [
            place
            for place in others
            if ours & set(place.devices) and (not place.waits or place.number < number)
        ]

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
        self._file.seek(0)
        self._file.truncate()
        json.dump(self._told | {"waits": waits}, self._file, ensure_ascii=False)
        self._file.flush()


def _words(devices: tuple[str, ...], before: list[Place]) -> str:
    users = [place for place in before if not place.waits]
    waiting = len(before) - len(users)
    held = [device for device in devices if any(device in place.devices for place in users)]
    by = f", held by run {', '.join(place.run for place in users)}" if users else ""
    ahead = f" ({waiting} run{'s' if waiting > 1 else ''} before it in the queue)" if waiting else ""
    return f"waiting for {', '.join(held or devices)}{by}{ahead}"


def _room() -> Path:
    """The folder of the line. Raises OSError when it is not ours alone to write."""
    room = Path(os.environ.get(PLACE_VARIABLE) or LOCAL / f"sftkit-{os.getuid()}")
    room.mkdir(mode=0o700, parents=True, exist_ok=True)
    told = room.lstat()
    if not stat.S_ISDIR(told.st_mode) or told.st_uid != os.getuid():
        raise PermissionError(
            f"{room} is not a folder of this user: name another one in the variable {PLACE_VARIABLE}."
        )
    return room


@contextmanager
def _door(room: Path) -> Iterator[None]:
    """Only one at a time takes a place or starts. Raises TimeoutError when somebody stays in the door."""
    with (room / DOOR).open("w") as door:
        deadline = time.monotonic() + DOOR_LIMIT
        while True:
            try:
                fcntl.flock(door, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"somebody keeps {room / DOOR} locked") from None
                time.sleep(0.01)
        yield


def _line(room: Path, *, clean: bool = False) -> list[Place]:
    """The places of living runs, in order. `clean` (inside the door only): remove what dead ones have left."""
    found = []
    for path in sorted(_files(room)):
        try:
            with path.open(encoding="utf-8") as file:
                if _is_held(file):
                    found.append(_place(_number(path), json.load(file)))
                elif clean:
                    path.unlink()
        except (OSError, ValueError):  # gone meanwhile, or caught while being written
            continue
    return found


def _is_held(file: IO[str]) -> bool:
    try:  # a shared lock: two that look at the same time do not take each other for the owner
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _place(number: int, told: dict[str, Any]) -> Place:
    names = tuple(str(name) for name in told.get("devices", ()))
    return Place(
        number, str(told.get("run", "")), str(told.get("folder", "")), names, bool(told.get("waits"))
    )


def _files(room: Path) -> list[Path]:
    return [path for path in room.iterdir() if re.fullmatch(r"\d{8}", path.name)]


def _number(path: Path) -> int:
    return int(path.name)
