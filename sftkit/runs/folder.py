"""What lies on disk for one run: the names in its folder, written whole or not at all, read whatever state they are in.

Standard library only: the supervisor imports this and must start at once.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from sftkit.runs.classroom import runs_folder

RUN, STATUS, METRICS, LOG, STOP = "run.json", "status.json", "metrics.jsonl", "train.log", "stop"
CHECKPOINTS, MODEL = "checkpoints", "model"
DRY_RUN = "dry_run.json"  # what a dry run has found out
SAMPLES = "samples.jsonl"  # answers to fixed prompts at each checkpoint: `Run.samples`
DATA = "data.json"  # what became of the rows, {"train": {…}, "eval": {…}}: `Run.rows`
RESERVE = ".reserve"
RESERVE_BYTES = 65_536
FULL = 32_768  # bytes
# Nothing that we write comes near these; a folder may have come from anywhere.
LARGEST_JSON = 64 << 20  # bytes
LONGEST_TAIL = 8 << 20
ENDED = ("stopped", "finished", "failed")
STATES = ("queued", "starting", "running", "stopping", *ENDED)


def create(runs_dir: Path, name: str) -> Path:
    """A new folder `<local time>-<name>` under `runs_dir`; launches in the same second get -2, -3, …"""
    runs_dir.mkdir(parents=True, exist_ok=True)
    stem = time.strftime("%Y%m%d-%H%M%S")
    if slug := re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.")[:40]:
        stem += f"-{slug}"
    for number in range(1, 10_000):
        folder = runs_dir / (stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir()  # fails when another launch was quicker: mkdir is the lock
            return folder
        except FileExistsError:
            continue
    raise FileExistsError(f"{runs_dir} already holds 9,999 runs named {stem}")


def write_text(path: Path, text: str) -> None:
    """Replace `path` in one stroke: a reader sees the old text or the new, never half."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Replace `path` by `value` as JSON, in one stroke."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The object in `path`; empty where there is none, or none that can be read."""
    try:
        with open(path, "rb", opener=_at_once) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST_JSON:
                return {}
            value = json.loads(file.read().decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _at_once(path: str, flags: int) -> int:
    """Opens without waiting: a pipe in the place of a file would hold us for ever."""
    return os.open(path, flags | os.O_NONBLOCK)


def open_lock(folder: Path) -> IO[bytes]:
    """The run's lock file, to be locked; never through a link, which may lead to a file of somebody's."""
    number = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    return os.fdopen(number, "r+b")


def no_files(folder: Path) -> list[str]:
    """Names in a run's folder that are neither files nor folders: to open a pipe or a device may hold us for ever."""
    with suppress(OSError), os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if not _is_plain(entry))
    return []


def _is_plain(entry: os.DirEntry[str]) -> bool:
    if entry.is_file() or entry.is_dir():
        return True
    return entry.is_symlink() and not os.path.exists(
        entry.path
    )  # a link to nothing: opening it fails at once


def links(folder: Path) -> list[str]:
    """Names in a run's folder that are links to files: what writes to one would write elsewhere."""
    with suppress(OSError), os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_symlink() and not entry.is_dir())
    return []


def write_status(
    folder: Path, state: str, reason: str = "", *, step: int | None = None, total: int | None = None
) -> None:
    """Replace status.json; step and total_steps stay as they were unless given."""
    before = read_json(folder / STATUS) if step is None or total is None else {}
    write_json(
        folder / STATUS,
        {
            "state": state,
            "step": before.get("step", 0) if step is None else step,
            "total_steps": before.get("total_steps", 0) if total is None else total,
            "reason": reason,
            "updated": time.time(),
        },
    )


