"""People who share a machine, for tests and the benchmark: real users (uids without names), each with a home that is
closed to the others, and what belongs to all: data and a model that only root may write, and one queue.

Needs root. Where this Python lies in a folder closed to others (/root), each person gets a view of the machine in which
the way to it is open (a mount namespace of its own).
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
FIRST = 24_001  # uid of the first person: nobody's on ordinary machines


def lacking() -> str:
    """Why there can be no such people here; "" where there can."""
    if os.getuid() != 0:
        return "only root can be several users"
    missing = [name for name in ("unshare", "setpriv", "mount") if not shutil.which(name)]
    if missing:
        return f"needs {', '.join(missing)}"
    if _closed() and subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        return "this container allows no mounts, and Python lies in a folder closed to others"
    return ""


def _needed() -> list[Path]:
    """What everybody must be able to read: Python, its packages, this project."""
    paths = [sys.base_prefix, sys.prefix, ROOT, Path(sys.executable).resolve().parents[1]]
    return list(dict.fromkeys(Path(path).resolve() for path in paths))


def _closed() -> dict[Path, list[Path]]:
    """Folders on the way there that others may not pass, the outermost of each way, and what is needed below them."""
    found: dict[Path, list[Path]] = {}
    for path in _needed():
        for folder in reversed([path, *path.parents]):
            if not folder.stat().st_mode & 0o001:
                found.setdefault(folder, []).append(path)
                break
    return found


@dataclass
class Classroom:
    """`folder` holds `shared` (read-only), `queue` (for all) and `home/<uid>`. `caps`: variables set for everybody."""

    caps: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sftkit-class-", dir="/tmp"))
        self.folder.chmod(0o755)
        self.shared, self.queue, self.homes = (self.folder / name for name in ("shared", "queue", "home"))
        for folder, mode in ((self.shared, 0o755), (self.queue, 0o1777), (self.homes, 0o755)):
            folder.mkdir()
            folder.chmod(mode)

    def home(self, person: int) -> Path:
        """The home of person 0, 1, …, closed to the others."""
        folder = self.homes / str(FIRST + person)
        if not folder.exists():
            folder.mkdir(mode=0o700)
            os.chown(folder, FIRST + person, FIRST + person)
        return folder

    def start(self, person: int, code: str, *words: str, umask: int = 0o077, **environment: str) -> subprocess.Popen:  # fmt: skip
        """Python code run by a person, in their home."""
        home, uid = self.home(person), FIRST + person
        mine = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs"]
        python = [sys.executable, "-c", code, *words]
        command = f"{self._mounts()} umask {umask:04o}; cd {home}; exec {shlex.join([*mine, *python])}"
        known = {name: os.environ[name] for name in ("PATH", "LANG", "SFTKIT_WORKER", "FAKE_STEPS") if name in os.environ}  # fmt: skip
        about = {
            "HOME": str(home),
            "USER": str(uid),
            "PYTHONPATH": str(ROOT),
            "SFTKIT_QUEUE": str(self.queue),
        }
        return subprocess.Popen(
            ["unshare", "-m", "--propagation", "private", "sh", "-c", command] if _closed() else ["sh", "-c", command],
            env={**known, **about, "SFTKIT_TEACH": "1", **self.caps, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip

    def said(self, started: subprocess.Popen, seconds: float = 120) -> str:
        """What the code printed; fails with its errors where it did."""
        out, errors = started.communicate(timeout=seconds)
        assert started.returncode == 0, out + errors
        return out

    def _mounts(self) -> str:
        """Shell words that open the way to what is needed: a folder with nothing else in it takes the closed one's place."""
        words = []
        for closed, needed in _closed().items():
            stand_in = self.folder / "stand-in" / str(closed).strip("/").replace("/", "-")
            for path in needed:
                place = stand_in / path.relative_to(closed)
                place.mkdir(parents=True, exist_ok=True)
                words.append(shlex.join(["mount", "--bind", str(path), str(place)]))
            words.append(shlex.join(["mount", "--rbind", str(stand_in), str(closed)]))
        return "".join(f"{word} && " for word in words)

    def seen(self) -> dict[str, tuple[float, int]]:
        """What lies in the shared folder: path -> (time of change, size)."""
        about = {path: path.stat() for path in sorted(self.shared.rglob("*"))}
        return {str(path): (stat.st_mtime, stat.st_size if path.is_file() else 0) for path, stat in about.items()}  # fmt: skip

    def close(self) -> None:
        """Remove it all; nothing is mounted any more, since each view went with its processes."""
        shutil.rmtree(self.folder, ignore_errors=True)
