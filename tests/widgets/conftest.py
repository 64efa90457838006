"""Settings and runs for the widgets' tests; the runs have a FAKE worker (tests/runs/fake_worker.py)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sftkit.config import SFTConfig

FAKE = Path(__file__).parents[1] / "runs" / "fake_worker.py"


@pytest.fixture
def settings(tiny_model: Path, tiny_rows: Path) -> SFTConfig:
    """Settings that preflight has nothing against."""
    return SFTConfig(
        pretrain=str(tiny_model), dataset=str(tiny_rows), train_batch_size=16, learning_rate=1e-3
    )


@pytest.fixture
def fake_worker(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("SFTKIT_WORKER", f"{sys.executable} {FAKE}")
    return monkeypatch
