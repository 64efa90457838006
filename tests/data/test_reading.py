"""Files to rows: every format, and faults that name the file and the row."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sftkit.config import SFTConfig
from sftkit.data import file_facts, is_hub_id, is_hub_source, read_examples, read_rows
from sftkit.data.reading import open_source, read_head
from sftkit.errors import DataError

ROWS = [{"prompt": "one, two", "response": 'say "hi"\nagain'}, {"prompt": "法国\u2028?", "response": "巴黎"}]


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def write_stream(table: pa.Table, path: Path) -> Path:
    """An Arrow file as `datasets` writes it."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=1)
    return path


@pytest.mark.parametrize("form", ["jsonl", "json", "csv", "parquet", "stream.arrow", "file.arrow"])
def test_every_format_gives_the_same_rows(tmp_path, form):
    path = tmp_path / f"rows.{form}"
    if form == "jsonl":
        write(path, "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS) + "\n\n")
    elif form == "json":
        write(path, json.dumps(ROWS))
    elif form == "csv":
        write(path, 'prompt,response\n"one, two","say ""hi""\nagain"\n法国\u2028?,巴黎\n')
    elif form == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    elif form == "stream.arrow":
        write_stream(pa.Table.from_pylist(ROWS), path)
    else:
        with pa.ipc.new_file(str(path), pa.Table.from_pylist(ROWS).schema) as writer:
            writer.write_table(pa.Table.from_pylist(ROWS))
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
        ("rows.arrow", "no arrow", "is not Arrow, or is cut short"),
        ("rows.arrow", "", "is not Arrow, or is cut short"),
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
    (tmp_path / "train.jsonl").write_text("{}\n")
    with pytest.raises(DataError, match=r"no such file\. Did you mean .*train\.jsonl"):
        read_rows(tmp_path / "trian.jsonl")
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
    assert is_hub_source("some-owner/some-set@part") and not is_hub_id("some-owner/some-set@part")
    assert not is_hub_source("data/train@home.jsonl")


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


def test_arrow_cut_short_and_parquet_under_a_partitioned_path(tmp_path):
    whole = write_stream(pa.Table.from_pylist(ROWS * 100), tmp_path / "rows.arrow").read_bytes()
    (tmp_path / "rows.arrow").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cut short"):
        read_rows(tmp_path / "rows.arrow")
    (tmp_path / "lang=en").mkdir()
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "lang=en" / "rows.parquet")
    assert read_rows(tmp_path / "lang=en" / "rows.parquet") == ROWS