def read_lines(path: Path, start: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Objects of the whole lines of a JSONL file from byte `start` on, and the byte after the last whole line.

    A last line without its newline is still being written: it is left for the next call. A line that is no object
    (cut by a full disk, say) is passed over.
    """
    try:
        with path.open("rb") as file:
            file.seek(start)
            text = file.read()
    except OSError:
        return [], start
    whole = text[: text.rfind(b"\n") + 1]
    lines = [line for line in whole.split(b"\n") if line.strip()]
    return parse(lines), start + len(whole)


def parse(lines: list[bytes]) -> list[dict[str, Any]]:
    try:  # one call for all lines is several times quicker than one a line
        rows = json.loads(b"[" + b",".join(lines) + b"]")
    except (ValueError, RecursionError):
        rows = [_parse_line(line) for line in lines]
    return [row for row in rows if isinstance(row, dict)]


def _parse_line(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def tail(path: Path, lines: int, *, block: int = 65_536) -> str:
    """The last `lines` lines of a text file, read from its end, at most LONGEST_TAIL bytes; empty where there is no file."""
    if lines <= 0:
        return ""
    try:
        with path.open("rb") as file:
            left, text = file.seek(0, os.SEEK_END), b""
            while left > 0 and text.count(b"\n") <= lines and len(text) < LONGEST_TAIL:
                size = min(block, left)
                left -= size
                file.seek(left)
                text = file.read(size) + text
    except OSError:
        return ""
    return "\n".join(text.decode("utf-8", errors="replace").rstrip("\n").split("\n")[-lines:])


def keep_reserve(folder: Path) -> None:
    """Put some room by, in which a run that fills its disk can still write down how it ended."""
    with suppress(OSError), (folder / RESERVE).open("wb") as file:
        file.write(b"\0" * RESERVE_BYTES)


def free_reserve(folder: Path) -> None:
    """Give that room free."""
    with suppress(OSError):
        (folder / RESERVE).unlink()


def is_full(folder: Path) -> bool:
    """Whether the disk of `folder` has no room left for a few pages."""
    try:
        return shutil.disk_usage(folder).free < FULL
    except OSError:
        return False


def sweep(folder: Path) -> None:
    """Remove what ranks that have died left half written in the run's own folder; it may be what fills the disk."""
    for part in [*(folder / CHECKPOINTS).glob(".step-*"), *folder.glob(f".{MODEL}-part")]:
        shutil.rmtree(part, ignore_errors=True)


def run_folders(runs_dir: Path) -> list[Path]:
    """The run folders under `runs_dir` (`classroom.runs_folder`); what `Run.delete` has moved away has a name with a dot in
    front."""
    runs_dir = runs_folder(runs_dir)
    try:
        with os.scandir(runs_dir) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".")]
    except OSError:
        return []
    # os.path: a folder that is closed to us holds no run that we could show
    return [folder for name in names if os.path.isfile((folder := runs_dir / name) / RUN)]


def size_of(folder: Path) -> int:
    """Bytes of all files below, links not followed; files that vanish meanwhile (a checkpoint is renamed) count nothing."""
    total, folders = 0, [os.fspath(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        with suppress(OSError):
                            total += entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue
    return total


def size_words(count: float) -> str:
    """A size as people say it: 12.3 MB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def holds_model(folder: Path) -> bool:
    """Whether a folder holds a Hugging Face model, or a LoRA adapter to one."""
    return (folder / "config.json").is_file() or (folder / "adapter_config.json").is_file()


def complete_checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints (`step-N`), by rising step.

    One being written has a name with a dot in front; other names (a user's step-9.keep) are left alone.
    """
    found = [path for path in _entries(folder) if re.fullmatch(r"step-\d+", path.name)]
    return sorted(found, key=step_of)


def step_of(checkpoint: Path) -> int:
    """The step after which a checkpoint was saved."""
    return int(checkpoint.name.removeprefix("step-"))


def newest_checkpoint(folder: Path) -> Path | None:
    """The complete checkpoint with the highest step."""
    return next(reversed(complete_checkpoints(folder)), None)


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (OSError, ValueError):  # ValueError: a name that no system knows, out of a damaged file
        return []
