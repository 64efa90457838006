"""Lessons 08 and 09: the settings of the 8B run stay whole on every way, and five runs really break and are mended."""

from __future__ import annotations

import pytest


@pytest.mark.timeout(400)
def test_lesson_08_from_the_command_to_a_run(taught):
    told, runs = taught("08_your_own_8b_run")
    assert "150 GiB before the first row is read" in told
    assert "8 x 80 GiB: fits as it is" in told and "1 x 80 GiB: {'adam_offload': True}" in told
    assert "256 is no multiple of micro_train_batch_size 2 x 6 processes" in told
    assert "the hostfile has 16 slots" in told and "16 processes, 8 micro-batches" in told
    assert told.count("[png]") == 3  # what fits where, twice, and the curves
    assert [(run.status.state, run.config.processes) for run in runs] == [("finished", 2), ("finished", 1)]
    two, one = (run.metrics()["loss"].tolist() for run in runs)
    assert len(two) == 20 and two == pytest.approx(one, abs=1e-4)


@pytest.mark.timeout(400)
def test_lesson_09_breaks_and_mends_five_runs(taught):
    told, runs = taught("09_when_it_fails")
    lost = [run for run in runs if run.status.state == "failed"]
    assert [run.diagnosis.cause for run in lost] == ["missing_column", "nan", "target_modules"]
    mended = [run for run in runs if run.status.state == "finished"]
    assert len(mended) == 5 and len(runs) == 8
    assert all(run.metrics()["step"].tolist() == list(range(1, 41)) for run in mended)
    assert "rank 0 was ended by SIGKILL" in told and "The model's weights are damaged" in told
    assert "A column is missing in the data | stop: input_key" in told
    assert "LoRA found no layer of that name |" in told and "[png]" in told
    (slower,) = (run for run in mended if run.config.learning_rate == 0.005)
    sick, well = lost[1].metrics()["loss"], slower.metrics()["loss"]
    assert sick.max() > 2 * sick.iloc[0] and well.iloc[-1] < well.iloc[0]
