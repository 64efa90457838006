"""Rows looked at one by one are the rows that the trainer reads, in its order; so are the steps."""

from __future__ import annotations

import json
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sftkit.config import SFTConfig
from sftkit.data import encoder, read_examples
from sftkit.data.browsing import Drawn
from sftkit.data.line_index import LineIndex, jsonl
from sftkit.data.packing import Order, hands
from sftkit.data.plan import Plan
from sftkit.data.text_files import json_rows as all_of
from sftkit.errors import DataError
from tests.conftest import write_rows


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}\n{"a": 2}\n',
        '\ufeff{"a": 1}\r\n\r\n  \n {"a": "x\u2028y"}\n{"b": 3}',
        '{"a": 1}\r{"a": 2}\r',
        '\n\n{"a": "法国"}\n\t\n',
    ],
)
def test_the_index_gives_the_rows_that_reading_gives(tmp_path, text):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(text.encode())
    index, whole = jsonl(path), all_of(path)
    assert len(index) == len(whole) and index.columns == whole.columns
    assert index.take(range(len(index))) == whole.rows


def test_faults_name_the_line(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\n\n{"a": \n{"a": "\xff"}\n[1]\n')
    index = jsonl(path)
    assert isinstance(index, LineIndex) and index.take([0]) == [{"a": 1}]
    for number, words in ((1, "row 3.*JSON"), (2, "row 4.*UTF-8"), (3, "row 5.*object")):
        with pytest.raises(DataError, match=words):
            index.take([number])


@pytest.mark.parametrize(
    "text",
    ["Paris", "paris", "PARIS in\nspring", 'say "hi"', "a/b \\\\ c", "Straße", "法国", "\u212a", "a\tb", "x"],
)
@pytest.mark.parametrize("ascii", [True, False])
def test_a_quick_look_misses_no_row(tmp_path, text, ascii):
    path = tmp_path / "rows.jsonl"
    path.write_text(
        json.dumps({"a": f"…{text}…"}, ensure_ascii=ascii) + '\n{"a": "nothing of it"}\n', encoding="utf-8"
    )
    index = jsonl(path)
    for piece in (text, text[1:], text[:3]):
        assert index.may_hold(0, piece.casefold())
    assert not index.may_hold(1, "paris")


def test_an_empty_file_has_no_rows(tmp_path):
    (tmp_path / "rows.jsonl").touch()
    assert len(jsonl(tmp_path / "rows.jsonl")) == 0


def test_half_a_million_rows_open_at_once(tmp_path):
    path = tmp_path / "rows.jsonl"
    line = json.dumps({"prompt": "Add 1 and 2." * 20, "response": "3"}) + "\n"
    path.write_text(line * 500_000, encoding="utf-8")
    config = SFTConfig(pretrain="m", dataset=str(path))
    start = time.perf_counter()
    drawn = Drawn(config)
    taken = time.perf_counter() - start
    assert len(drawn) == 500_000 and drawn.example(499_999).row == 500_000
    assert taken < 3, f"{taken:.1f} s"


@pytest.fixture
def two_sources(tiny_model, tmp_path):
    first, second = write_rows(tmp_path / "a.jsonl", 40), tmp_path / "b.csv"
    rows = [f"Say {n},{n}" for n in range(30)]
    second.write_text("\n".join(["prompt,response", *rows]) + "\n", encoding="utf-8")
    return SFTConfig(
        pretrain=str(tiny_model), dataset=f"{first},{second}", dataset_caps=(20, 10), max_samples=25, seed=3,
        train_batch_size=8, micro_train_batch_size=4, num_processes=2, max_epochs=2,
    )  # fmt: skip


def test_rows_come_in_the_trainers_order(two_sources):
    drawn, read = Drawn(two_sources), read_examples(two_sources)
    assert drawn.examples(range(len(drawn))) == read
    assert [drawn.place(number) for number in range(25)] == [(one.source, one.row) for one in read]
    assert [drawn.find(one.source, one.row) for one in read] == list(range(25))
    used = {(one.source, one.row) for one in read}
    assert all(
        drawn.find(read[0].source, row) is None for row in range(1, 41) if (read[0].source, row) not in used
    )
    with pytest.raises(DataError, match="no row 26: train has 25 rows"):
        drawn.place(25)


def test_tables_are_read_in_batches(tiny_model, tmp_path, least_seconds):
    path = tmp_path / "rows.parquet"
    rows = [{"prompt": f"Add {n} and 1.", "response": str(n + 1)} for n in range(20_000)]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=100)
    config = SFTConfig(pretrain=str(tiny_model), dataset=str(path), max_samples=15_000)
    drawn, read = Drawn(config), read_examples(config)
    shuffled = np.random.default_rng(0).permutation(15_000)[:3_000]
    assert drawn.examples(shuffled) == [read[number] for number in shuffled]
    assert least_seconds(lambda: drawn.examples(shuffled)) < 2


def test_a_faulty_row_does_not_hide_its_neighbours(tiny_model, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(
        '{"prompt": "a", "response": "b"}\nnot json\n{"prompt": [1], "response": "b"}\n{"prompt": "c", "response": "d"}\n'
    )
    drawn = Drawn(SFTConfig(pretrain=str(tiny_model), dataset=str(path)))
    found = dict(drawn.read(range(4)))
    assert [isinstance(found[number], DataError) for number in range(4)] == [False, True, True, False]
    assert found[3].row == 4
    with pytest.raises(DataError, match="row 2"):
        drawn.examples([3, 1, 2])


def test_paths_start_from_the_root(two_sources, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    config = two_sources.with_(dataset="a.jsonl", dataset_caps=None)
    assert len(Drawn(config, root=tmp_path)) == 25
    with pytest.raises(DataError, match=r"a\.jsonl.*no such file"):
        Drawn(config)


def test_a_column_that_begins_far_down_is_found(tiny_model, tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [{"prompt": "a", "response": "b"}] * 1_200 + [
        {"prompt": "a", "response": "b", "system": "s", "task": "t"}
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    config = SFTConfig(pretrain=str(tiny_model), dataset=str(path))
    assert Drawn(config).example(1_200) == read_examples(config)[1_200]


@pytest.mark.parametrize("packing", [True, False])
def test_the_plan_is_the_trainers(two_sources, packing):
    """The trainer's own way: encode all, leave out what teaches nothing, shuffle what is left."""
    config = two_sources.with_(packing=packing, max_len=48)
    rows = list(encoder(config).encode(read_examples(config)))
    kept = [number for number, row in enumerate(rows) if row.used]
    lengths = np.array([rows[number].used for number in kept])
    order = Order(len(kept), config.train_batch_size, config.max_epochs, config.seed)
    plan = Plan(config, Drawn(config), encoder(config))
    assert not plan.known and plan.measure(60) == 25 and plan.known
    assert plan.kept.tolist() == kept and plan.order == order
    for step, numbers in enumerate(order.from_step(0), start=1):
        expected = [
            [[kept[row] for row in micro] for micro in hand] for hand in hands(numbers, lengths, config, 2)
        ]
        got = plan.layout(step)
        assert [[[row for rows in micro for row in rows] for micro in hand] for hand in got] == expected
        for row in plan.rows_of(step):
            assert step in plan.steps_of(int(row))
    assert len(plan.steps_of(kept[0])) == 2
    with pytest.raises(DataError, match=f"no step {order.steps + 1}"):
        plan.rows_of(order.steps + 1)


def test_rows_that_teach_nothing_are_in_no_step(tiny_model, tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [
        {"prompt": "a", "response": "b"},
        {"prompt": "x " * 99, "response": "b"},
        {"prompt": "a", "response": "c"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    config = SFTConfig(pretrain=str(tiny_model), dataset=str(path), max_len=32)
    plan = Plan(config, Drawn(config), encoder(config))
    plan.measure(60)
    assert plan.kept.tolist() == [0, 2] and plan.steps_of(1) == [] and sorted(plan.rows_of(1)) == [0, 2]


def test_a_run_that_kept_every_row_needs_no_measuring(two_sources):
    told = Plan(two_sources, Drawn(two_sources), encoder(two_sources), all_kept=True)
    measured = Plan(two_sources, Drawn(two_sources), encoder(two_sources))
    measured.measure(60)
    assert told.known and told.layout(2) == measured.layout(2)
    assert (told.lengths >= 0).sum() == len(told.rows_of(2))  # only the rows of the step were encoded
