"""Where a run stands, as true as can be known: what status.json says, checked against the processes that live."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sftkit.runs import folder as disk
from sftkit.runs import owner, process, supervisor

GONE = "the run's processes are gone: they were killed, or their container was restarted"
RESTARTED = "the machine was restarted while the run was {state}"
SILENT = "no word from {host} for {minutes:.0f} minutes"
BROKE_OFF = "the launch broke off before the run's processes began"
DELETED = "the run folder was deleted"
START_LIMIT = 30.0  # seconds that a supervisor may take to say who it is


@dataclass(frozen=True)
class Status:
    """Where a run stands. `updated` is the time of the last word from it (unix seconds, 0: none yet)."""

    state: str
    step: int = 0
    total_steps: int = 0
    reason: str = ""
    updated: float = 0.0

    @property
    def ended(self) -> bool:
        """Whether the run is over: stopped, finished or failed."""
        return self.state in disk.ENDED


def said(folder: Path) -> Status:
    """What status.json says, in the right types whatever was written there."""
    told = disk.read_json(folder / disk.STATUS)
    state = told.get("state")
    return Status(
        state=state if state in disk.STATES else "queued",
        step=int(_number(told.get("step"))),
        total_steps=int(_number(told.get("total_steps"))),
        reason=str(told.get("reason") or ""),
        updated=_number(told.get("updated")),
    )


def stands(folder: Path, record: dict[str, Any]) -> Status:
    """`said`, but a run whose processes are gone has failed, whatever its file says. `record`: its run.json."""
    word = said(folder)
    if word.ended or _lives(folder, record, word):
        return word
    word = said(folder)  # it may have written its end and left between the two looks
    return word if word.ended else replace(word, state="failed", reason=_end(folder, record, word))


def _lives(folder: Path, record: dict[str, Any], word: Status) -> bool:
    silent = time.time() - word.updated
    if not process.is_here(record):  # a shared disk: its heartbeat is all there is to see
        return silent < supervisor.HEARTBEAT_LIMIT
    if "pid" not in record:  # between launch() and its supervisor's first breath
        return silent < START_LIMIT
    if process.is_alive(record):
        return True
    # Some systems show none of other users' processes.
    return bool(owner.other(folder)) and owner.is_supervised(folder)


def _end(folder: Path, record: dict[str, Any], word: Status) -> str:
    """Why a run that says it goes on does not."""
    if not folder.is_dir():
        return DELETED
    if not process.is_here(record):
        return SILENT.format(host=record.get("host"), minutes=(time.time() - word.updated) / 60)
    if "pid" not in record:
        return BROKE_OFF
    return RESTARTED.format(state=word.state) if process.was_restarted(record) else GONE


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else 0.0
