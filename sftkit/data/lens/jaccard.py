"""Which texts are alike, counted: the Jaccard similarity of their pairs of words, of every pair at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from sftkit.data.lens.duplicates import shingles

PIECE = 500  # texts compared at a time


def alike(ours: Sequence[str], theirs: Sequence[str], least: float) -> Iterator[tuple[int, int, float]]:
    """(one of ours, one of theirs, similarity) for each pair with at least this similarity, 0 to 1."""
    a, b = ([shingles(text) for text in texts] for texts in (ours, theirs))
    known = np.unique(np.concatenate([*a, *b, np.empty(0, np.uint32)]))
    other = _table(b, known).T.tocsr()
    sizes_a, sizes_b = (np.array([len(one) for one in part]) for part in (a, b))
    for first in range(0, len(a), PIECE):
        both = (_table(a[first : first + PIECE], known) @ other).tocoo()
        share = both.data / (sizes_a[both.row + first] + sizes_b[both.col] - both.data)
        for at in np.flatnonzero(share >= least):
            yield int(both.row[at]) + first, int(both.col[at]), float(share[at])


def _table(rows: list[np.ndarray], known: np.ndarray) -> Any:
    """Which pairs of words [rows, known] are in which row."""
    from scipy.sparse import csr_array

    bounds = np.cumsum([0, *map(len, rows)])
    flat = np.searchsorted(known, np.concatenate([*rows, known[:0]]))
    return csr_array((np.ones(len(flat)), flat, bounds), shape=(len(rows), len(known)))
