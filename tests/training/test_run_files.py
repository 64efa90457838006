"""The worker's half of the run folder, where a crash or a full disk has left its marks."""

from __future__ import annotations

import json

from sftkit.runs import folder as disk
from sftkit.training.run_files import RunFiles


def test_a_resumed_run_forgets_what_is_cut_and_what_comes_after(tmp_path):
    """A line cut by a full disk in the middle of the file, one cut by a kill at its end, one that is no point."""
    lines = [
        '{"step": 1, "loss": 0.1}',
        '{"step": 2, "eval_loss": 0.30000000000000004}',
        '{"step": 2, "lo{"step": 3}',
        "7",
        '{"step": 1}, {"step": 2}',
    ]
    lines += ['{"step": "x"}', '{"step": 3, "loss": NaN}', '{"step": 4, "loss": 0.2}']
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + '\n{"step": 3, "loss": 0.')
    RunFiles(tmp_path).forget_after(3)
    text = (tmp_path / "metrics.jsonl").read_text()  # what stays, stays byte for byte
    assert text.splitlines() == [lines[0], lines[1], lines[6]] and text.endswith("\n")


def test_last_words_find_room_on_a_full_disk(tmp_path, monkeypatch):
    disk.keep_reserve(tmp_path)
    write, tries = disk.write_json, []

    def full_at_first(path, value):
        tries.append((tmp_path / disk.RESERVE).exists())
        if tries[-1]:
            raise OSError(28, "No space left on device")
        write(path, value)

    monkeypatch.setattr(disk, "write_json", full_at_first)
    RunFiles(tmp_path, 1).error(ValueError("row 7"))
    assert tries == [True, False]
    assert json.loads((tmp_path / "error-rank1.json").read_text())["message"] == "row 7"
