"""Files as they come: whatever can be read is read right, and whatever cannot is named with its file and line. Each file
goes through the reading that training does, and through that of the views, which parse rows one by one."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sftkit.config import SFTConfig
from sftkit.data import read_examples
from sftkit.data.browsing import Drawn
from sftkit.data.reading import read_head
from sftkit.errors import DataError

ROWS = [{"prompt": f"问 {n} é?", "response": f"答\n{n}\u2028 🙂"} for n in range(3)]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
TABLE = "prompt,response\n" + "".join(f'{row["prompt"]},"{row["response"]}"\n' for row in ROWS)


def parquet() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(ROWS), sink)
    return sink.getvalue().to_pybytes()


def arrow() -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pylist(ROWS)
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


READABLE = {
    "byte order mark": ("rows.jsonl", LINES.encode("utf-8-sig")),
    "byte order mark in a table": ("rows.csv", TABLE.encode("utf-8-sig")),
    "UTF-16": ("rows.jsonl", LINES.encode("utf-16")),
    "UTF-16, big-endian and unmarked": ("rows.jsonl", LINES.encode("utf-16-be")),
    "UTF-16 in a table": ("rows.csv", TABLE.encode("utf-16")),
    "UTF-32": ("rows.json", json.dumps(ROWS).encode("utf-32")),
    "carriage returns alone": ("rows.jsonl", LINES.replace("\n", "\r").encode()),
    "carriage returns too": ("rows.jsonl", LINES.replace("\n", "\r\n").encode()),
    "an array in a file of lines": ("rows.jsonl", json.dumps(ROWS).encode()),
    "lines in a file of an array": ("rows.json", LINES.encode()),
    "lines in a table": ("rows.csv", LINES.encode()),
    "gzip": ("rows.jsonl.gz", gzip.compress(LINES.encode())),
    "gzip in a table": ("rows.csv.gz", gzip.compress(TABLE.encode())),
    "gzip without saying so": ("rows.jsonl", gzip.compress(LINES.encode())),
    "Parquet under another name": ("rows.jsonl", parquet()),
    "Arrow under another name": ("rows.csv", arrow()),
    "blank lines and blanks": ("rows.jsonl", b"\n \n" + LINES.replace("\n", "  \n\n").encode() + b"\n\t\n"),
}


@pytest.mark.parametrize("kind", READABLE)
def test_read_right(tmp_path, kind):
    name, raw = READABLE[kind]
    config = written(tmp_path / name, raw)
    wanted = [(row["prompt"], row["response"]) for row in ROWS]
    assert [said(example) for example in read_examples(config)] == wanted
    drawn = Drawn(config)
    assert [said(example) for example in drawn.examples(range(len(drawn)))] == wanted
    head = read_head(tmp_path / name, 10_000)  # what preflight looks at
    assert head is None or head[0] == ROWS[: len(head[0])]


BROKEN = {
    "truncated JSON": ("rows.jsonl", LINES.encode()[:-8], "row 3: is not JSON: Unterminated string"),
    "a truncated array": ("rows.json", json.dumps(ROWS, indent=1).encode()[:-9], "row 12: is not JSON"),
    "truncated UTF-8": ("rows.jsonl", LINES.encode()[:-4], "row 3: is not UTF-8"),
    "truncated UTF-16": ("rows.jsonl", LINES.encode("utf-16")[:-41], "begins as UTF-16 text and is damaged"),
    "truncated gzip": ("rows.jsonl.gz", gzip.compress(LINES.encode())[:-9], "compressed by gzip and damaged"),
    "damaged gzip": ("rows.jsonl.gz", b"\x1f\x8b" + b"x" * 50, "compressed by gzip and damaged"),
    "truncated Parquet": ("rows.parquet", parquet()[:-9], "is not Parquet"),
    "no Parquet": ("rows.parquet", LINES.encode(), "is not Parquet"),
    "a table in a file of lines": ("rows.jsonl", TABLE.encode(), "row 1: is not JSON"),
    "a spreadsheet": ("rows.csv", b"PK\x03\x04" + b"\0" * 40, r"packed \(zip, or a spreadsheet\): unpack"),
    "zstd": ("rows.jsonl", b"(\xb5/\xfd" + b"\0" * 40, r"packed \(zstd\)"),
    "NUL bytes in a line": ("rows.jsonl", LINES.replace("问 1", "\0").encode(), "row 2: holds NUL bytes"),
    "NUL bytes at the end": ("rows.jsonl", LINES.encode() + b"\0" * 5000, "row 4: holds NUL bytes"),
    "NUL bytes in a table": ("rows.csv", TABLE.replace("问 1", "\0").encode(), "row 4: holds NUL bytes"),
    "rows of another shape": (
        "rows.jsonl",
        (LINES + json.dumps({"messages": [{"role": "user", "content": "q"}]})).encode(),
        "row 4, field 'prompt': has no such column, which the rows of this source have; it has messages",
    ),
    "a list among rows": ("rows.jsonl", (LINES + "[1]\n").encode(), "row 4: should be an object"),
    "rows in a part": (
        "rows.json",
        json.dumps({"version": 1, "data": ROWS}, indent=1).encode(),
        "is one object that holds its rows in 'data'",
    ),
    "nested without end": ("rows.jsonl", (LINES + "[" * 200_000).encode(), "row 4: is nested too deeply"),
    "a number without end": ("rows.jsonl", LINES.encode() + b'{"a": ' + b"1" * 5000 + b"}", "row 4: is not JSON"),
    "nothing": ("rows.jsonl", b"", "holds no rows"),
    "blanks": ("rows.jsonl", b"\xef\xbb\xbf \n\n", "holds no rows"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_named_with_file_and_line(tmp_path, kind):
    name, raw, words = BROKEN[kind]
    config = written(tmp_path / name, raw)
    with pytest.raises(DataError, match=words) as caught:
        read_examples(config)
    assert str(tmp_path / name) in str(caught.value)
    with pytest.raises(DataError, match=words):
        drawn = Drawn(config)
        drawn.examples(range(len(drawn)))


def test_a_line_of_50_megabytes(tmp_path):
    long = {"prompt": "q", "response": "long ones " * 5_000_000}
    config = written(tmp_path / "rows.jsonl", (json.dumps(long) + "\n" + LINES).encode())
    assert [len(example.messages[1]["content"]) for example in read_examples(config)][:2] == [50_000_000, 6]
    drawn = Drawn(config)
    assert len(drawn) == 4 and said(drawn.example(3)) == (ROWS[2]["prompt"], ROWS[2]["response"])
    assert read_head(tmp_path / "rows.jsonl", 100_000) is None


def test_a_file_that_may_not_be_read(tmp_path):
    config = written(tmp_path / "rows.jsonl", LINES.encode())
    (tmp_path / "rows.jsonl").unlink()
    (tmp_path / "rows.jsonl").symlink_to("rows.jsonl")  # a link to itself
    with pytest.raises(DataError, match="no such file"):
        read_examples(config)


def test_one_object_over_many_lines_is_one_row(tmp_path):
    config = written(tmp_path / "rows.json", json.dumps(ROWS[0], indent=1).encode())
    assert [said(example) for example in read_examples(config)] == [(ROWS[0]["prompt"], ROWS[0]["response"])]


def written(path: Path, raw: bytes) -> SFTConfig:
    path.write_bytes(raw)
    return SFTConfig(pretrain="m", dataset=str(path))


def said(example) -> tuple[str, ...]:
    return tuple(message["content"] for message in example.messages)


def test_rows_in_a_part_of_an_object_on_one_line(tmp_path):
    for name in ("rows.json", "rows.jsonl"):
        (tmp_path / name).write_text(json.dumps({"data": ROWS}))
        for read in (lambda path: Drawn(config_of(path)), lambda path: read_examples(config_of(path))):
            with pytest.raises(DataError, match="one object that holds its rows in 'data'"):
                read(tmp_path / name)
    (tmp_path / "one.jsonl").write_text(json.dumps({"messages": [{"role": "user", "content": "?"}]}))
    assert len(Drawn(config_of(tmp_path / "one.jsonl"))) == 1


def config_of(path: Path) -> SFTConfig:
    return SFTConfig(pretrain="model", dataset=str(path))
