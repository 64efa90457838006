"""Files to rows: every format, and faults that name the file and the row."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sftkit.config import SFTConfig
from sftkit.data import file_facts, is_hub_id, read_rows
from sftkit.errors import DataError

ROWS = [{"prompt": "one, two", "response": 'say "hi"\nagain'}, {"prompt": "法国\u2028?", "response": "巴黎"}]


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("form", ["jsonl", "json", "csv", "parquet"])
def test_every_format_gives_the_same_rows(tmp_path, form):
    path = tmp_path / f"rows.{form}"
    if form == "jsonl":
        write(path, "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS) + "\n\n")
    elif form == "json":
        write(path, json.dumps(ROWS))
    elif form == "csv":
        write(path, 'prompt,response\n"one, two","say ""hi""\nagain"\n法国\u2028?,巴黎\n')
    else:
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    assert read_rows(path) == ROWS
    assert file_facts(path)["rows"] == 2


def test_csv_keeps_text_as_it_stands(tmp_path):
    path = write(tmp_path / "rows.csv", "prompt,response\n007,NA\n")
    assert read_rows(path) == [{"prompt": "007", "response": "NA"}]


def test_json_lines_under_the_name_json(tmp_path):
    path = write(tmp_path / "rows.json", '{"prompt": "a"}\n{"prompt": "b"}\n')
    assert [row["prompt"] for row in read_rows(path)] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("rows.jsonl", '{"a": 1}\n\n{"a": \n', "row 3: is not JSON"),
        ("rows.jsonl", '{"a": 1}\n[1]\n', "row 2: should be an object"),
        ("rows.json", '[{"a": 1}, 2]', "row 2: should be an object"),
        ("rows.csv", "a,b\n1,2\n1\n", "row 2: has not 2 fields"),
        ("rows.csv", "a,b\n1,2,3\n", "row 1: has not 2 fields"),
        ("rows.parquet", "no parquet", "is not Parquet"),
        ("rows.jsonl", "", "holds no rows"),
        ("rows.txt", "a", "cannot read .txt"),
    ],
)
def test_faults_name_the_file_and_the_row(tmp_path, name, text, words):
    path = write(tmp_path / name, text)
    with pytest.raises(DataError, match=words) as caught:
        read_rows(path)
    assert str(path) in str(caught.value)


def test_text_that_is_not_utf8_names_the_row(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": "x"}\n{"a": "\xe9t\xe9"}\n')
    with pytest.raises(DataError, match="row 2: is not UTF-8"):
        read_rows(path)


def test_missing_files_and_hub_ids_are_told_apart(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="no such file"):
        read_rows(tmp_path / "absent.jsonl")
    with pytest.raises(DataError, match="is a folder"):
        read_rows(tmp_path)
    with pytest.raises(DataError, match="a hub id is read by the training process only"):
        read_rows("some-owner/some-set")
    assert is_hub_id("some-owner/some-set")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    assert not is_hub_id("data/tiny-bsae")  # a misspelt folder must not be looked for on the hub
    assert not is_hub_id("data/train.jsonl")
    assert not is_hub_id("a/b/c")


def test_the_eval_split_is_empty_without_an_eval_set(tmp_path):
    path = write(tmp_path / "rows.jsonl", '{"prompt": "a", "response": "b"}\n')
    config = SFTConfig(pretrain="m", dataset=str(path))
    assert len(read_rows(config)) == 1
    assert read_rows(config, "eval") == []


def test_the_facts_of_a_file_change_with_its_content(tmp_path):
    path = write(tmp_path / "rows.jsonl", '{"a": 1}\n')
    before = file_facts(path)
    write(path, '{"a": 2}\n')
    assert before["sha256"] != file_facts(path)["sha256"]
    assert before == {"path": str(path), "rows": 1, "sha256": before["sha256"]}
