"""A dry run with the real worker: what it tells is what the run then takes, and nothing of it stays."""

from __future__ import annotations

import sys
import tempfile
import threading
from pathlib import Path

import psutil
import pytest

import sftkit as sk
from sftkit.errors import DryRunError
from tests.conftest import train, write_rows

BASE = Path(__file__).parents[2] / "data" / "tiny-base"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """An empty working folder, and a place of our own for temporary files."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def config(tmp_path) -> sk.SFTConfig:
    """Three steps an epoch of 40 rows, which would save to a place that is there already."""
    rows = write_rows(tmp_path / "train.jsonl", 40)
    return sk.SFTConfig(
        pretrain=str(BASE), dataset=str(rows), bf16=False, zero_stage=1, train_batch_size=16, max_epochs=2,
        micro_train_batch_size=4, save_path=str(tmp_path / "tuned"), ckpt_path=str(tmp_path / "kept"),
    )  # fmt: skip


def nothing_is_left(tmp_path: Path) -> None:
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "tmp", "train.jsonl"]
    assert not list((tmp_path / "here").iterdir()) and not list((tmp_path / "tmp").iterdir())
    for process in psutil.process_iter(["cmdline"]):
        assert not any(str(tmp_path) in part for part in process.info["cmdline"] or ())


def test_what_a_run_will_need(config, tmp_path):
    lines: list[str] = []
    told = sk.dry_run(config.with_(report_to=("mlflow",)), progress=lines.append)
    assert told.total_steps == 6 and told.processes == 1 and "CPU" in told.device
    assert 100 < told.peak_memory_mb < told.device_memory_mb
    assert told.memory_by_rank_mb == (told.peak_memory_mb,)
    assert told.seconds_total == pytest.approx(6 * told.seconds_per_step)
    assert told.tokens / told.tokens_per_second == pytest.approx(told.seconds_total)
    assert any("Step 3 of 3" in line for line in lines)
    assert "6 steps" in str(told)
    nothing_is_left(tmp_path)


@pytest.mark.parametrize(
    "settings",
    [
        {"zero_stage": 0},
        {"bf16": True, "zero_stage": 2},
        {"zero_stage": 3, "num_processes": 2},
        {"lora_rank": 8, "num_processes": 2},
    ],
    ids=str,
)
def test_the_size_of_a_checkpoint_is_that_of_the_checkpoint(config, tmp_path, settings):
    config = config.with_(**settings, save_path=None, ckpt_path=None)
    told = sk.dry_run(config)
    nothing_is_left(tmp_path)
    run = train(tmp_path / "run", config.with_(max_epochs=1, save_steps=2, sample_prompts=0))
    files = (run.folder / "checkpoints" / "step-2" / "deepspeed").rglob("*")
    assert told.checkpoint_bytes == pytest.approx(sum(file.stat().st_size for file in files), rel=0.02)
    assert told.processes == len(told.memory_by_rank_mb) == config.processes
    assert told.tokens == 2 * run.column("tokens")[-1] and told.total_steps == 2 * run.status["total_steps"]


def test_a_fault_in_the_data_is_told_with_its_row(config, tmp_path):
    with Path(config.dataset).open("a", encoding="utf-8") as file:
        file.write('{"prompt": 5, "response": {}}\n')
    with pytest.raises(DryRunError, match=r"row 41") as caught:
        sk.dry_run(config)
    assert "dry run failed" in str(caught.value) and caught.value.diagnosis is not None
    nothing_is_left(tmp_path)


WITHOUT_MEMORY = """
import json, sys
from pathlib import Path
words = {"type": "OutOfMemoryError", "message": "CUDA out of memory. Tried to allocate 20.00 GiB.", "traceback": "", "time": 1.0}
Path(sys.argv[1], "error-rank0.json").write_text(json.dumps(words))
sys.exit("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB.")
"""


def test_out_of_memory_is_told_with_what_would_help(config, tmp_path, monkeypatch):
    (tmp_path / "tmp" / "worker.py").write_text(WITHOUT_MEMORY, encoding="utf-8")
    monkeypatch.setenv("SFTKIT_WORKER", f"{sys.executable} {tmp_path / 'tmp' / 'worker.py'}")
    with pytest.raises(DryRunError, match="memory") as caught:
        sk.dry_run(config)
    fixes = caught.value.diagnosis.fixes
    assert fixes and all(fix.apply(config) != config for fix in fixes)
    (tmp_path / "tmp" / "worker.py").unlink()
    nothing_is_left(tmp_path)


def test_it_is_cancelled_at_once_and_leaves_no_process(config, tmp_path):
    cancel = threading.Event()
    with pytest.raises(DryRunError, match="cancelled"):
        sk.dry_run(config, progress=lambda _: cancel.set(), cancel=cancel)
    nothing_is_left(tmp_path)


def test_it_is_ended_when_it_takes_too_long(config, tmp_path):
    with pytest.raises(DryRunError, match=r"longer than 0\.5 seconds"):
        sk.dry_run(config, timeout=0.5)
    nothing_is_left(tmp_path)


def test_an_error_of_the_caller_ends_it_too(config, tmp_path):
    def interrupted(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sk.dry_run(config, progress=interrupted)
    nothing_is_left(tmp_path)
