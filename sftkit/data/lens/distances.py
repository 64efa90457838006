"""How far two sets of rows are apart in one trait, and how far a random draw of that size would be.

Shares of kinds: the Jensen-Shannon distance, 0 (equal) to 1 (nothing in common): the root of the divergence in bits (Lin 1991;
Endres and Schindelin 2003). Lengths: the Kolmogorov-Smirnov distance, the largest gap between the shares of rows up to some
length, 0 to 1; beside it the Wasserstein distance, by how many characters rows are longer or shorter.
The noise is what chance makes: training and eval rows are thrown together, as many as the eval rows drawn from them, and
compared with the rest (a permutation test); 99 in 100 of such distances are below it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

DRAWS = 300
LEVEL = 0.99


def shares(kinds: Sequence[Any], known: Sequence[Any]) -> np.ndarray:
    """The share [known] of each kind."""
    place = {kind: number for number, kind in enumerate(known)}
    counts = np.bincount([place[kind] for kind in kinds], minlength=len(known))
    return counts / max(1, counts.sum())


def js(one: np.ndarray, other: np.ndarray) -> float:
    """The Jensen-Shannon distance of two lists of shares."""
    from scipy.spatial.distance import jensenshannon

    if not one.sum() or not other.sum():
        return 0.0 if one.sum() == other.sum() else 1.0
    return float(np.nan_to_num(jensenshannon(one, other, base=2)))


def ks(one: np.ndarray, other: np.ndarray) -> float:
    """The Kolmogorov-Smirnov distance of two lists of numbers."""
    one, other = np.sort(one), np.sort(other)
    at = np.concatenate([one, other])
    gaps = np.searchsorted(one, at, "right") / len(one) - np.searchsorted(other, at, "right") / len(other)
    return float(np.abs(gaps).max())


def wasserstein(one: np.ndarray, other: np.ndarray) -> float:
    """The mean distance, in the unit of the numbers, by which one list must be moved to become the other."""
    from scipy.stats import wasserstein_distance

    return float(wasserstein_distance(one, other))


def noise(rows: int, size: int, distance: Callable[[np.ndarray], float], seed: int) -> float:
    """The 99th percentile of `distance(drawn)` over random draws: `drawn` [rows] is True for `size` of them."""
    chance = np.random.default_rng(seed)
    found = []
    for _ in range(DRAWS):
        drawn = np.zeros(rows, dtype=bool)
        drawn[chance.choice(rows, size, replace=False)] = True
        found.append(distance(drawn))
    return float(np.quantile(found, LEVEL))
