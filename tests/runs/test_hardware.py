"""What is asked of the machine. nvidia-smi is a FAKE script that prints what the real one prints."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

import psutil
import pytest

from sftkit.runs import hardware


def fake_nvidia_smi(folder, monkeypatch, text: str) -> None:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_gpus(tmp_path, monkeypatch):
    lines = (
        "echo '0, NVIDIA H200, 143771, 4, 0'; echo '1, NVIDIA H200, 143771, 80000, [N/A]'; echo 'No devices'"
    )
    fake_nvidia_smi(tmp_path, monkeypatch, lines)
    assert hardware.gpus() == [
        hardware.GPU(0, "NVIDIA H200", 143_771, 4, 0),
        hardware.GPU(1, "NVIDIA H200", 143_771, 80_000, None),
    ]


@pytest.mark.parametrize("script", ["exit 9", "echo 'Failed to initialize NVML'", "sleep 30"])
def test_a_driver_that_does_not_answer(tmp_path, monkeypatch, script):
    fake_nvidia_smi(tmp_path, monkeypatch, script)
    assert hardware.gpus(timeout=0.5) == []


def test_no_driver(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert hardware.gpus() == []


@pytest.mark.parametrize(
    ("value", "ids"), [("0,2", ["0", "2"]), ("", []), (" 3 ", ["3"]), ("GPU-1a", ["GPU-1a"])]
)
def test_visible_ids(monkeypatch, value, ids):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert hardware.visible_ids() == ids
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert hardware.visible_ids() is None


def test_free_ports_can_be_listened_on():
    ports = {hardware.free_port() for _ in range(20)}
    assert len(ports) > 1
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", hardware.free_port()))


def test_cores_and_oom_kills():
    assert hardware.cpu_cores() >= 1
    assert hardware.oom_kills() >= 0


# use


def test_use_of_every_device_by_one_call(tmp_path, monkeypatch):
    lines = f"echo called >> {tmp_path}/calls; echo '0, NVIDIA H200, 143771, 4, 17'; echo '1, NVIDIA H200, 143771, 80000, [N/A]'"
    fake_nvidia_smi(tmp_path, monkeypatch, lines)
    begin = time.perf_counter()
    first, second, cpu = hardware.usage()
    assert time.perf_counter() - begin < 2
    assert first == hardware.Device("gpu", 0, "NVIDIA H200", 17, 4, 143_771)
    assert second.use is None
    assert (cpu.kind, cpu.id) == ("cpu", None) and cpu.name.startswith("CPU, ")
    assert 0 <= cpu.use <= 100 and 0 < cpu.used_mb < cpu.total_mb
    assert (tmp_path / "calls").read_text() == "called\n"


def test_the_first_look_at_the_cpu_means_something(monkeypatch, tmp_path):
    """psutil's first answer is 0 whatever runs; ours is measured, here beside a busy process."""
    monkeypatch.setenv("PATH", str(tmp_path))
    code = "from sftkit.runs import hardware; print(hardware.usage()[-1].use)"
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    finally:
        busy.kill()
        busy.wait()
    assert float(said) > 0


CGROUPS = {
    "version 2": ("0::/job/7\n", {"job/memory.max": "1073741824", "job/memory.current": "805306368", "job/memory.stat": "anon 5\ninactive_file 268435456", "job/7/memory.max": "max"}),
    "version 1": ("9:memory:/job\n3:cpu,cpuacct:/job\n", {"memory/job/memory.limit_in_bytes": "1073741824", "memory/job/memory.usage_in_bytes": "805306368", "memory/job/memory.stat": "cache 5\ntotal_inactive_file 268435456"}),
    "in a container": ("0::/a/path/of/the/host\n", {"memory.max": "1073741824", "memory.current": "536870912"}),
}  # fmt: skip


@pytest.mark.parametrize("kind", CGROUPS)
def test_memory_is_that_of_the_container(kind, tmp_path, monkeypatch):
    groups, files = CGROUPS[kind]
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "self").write_text(groups)
    true = hardware.Path
    monkeypatch.setattr(hardware, "CGROUPS", tmp_path)
    monkeypatch.setattr(
        hardware, "Path", lambda path: tmp_path / "self" if path == "/proc/self/cgroup" else true(path)
    )
    assert hardware.memory() == (512 * 2**20, 1024 * 2**20)


def test_memory_without_a_limit_is_that_of_the_machine(monkeypatch, tmp_path):
    monkeypatch.setattr(hardware, "CGROUPS", tmp_path / "none")
    used, total = hardware.memory()
    assert total == psutil.virtual_memory().total and 0 < used < total


def test_a_meter_of_processes(tmp_path, monkeypatch):
    busy = subprocess.Popen([sys.executable, "-c", "x = bytearray(50 * 2**20)\nwhile True: pass"])
    smi = f"echo '{busy.pid}, 1234'; echo '1, 99'; echo '{busy.pid}, 66'; echo '{busy.pid}, [N/A]'"
    fake_nvidia_smi(tmp_path, monkeypatch, smi)
    try:
        meter = hardware.Meter()
        time.sleep(0.5)
        first = meter.read([busy.pid, 2**22 - 3], on_gpus=True)
        assert (first.processes, first.cpu, first.gpu_memory_mb) == (1, None, 1300)
        assert 50 < first.memory_mb < 200
        time.sleep(0.5)
        assert 1 < meter.read([busy.pid]).cpu < 130  # percent of one core
    finally:
        busy.kill()
        busy.wait()
    gone = meter.read([busy.pid])
    assert (gone.processes, gone.memory_mb, gone.gpu_memory_mb) == (0, 0.0, None)
