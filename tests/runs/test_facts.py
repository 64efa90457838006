"""What run.json says of data: at once when small, by a process of the run when large."""

from __future__ import annotations

import hashlib

import pyarrow as pa

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


def test_an_entry_for_each_source_filled_in_or_not(tmp_path, monkeypatch, settings, tiny_rows):
    """Small and large files, a split of a saved folder and a hub id; `fill_in` completes what is here."""
    monkeypatch.chdir(tmp_path)
    for split, count in (("train", 3), ("held_out", 2)):
        folder = tmp_path / "saved" / split
        folder.mkdir(parents=True)
        table = pa.table({"prompt": ["q"] * count, "response": ["a"] * count})
        with (
            pa.OSFile(str(folder / "data.arrow"), "wb") as sink,
            pa.ipc.new_stream(sink, table.schema) as file,
        ):
            file.write_table(table)
        (folder / "state.json").write_text('{"_data_files": [{"filename": "data.arrow"}]}')
        (folder / "dataset_info.json").write_text("{}")
    (tmp_path / "saved" / "dataset_dict.json").write_text('{"splits": ["train", "held_out"]}')
    (tmp_path / "large.jsonl").write_bytes(tiny_rows.read_bytes() * 2)
    monkeypatch.setattr(facts, "AT_ONCE", tiny_rows.stat().st_size)
    config = settings.with_(dataset=f"{tiny_rows}, large.jsonl, owner/name@part, saved", eval_dataset="saved", eval_split="held_out")  # fmt: skip
    data = facts.of_config(config)
    assert [(entry["path"], entry["rows"], entry["split"]) for entry in data] == [
        (str(tiny_rows), 64, "train"), ("large.jsonl", None, "train"), ("owner/name@part", None, "train"),
        ("saved", 3, "train"), ("saved", 2, "eval"),
    ]  # fmt: skip
    for entry in data:
        entry.update(sha256=None, rows=None)
    disk.write_json(tmp_path / disk.RUN, {"cwd": str(tmp_path), "data": data, "config": config.to_dict()})
    facts.fill_in(tmp_path)
    filled = disk.read_json(tmp_path / disk.RUN)["data"]
    assert [entry["rows"] for entry in filled] == [64, 128, None, 3, 2]
    held_out = (tmp_path / "saved" / "held_out" / "data.arrow").read_bytes()
    assert filled[4]["sha256"] == hashlib.sha256(held_out).hexdigest() and filled[2]["sha256"] is None
