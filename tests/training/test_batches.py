"""Rows to micro-batches, checked by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sftkit.data import Encoded
from sftkit.data.packing import Order, deal
from sftkit.training.batches import Rows

CPU = torch.device("cpu")


def encoded(
    ids: list[int], mask: list[int], task: str = "", row: int = 1, truncated: bool = False
) -> Encoded:
    ends = np.arange(1, len(ids) + 1)
    return Encoded(np.array(ids, np.int32), np.array(mask, bool), "x" * len(ids), ends, truncated, task, row)


def test_rows_lie_side_by_side_and_each_token_is_predicted_from_the_one_before():
    rows = Rows([encoded([5, 6, 7, 8], [0, 0, 1, 1], "b"), encoded([1, 2, 3, 4], [0, 1, 0, 0], "a")])
    micro = rows.micro([0, 1], CPU)
    assert micro.input_ids.tolist() == [[5, 6, 7, 8, 1, 2]]  # what follows the last trained token is left out
    assert micro.positions.tolist() == [[0, 1, 2, 3, 0, 1]]
    assert micro.lengths == (4, 2)
    assert micro.places.tolist() == [1, 2, 4]
    assert micro.targets.tolist() == [7, 8, 2]
    assert [rows.groups[group] for group in micro.groups] == ["b", "b", "a"]
    assert not micro.empty


def test_rows_without_a_trained_token_are_counted_and_named():
    rows = Rows(
        [
            encoded([1, 2, 3], [0, 1, 1], truncated=True),
            encoded([1, 2, 3], [0, 0, 0], row=7),
            encoded([1, 2], [1, 0], row=9),  # the first token of all is predicted from nothing
        ]
    )
    assert (len(rows), rows.rows, rows.truncated, rows.nothing_to_train) == (1, 3, 1, [("", 7), ("", 9)])
    assert "1 rows, 3 tokens, 2 of them trained" in rows.report()
    assert "2 rows left out, they have nothing to train (row 7, row 9)" in rows.report()
    assert "1 rows cut at max_len" in rows.report()
    assert rows.counts() == {
        "rows": 3, "kept": 1, "truncated": 1, "shortened": 0, "nothing_to_train": 2, "tokens": 3, "trained_tokens": 2,
    }  # fmt: skip


def test_no_rows_give_a_stand_in_that_does_not_count():
    micro = Rows([encoded([1, 2, 3], [0, 1, 1]), encoded([1, 2], [0, 1])]).micro([], CPU)
    assert micro.empty
    assert micro.lengths == (2,)


def test_the_digest_tells_ids_and_masks_apart():
    digests = {
        Rows([encoded([1, 2, 3], [0, 1, 1])]).digest,
        Rows([encoded([1, 2, 4], [0, 1, 1])]).digest,
        Rows([encoded([1, 2, 3], [0, 0, 1])]).digest,
        Rows([encoded([1, 2], [0, 1]), encoded([3, 1], [0, 1])]).digest,
    }
    assert len(digests) == 4


def test_every_epoch_has_every_row_once_in_another_order():
    order = Order(rows=10, batch_size=4, epochs=2, seed=1)
    steps = list(order.from_step(0))
    assert (order.steps, order.steps_per_epoch) == (6, 3)
    assert [len(step) for step in steps] == [4, 4, 2, 4, 4, 2]
    first, second = np.concatenate(steps[:3]), np.concatenate(steps[3:])
    assert sorted(first) == sorted(second) == list(range(10))
    assert first.tolist() != second.tolist() != list(range(10))


@pytest.mark.parametrize("step", range(7))
def test_the_order_goes_on_from_any_step(step):
    order = Order(rows=10, batch_size=4, epochs=2, seed=1)
    rest = [numbers.tolist() for numbers in order.from_step(step)]
    assert rest == [numbers.tolist() for numbers in order.from_step(0)][step:]


@given(st.lists(st.integers(1, 2000), min_size=1, max_size=60), st.integers(1, 9))
def test_rows_are_dealt_evenly(lengths, hands):
    lengths = np.array(lengths)
    groups = deal(np.arange(len(lengths)), np.array(lengths), hands)
    assert sorted(number for group in groups for number in group) == list(range(len(lengths)))
    sizes = [len(group) for group in groups]
    assert max(sizes) - min(sizes) <= 1
    tokens = [int(lengths[group].sum()) for group in groups]
    if max(sizes) == min(sizes):  # to and fro: the lots differ by no more than one row does
        assert max(tokens) - min(tokens) <= lengths.max()


def test_rows_are_named_with_their_source_where_there_are_several():
    one, other = (replace(encoded([1, 2], [0, 1], row=5), source=name) for name in ("a.jsonl", "b.jsonl"))
    assert Rows([one, one]).names([1]) == ["row 5"]
    assert Rows([one, other]).names([1, 0]) == ["row 5 of b.jsonl", "row 5 of a.jsonl"]
    empty = replace(encoded([1, 2], [0, 0], row=3), source="c.jsonl")
    assert "nothing to train (row 3 of c.jsonl)" in Rows([one, empty]).report()
