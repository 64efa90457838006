"""What a notebook reads of the rows that each step trained, from files as a run leaves them, and as accidents do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sftkit.errors import RunError
from sftkit.runs import load_run
from sftkit.runs.row_losses import NO_ROW, PLACES, RECORDS, record


def write_places(folder: Path, rows: int, batch: int) -> None:
    """`rows` rows: the even ones from a.jsonl, the others from b.jsonl; row n has n + 1 trained tokens."""
    n = np.arange(rows)
    with (folder / PLACES).open("wb") as file:
        np.savez(file, sources=np.array(["a.jsonl", "b.jsonl"]), source=(n % 2).astype(np.uint32), row=(n // 2 + 1).astype(np.uint32), tokens=(n + 1).astype(np.uint32), batch=np.array(batch, np.uint32))  # fmt: skip


def steps_of(*steps: tuple[int, list[int], list[float]], batch: int) -> bytes:
    lines = np.zeros(len(steps), record(batch))
    lines["rows"] = NO_ROW
    for line, (step, rows, losses) in zip(lines, steps, strict=True):
        line["step"] = step
        line["rows"][: len(rows)], line["losses"][: len(losses)] = rows, losses
    return lines.tobytes()


@pytest.fixture
def run(tmp_path):
    """Two epochs of five rows by threes, of which the second ends in mid-record."""
    (tmp_path / "run.json").write_text(json.dumps({"config": {}}), encoding="utf-8")
    write_places(tmp_path, 5, 3)
    steps = [(1, [4, 0, 2], [5, 1, 3]), (2, [1, 3], [2, 4]), (3, [0, 1, 2], [0.5, 1.5, 2.5])]
    more = steps_of((4, [3, 4], [9, 9]), batch=3)
    (tmp_path / RECORDS).write_bytes(steps_of(*steps, batch=3) + more[:17])
    return load_run(tmp_path)


def test_the_rows_of_a_step_with_their_losses(run):
    assert run.rows_at(1).to_dict("list") == {
        "source": ["a.jsonl", "a.jsonl", "a.jsonl"], "row": [3, 1, 2], "loss": [5.0, 1.0, 3.0], "tokens": [5, 1, 3],
    }  # fmt: skip
    assert run.rows_at(2).to_dict("list") == {
        "source": ["b.jsonl", "b.jsonl"], "row": [1, 2], "loss": [2.0, 4.0], "tokens": [2, 4],
    }  # fmt: skip


def test_a_record_cut_in_the_middle_is_not_there_yet(run):
    with pytest.raises(RunError, match=r"rows of step 4 are not on record: steps 1 to 3 are"):
        run.rows_at(4)


def test_every_row_with_its_first_and_its_last_loss(run):
    assert run.row_losses().to_dict("list") == {
        "source": ["a.jsonl", "b.jsonl", "a.jsonl", "b.jsonl", "a.jsonl"], "row": [1, 1, 2, 2, 3],
        "times": [2, 2, 2, 1, 1], "tokens": [1, 2, 3, 4, 5],
        "first_loss": [1.0, 2.0, 3.0, 4.0, 5.0], "last_loss": [0.5, 1.5, 2.5, 4.0, 5.0],
    }  # fmt: skip


def test_first_and_last_are_told_over_more_records_than_are_read_at_once(run, monkeypatch):
    whole = run.row_losses()
    monkeypatch.setattr("sftkit.runs.row_losses.AT_ONCE", 4)
    assert run.row_losses().equals(whole)


def test_a_run_without_a_record_has_no_rows(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"config": {}}), encoding="utf-8")
    run = load_run(tmp_path)
    assert list(run.row_losses().columns) == ["source", "row", "times", "tokens", "first_loss", "last_loss"]
    assert run.row_losses().empty
    with pytest.raises(RunError, match="no step is yet"):
        run.rows_at(1)


def test_a_record_that_begins_later_is_read_too(run):
    """As of a run that goes on from the checkpoints of another folder."""
    (run.folder / RECORDS).write_bytes(steps_of((7, [0], [1]), (8, [1], [2]), batch=3))
    assert run.rows_at(8)["loss"].tolist() == [2.0]
    with pytest.raises(RunError, match="steps 7 to 8 are"):
        run.rows_at(1)


def test_places_that_cannot_be_read_are_said(run):
    (run.folder / PLACES).write_bytes(b"PK\x03\x04 half of it")
    with pytest.raises(RunError, match=r"rows\.npz cannot be read"):
        run.row_losses()


def test_what_the_trainer_writes_with_brings_no_pandas():
    """Half a second of every start."""
    code = "import sftkit.runs.row_losses, sys; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_click_on_a_long_curve_is_answered_at_once(tmp_path, least_seconds):
    """200,000 steps of 32 rows, of 500,000 rows."""
    (tmp_path / "run.json").write_text(json.dumps({"config": {}}), encoding="utf-8")
    write_places(tmp_path, 500_000, 32)
    lines = np.zeros(200_000, record(32))
    lines["step"] = np.arange(1, 200_001)
    lines["rows"] = np.random.default_rng(0).integers(0, 500_000, (200_000, 32))
    lines.tofile(tmp_path / RECORDS)
    run = load_run(tmp_path)
    assert len(run.rows_at(150_000)) == 32
    assert least_seconds(lambda: load_run(tmp_path).rows_at(150_000)) < 0.25