def test_rows_taken_from_batches_are_those_of_the_table(tmp_path):
    """Three batches and a column of JSON at any depth, as `datasets` stores mixed types."""
    texts = pa.array([json.dumps(part) for part in ("a", ["b"], {"c": 1}, 5)] + [None])
    contents = pa.ExtensionArray.from_storage(pa.json_(), texts)
    turns = pa.StructArray.from_arrays([pa.array(["user"] * 5), contents], names=["role", "content"])
    table = pa.table(
        {"n": range(5), "messages": pa.ListArray.from_arrays(pa.array(range(6), pa.int32()), turns)}
    )
    with pa.ipc.new_file(str(tmp_path / "t.arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    rows = open_source(tmp_path / "t.arrow")
    assert [row["messages"][0]["content"] for row in rows.take(range(5))] == ["a", ["b"], {"c": 1}, 5, None]
    assert [row["n"] for row in rows.take([1, 2, 4])] == [1, 2, 4]
    assert rows.take([]) == [] and len(rows) == 5


# folders that save_to_disk wrote


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """`one` (three shards), `both` (train, test) and `odd` (only the split held_out), written by `datasets` itself."""
    import datasets

    datasets.disable_progress_bars()
    folder = tmp_path_factory.mktemp("saved")
    talk = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    rows = [{"prompt": f"p{n}", "response": "r", "turns": talk} for n in range(10)]
    data = datasets.Dataset.from_list(rows)
    data.save_to_disk(folder / "one", num_shards=3)
    shuffled = data.shuffle(seed=3)
    datasets.DatasetDict(train=shuffled.select(range(7)), test=shuffled.select(range(7, 10))).save_to_disk(folder / "both")  # fmt: skip
    datasets.DatasetDict(held_out=data.select([0])).save_to_disk(folder / "odd")
    data.map(lambda row: row, cache_file_name=str(folder / "one" / "cache-1.arrow"), keep_in_memory=False)
    return folder


def test_a_saved_folder_reads_as_datasets_reads_it(saved):
    import datasets

    assert read_rows(saved / "one") == datasets.load_from_disk(saved / "one").to_list()
    both = datasets.load_from_disk(saved / "both")
    assert read_rows(saved / "both") == both["train"].to_list() and len(both["train"]) == 7
    assert read_rows(saved / "both", "eval") == read_rows(saved / "both" / "test") == both["test"].to_list()


def test_splits_of_settings(saved):
    config = SFTConfig(pretrain="m", dataset=str(saved / "both"), eval_dataset=str(saved / "both"))
    assert [len(read_examples(config, split)) for split in ("train", "eval")] == [7, 3]
    other = config.with_(dataset_split="test", eval_split="train")
    assert [len(read_examples(other, split)) for split in ("train", "eval")] == [3, 7]
    assert len(read_rows(config.with_(eval_dataset=str(saved / "odd")), "eval")) == 1  # the only one there
    with pytest.raises(DataError, match=r"both: has no split 'dev'; it has train, test. Name one"):
        read_rows(config.with_(dataset_split="dev"))
    with pytest.raises(DataError, match="no split 'train'; it has held_out"):
        read_rows(saved / "odd")


def test_a_saved_folder_that_is_not_whole(saved, tmp_path):
    import shutil

    shutil.copytree(saved / "one", tmp_path / "one")
    next((tmp_path / "one").glob("data-00001*")).unlink()
    with pytest.raises(DataError, match=r"lacks data-00001-of-00003.arrow, which its state.json names"):
        read_rows(tmp_path / "one")
    write(tmp_path / "one" / "state.json", "[")
    with pytest.raises(DataError, match=r"state.json: cannot be read"):
        read_rows(tmp_path / "one")


def test_the_order_that_old_versions_kept_beside_the_rows(saved, tmp_path):
    import shutil

    shutil.copytree(saved / "one", tmp_path / "old")
    write_stream(pa.table({"indices": pa.array([9, 0], pa.uint64())}), tmp_path / "old" / "indices.arrow")
    state = json.loads((tmp_path / "old" / "state.json").read_text())
    write(tmp_path / "old" / "state.json", json.dumps({**state, "_indices_data_files": [{"filename": "indices.arrow"}]}))  # fmt: skip
    assert [row["prompt"] for row in read_rows(tmp_path / "old")] == ["p9", "p0"]


def test_a_folder_of_plain_files_names_them(tmp_path):
    for name in ("b.jsonl", "a.arrow", "notes.txt"):
        write(tmp_path / name, "")
    with pytest.raises(DataError, match=r"is a folder; name a file in it\. It has a\.arrow, b\.jsonl\."):
        read_rows(tmp_path)


def test_several_sources_with_commas_between(tmp_path):
    a, b = (write(tmp_path / name, f'{{"prompt": "{name}"}}\n') for name in ("a.jsonl", "b.jsonl"))
    named = [{"prompt": "a.jsonl"}, {"prompt": "b.jsonl"}]
    assert read_rows(f"{a}, {b}") == named
    assert read_rows(SFTConfig(pretrain="m", dataset=f"{a},{b}")) == named
    odd = write(tmp_path / "a, b.jsonl", '{"prompt": "one"}\n')
    assert len(read_rows(odd)) == 1  # a file of that name


def test_the_facts_of_a_folder_are_those_of_its_data_files(saved):
    shards = sorted((saved / "one").glob("data-*.arrow"))
    together = hashlib.sha256(b"".join(shard.read_bytes() for shard in shards)).hexdigest()
    assert file_facts(saved / "one") == {"path": str(saved / "one"), "sha256": together, "rows": 10}
    assert [file_facts(saved / "both", split)["rows"] for split in ("train", None)] == [7, 3]


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet", "arrow"])
def test_the_beginning_of_a_large_file(tmp_path, form):
    rows = [{"prompt": f"row {n:05}\nof many, and more", "response": "r" * 20} for n in range(5000)]
    path = tmp_path / f"rows.{form}"
    if form == "jsonl":
        write(path, "".join(json.dumps(row) + "\n" for row in rows))
    elif form == "csv":
        write(path, "prompt,response\n" + "".join(f'"{row["prompt"]}",{row["response"]}\n' for row in rows))
    elif form == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        write_stream(pa.Table.from_pylist(rows), path)
    for size in range(20_000, 20_050, 7):  # cut anywhere in a row
        seen, total = read_head(path, size)
        assert 0 < len(seen) < 4000 and seen == rows[: len(seen)]
        assert total == 5000 if form in ("parquet", "arrow") else abs(total - 5000) < 50
    write(tmp_path / "rows.json", json.dumps(rows))
    assert read_head(tmp_path / "rows.json", 100) is None  # an array is read whole or not at all
