"""Who of our processes listens where and with what words it was started, read from /proc while they live."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

PROC = Path("/proc")
LISTENS = "0A"
LOOPBACK = (
    "0100007F",
    "0" * 24 + "01000000",
    "0" * 16 + "FFFF00000100007F",
)  # 127.0.0.1, ::1, ::ffff:127.0.0.1


@dataclass
class Watch:
    """Every process whose environment holds SFTKIT_WATCHED=`mark`, looked at again and again until the end of the block."""

    mark: str
    every: float = 0.25  # seconds
    words: dict[int, bytes] = field(default_factory=dict)  # pid -> its command line, all that it ever had
    listening: set[tuple[str, str]] = field(default_factory=set)  # (address as /proc writes it, who)
    looks: int = 0

    def __enter__(self) -> Watch:
        self._end, self._thread = threading.Event(), threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end.set()
        self._thread.join()

    @property
    def open_to_others(self) -> set[tuple[str, str]]:
        """Those that listen on another address than loopback."""
        return {(address, who) for address, who in self.listening if address.split(":")[0] not in LOOPBACK}

    def _run(self) -> None:
        strangers: Counter[int] = Counter()
        while not self._end.wait(self.every):
            sockets = _listeners()
            for place in PROC.iterdir():
                pid = int(place.name) if place.name.isdigit() else 0
                # One that has just been forked has its parent's environment until it becomes ours.
                if pid and strangers[pid] < 10 and not self._look(place, pid, sockets):
                    strangers[pid] += 1
            self.looks += 1

    def _look(self, place: Path, pid: int, sockets: dict[str, str]) -> bool:
        """False for a process of somebody else."""
        try:
            if f"SFTKIT_WATCHED={self.mark}\0".encode() not in (place / "environ").read_bytes():
                return False
            words = (place / "cmdline").read_bytes()
            if words not in self.words.get(pid, b""):
                self.words[pid] = self.words.get(pid, b"") + b"\n" + words
            for file in (place / "fd").iterdir():
                name = str(file.readlink())
                if name in sockets:
                    who = b" ".join(words.split(b"\0")[:6]).decode(errors="replace")
                    self.listening.add((sockets[name], who))
        except OSError:  # it has just left, or is another user's
            return pid in self.words
        return True


def _listeners() -> dict[str, str]:
    """socket:[inode] -> address:port, of all TCP sockets that listen and all UDP sockets that are bound."""
    found = {}
    for table, state in (("tcp", LISTENS), ("tcp6", LISTENS), ("udp", "07"), ("udp6", "07")):
        try:
            lines = (PROC / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            parts = line.split()
            if parts[3] == state:
                found[f"socket:[{parts[9]}]"] = f"{parts[1]} {table}"
    return found
