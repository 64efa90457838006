"""Time that a run has taken, and that is left."""

from __future__ import annotations

import time

import pandas as pd
import pytest

from sftkit.runs import Status, launch
from sftkit.runs.times import time_left, time_spent, time_taken


def points(steps, seconds):
    return pd.DataFrame({"step": steps, "seconds": seconds}, dtype=float)


def test_time_left_goes_by_the_newest_points():
    slow_then_quick = points(
        [*range(1, 41)], [*(100.0 * n for n in range(1, 21)), *(2000.0 + n for n in range(1, 21))]
    )
    assert time_left(slow_then_quick, Status("running", 40, 100)) == pytest.approx(60)
    assert time_left(slow_then_quick, Status("stopped", 40, 100)) is None
    assert time_left(points([1], [1]), Status("running", 1, 100)) is None
    assert time_left(points([1, 2], [1, 2]), Status("running", 2, 0)) is None


def test_time_spent_is_that_of_all_starts():
    record = {"pid_started": 1000.0, "created": "2026-01-01T00:00:00+00:00"}
    assert time_spent(record, Status("finished", updated=1060.0)) == 60
    assert time_spent(record | {"spent": 40}, Status("finished", updated=1060.0)) == 100
    now = time_spent({"pid_started": time.time() - 5, "spent": 40}, Status("running", updated=0.0))
    assert 45 <= now < 50
    assert time_spent({}, Status("finished", updated=1060.0)) is None
    assert time_taken({"spent": "much"}, "never") == 0


def test_a_resume_writes_down_what_the_earlier_starts_took(settings, tmp_path, fake_worker, monkeypatch):
    monkeypatch.setenv("FAKE_STEPS", "400")
    run = launch(settings, tmp_path / "runs")
    try:
        while run.status.step < 8:
            time.sleep(0.05)
        run.stop()
        first = time_spent(run.record, run.wait(20))
        assert first > 0.3
        time.sleep(0.6)  # nobody trains: this does not count
        monkeypatch.setenv("FAKE_STEPS", str(run.status.step + 2))
        run.resume()
        run.wait(20)
        assert run.record["spent"] == pytest.approx(first)
        assert first < time_spent(run.record, run.status)
        assert run.record["pid_started"] - (run.status.updated - time_spent(run.record, run.status)) > 0.5
    finally:
        run.kill()
