"""Which rows each micro-batch has: all of them, once, and within the memory that the settings allow."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftkit.config import SFTConfig
from sftkit.data.packing import best_fit, deal, hands, sequences

LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=80)


def config(**settings) -> SFTConfig:
    return SFTConfig(pretrain="m", dataset="d", **settings)


@given(LENGTHS, st.integers(1, 400))
def test_bins_hold_everything_once_and_no_more_than_fits(lengths, capacity):
    bins = best_fit(lengths, capacity)
    assert sorted(place for places in bins for place in places) == list(range(len(lengths)))
    for places in bins:
        assert len(places) == 1 or sum(lengths[place] for place in places) <= capacity


@given(LENGTHS, st.integers(300, 900))
def test_bins_are_few(lengths, capacity):
    """No fewer than the tokens need, and within the bound that best-fit decreasing is known for."""
    count, least = len(best_fit(lengths, capacity)), math.ceil(sum(lengths) / capacity)
    assert least <= count <= 11 / 9 * _fewest(lengths, capacity) + 1


def _fewest(lengths: list[int], capacity: int) -> int:
    """An upper bound of the fewest bins, by another rule: first fit in the order given, and by length."""

    def first_fit(order):
        room: list[int] = []
        for length in order:
            at = next((at for at, left in enumerate(room) if left >= length), None)
            if at is None:
                room.append(capacity - length)
            else:
                room[at] -= length
        return len(room)

    return min(first_fit(lengths), first_fit(sorted(lengths, reverse=True)))


def test_best_fit_takes_the_fullest_bin_that_has_room():
    assert best_fit([6, 5, 4, 5], 10) == [[0, 2], [1, 3]]
    assert best_fit([7, 6, 3], 10) == [[0, 2], [1]]  # 3 fills the bin of 7, where 6 would leave a hole


@given(LENGTHS, st.integers(1, 4), st.integers(1, 6), st.booleans(), st.integers(0, 2**32 - 1))
def test_every_rank_gets_equally_many_micro_batches_and_every_row_is_computed_once(
    lengths, ranks, micro, packing, seed
):
    lengths = np.array(lengths)
    numbers = np.random.default_rng(seed).permutation(len(lengths))[: max(1, len(lengths) // 2)]
    settings = config(packing=packing, micro_train_batch_size=micro, max_len=300, train_batch_size=micro * 4)
    shares = hands(numbers, lengths, settings, ranks)
    assert len(shares) == ranks
    assert len({len(share) for share in shares}) == 1
    assert sorted(row for share in shares for rows in share for row in rows) == sorted(numbers.tolist())
    for share in shares:
        for rows in share:
            if packing:
                assert sum(lengths[row] for row in rows) <= 300 * micro
            else:
                assert len(rows) <= micro


def test_a_full_batch_has_as_many_micro_batches_as_the_settings_say():
    settings = config(train_batch_size=24, micro_train_batch_size=3, num_processes=2)
    shares = hands(np.arange(24), np.arange(1, 25), settings, 2)
    assert [len(share) for share in shares] == [settings.accumulation(2)] * 2
    tokens = [sum(rows) + len(rows) for share in shares for rows in share]
    assert max(tokens) - min(tokens) <= 24


@pytest.mark.parametrize("count", [1, 3, 7])
def test_the_largest_are_dealt_to_and_fro(count):
    groups = deal(np.arange(count * 2), np.arange(count * 2), count)
    assert {sum(group) for group in groups} == {count * 2 - 1}


@given(LENGTHS, st.integers(1, 3), st.booleans())
def test_sequences_are_what_the_hands_hold_each_within_max_len(lengths, ranks, packing):
    lengths, numbers = np.array(lengths), np.arange(len(lengths))
    settings = config(packing=packing, micro_train_batch_size=2, max_len=300, train_batch_size=12)
    laid = sequences(numbers, lengths, settings, ranks)
    flat = [[[row for rows in micro for row in rows] for micro in hand] for hand in laid]
    assert flat == hands(numbers, lengths, settings, ranks)
    for rows in (rows for hand in laid for micro in hand for rows in micro):
        assert sum(lengths[row] for row in rows) <= 300 and (packing or len(rows) == 1)
