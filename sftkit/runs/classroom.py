"""A class on one machine: what a run may take, where runs lie, whether the form says why each setting is there.

    sk.teach(cores=1, memory_gb=2, runs=1)

It is held in environment variables, so that whatever is started from here has it too, and so that an administrator can
set it for everybody (docs/classroom.md):

    SFTKIT_TEACH      1: every field of the form says why
    SFTKIT_CORES      cores that a run may use
    SFTKIT_MEMORY_GB  memory that a run may take over all its processes, in GiB; on GPUs: of the machine's
    SFTKIT_RUNS       runs that one person may have at a time; more wait in the queue
    SFTKIT_RUNS_DIR   where a folder named "runs" lies; {user} in it is the person's name

Standard library only: the supervisor imports this.
"""

from __future__ import annotations

import getpass
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sftkit.errors import ConfigError, Fault
from sftkit.wording import listed, say

TEACH, RUNS_DIR = "SFTKIT_TEACH", "SFTKIT_RUNS_DIR"
VARIABLES = {"cores": "SFTKIT_CORES", "memory_gb": "SFTKIT_MEMORY_GB", "runs": "SFTKIT_RUNS"}
GIB = 2**30
_for_all: Caps | None = None  # what the environment said before `teach` wrote to it


@dataclass(frozen=True)
class Caps:
    """What a run may take: `cores`, `memory_gb` (GiB); and how many `runs` a person may have at a time. None: no cap."""

    cores: int | None = None
    memory_gb: float | None = None
    runs: int | None = None

    def __bool__(self) -> bool:
        return any(value is not None for value in asdict(self).values())

    @property
    def memory(self) -> int | None:
        """The memory in bytes."""
        return None if self.memory_gb is None else round(self.memory_gb * GIB)

    @property
    def known(self) -> dict[str, Any]:
        """Those that are set, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def within(self, others: Caps) -> Caps:
        """The smaller of each."""
        return Caps(**{name: min(value, self.known.get(name, value)) for name, value in (self.known | others.known).items()})  # fmt: skip


@dataclass(frozen=True)
class Classroom:
    """What is in force after `sk.teach`: whether the form says why (`on`), the `caps`, and where runs lie (`folder`)."""

    on: bool
    caps: Caps
    folder: Path

    def __repr__(self) -> str:
        why = f"Teaching mode is {'on: every field of the form says why' if self.on else 'off'}."
        return f"{why} {in_words(self.caps)} Runs lie in {self.folder}."


def teach(
    on: bool = True, *, cores: int | None = None, memory_gb: float | None = None, runs: int | None = None
) -> Classroom:
    """Turn teaching mode on: every field of the form says why, and runs started from here keep within what is given.

        sk.teach(cores=1, memory_gb=2, runs=1)
        sk.teach(False)                         # off; caps set for the whole machine stay

    `cores` and `memory_gb` (GiB): what one run may use, over all its processes; one that takes more memory is ended and
    says so. `runs`: how many a person may have at a time; with any cap, more runs than fit wait in the queue. What an
    administrator has set in the environment (SFTKIT_CORES, SFTKIT_MEMORY_GB, SFTKIT_RUNS) cannot be widened here: the
    smaller counts, and the answer shows it.

    Raises ConfigError for what is no such number.
    """
    global _for_all
    if _for_all is None:
        _for_all = caps()
    given = {"cores": cores, "memory_gb": memory_gb, "runs": runs}
    wished = _caps({name: value for name, value in given.items() if value is not None})
    found = _for_all.within(wished if on else Caps())
    os.environ[TEACH] = "1" if on else "0"
    for name, variable in VARIABLES.items():
        if name in found.known:
            os.environ[variable] = str(found.known[name])
        else:
            os.environ.pop(variable, None)
    return Classroom(on, found, runs_folder("runs").absolute())


def teaching() -> bool:
    """Whether teaching mode is on."""
    return os.environ.get(TEACH, "").lower() in ("1", "true", "yes", "on")


def caps() -> Caps:
    """The caps in force. Raises ConfigError, naming the variable, for one that is no number."""
    given = {name: os.environ[variable] for name, variable in VARIABLES.items() if os.environ.get(variable)}
    return _caps(given, VARIABLES)


def sound_caps() -> Caps:
    """The caps in force; none where one of them is faulty, which preflight tells."""
    try:
        return caps()
    except ConfigError:
        return Caps()


def _caps(given: Mapping[str, Any], called: Mapping[str, str] = {}) -> Caps:
    """Caps from what was given; `called`: what each is called where it was given."""
    found, faults = {}, []
    for name, value in given.items():
        try:
            number = float(value)
            if isinstance(value, bool) or not 0 < number < math.inf or (name != "memory_gb" and number % 1):
                raise ValueError
            found[name] = number if name == "memory_gb" else int(number)
        except (TypeError, ValueError):
            usual = say("Give a number of GiB, such as 2.") if name == "memory_gb" else say("Give a whole number from 1 up.")  # fmt: skip
            faults.append(Fault(called.get(name, name), say("{value!r} is no cap.", value=value), usual))
    if faults:
        raise ConfigError(faults)
    return Caps(**found)


def in_words(caps: Caps) -> str:
    """Caps as a sentence or two, to be shown in the reader's language."""
    cores = say("1 core") if caps.cores == 1 else say("{n} cores", n=caps.cores)
    memory = say("{n:g} GiB of memory", n=caps.memory_gb or 0)
    taken = [words for words, cap in ((cores, caps.cores), (memory, caps.memory_gb)) if cap]
    run = say(
        "A run may use {taken}.", taken=listed(taken, " and ") if taken else say("what the machine has")
    )
    if not caps.runs:
        return run
    at_a_time = say("1 run") if caps.runs == 1 else say("{n} runs", n=caps.runs)
    return say("{run} You may have {at_a_time} at a time; more wait in the queue.", run=run, at_a_time=at_a_time)  # fmt: skip


def user() -> str:
    """Who we are: JupyterHub's name where there is one, since people may share a user of the machine there."""
    try:
        return os.environ.get("JUPYTERHUB_USER") or getpass.getuser()
    except (KeyError, OSError):  # a number without a name
        return str(os.getuid())


def runs_folder(given: str | Path) -> Path:
    """Where runs lie. Only a relative path that ends in "runs" can mean another place: the one set by SFTKIT_RUNS_DIR;
    in teaching mode without that, `~/runs` where the folder that would hold it belongs to somebody else."""
    path = Path(given)
    if path.is_absolute() or path.name != "runs":
        return path
    if named := os.environ.get(RUNS_DIR):
        return Path(named.replace("{user}", user())).expanduser()
    if teaching() and not path.is_dir() and not _is_ours(path.absolute().parent):
        return Path.home() / "runs"
    return path


def _is_ours(folder: Path) -> bool:
    try:
        return folder.stat().st_uid == os.getuid() and os.access(folder, os.W_OK)
    except OSError:
        return True  # not there yet
