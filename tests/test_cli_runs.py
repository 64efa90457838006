"""`sftkit runs` and `sftkit launch --queue`: a run's life from a terminal, with the FAKE worker."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import pytest

from sftkit.runs import load_run, queue

FAKE_WORKER = f"{sys.executable} {Path(__file__).parent / 'runs/fake_worker.py'}"


@pytest.fixture
def sftkit(sftkit, tmp_path):
    yield partial(sftkit, seconds=60, COLUMNS="240", SFTKIT_WORKER=FAKE_WORKER, SFTKIT_QUEUE=str(tmp_path / "line"))  # fmt: skip
    for path in tmp_path.glob("runs/*/run.json"):
        load_run(path.parent).kill()


@pytest.fixture
def flags(tiny_model, tiny_rows) -> list[str]:
    named = {
        "pretrain": tiny_model,
        "dataset": tiny_rows,
        "train_batch_size": 16,
        "learning_rate": 1e-3,
        "save_path": "out",
    }
    return [word for name, value in named.items() for word in (f"--{name}", str(value))]  # fmt: skip


def the_run(tmp_path, number=0):
    return load_run(sorted(path.parent for path in tmp_path.glob("runs/*/run.json"))[number])


def test_from_the_queue_to_deletion(sftkit, flags, tmp_path, monkeypatch):
    monkeypatch.setenv("SFTKIT_QUEUE", str(tmp_path / "line"))
    holder = queue.Ticket("a notebook's run", tmp_path, ["CPU"], waits=False)
    sftkit("launch", "--queue", *flags)
    run = the_run(tmp_path)
    while not run.status.reason:
        pass
    assert "queued" in (told := sftkit("runs")) and "held by run a notebook's run" in told
    assert "leaves the queue" in sftkit("runs", "--stop", run.id)
    assert run.wait(20).state == "stopped"
    assert "goes on" in sftkit("runs", "--resume", run.id, "--queue")
    holder.leave()
    assert run.wait(20).state == "finished"

    told = sftkit("runs", "--duplicate", run.id, "--learning_rate", "5e-4")
    other = the_run(tmp_path, 1)
    assert other.wait(20).state == "finished"
    assert (other.config.learning_rate, other.config.save_path) == (5e-4, "out-2")
    assert "save_path: out-2, so that nothing in out is overwritten" in told and str(other.folder) in told
    assert "--learning_rat: there is no such flag." in sftkit(
        "runs", "--duplicate", run.id, "--learning_rat", "1", code=1
    )
    assert "does not know --learning_rate" in sftkit("runs", "--learning_rate", "5e-4", code=1)

    assert "Nothing was deleted" in sftkit("runs", "--delete", run.id, stdin="yes\n", code=1)
    assert run.folder.is_dir()
    told = sftkit("runs", "--delete", run.id, stdin=f"{run.id}\n")
    assert "This would delete the run" in told and "freed" in told
    assert not run.folder.exists()
    assert "freed" in sftkit("runs", "--delete", other.id, "--yes")
    assert "no runs" in sftkit("runs")


def test_kill_and_why(sftkit, flags, tmp_path):
    sftkit("launch", *flags, FAKE_STEPS="50", FAKE_FAULT="raise")
    run = the_run(tmp_path)
    assert run.wait(20).state == "failed"
    told = sftkit("runs", "--why", run.id)
    assert told.startswith("ValueError: row 7 has no answer.") and "in misbehave" in told
    assert "row 7 has no answer" in sftkit("runs")
    sftkit("launch", *flags, FAKE_STEPS="50000")
    other = the_run(tmp_path, 1)
    assert "stop() or kill()" in sftkit("runs", "--delete", other.id, "--yes", code=1)
    assert "stopped" in sftkit("runs", "--kill", other.id)
    assert "has not failed" in sftkit("runs", "--why", other.id)
