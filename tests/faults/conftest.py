"""The FAKE worker and its launch, shared with tests/runs; real runs of a tiny model; a run beside, which nothing may harm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from sftkit.runs import Run, launch
from tests.faults.drill import until_step

_spec = spec_from_file_location("runs_conftest", Path(__file__).parents[1] / "runs" / "conftest.py")
_shared = module_from_spec(_spec)
_spec.loader.exec_module(_shared)
settings, fake_worker, fake_launch = _shared.settings, _shared.fake_worker, _shared.fake_launch


@pytest.fixture
def real_launch(settings, tmp_path, monkeypatch) -> Iterator[Callable[..., Run]]:
    """`real_launch(max_epochs=10)`: a run of the real worker, on one thread."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    started = []

    def start(runs_dir: Path | None = None, queue: bool = False, **changes: object) -> Run:
        run = launch(settings.with_(bf16=False, **changes), runs_dir or tmp_path / "runs", queue)
        started.append(run)
        return run

    yield start
    for run in started:
        if run.folder.is_dir():
            run.kill()


@pytest.fixture
def beside(fake_worker, settings, tmp_path, monkeypatch) -> Iterator[Run]:
    """Another run, of the FAKE worker, that goes on whatever happens to the one under test."""
    monkeypatch.setenv("FAKE_STEPS", "100000")
    run = launch(settings, tmp_path / "beside")
    monkeypatch.delenv("FAKE_STEPS")
    until_step(run, 1)
    yield run
    step = run.status.step
    until_step(run, step + 1)
    run.stop()
    assert run.wait(20).state == "stopped"
    assert run.metrics()["step"].tolist() == list(range(1, run.status.step + 1))
