"""Which batches a dry run takes."""

from __future__ import annotations

import numpy as np
import pytest

from sftkit.config import SFTConfig
from sftkit.data import Encoded
from sftkit.data.packing import Order
from sftkit.training import dry_run
from sftkit.training.batches import Rows


def rows_of(lengths: list[int]) -> Rows:
    return Rows(
        Encoded(np.zeros(n, np.int32), np.arange(n) > 0, "", np.zeros(n), row=row)
        for row, n in enumerate(lengths)
    )


@pytest.mark.parametrize("micro", [1, 4])
def test_the_longest_batch_is_the_one_with_the_largest_micro_batch(monkeypatch, micro):
    """For micro-batches of one row that is the step with the longest row, however short its others are."""
    monkeypatch.setattr(dry_run.dist, "get_world_size", lambda: 1)
    lengths = [10] * 396 + [100] * 3 + [150]
    rows, order = rows_of(lengths), Order(400, 4, 2, 0)
    config = SFTConfig(pretrain="x", dataset="x", train_batch_size=4, micro_train_batch_size=micro)
    longest, typical = dry_run.batches(rows, order, config)
    steps = list(order.from_step(0))
    if micro == 1:
        assert 150 in rows.lengths[longest]
    else:
        assert rows.lengths[longest].sum() == max(rows.lengths[step].sum() for step in steps)
    assert rows.lengths[typical].sum() == 40  # the mean is 41.3
