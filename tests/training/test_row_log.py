"""The record of rows and their losses, as it is written: what stays when a run goes on from a checkpoint."""

from __future__ import annotations

import numpy as np
import pytest

from sftkit.data import Encoded
from sftkit.runs.row_losses import RECORDS, row_losses, rows_at
from sftkit.training.batches import Rows
from sftkit.training.row_log import RowLog
from sftkit.training.run_files import RunFiles


@pytest.fixture(scope="module")
def rows() -> Rows:
    """Four rows of two sources; row n has n trained tokens."""

    def one(n: int) -> Encoded:
        mask = np.arange(6) >= 6 - n
        return Encoded(
            np.arange(6, dtype=np.int32), mask, "x" * 6, np.arange(1, 7), row=n, source=f"{n % 2}.jsonl"
        )

    return Rows([one(n) for n in range(1, 5)])


def log(folder, rows: Rows, step: int = 0, rank: int = 0) -> RowLog:
    return RowLog(RunFiles(folder, rank=rank, step=step), rows, batch=3)


@pytest.fixture
def three_steps(tmp_path, rows):
    written = log(tmp_path, rows)
    written.add(1, np.array([3, 0, 1]), np.array([4.0, 1.0, 2.0]))
    written.add(2, np.array([2]), np.array([np.nan]))
    written.add(3, np.array([0, 1, 2]), np.array([0.1, 0.2, 0.3]))
    return tmp_path


def test_what_is_written_is_there_at_once(three_steps):
    assert rows_at(three_steps, 1).to_dict("list") == {
        "source": ["0.jsonl", "1.jsonl", "0.jsonl"], "row": [4, 1, 2], "loss": [4.0, 1.0, 2.0], "tokens": [4, 1, 2],
    }  # fmt: skip
    assert rows_at(three_steps, 2)["loss"].isna().tolist() == [
        True
    ]  # the row that broke the run can be found
    assert row_losses(three_steps)["times"].tolist() == [2, 2, 2, 1]


@pytest.mark.parametrize("cut", [0, 5])
def test_going_on_drops_what_came_after_the_checkpoint(three_steps, rows, cut):
    with (three_steps / RECORDS).open("ab") as file:
        file.write(b"\xff" * cut)
    resumed = log(three_steps, rows, step=1)
    assert row_losses(three_steps)["times"].sum() == 3
    resumed.add(2, np.array([1]), np.array([7.0]))
    assert rows_at(three_steps, 2)["loss"].tolist() == [7.0]


def test_a_run_killed_in_the_middle_of_a_record_goes_on_where_the_whole_ones_end(three_steps, rows):
    whole = (three_steps / RECORDS).read_bytes()
    (three_steps / RECORDS).write_bytes(whole[:-7])
    resumed = log(three_steps, rows, step=2)
    resumed.add(3, np.array([0, 1, 2]), np.array([0.1, 0.2, 0.3]))
    assert (three_steps / RECORDS).read_bytes() == whole


def test_a_run_that_starts_anew_begins_its_record_anew(three_steps, rows):
    log(three_steps, rows)
    assert row_losses(three_steps).empty


def test_only_one_rank_writes(tmp_path, rows):
    log(tmp_path, rows, rank=1).add(1, np.array([0]), np.array([1.0]))
    assert not list(tmp_path.iterdir())
