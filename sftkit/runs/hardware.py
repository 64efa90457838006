"""What this machine has: GPUs, CPU cores, memory, a free port. Asked of the system, without torch."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

QUERY = ("index", "name", "memory.total", "memory.used", "utilization.gpu")


@dataclass(frozen=True)
class GPU:
    """One card: `id` as nvidia-smi counts, memory in MiB, `use` in percent (None where the driver does not say)."""

    id: int
    name: str
    memory_mb: int
    used_mb: int
    use: int | None


def gpus(timeout: float = 5.0) -> list[GPU]:
    """The NVIDIA cards of this machine, free or not; none where there is no driver."""
    program = shutil.which("nvidia-smi")
    if not program:
        return []
    command = [program, f"--query-gpu={','.join(QUERY)}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [gpu for line in answer.stdout.splitlines() if (gpu := _gpu(line))]


def _gpu(line: str) -> GPU | None:
    cells = [cell.strip() for cell in line.split(",")]
    if len(cells) != len(QUERY) or not cells[0].isdigit():
        return None
    number = [int(cell) if cell.isdigit() else None for cell in cells[2:]]
    return GPU(int(cells[0]), cells[1], number[0] or 0, number[1] or 0, number[2])


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
