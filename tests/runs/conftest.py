"""Runs with a FAKE worker (fake_worker.py): real processes, real files, no training."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sftkit.config import SFTConfig
from sftkit.runs import Run, launch, process

FAKE = Path(__file__).with_name("fake_worker.py")


def wait_for(what: Callable[[], object], seconds: float = 20.0) -> object:
    """Wait until `what()` is true and return it; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return value


@pytest.fixture
def settings(tiny_model: Path, tiny_rows: Path) -> SFTConfig:
    return SFTConfig(
        pretrain=str(tiny_model), dataset=str(tiny_rows), train_batch_size=16, learning_rate=1e-3
    )


@pytest.fixture
def fake_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFTKIT_WORKER", f"{sys.executable} {FAKE}")


@pytest.fixture
def fake_launch(
    fake_worker: None, settings: SFTConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Run]]:
    """`fake_launch(steps=3, fault="raise", num_processes=2)`; no process of a run may outlive the test."""
    started: list[Run] = []

    def start(num_processes: int | None = None, **manners: object) -> Run:
        for name, value in manners.items():
            monkeypatch.setenv(f"FAKE_{name.upper()}", str(value))
        run = launch(settings.with_(num_processes=num_processes), tmp_path / "runs")
        started.append(run)
        return run

    yield start
    for run in started:
        if not run.folder.exists():
            continue
        left = process.group_members(run.record["pid"]) if run.status.ended and not run.is_alive else []
        run.kill()
        assert not left, f"processes {left} of an ended run still live"
