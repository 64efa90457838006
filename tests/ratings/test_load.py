"""32 raters at once, some killed at random, on both databases: the small run of tests/benchmarks/raters.py."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "raters.py"


@pytest.fixture(scope="module")
def raters():
    spec = importlib.util.spec_from_file_location("raters", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_32_raters_with_kills_lose_nothing_and_rate_nothing_twice(raters, url, tmp_path):
    (tmp_path / "logs").mkdir()
    result = raters.run(url, tmp_path / "logs", raters=32, votes=30, together=16, kills=2, seed=1)
    assert raters.faults(result) == []
    assert result["killed"] == 2 and result["stored"] == 32 * 30
    assert np.percentile(result["vote"], 95) < 5000  # ms, whatever else the machine does


@pytest.mark.parametrize(
    ("change", "says"),
    [({"lost": 1}, "lost"), ({"stored twice": 1}, "stored twice"), ({"stored": 70}, "more stored than acknowledged"),
     ({"most votes on a comparison": 3}, "3 votes on one"), ({"counted": 59}, "59 votes counted"), ({"by rater": {"a": 30}}, "by rater")],
)  # fmt: skip
def test_the_count_can_fail(raters, change, says):
    good = {
        "lost": 0, "stored twice": 0, "acknowledged twice": 0, "stored": 60, "acknowledged": 60, "killed": 1, "together": 1,
        "most votes on a comparison": 2, "counted": 60, "by rater": {"a": 30, "b": 30}, "votes": 30, "raters": 2,
    }  # fmt: skip
    assert raters.faults(good) == []
    assert any(says in fault for fault in raters.faults({**good, **change}))
