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


def test_what_cannot_be_written_leaves_no_part(tmp_path, monkeypatch):
    disk.write_json(tmp_path / "status.json", {"state": "running"})

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk.os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        disk.write_json(tmp_path / "status.json", {"state": "failed"})
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]
    assert disk.read_json(tmp_path / "status.json") == {"state": "running"}


def test_room_is_kept_and_given_back(tmp_path):
    disk.keep_reserve(tmp_path)
    assert disk.size_of(tmp_path) == disk.RESERVE_BYTES
    disk.free_reserve(tmp_path)
    disk.free_reserve(tmp_path)
    assert list(tmp_path.iterdir()) == []
    disk.keep_reserve(tmp_path / "gone")  # no reason to fail
    assert not disk.is_full(tmp_path) and not disk.is_full(tmp_path / "gone")


def test_sweeping_takes_only_what_is_half(tmp_path):
    for name in ("checkpoints/.step-4", "checkpoints/step-2", ".model-part", "model"):
        (tmp_path / name).mkdir(parents=True)
    disk.sweep(tmp_path)
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*"))
    assert left == ["checkpoints", "checkpoints/step-2", "model"]


def test_run_folders_leave_out_what_is_none(tmp_path):
    for name in ("b", "a", ".deleted-c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text("{}")
    (tmp_path / "notes").mkdir()
    (tmp_path / "run.json").write_text("{}")
    assert sorted(path.name for path in disk.run_folders(tmp_path)) == ["a", "b"]
    assert disk.run_folders(tmp_path / "none") == []


def test_sizes_count_links_as_links(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 1000)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b").write_bytes(b"x" * 500)
    (tmp_path / "sub" / "up").symlink_to(tmp_path)
    assert disk.size_of(tmp_path) == 1500 + len(str(tmp_path))
    words = [disk.size_words(count) for count in (0, 999, 1500, 12_345_678, 5e15)]
    assert words == ["0 bytes", "999 bytes", "1.5 kB", "12.3 MB", "5e+03 TB"]
