"""Changes beside the data: applied wherever rows are read as if the file had been edited by hand, reversible, and named
where they do not fit any more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sftkit.config import SFTConfig
from sftkit.data import encoder, file_facts, patch_log, patches, read_examples, read_rows
from sftkit.data.browsing import Drawn
from sftkit.data.patches import row_hash
from sftkit.errors import DataError
from sftkit.runs import facts, preflight
from sftkit.runs.sources import LIMITS, Limits, Split

TALK = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Helo"}]


def rows_of(count: int = 12) -> list[dict]:
    return [{"prompt": f"question {n}", "response": f"answer {n}"} for n in range(1, count + 1)]


def write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def data(tmp_path) -> Path:
    return write(tmp_path / "train.jsonl", rows_of())


def settings(path: Path, **changes) -> SFTConfig:
    return SFTConfig(**{"pretrain": "data/tiny-base", "dataset": str(path), "input_key": "prompt", "output_key": "response", **changes})  # fmt: skip


# one row


def test_a_hash_is_of_the_content_and_of_nothing_else():
    assert row_hash({"a": 1, "b": ["x", None]}) == row_hash({"b": ["x", None], "a": 1}) != row_hash({"a": 1, "b": ["x"]})  # fmt: skip
    assert row_hash({"a": "\ud800"}) != row_hash({"a": "?"}) and len(row_hash({})) == 16
    assert row_hash({"a": b"\x00", "b": np.datetime64("2026-01-01").item()})
    assert row_hash({"text": "a"}) == "6193c97585a0f731"  # written in patch files: it may never change


def test_edits_exclusions_and_the_way_back(data):
    before = data.read_bytes()
    first = patches.edit(data, 2, "response", "two", reason="a typo", by="ana")
    patches.edit(data, 2, "response", "TWO", by="bob")
    patches.edit(data, 3, "note", "a new column", by="ana")
    [out] = patches.exclude(data, [5], reason="spam")
    assert patches.exclude(data, [5]) == []  # it is out already
    rows = read_rows(data)
    assert len(rows) == 11 and rows[1]["response"] == "TWO" and rows[2]["note"] == "a new column"
    assert "question 5" not in {row["prompt"] for row in rows}
    listed = patches.listing(data)
    assert list(listed["before"])[:2] == ["answer 2", "two"] and set(listed["state"]) == {"applied"}
    assert (
        list(listed["row"]) == [2, 2, 3, 5] and listed["reason"][0] == "a typo" and listed["by"][1] == "bob"
    )

    assert patches.revert(data, [first]) == [first]  # the later edit of the same cell stands
    assert read_rows(data)[1]["response"] == "TWO" and patches.revert(data, [first]) == []
    assert patches.include(data, 5) == [out] and len(read_rows(data)) == 12
    patches.revert(data, patches.listing(data)["id"])
    assert read_rows(data) == rows_of() and file_facts(data).get("patch") is None
    assert data.read_bytes() == before
    with pytest.raises(DataError, match="no change with the id nope"):
        patches.revert(data, ["nope"])


def test_a_turn_of_a_conversation(tmp_path):
    path = write(tmp_path / "chat.jsonl", [{"messages": TALK}])
    patches.edit(path, 1, ["messages", 1, "content"], "Hello")
    assert read_rows(path)[0]["messages"] == [TALK[0], {"role": "assistant", "content": "Hello"}]
    assert patches.listing(path)["field"][0] == "messages › 2 › content"
    for wrong in (["messages", 7, "content"], ["messages", "content"], ["nothing", 0]):
        with pytest.raises(DataError, match=r"row 1.*no such place"):
            patches.edit(path, 1, wrong, "x")
    with pytest.raises(DataError, match="no such row; it has 1"):
        patches.exclude(path, [2])


@pytest.mark.parametrize("kind", ["json", "csv", "parquet", "arrow"])
def test_every_format_can_be_patched(tmp_path, kind):
    path, table = tmp_path / f"rows.{kind}", pa.Table.from_pylist(rows_of(5))
    if kind == "json":
        path.write_text(json.dumps(rows_of(5)))
    elif kind == "csv":
        table.to_pandas().to_csv(path, index=False)
    elif kind == "parquet":
        pq.write_table(table, path)
    else:
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    patches.edit(path, 4, "response", "four")
    patches.exclude(path, [1, 5])
    assert [row["response"] for row in read_rows(path)] == ["answer 2", "answer 3", "four"]


# as if by hand


@pytest.mark.parametrize("drawing", [{}, {"max_samples": 6}, {"dataset_caps": [7]}])
def test_training_sees_what_a_file_edited_by_hand_would_give(data, tmp_path, drawing):
    by_hand = rows_of()
    by_hand[1]["response"] = "a different answer"
    del by_hand[10], by_hand[3], by_hand[0]
    other = write(tmp_path / "by_hand.jsonl", by_hand)
    patches.edit(data, 2, "response", "a different answer")
    patches.exclude(data, [1, 4, 11])

    def seen(path: Path) -> list:
        config = settings(path, **drawing)
        return [(row.input_ids.tolist(), row.loss_mask.tolist()) for row in encoder(config).encode(read_examples(config))]  # fmt: skip

    assert seen(data) == seen(other) and len(seen(data)) == min(9, *drawing.get("dataset_caps", [9]), drawing.get("max_samples", 9))  # fmt: skip
    numbers = [example.row for example in read_examples(settings(data, **drawing))]
    names = [example.messages[0]["content"] for example in read_examples(settings(data, **drawing))]
    assert names == [f"question {number}" for number in numbers]  # the file's numbers, whatever is left out


def test_the_lens_and_preflight_see_the_same_rows(data):
    patches.edit(data, 2, "response", "second")
    patches.exclude(data, [1, 4])
    config = settings(data, max_samples=7)
    wanted = [(example.row, example.messages) for example in read_examples(config)]
    drawn = Drawn(config)
    assert [(one.row, one.messages) for one in drawn.examples(range(len(drawn)))] == wanted
    assert drawn.find(None, 4) is None and drawn.place(drawn.find(None, wanted[0][0])) == (str(data), wanted[0][0])  # fmt: skip
    assert drawn.may_hold(drawn.find(None, 2), "second")
    assert [(one.row, one.messages) for one in Split(config, "train", limits=LIMITS).used] == wanted
    part = Split(settings(data), "train", limits=Limits(whole=10, head=200))
    assert not part.whole and [one.row for one in part.examples][:2] == [2, 3]
    assert part.examples[0].messages[1]["content"] == "second"


def test_all_rows_excluded_is_told(data):
    patches.exclude(data, range(1, 13))
    with pytest.raises(DataError, match="no row left: its patch excludes all"):
        read_examples(settings(data))


# when the file changes


def test_changes_follow_their_row_and_what_is_lost_is_named(data):
    patches.edit(data, 2, "response", "two")
    patches.exclude(data, [4])
    patches.exclude(data, [6])
    rows = rows_of()
    del rows[5]  # row 6 is gone
    write(data, [{"prompt": "new", "response": "first"}, *rows])
    listed = patches.listing(data)
    assert dict(zip(listed["state"], listed["row"])) == {"moved": 5, "lost": 6}
    assert list(listed["row"]) == [3, 5, 6]
    seen = {row["prompt"]: row["response"] for row in read_rows(data)}
    assert seen["question 2"] == "two" and "question 4" not in seen
    found = {finding.message for finding in preflight(settings(data)) if "patch" in finding.message}
    assert any("1 changes" in words and "row 6" in words and "not applied" in words for words in found)
    assert any("2 changes" in words and "stand elsewhere" in words for words in found)
    heard: list[str] = []
    read_examples(settings(data), tell=heard.append)
    assert "edits 1 rows and leaves 1 out; 1 of its changes are not applied" in heard[0]


def test_of_equal_rows_only_the_named_one_is_meant(tmp_path):
    path = write(tmp_path / "twice.jsonl", [{"prompt": "a", "response": "b"}] * 4)
    patches.exclude(path, [2, 4])
    assert [example.row for example in read_examples(settings(path))] == [1, 3]
    write(path, [{"prompt": "new", "response": "x"}] * 3 + [{"prompt": "a", "response": "b"}] * 4)
    assert [example.row for example in read_examples(settings(path))] == [1, 2, 3, 6, 7]
    patch_log.append(patches.place_of(path), [{"op": "exclude", "id": "all", "hash": row_hash({"prompt": "a", "response": "b"}), "row": None}])  # fmt: skip
    assert len(read_rows(path)) == 3


def test_a_later_edit_at_the_new_place_does_not_orphan_the_first(data):
    patches.edit(data, 5, "response", "five")
    write(data, [{"prompt": "new", "response": "x"}, *rows_of()])
    patches.edit(data, 6, "prompt", "FIVE")
    assert {"prompt": "FIVE", "response": "five"} in read_rows(data)
    assert "lost" not in set(patches.listing(data)["state"])


# the file of the patch


def test_a_cut_line_is_named_and_spoils_no_other(data):
    patches.exclude(data, [1])
    place = patches.place_of(data)
    with place.open("ab") as file:
        file.write(b'{"op": "exclude", "id": "zz", "ha')
    patches.exclude(data, [2])
    assert read_rows(data)[0]["prompt"] == "question 3"
    assert patches.load(data).broken == [2]
    assert any("line 2" in finding.message for finding in preflight(settings(data)))
    for line in ('{"op": "edit", "id": "1", "hash": "x", "row": 1}', "[]", '{"op": "sing", "id": "1", "hash": "x"}'):  # fmt: skip
        place.write_text(line)
        assert patches.load(data).broken == [1] and not patches.load(data).changes


def test_a_full_disk_leaves_no_half_line(data, monkeypatch):
    patches.exclude(data, [1])
    before, write_some = patches.place_of(data).read_bytes(), os.write

    def full(file: int, text: bytes) -> int:
        if len(text) < 20:
            raise OSError(28, "No space left on device")
        return write_some(file, text[:20])

    monkeypatch.setattr(patch_log.os, "write", full)
    with pytest.raises(DataError, match="No space left"):
        patches.exclude(data, [2])
    assert patches.place_of(data).read_bytes() == before


def test_writers_at_the_same_time_lose_nothing(data):
    code = "import sys; from sftkit.data import patches\nfor n in range(1, 11): patches.edit(sys.argv[1], n, 'response', sys.argv[2] * 2000, by=sys.argv[2])"  # fmt: skip
    writers = [subprocess.Popen([sys.executable, "-c", code, data, name]) for name in "abc"]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    patch = patches.load(data)
    assert len(patch.every) == 30 == len({change.id for change in patch.every}) and not patch.broken


def test_a_folder_of_splits_has_a_patch_each_and_the_hub_none(tmp_path):
    folder = tmp_path / "saved"
    for split in ("train", "test"):
        (folder / split).mkdir(parents=True)
        table = pa.Table.from_pylist(rows_of(3))
        with pa.OSFile(str(folder / split / "data.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:  # fmt: skip
            writer.write_table(table)
        (folder / split / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data.arrow"}]}))
        (folder / split / "dataset_info.json").write_text("{}")
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    patches.exclude(folder, [1], wanted="test")
    assert len(read_rows(folder)) == 3 and len(read_rows(folder, "eval")) == 2
    with pytest.raises(DataError, match="save it to a file first"):
        patches.place_of("owner/name")
    with pytest.raises(DataError, match=r"It has rows\.jsonl\."):
        write(tmp_path / "rows.jsonl", rows_of(1))
        patches.exclude(tmp_path / "rows.jsonl", [1])
        read_rows(tmp_path)


# what a run records


def test_the_patch_is_in_the_facts_and_a_change_of_it_is_a_change_of_the_data(data):
    plain = file_facts(data)
    patches.edit(data, 1, "response", "one")
    one = patches.exclude(data, [2, 3])
    with_patch = file_facts(data)
    assert with_patch["rows"] == 12 and with_patch["sha256"] == plain["sha256"]
    assert with_patch["patch"] | {"sha256": ""} == {"file": "train.jsonl.patch.jsonl", "sha256": "", "edited": 1, "excluded": 2, "lost": 0}  # fmt: skip
    record = {"config": {}, "data": [{**with_patch, "split": "train"}]}
    assert facts.changed(record, data.parent) == []
    patches.revert(data, one[:1])
    assert facts.changed(record, data.parent) == [str(data)]
    patches.exclude(data, [2])
    assert facts.changed(record, data.parent) == []  # what stands counts, not how it came about
