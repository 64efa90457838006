"""Whose a run is: people who share a machine look at each other's runs where they are allowed to, and touch their own."""

from __future__ import annotations

import fcntl
import os
import pwd
from pathlib import Path

from sftkit.errors import RunError
from sftkit.runs import folder as disk


def other(folder: Path) -> str:
    """The name of another user whose run it is; "" when it is ours. Root may touch every run."""
    try:
        owner = folder.stat().st_uid
    except OSError:
        return ""
    if os.getuid() in (0, owner):
        return ""
    try:
        return pwd.getpwuid(owner).pw_name
    except KeyError:
        return f"user {owner}"


def refuse_others(folder: Path, what: str) -> None:
    """Raises RunError when the run is another user's, or its files are links; `what`: what was to be done to it."""
    if name := other(folder):
        raise RunError(
            f"The run {folder.name} belongs to {name}: you can look at it and copy its settings; only {name} can {what} it."
        )
    if what != "delete" and (names := disk.links(folder)):  # deleting follows no link
        raise RunError(
            f"In the folder of {folder.name} {', '.join(names[:5])} leads elsewhere, where we would write: put the file itself in its place."
        )


def is_closed(folder: Path) -> bool:
    """Whether we may not look into a folder, or not even at whether it is there."""
    try:
        os.stat(folder / "run.json")
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def is_supervised(folder: Path) -> bool:
    """Whether some process holds the run, also where the system shows no processes of other users."""
    try:
        with (folder / ".lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
