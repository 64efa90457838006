"""Intervals of figures that are smooth functions of sums over prompts: kappa, alpha, and the like.

Each cluster (a prompt) gives a row of numbers, and a statistic reads their sum. So a bootstrap over prompts is one
matrix product, and what a prompt alone contributes is known exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri, stdtrit

from sftkit.report.estimates import LEVEL, NO_VOTES, Estimate

RESAMPLES = 2000
MANY = 1000  # from this many prompts on the jackknife's interval is as good, and a hundred times faster
BOOTSTRAP = "BCa bootstrap over prompts"
JACKKNIFE = "jackknife over prompts"

# (sums (B, K)) -> observed disagreement (B,), expected disagreement (B,); both as shares of the worst there could be
Disagreements = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def per_cluster(features: np.ndarray, clusters: Any) -> np.ndarray:
    """The rows of `features` (items, K) summed within each cluster, in an order that names do not change."""
    codes, names = pd.factorize(np.asarray(clusters, dtype=object))
    sums = np.zeros((len(names), features.shape[1]))
    np.add.at(sums, codes, features)
    return sums[np.lexsort(sums.round(9).T)] if len(sums) else sums


def beyond_chance(
    features: np.ndarray,
    disagreements: Disagreements,
    *,
    n: int,
    unscored: int = 0,
    resamples: int = RESAMPLES,
) -> Estimate:
    """1 - observed / expected disagreement with its interval. features: (clusters, K), as `per_cluster` gives them.

    BCa bootstrap over clusters (Efron 1987), or the delete-one jackknife with Student's t from MANY clusters on.
    Where all agree, nothing can be resampled: then at most 1 - 0.05^(1/G) of the prompts may differ (rule of three).
    """
    if not n:
        return Estimate.unknown(NO_VOTES, 0, unscored)
    total = features.sum(axis=0, keepdims=True)
    value = float(_ratio(disagreements, total)[0])
    if np.isnan(value):
        return Estimate.unknown(
            "all verdicts are the same: agreement beyond chance is not defined", n, unscored
        )
    g = len(features)
    if g == 1:
        note = "one prompt: its spread is not known"
        return Estimate(value, np.nan, min(-1.0, value), 1.0, n, unscored, JACKKNIFE, note)
    observed, expected = disagreements(total)
    if observed[0] < 1e-12:
        low = 1 - (1 - (1 - LEVEL) ** (1 / g)) / float(expected[0])
        return Estimate(1.0, 0.0, max(low, -1.0), 1.0, n, unscored, "rule of three over prompts")
    without = _ratio(disagreements, total - features)
    without = np.where(np.isnan(without), value, without)
    pull = without.mean() - without
    se = float(np.sqrt((g - 1) / g * (pull**2).sum()))
    if g >= MANY or not resamples or se < 1e-12:
        half = float(stdtrit(g - 1, (1 + LEVEL) / 2)) * se
        return Estimate(value, se, max(value - half, -1.0), min(value + half, 1.0), n, unscored, JACKKNIFE)
    low, high = _bca(_ratio(disagreements, _resampled(features, resamples)), value, pull)
    return Estimate(value, se, low, high, n, unscored, BOOTSTRAP)


def _ratio(disagreements: Disagreements, sums: np.ndarray) -> np.ndarray:
    observed, expected = disagreements(sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(expected > 1e-12, 1 - observed / expected, np.nan)


def _resampled(features: np.ndarray, resamples: int) -> np.ndarray:
    """Sums over prompts drawn with replacement, (resamples, K); the same draws every time."""
    g = len(features)
    drawn = np.random.default_rng(0).integers(0, g, (resamples, g), dtype=np.int32)
    drawn += np.arange(resamples, dtype=np.int32)[:, None] * g
    return np.bincount(drawn.ravel(), minlength=resamples * g).reshape(resamples, g).astype(float) @ features


def _bca(drawn: np.ndarray, value: float, pull: np.ndarray) -> tuple[float, float]:
    """The bias-corrected and accelerated interval (Efron 1987) of draws, with the jackknife's pulls."""
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return -1.0, 1.0
    below = (drawn < value - 1e-12).mean() + (np.abs(drawn - value) <= 1e-12).mean() / 2
    z0 = ndtri(np.clip(below, 1 / len(drawn), 1 - 1 / len(drawn)))
    bend = (pull**3).sum() / (6 * (pull**2).sum() ** 1.5)
    z = z0 + ndtri(np.array([(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
    low, high = np.quantile(drawn, ndtr(z0 + z / (1 - bend * z)))
    return min(float(low), value), max(float(high), value)
