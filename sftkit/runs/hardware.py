"""What this machine has, and what of it is in use: GPUs, CPU cores, memory, a free port. Asked of the system, without torch.

Standard library and psutil only: the supervisor imports this.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

MB = 2**20
CGROUPS = Path("/sys/fs/cgroup")
FIRST_LOOK = 0.1  # seconds over which the CPU's use is measured when nobody has looked before
_cpu_looked = False
QUERY = ("index", "name", "memory.total", "memory.used", "utilization.gpu")


@dataclass(frozen=True)
class GPU:
    """One card: `id` as nvidia-smi counts, memory in MiB, `use` in percent (None where the driver does not say)."""

    id: int
    name: str
    memory_mb: int
    used_mb: int
    use: int | None


@dataclass(frozen=True)
class Device:
    """One GPU, or the CPU with the machine's memory: `use` in percent (None: not known), memory in MiB.

    Where a container limits the memory, that limit is the total, and what counts against it is in use.
    """

    kind: Literal["gpu", "cpu"]
    id: int | None
    name: str
    use: float | None
    used_mb: int
    total_mb: int


@dataclass(frozen=True)
class RunUse:
    """What the processes of a run take: `cpu` in percent of one core (None at the first look), memory in MiB.

    `memory_mb` counts what processes share for each by its part, where the system says so. `gpu_memory_mb` is None without GPUs.
    """

    processes: int
    cpu: float | None
    memory_mb: float
    gpu_memory_mb: int | None


def usage() -> list[Device]:
    """Every GPU, by one call of nvidia-smi (0.05 to 2 seconds where there is one), then the CPU."""
    cards = [Device("gpu", gpu.id, gpu.name, gpu.use, gpu.used_mb, gpu.memory_mb) for gpu in gpus()]
    return [*cards, cpu()]


def cpu() -> Device:
    """The CPU's use since the last look, over all cores of the machine, and its memory."""
    global _cpu_looked
    use = psutil.cpu_percent(None if _cpu_looked else FIRST_LOOK)  # the first answer would mean nothing
    _cpu_looked = True
    cores = cpu_cores()
    used, total = memory()
    return Device("cpu", None, f"CPU, {cores} core{'s' if cores > 1 else ''}", use, used // MB, total // MB)


def memory() -> tuple[int, int]:
    """Bytes in use and bytes there are: of the machine, or of the smallest container around this process."""
    machine = psutil.virtual_memory()
    used, total = machine.total - machine.available, machine.total
    for folder in _cgroups():
        old = "memory.limit_in_bytes"
        limit = _number(folder / "memory.max") or _number(folder / old)
        if limit and limit < total:
            taken = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes") or 0
            used, total = max(0, taken - _cached(folder)), limit
    return used, total


def _cgroups() -> list[Path]:
    """The control groups that this process is in, the innermost first; version 1 or 2."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers in ("", "memory"):
            root = CGROUPS / controllers
            inner = root / path.lstrip("/")
            # Inside a container the path may be the host's: then only the root is there to see.
            found += [folder for folder in (inner, *inner.parents) if folder.is_relative_to(root)]
    return found


def _cached(folder: Path) -> int:
    """Bytes of files that the system holds in memory and would give back; they count against the limit."""
    try:
        pairs = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return int(pairs.get("total_inactive_file") or pairs.get("inactive_file") or 0)
    except (OSError, ValueError):
        return 0


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # not there, or "max"
        return None


class Meter:
    """What a set of processes takes, from look to look."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}  # CPU time by pid
        self._looked = 0.0

    def read(self, pids: Iterable[int], on_gpus: bool = False) -> RunUse:
        """What `pids` take now. A process that began since the last look counts from then on."""
        seconds, memory_used = {}, 0
        for pid in pids:
            try:
                process = psutil.Process(pid)
                times = process.cpu_times()
                seconds[pid] = times.user + times.system
                memory_used += _memory_of(process)
            except psutil.Error:
                continue
        now, before = time.monotonic(), self._seconds
        spent = sum(value - before.get(pid, 0.0 if before else value) for pid, value in seconds.items())
        use = 100 * spent / (now - self._looked) if self._looked else None
        self._seconds, self._looked = seconds, now
        on_cards = gpu_memory(seconds) if on_gpus else None
        return RunUse(len(seconds), use, memory_used / MB, on_cards)


def _memory_of(process: psutil.Process) -> int:
    try:  # ranks share the code of torch, half a gigabyte: each counts its part
        return process.memory_full_info().pss
    except (psutil.AccessDenied, AttributeError):
        return process.memory_info().rss


def gpu_memory(pids: Iterable[int]) -> int | None:
    """MiB that these processes hold on the GPUs; None where the driver does not say."""
    lines = _nvidia_smi("--query-compute-apps=pid,used_gpu_memory")
    if lines is None:
        return None
    wanted, pairs = set(pids), [[cell.strip() for cell in line.split(",")] for line in lines]
    held = [cells[1] for cells in pairs if len(cells) == 2 and cells[0].isdigit() and int(cells[0]) in wanted]
    return sum(int(value) for value in held if value.isdigit())


def gpus(timeout: float = 5.0) -> list[GPU]:
    """The NVIDIA cards of this machine, free or not; none where there is no driver."""
    lines = _nvidia_smi(f"--query-gpu={','.join(QUERY)}", timeout) or ()
    return [gpu for line in lines if (gpu := _gpu(line))]


def _nvidia_smi(query: str, timeout: float = 5.0) -> list[str] | None:
    """The lines of nvidia-smi's answer, None where there is none."""
    program = shutil.which("nvidia-smi")
    if not program:
        return None
    command = [program, query, "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.splitlines()


def _gpu(line: str) -> GPU | None:
    cells = [cell.strip() for cell in line.split(",")]
    if len(cells) != len(QUERY) or not cells[0].isdigit():
        return None
    number = [int(cell) if cell.isdigit() else None for cell in cells[2:]]
    return GPU(int(cells[0]), cells[1], number[0] or 0, number[1] or 0, number[2])


def driver(timeout: float = 5.0) -> tuple[str, tuple[int, int] | None] | None:
    """NVIDIA's driver and the newest CUDA it knows, such as ("570.86", (12, 8)); None where there is no driver, or it does
    not answer."""
    lines = _nvidia_smi("--query-gpu=driver_version", timeout)
    if not lines or not re.match(r"\d+\.", lines[0]):
        return None
    program = str(shutil.which("nvidia-smi"))
    try:  # CUDA's version is in the heading only
        told = subprocess.run(
            [program], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout
        ).stdout
    except (OSError, subprocess.SubprocessError):
        told = ""
    found = re.search(r"CUDA[\w ]* Version:\s*(\d+)\.(\d+)", told)
    return lines[0].strip(), (int(found[1]), int(found[2])) if found else None


def cpu_flags() -> set[str]:
    """What the CPU can do, in Linux's words; empty where it does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), set())


def visible_ids() -> list[str] | None:
    """The entries of CUDA_VISIBLE_DEVICES, or None where it is not set (every card is visible)."""
    value = os.environ.get("CUDA_VISIBLE_DEVICES")
    return None if value is None else [part.strip() for part in value.split(",") if part.strip()]


def cpu_cores() -> int:
    """CPU cores this process may use: its affinity, and the quota of its container where there is one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, round(int(quota) / int(period)))
    except (OSError, ValueError):  # no cgroup v2, or "max": no quota
        pass
    return max(1, cores)


def free_port() -> int:
    """A port of this machine that nobody listens on now; somebody may take it before it is used."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def oom_kills() -> int:
    """How many processes the kernel has killed for memory since boot (0 where it does not say)."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    except (OSError, StopIteration, ValueError, IndexError):
        return 0
