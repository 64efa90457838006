"""What is asked of the machine. nvidia-smi is a FAKE script that prints what the real one prints."""

from __future__ import annotations

import socket

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
