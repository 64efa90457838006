"""Why a run ended: which rank died first, of what, in words a person can act on. Read from what the ranks left behind.

Standard library and psutil only: the supervisor imports this.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from sftkit.runs import folder as disk

if TYPE_CHECKING:
    from sftkit.runs.findings import Finding

SIGNALS = {
    "SIGKILL": "killed from outside or out of memory",
    "SIGTERM": "asked to end from outside",
    "SIGINT": "interrupted from outside",
    "SIGSEGV": "a crash in native code; train.log says where",
    "SIGABRT": "a native library gave up; train.log says why",
    "SIGBUS": "no room left in shared memory (/dev/shm) or in a file mapped to memory",
    "SIGILL": "an instruction that this CPU does not have",
    "SIGFPE": "an arithmetic fault in native code",
}
# What a rank says when another one has gone: never the cause, only its echo.
ECHO = re.compile(
    r"connection (closed|reset|refused)|closed by peer|broken pipe|gloo|nccl|recvvalue|sendbytes|store->get|"
    r"distbackenderror|distnetworkerror|socket timeout",
    re.IGNORECASE,
)
DISK_FULL = "no space is left on the disk of the run folder"
PORT_TAKEN = re.compile(r"EADDRINUSE|address already in use", re.IGNORECASE)


@dataclass(frozen=True)
class Diagnosis:
    """Why a run failed (`signatures.diagnose`): `cause` is a key of `signatures.CAUSES` or "unknown".

    `evidence` holds the raw lines that tell; like `explanation` it may quote data and paths. `fixes` are changes of
    settings, each to be taken alone: `fix.apply(run.config)`.
    """

    cause: str
    title: str
    explanation: str
    evidence: str
    fixes: tuple[Finding, ...] = ()
    values: Mapping[str, str] = field(default_factory=dict)  # what the explanation names, for other languages

    def __str__(self) -> str:
        changes = "".join(f"\n  - {fix.fix_label}: {fix.message}" for fix in self.fixes)
        return f"{self.title}. {self.explanation}" + (
            f"\nChanges that may mend it:{changes}" if changes else ""
        )


@dataclass(frozen=True)
class Words:
    """What the rank said that died first: its `exception` ("Type: message"), the lines of those that led to it (`chain`),
    and its raw words: the traceback, or the end of its log."""

    exception: str
    chain: tuple[str, ...]
    raw: str


def last_words(folder: Path, reason: str, lines: int = 400) -> Words:
    """The words of the rank that `reason` names; of the launcher, or of all ranks together, where it names none."""
    named = re.match(r"rank (\d+)", reason)
    if not named:
        starts = "program that starts the ranks" in reason
        return Words("", (), disk.tail(starter_log(folder) if starts else folder / disk.LOG, lines))
    rank = int(named[1])
    error = disk.read_json(error_file(folder, rank))
    if not error or re.match(r"rank \d+ (on \S+ )?was ended by", reason):
        return Words("", (), disk.tail(rank_log(folder, rank), lines) or disk.tail(folder / disk.LOG, lines))
    exception = f"{error.get('type', 'error')}: {error.get('message', '')}".strip()
    traceback = str(error.get("traceback") or exception)
    return Words(
        exception,
        tuple(re.findall(r"^(?![ \t])[\w.]+(?:Error|Exception)\b.*$", traceback, re.MULTILINE)),
        traceback,
    )


def rank_log(folder: Path, rank: int) -> Path:
    """What rank `rank` prints (its stdout and stderr)."""
    return folder / f"rank-{rank}.log"


def error_file(folder: Path, rank: int) -> Path:
    """Where a rank that raises leaves {"type", "message", "traceback", "time"}."""
    return folder / f"error-rank{rank}.json"


def exit_file(folder: Path, rank: int) -> Path:
    """Where a rank that another program started leaves {"code", "host", "time", "out_of_memory"} when it has ended."""
    return folder / f"exit-rank{rank}.json"


def far_exit(folder: Path, rank: int) -> dict[str, Any]:
    """What such a rank left; empty while it runs, and for ranks that the supervisor started."""
    return disk.read_json(exit_file(folder, rank))


def starter_log(folder: Path) -> Path:
    """What the program prints that starts the ranks on several hosts."""
    return folder / "launcher.log"


def forget(folder: Path) -> None:
    """Remove what ranks of an earlier start left, so that it is not taken for the news."""
    for path in [
        *folder.glob("error-rank*.json"),
        *folder.glob("exit-rank*.json"),
        *folder.glob("rank-*.log"),
    ]:
        path.unlink(missing_ok=True)


def port_taken(folder: Path, ranks: int) -> bool:
    """Whether a rank could not listen on the port that was free a moment ago."""
    words = [disk.read_json(error_file(folder, rank)).get("message", "") for rank in range(ranks)]
    words += [disk.tail(rank_log(folder, rank), 40) for rank in range(ranks)]
    return any(PORT_TAKEN.search(str(text)) for text in words)


def first_cause(
    folder: Path, exits: dict[int, int], *, out_of_memory: bool = False, disk_full: bool = False
) -> str:
    """The reason of the first rank that died, given each dead rank's exit code (negative: a signal).

    When a rank dies, the others fail in their next exchange with it, often within the same tenth of a second. So an
    exception that speaks of anything but the connection comes first (the earliest of them), then a signal, then the rest.
    """
    found = [
        _exception(folder, rank) | {"rank": rank, "host": far_exit(folder, rank).get("host")}
        for rank in exits
        if error_file(folder, rank).exists()
    ]
    found.sort(key=lambda error: error.get("time") or 0.0)
    own = [error for error in found if not _is_echo(error)]
    if own:
        return _exception_words(own[0])
    for rank, code in sorted(exits.items(), key=lambda item: _when(folder, *item)):
        if code < 0 and not error_file(folder, rank).exists():
            far = far_exit(folder, rank)
            return _signal_words(rank, -code, far.get("out_of_memory", out_of_memory), far.get("host", ""))
    if found:
        return _exception_words(found[0])
    rank, code = next(((rank, code) for rank, code in exits.items() if code), (0, 0))
    if disk_full:  # it could leave no words, or only those before the last
        return f"rank {rank} left with exit code {code}: {DISK_FULL}"
    return f"rank {rank} left with exit code {code}: {_last_words(rank_log(folder, rank))}"


def _when(folder: Path, rank: int, code: int) -> tuple[bool, float]:
    """What comes first among ranks that a signal ended: SIGTERM comes from a launcher that has seen another one die."""
    return code == -signal.SIGTERM, far_exit(folder, rank).get("time") or 0.0


def not_started(folder: Path, code: int | None) -> str:
    """The reason of a run whose ranks say nothing, by the exit code of the program that should have started them."""
    return f"the program that starts the ranks left with exit code {code}: {_last_words(starter_log(folder))}"


def hung(seconds: float, pids: list[int]) -> str:
    """The reason of a run that gives no sign of life; a rank that is suspended is named."""
    suspended = [f"rank {rank}" for rank, pid in enumerate(pids) if _is_suspended(pid)]
    who = f"; {', '.join(suspended)} suspended (SIGSTOP)" if suspended else ""
    return f"hung: no sign of life for {seconds:.0f} seconds{who}. The ranks were ended; resume from the last checkpoint."


def _exception(folder: Path, rank: int) -> dict[str, Any]:
    return disk.read_json(error_file(folder, rank)) or {
        "type": "error",
        "message": "its error file cannot be read",
    }


def _is_echo(error: dict[str, Any]) -> bool:
    return bool(ECHO.search(f"{error.get('type', '')} {error.get('message', '')}"))


def _exception_words(error: dict[str, Any]) -> str:
    message = str(error.get("message", "")).strip()
    if len(message) > 1000:
        message = message[:1000] + " …"
    where = _place(str(error.get("traceback", "")))
    who = f"rank {error['rank']}" + (f" on {error['host']}" if error.get("host") else "")
    return f"{who}: {error.get('type', 'error')}: {message}" + (f" ({where})" if where else "")


def _place(traceback: str) -> str:
    """The innermost frame in our own code, else the innermost of all: "worker.py:120 in train"."""
    frames = re.findall(r'File "([^"]+)", line (\d+), in (\S+)', traceback)
    ours = [frame for frame in frames if "/sftkit/" in frame[0].replace("\\", "/")]
    if not frames:
        return ""
    path, line, function = (ours or frames)[-1]
    return f"{Path(path).name}:{line} in {function}"


def _signal_words(rank: int, number: int, out_of_memory: bool, host: str = "") -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    cause = SIGNALS.get(name, "see train.log")
    if name == "SIGKILL" and out_of_memory:
        cause = "the machine ran out of memory (the kernel's OOM killer was at work)"
    return f"rank {rank}{f' on {host}' if host else ''} was ended by {name}: {cause}"


def _last_words(log: Path) -> str:
    """The last line of a log that says anything: of a traceback that is the exception."""
    lines = [line.strip() for line in disk.tail(log, 20).splitlines() if line.strip()]
    return lines[-1][:1000] if lines else "it printed nothing"


def _is_suspended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.Error:
        return False
