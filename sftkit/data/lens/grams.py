"""Runs of three words that rows share with others: how much of a row stands in another one, whatever else that holds.

    index = Grams(eval_texts)
    index.contained(train_texts, 0.5)      # [(eval, train, share)]

A run counts by how rare it is (the logarithm of one in how many rows has it), so that boilerplate counts for nothing: two
rows are not alike because both say "I don't know". Rows with less than `FEWEST` runs are too short to tell.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from sftkit.data.lens.duplicates import words

LENGTH = 3  # words
FEWEST = 5  # runs
MOST = 20_000  # pairs of rows that a run may make: more, and it is boilerplate
PIECE = 2000  # rows compared at a time
_SIGN = re.compile(r"(?<=[\d\s)])[-+*/×÷=](?=[\s\d(])")  # 9 + 2 is not 9 - 2
_MIX = np.uint64(0x9E3779B97F4A7C15)


class Shared(NamedTuple):
    """Row `other` holds this share of row `one`, 0 to 1."""

    one: int
    other: int
    share: float


def grams(text: str) -> np.ndarray:
    """Hashes [runs] uint64 of the runs of three words in a text, each once."""
    found = np.fromiter(
        (zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in words(text)), np.uint64
    )
    if len(found) < LENGTH:
        return found[:0]
    mixed = found[: len(found) - LENGTH + 1].copy()
    for place in range(1, LENGTH):
        mixed = (mixed ^ (mixed >> np.uint64(31))) * _MIX + found[place : len(found) - LENGTH + 1 + place]
    return np.unique(mixed)


class Grams:
    """An index of the runs of some texts, to look others up in."""

    def __init__(self, texts: Iterable[str]):
        per_text = [grams(text) for text in texts]
        self.count = len(per_text)
        self._known, gram = np.unique(
            np.concatenate([*per_text, np.empty(0, np.uint64)]), return_inverse=True
        )
        self._texts = np.repeat(np.arange(self.count), [len(one) for one in per_text])
        self._grams = gram
        self._sizes = np.array([len(one) for one in per_text], dtype=np.int64)

    def contained(self, texts: Iterable[str], least: float) -> list[Shared]:
        """Which of `texts` hold at least this share of which of ours."""
        rows, hits, total = self._hits(texts)
        if not len(hits):
            return []
        ours = np.bincount(self._grams, minlength=len(self._known))
        theirs = np.bincount(hits, minlength=len(self._known))
        weights = np.log((self.count + total) / np.maximum(ours + theirs, 1))
        weights[ours * theirs > max(MOST, self.count)] = 0
        return self._compared(rows, hits, total, weights, least)

    def _hits(self, texts: Iterable[str]) -> tuple[np.ndarray, np.ndarray, int]:
        """Row and run of each of our runs that is found in `texts`, and how many texts there are."""
        rows, hits, total = [np.empty(0, np.int32)], [np.empty(0, np.int32)], 0
        for number, text in enumerate(texts):
            total = number + 1
            found = grams(text)
            place = np.searchsorted(self._known, found)
            place[place == len(self._known)] = 0
            if len(self._known):
                place = place[self._known[place] == found]
                rows.append(np.full(len(place), number, np.int32))
                hits.append(place.astype(np.int32))
        return np.concatenate(rows), np.concatenate(hits), total

    def _compared(self, rows: np.ndarray, hits: np.ndarray, total: int, weights: np.ndarray, least: float) -> list[Shared]:  # fmt: skip
        from scipy.sparse import csr_array

        ours = csr_array(
            (weights[self._grams], (self._texts, self._grams)), shape=(self.count, len(self._known))
        )
        whole = np.asarray(ours.sum(axis=1)).ravel()
        there = csr_array((np.ones(len(hits), np.float32), (rows, hits)), shape=(total, len(self._known)))
        ours.eliminate_zeros()
        ours, found = ours.T.tocsr(), []
        for first in range(0, total, PIECE):
            shared = (there[first : first + PIECE] @ ours).tocoo()
            share = shared.data / np.maximum(whole[shared.col], 1e-12)
            for at in np.flatnonzero((share >= least) & (self._sizes[shared.col] >= FEWEST)):
                found.append(Shared(int(shared.col[at]), int(shared.row[at]) + first, float(share[at])))
        return found


def _signs_told(text: str) -> str:
    """A text with its signs of arithmetic as words, which else are none."""
    return _SIGN.sub(lambda found: f" sign{ord(found[0])} ", text)
