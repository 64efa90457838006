"""The run folder on disk: whole or absent, and read in whatever state it is."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from sftkit.runs import folder as disk


def test_folders_made_in_the_same_second_differ(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: disk.create(tmp_path, "m"), range(24)))
    assert len(set(folders)) == 24
    assert all(folder.is_dir() for folder in folders)


@pytest.mark.parametrize("name", ["Meta-Llama-3-8B", "../../etc", "名字 with blanks", "", "." * 9])
def test_a_name_from_outside_stays_inside(tmp_path, name):
    folder = disk.create(tmp_path, name)
    assert folder.parent == tmp_path
    assert not folder.name.startswith(".")


def test_write_json_leaves_no_part_and_keeps_unicode(tmp_path):
    disk.write_json(tmp_path / "a.json", {"reason": "没有答案"})
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert "没有答案" in (tmp_path / "a.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "\x00\xff"])
def test_read_json_of_a_broken_file_is_empty(tmp_path, text):
    (tmp_path / "a.json").write_text(text, encoding="latin-1")
    assert disk.read_json(tmp_path / "a.json") == {}
    assert disk.read_json(tmp_path / "absent.json") == {}


def test_a_half_line_waits_for_its_end(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2, "lo', encoding="utf-8")
    rows, read_to = disk.read_lines(path)
    assert rows == [{"step": 1}]
    with path.open("a", encoding="utf-8") as file:
        file.write('ss": 0.5}\n')
    assert disk.read_lines(path, read_to)[0] == [{"step": 2, "loss": 0.5}]


def test_a_broken_line_in_the_middle_costs_only_itself(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": \xff2}\n7\n\n{"step": 3, "loss": NaN}\n')
    rows, _ = disk.read_lines(path)
    assert [row["step"] for row in rows] == [1, 3]
    assert rows[1]["loss"] != rows[1]["loss"]


@pytest.mark.parametrize("block", [1, 3, 7, 65_536])
def test_tail_from_the_end(tmp_path, block):
    path = tmp_path / "train.log"
    path.write_text("\n".join(f"line {i} é" for i in range(50)) + "\n", encoding="utf-8")
    assert disk.tail(path, 3, block=block).splitlines() == ["line 47 é", "line 48 é", "line 49 é"]
    assert disk.tail(path, 1000).count("line") == 50
    assert disk.tail(path, 0) == disk.tail(tmp_path / "absent", 5) == ""


def test_newest_checkpoint_counts_by_number_and_leaves_out_half_ones(tmp_path):
    for name in ("step-9", "step-100", ".step-200", "step-200.tmp", "other"):
        (tmp_path / name).mkdir()
    assert disk.newest_checkpoint(tmp_path).name == "step-100"
    assert disk.newest_checkpoint(tmp_path / "absent") is None


def test_write_status_keeps_the_steps(tmp_path):
    disk.write_status(tmp_path, "running", step=3, total=9)
    disk.write_status(tmp_path, "failed", "why")
    told = json.loads((tmp_path / "status.json").read_text())
    assert (told["state"], told["step"], told["total_steps"], told["reason"]) == ("failed", 3, 9, "why")
