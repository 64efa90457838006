"""A disk that fills up: during metrics, a checkpoint and the export. The disk is a small tmpfs, or /dev/full."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sftkit.runs import folder as disk
from tests.faults.drill import fill, until_step


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A disk of 6 MB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "sftkit-test", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only the superuser can mount a small disk; /dev/full stands in for it in the next test")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_full_three_times_and_still_the_same_losses(real_launch, small_disk, beside, monkeypatch):
    """During the metrics, during a checkpoint, during the export: each is told, none leaves anything half, and when there
    is room again the run goes on to the losses of a run in peace."""
    monkeypatch.delenv("SFTKIT_WORKER")  # of the run beside
    settings = {"max_epochs": 16, "learning_rate": 1e-3}
    peace = real_launch(**settings)  # on the machine's other core
    run = real_launch(small_disk / "runs", save_steps=24, max_ckpt_num=1, **settings)
    until_step(run, 25)
    filler = fill(small_disk)
    assert told(run, "run_files.py") == ["failed", "disk_full"]
    assert {"max_ckpt_num": 1} not in [fix.fix for fix in run.diagnosis.fixes]  # it is so already
    filler.unlink()

    with (run.folder / disk.METRICS).open(
        "r+b"
    ) as file:  # cut in the middle of a line, as a full disk cuts it
        file.truncate(file.seek(0, os.SEEK_END) - 11)
    assert run.metrics()["loss"].notna().all()
    run.resume()
    newest = disk.newest_checkpoint(run.checkpoints)
    until_step(run, 26)
    filler = fill(small_disk, disk.size_of(newest) // 2)  # room for metrics, but not for another checkpoint
    assert told(run, "checkpoints.py") == ["failed", "disk_full"]
    assert [path.name for path in run.checkpoints.iterdir()] == [newest.name] == ["step-24"]
    assert (newest / "checkpoint.json").is_file()
    filler.unlink()

    run.resume()
    until_step(run, 50)
    assert peace.wait(120).state == "finished", peace.log()
    filler = fill(small_disk, disk.size_of(peace.model_path) // 2)
    assert told(run, "export.py") == ["failed", "disk_full"]
    assert not [path.name for path in run.folder.iterdir() if "model" in path.name]
    filler.unlink()

    run.resume()
    assert run.wait(120).state == "finished", run.log()
    assert run.metrics()["loss"].tolist() == peace.metrics()["loss"].tolist()
    assert (run.model_path / "config.json").is_file()
    assert sorted(path.name for path in run.model_path.iterdir()) == sorted(
        path.name for path in peace.model_path.iterdir()
    )


def told(run, where: str) -> list[str]:
    """The run's end and its cause, which must have come from that place."""
    status = run.wait(120)
    assert run.diagnosis and where in run.diagnosis.evidence, f"{status}\n{run.log()}"
    return [status.state, run.diagnosis.cause]


def test_a_worker_that_could_say_nothing(fake_launch, small_disk, beside, tmp_path, monkeypatch):
    """This worker keeps no room for its last words; the supervisor does, and sees what the disk is like."""
    for name in ("FAKE_STEPS", "FAKE_SECONDS"):
        monkeypatch.delenv(name, raising=False)
    shutil.rmtree(tmp_path / "runs", ignore_errors=True)
    (tmp_path / "runs").symlink_to(small_disk)
    run = fake_launch(steps=5000)
    until_step(run, 2)
    filler = fill(small_disk)
    status = run.wait(20)
    assert (status.state, run.diagnosis.cause) == ("failed", "disk_full")
    assert "no space is left" in status.reason
    filler.unlink()


def test_dev_full_in_the_place_of_the_metrics(real_launch):
    """The same answer of the system without a small disk: every write to this file finds no room."""
    run = real_launch(max_epochs=10_000, logging_steps=40, save_steps=10)
    until_step(run, 1)
    (run.folder / disk.METRICS).symlink_to("/dev/full")
    told_then = told(run, "in metrics")
    (run.folder / disk.METRICS).unlink()  # a link is no file of ours, which kill() would say at the end
    assert told_then == ["failed", "disk_full"]
    assert disk.newest_checkpoint(run.checkpoints) is not None
