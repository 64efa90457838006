"""The overview of all runs, against folders written by hand."""

from __future__ import annotations

import json
import shutil

import pytest

from sftkit.runs import folder as disk
from sftkit.runs import overview as module
from sftkit.runs.overview import Overview, Overviews


def write_run(runs, name, state="finished", losses=(2.0, 1.0), **more):
    folder = runs / name
    folder.mkdir(parents=True)
    config = {"pretrain": "data/tiny", "dataset": "rows.jsonl", "eval_dataset": "eval.jsonl"}
    disk.write_json(folder / disk.RUN, {"config": config, "created": "2026-01-02T03:04:05+00:00", **more})
    disk.write_status(folder, state, step=len(losses), total=10)
    lines = [json.dumps({"step": step, "loss": loss}) for step, loss in enumerate(losses, 1)]
    (folder / disk.METRICS).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def by_id(overview):
    return {row["id"]: row for row in overview.read()}


def test_rows_are_plain_json(tmp_path):
    folder = write_run(tmp_path, "a", losses=[2.0, float("nan")])
    (folder / disk.CHECKPOINTS / "step-2").mkdir(parents=True)
    row = by_id(Overview(tmp_path))["a"]
    json.dumps(row, allow_nan=False)
    assert (row["state"], row["step"], row["total_steps"], row["checkpoints"]) == ("finished", 2, 10, 1)
    assert row["eval_loss"] is None and row["model"] == "data/tiny" and row["size"] > 0


def test_an_ended_run_that_has_not_changed_is_not_read_again(tmp_path, monkeypatch):
    write_run(tmp_path, "a"), write_run(tmp_path, "b")
    overview, read = Overview(tmp_path), []
    real = module.row_of
    monkeypatch.setattr(module, "row_of", lambda run, **how: read.append(run.id) or real(run, **how))
    by_id(overview)
    assert sorted(read) == ["a", "b"]
    read.clear()
    disk.write_status(tmp_path / "a", "stopped")
    assert by_id(overview)["a"]["state"] == "stopped" and read == ["a"]
    shutil.rmtree(tmp_path / "a")
    assert list(by_id(overview)) == ["b"]


def test_sizes_are_measured_a_few_at_a_time(tmp_path, monkeypatch):
    for name in "abc":
        write_run(tmp_path, name)
    monkeypatch.setattr(module, "MEASURING", -1.0)
    overview = Overview(tmp_path)
    known = [sum(row["size"] is not None for row in overview.read()) for _ in range(4)]
    assert known == [1, 2, 3, 3]


def test_a_damaged_run_and_no_folder_hide_nothing(tmp_path):
    write_run(tmp_path, "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / disk.RUN).write_text("{", encoding="utf-8")
    assert sorted(by_id(Overview(tmp_path))) == ["bad", "good"]
    assert Overview(tmp_path / "nowhere").read() == []


@pytest.mark.parametrize("reason", ["rank 0: CUDA out of memory", ""])
def test_a_failure_says_why_in_short(tmp_path, reason):
    folder = write_run(tmp_path, "a")
    disk.write_status(folder, "failed", reason)
    row = by_id(Overview(tmp_path))["a"]
    assert row["reason"] == reason and len(row["why"]) <= 80


def test_the_runs_of_many_people_in_one_table(tmp_path):
    """Folders that come later are seen too; one that is closed, or no folder, hides no other."""
    for person in ("ana", "ben"):
        write_run(tmp_path / person / "runs", "first")
    (tmp_path / "notes.txt").touch()
    seen = Overviews(tmp_path / "*" / "runs")
    assert sorted(row["id"] for row in seen.read()) == ["ana/runs/first", "ben/runs/first"]
    write_run(tmp_path / "eve" / "runs", "late")
    assert len(seen.read()) == 3 and all(
        (seen.root / row["id"] / "run.json").is_file() for row in seen.read()
    )
