"""What nvidia-smi says of cards beyond their memory: what they can compute, and which processes use them."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

from sftkit.runs import folder as disk
from sftkit.wording import say

CARDS = ("index", "uuid", "compute_cap")
USERS = ("gpu_uuid", "pid", "used_memory")


@dataclass(frozen=True)
class Card:
    """`id` as nvidia-smi counts; `capability`: (8, 0) for an A100, None where the driver does not say."""

    id: int
    uuid: str
    capability: tuple[int, int] | None


@dataclass(frozen=True)
class User:
    """A process that holds memory of a card, in MiB (None where the driver does not say)."""

    card: int
    pid: int
    used_mb: int | None

    @property
    def words(self) -> str:
        """Who that is, as far as this machine tells."""
        held = f" ({self.used_mb} MiB)" if self.used_mb else ""
        if self.pid == os.getpid():
            return say("this kernel itself, pid {pid}{held}: restart it, or empty its memory", pid=self.pid, held=held)  # fmt: skip
        return say("{name}, pid {pid}{held}", name=_named(self.pid), pid=self.pid, held=held)


def cards() -> list[Card]:
    """The cards of this machine; none where nvidia-smi does not answer."""
    found = []
    for cells in _asked(f"--query-gpu={','.join(CARDS)}", len(CARDS)):
        major, _, minor = cells[2].partition(".")
        known = major.isdigit() and minor.isdigit()
        if cells[0].isdigit():
            found.append(Card(int(cells[0]), cells[1], (int(major), int(minor)) if known else None))
    return found


def users() -> list[User]:
    """The processes that compute on this machine's cards, the greediest first."""
    numbers = {card.uuid: card.id for card in cards()}
    found = [
        User(numbers[uuid], int(pid), int(used) if used.isdigit() else None)
        for uuid, pid, used in _asked(f"--query-compute-apps={','.join(USERS)}", len(USERS))
        if uuid in numbers and pid.isdigit()
    ]
    return sorted(found, key=lambda user: -(user.used_mb or 0))


def _asked(query: str, cells: int, timeout: float = 5.0) -> list[list[str]]:
    """nvidia-smi's answer as cells; lines of another length (its complaints) are left out."""
    program = shutil.which("nvidia-smi")
    if not program:
        return []
    command = [program, query, "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    lines = [[cell.strip() for cell in line.split(",")] for line in answer.stdout.splitlines()]
    return [line for line in lines if len(line) == cells]


def _named(pid: int) -> str:
    """A process by its run, if it is one of ours, else by its command."""
    try:
        command = psutil.Process(pid).cmdline()
    except psutil.Error:
        return "a process that is not seen from here"
    run = next((Path(part) for part in command if (Path(part) / disk.RUN).is_file()), None)
    if run is not None:
        return f"the run {run.name}"
    return " ".join([Path(command[0]).name, *command[1:3]])[:80] if command else "a process without a command"
