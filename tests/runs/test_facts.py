"""What run.json says of data: at once when small, by a process of the run when large."""

from __future__ import annotations

import hashlib

from sftkit.runs import facts
from sftkit.runs import folder as disk


def test_large_files_are_filled_in_later(tmp_path, monkeypatch, settings, tiny_rows):
    monkeypatch.setattr(facts, "AT_ONCE", 10)
    config = settings.with_(dataset=tiny_rows.name, eval_dataset="owner/set-on-the-hub")
    monkeypatch.chdir(tiny_rows.parent)
    data = facts.of_config(config)
    assert [(entry["sha256"], entry["split"]) for entry in data] == [(None, "train"), (None, "eval")]
    disk.write_json(tmp_path / disk.RUN, {"cwd": str(tiny_rows.parent), "data": data, "id": "r"})
    monkeypatch.chdir(tmp_path)  # fill_in goes back to where the run was launched
    facts.fill_in(tmp_path)
    record = disk.read_json(tmp_path / disk.RUN)
    train, evals = record["data"]
    assert train["sha256"] == hashlib.sha256(tiny_rows.read_bytes()).hexdigest() and train["rows"] == 64
    assert evals["sha256"] is None and record["id"] == "r"


def test_a_run_fills_them_in(fake_launch, monkeypatch):
    monkeypatch.setattr(facts, "AT_ONCE", 10)
    run = fake_launch()
    assert run.wait(30).state == "finished"
    assert run.data[0]["rows"] == 64, run.log()
