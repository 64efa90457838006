"""The folder that a line of runs lies in: one user's own, or one for everybody on this machine.

A shared one is made by an administrator, sticky and writable for all (`install -d -m 1777 FOLDER`), and named in
SFTKIT_QUEUE: there everybody makes files, reads those of others, and removes only their own. What others put there is
read with care: a link, a pipe or a huge file is passed over.

Standard library only: the supervisor imports this.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

# A fixed place on this machine's own disk: TMPDIR differs between terminals, and locks on a shared home may not work.
PLACE_VARIABLE = "SFTKIT_QUEUE"
LOCAL = Path("/tmp")
DOOR = ".door"
DOOR_LIMIT = 5.0  # seconds; whoever holds the door for longer is suspended
LARGEST = 65_536  # bytes of a place's file


def room() -> Path:
    """The folder of the line. Raises OSError when it is neither ours alone to write, nor one for all."""
    named = os.environ.get(PLACE_VARIABLE)
    folder = Path(named or LOCAL / f"sftkit-{os.getuid()}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    told = folder.lstat()
    ours = told.st_uid == os.getuid()
    shared = bool(named) and bool(told.st_mode & stat.S_ISVTX) and os.access(folder, os.W_OK | os.X_OK)
    if not stat.S_ISDIR(told.st_mode) or not (ours or shared):
        raise PermissionError(
            f"{folder} is not a folder of this user, nor one for all (mode 1777): name another one in the variable "
            f"{PLACE_VARIABLE}, or have the administrator make it with: install -d -m 1777 {folder}"
        )
    return folder


@contextmanager
def door(folder: Path) -> Iterator[None]:
    """Only one at a time takes a place or starts. Raises TimeoutError when somebody stays in the door."""
    with _opened(folder / DOOR) as file:
        deadline = time.monotonic() + DOOR_LIMIT
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"somebody keeps {folder / DOOR} locked") from None
                time.sleep(0.01)
        yield


def _opened(path: Path) -> IO[str]:
    """The door, whoever made it. Systems refuse to open another's file for writing in a folder for all; a lock needs
    reading only."""
    for _ in range(2):
        with suppress(FileNotFoundError):
            return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK))
        with suppress(FileExistsError):
            return made(path)
    raise FileNotFoundError(f"{path} comes and goes")


def made(path: Path) -> IO[str]:
    """A new file that everybody may read, whatever the umask. Raises FileExistsError."""
    file = path.open("x+", encoding="utf-8")
    os.fchmod(file.fileno(), 0o644)
    return file


def told(folder: Path, *, clean: bool = False) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Number, owner (uid) and content of each place that is held, in order. `clean` (inside the door only): remove what
    dead ones have left, where that is ours to remove."""
    for path in sorted(files(folder), key=number):
        try:
            with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)) as file:
                about = os.fstat(file.fileno())
                if not stat.S_ISREG(about.st_mode):
                    continue
                if _is_held(file):
                    content = json.loads(file.read(LARGEST))
                    if isinstance(content, dict):
                        yield number(path), about.st_uid, content
                elif clean:
                    path.unlink()
        except (OSError, ValueError):  # gone meanwhile, another's, or caught while being written
            continue


def _is_held(file: IO[str]) -> bool:
    try:  # a shared lock: two that look at the same time do not take each other for the owner
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def files(folder: Path) -> list[Path]:
    """The files of places, held or not."""
    return [path for path in folder.iterdir() if re.fullmatch(r"\d{8,12}", path.name)]


def number(path: Path) -> int:
    """The number of a place, by its file."""
    return int(path.name)
