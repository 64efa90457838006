"""Nominal 95 % intervals hold the truth in 93 to 97 % of 1,000 simulated studies; the dear ones (alpha, kappa) in fewer
studies here, in full in tests/benchmarks/coverage.py (results_coverage.md)."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "coverage.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("coverage_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("n", [50, 200, 805])
def test_win_rate(script, n):
    assert 0.93 <= script.win_rates(np.random.default_rng([1, n]), n, 1000) <= 0.97
    assert 0.93 <= script.win_rates(np.random.default_rng([2, n]), n, 1000, 1, 0.97) <= 0.97


@pytest.mark.parametrize("n", [50, 200, 805])
@pytest.mark.parametrize("name", ["calibrated", "sampled", "ppi_small"])
def test_calibrated_by_humans(script, name, n):
    assert 0.93 <= script.covered(getattr(script, name), script.PPI_TRUTH, n, 1000) <= 0.97


@pytest.mark.parametrize(("n", "least"), [(50, 0.91), (200, 0.93), (805, 0.93)])
def test_ppi_as_its_authors_make_it(script, n, least):
    """The normal interval of PPI++ is a little narrow at n = 50."""
    assert least <= script.covered(script.ppi, script.PPI_TRUTH, n, 1000) <= 0.97


def test_alpha_and_kappa(script):
    """150 studies: the error of a share of 95 % is 1.8 points."""
    assert 0.91 <= script.covered(script.alpha, script.alpha_truth(), 50, 150) <= 0.99
    assert 0.91 <= script.covered(script.kappa, script.kappa_truth(), 50, 150) <= 0.99
