"""JSON arrays and CSV files of which only the places of rows are held: the same rows and the same faults as read whole."""

from __future__ import annotations

import csv
import io
import json
import random
import tracemalloc
from pathlib import Path

import pytest

from sftkit.data import array_index, csv_index, text_files
from sftkit.data.browsing import open_lazily
from sftkit.data.line_index import LineIndex
from sftkit.errors import DataError

PARTS = [
    'a "quoted" word',
    "问题，答案",
    "line\nline",
    "tab\t\\ back",
    "\u2028🙂é",
    ",;[]{}",
    "",
    " x ",
    "-1.5e3",
    "]",
]


def rows_of(chance: random.Random, count: int) -> list[dict]:
    def text() -> str:
        return "".join(chance.choices(PARTS, k=chance.randint(0, 4)))

    return [{"prompt": text(), "n": chance.choice([1, -2.5, None, True, 10**18]), "messages": [{"a]": text()}] * chance.randint(0, 2)} for _ in range(count)]  # fmt: skip


def told(read, path: Path) -> object:
    """Rows, or what is said of them."""
    try:
        rows = read(path)
        return rows.take(range(len(rows)))
    except DataError as error:
        return str(error)


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_an_array_is_found_row_by_row(tmp_path, monkeypatch, piece):
    monkeypatch.setattr(array_index, "PIECE", piece)
    chance = random.Random(piece)
    for number in range(40):
        rows, path = rows_of(chance, chance.randint(0, 6)), tmp_path / f"{number}.json"
        text = json.dumps(rows, ensure_ascii=chance.random() < 0.5, indent=chance.choice([None, 2]))
        path.write_text(chance.choice(["", "\ufeff", "  \n"]) + text + chance.choice(["", "\n \n"]), encoding="utf-8")  # fmt: skip
        found = array_index.array(path)
        assert isinstance(found, LineIndex) and found.take(range(len(found))) == rows


def test_damaged_arrays_are_told_as_when_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(array_index, "PIECE", 5)
    whole = json.dumps([{"prompt": "é]", "n": [1, {"a": "\\"}]}, {"prompt": "b"}], ensure_ascii=False)
    texts = [whole[:at] for at in range(1, len(whole))] + [whole + "x", whole.replace(", {", " {"), "[1]", '[{"a": tru}]', "[" * 5000]  # fmt: skip
    for number, text in enumerate(texts):
        (path := tmp_path / f"{number}.json").write_text(text, encoding="utf-8")
        assert told(array_index.array, path) == told(text_files.json_rows, path)
        assert isinstance(told(array_index.array, path), str)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_table_is_found_row_by_row(tmp_path, end):
    chance = random.Random(len(end))
    for number in range(40):
        sink = io.StringIO()
        made = csv.writer(
            sink, lineterminator=end, quoting=csv.QUOTE_ALL if end == "\r" else csv.QUOTE_MINIMAL
        )
        made.writerow(["prompt", "response"])
        for _ in range(chance.randint(1, 6)):
            made.writerow(["".join(chance.choices(PARTS, k=2)) for _ in "ab"])
            sink.write(end * chance.randint(0, 2))
        path = tmp_path / f"{number}.csv"
        path.write_bytes(chance.choice([b"", b"\xef\xbb\xbf"]) + sink.getvalue().encode())
        found = csv_index.table(path)
        assert isinstance(found, csv_index.CsvIndex) == (end != "\r")
        assert told(csv_index.table, path) == told(text_files.csv_table, path)
        assert found.columns == ["prompt", "response"]


def test_damaged_tables_are_told_as_when_read_whole(tmp_path):
    for number, text in enumerate([b"a,b\n1,2\n3\n", b'a,b\n1,"2\n', b'a,b\n1,"2"x\n', b"a,b\n1,\0\n", b"a,b\n1,\xff\n", b"", b"\n1,2\n"]):  # fmt: skip
        (path := tmp_path / f"{number}.csv").write_bytes(text)
        assert told(csv_index.table, path) == told(text_files.csv_table, path)


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_large_files_are_not_held(tmp_path, kind):
    rows, path = (
        [{"prompt": f"{n}", "response": "word " * 1000} for n in range(2000)],
        tmp_path / f"rows.{kind}",
    )
    if kind == "json":
        path.write_text(json.dumps(rows))
    else:
        path.write_text("prompt,response\n" + "".join(f"{row['prompt']},{row['response']}\n" for row in rows))
    tracemalloc.start()
    found = open_lazily(str(path), "train")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < path.stat().st_size / 1.5
    assert found.take([1999]) == [rows[1999]] and len(found) == 2000
    assert found.may_hold(7, "word") and not found.may_hold(7, "nowhere")
