"""Rows that are nearly the same: MinHash signatures (Broder 1997) of pairs of words, found by LSH banding.

    near = NearDuplicates(0.8)
    near.add(texts)              # in pieces, as they stream by
    near.clusters()              # for each text the number of the first one that it is like

Two texts are near when at least 0.8 of the pairs of words that either has are in both (Jaccard); a letter of Chinese or
Japanese is a word. The signatures are `datasketch`'s. Its LSH index takes some 2 kB a row in Python objects, so the bands are
sorted here as columns of numbers: 0.35 kB a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from zlib import crc32

import numpy as np

HASHES = 126  # the share of equal ones estimates the Jaccard similarity to within 0.036 (one standard error at 0.8)
SCHEME = "affine32"  # 32-bit hashes
RECALL = 0.99  # of the pairs at the threshold, at least so many share a band and so are compared
SAMPLE = 20_000  # characters of a text that are looked at
PIECE = 100_000  # pairs compared at a time

_WORD = re.compile("[぀-ヿ㐀-鿿豈-﫿]|[^\\W_぀-ヿ㐀-鿿豈-﫿]+")
_MIX = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xFF51AFD7ED558CCD)


def words(text: str) -> list[str]:
    """The words of a text in lower case."""
    return _WORD.findall(text[:SAMPLE].lower())


def shingles(text: str) -> np.ndarray:
    """Hashes [pairs of words] uint32 of a text, of those that are the same in each process; of fewer than two words, of
    what there is."""
    found = np.fromiter(map(_word_hash, words(text)), np.uint64)
    if len(found) > 1:
        found = found[:-1] * np.uint64(_MIX[0]) + found[1:] * np.uint64(_MIX[1])
    found = (found ^ (found >> np.uint64(29))) * np.uint64(_MIX[2])
    return np.unique((found >> np.uint64(32)).astype(np.uint32))


def similarity(one: str, other: str) -> float:
    """The Jaccard similarity of two texts' pairs of words, 0 to 1."""
    a, b = shingles(one), shingles(other)
    both = len(np.intersect1d(a, b, assume_unique=True))
    return both / max(1, len(a) + len(b) - both)


def signature(text: str) -> np.ndarray:
    """The MinHash [HASHES] uint32 of a text."""
    from datasketch import MinHash

    found = MinHash(HASHES, scheme=SCHEME, hashfunc=int, permutations=_permutations())
    found.update_batch(shingles(text).tolist())
    return found.hashvalues


class NearDuplicates:
    """Signatures of texts, and which of them are near each other."""

    def __init__(self, threshold: float = 0.8) -> None:
        """threshold: the similarity, over 0 up to 1, from which on two texts are near."""
        self.threshold, self._in_band = threshold, in_band(threshold)
        self._signatures: list[np.ndarray] = []  # their lower 16 bits: enough to compare by
        self._bands: list[np.ndarray] = []

    def add(self, texts: Sequence[str]) -> None:
        """More texts, numbered on from those before."""
        if texts:
            whole = np.stack([signature(text) for text in texts])
            self._signatures.append(whole.astype(np.uint16))
            self._bands.append(_band_keys(whole, self._in_band))

    def clusters(self, skip: np.ndarray | None = None) -> np.ndarray:
        """For each text the number of the first text of its cluster: itself where it is like none before it.

        A cluster is what hangs together by pairs of at least the threshold. `skip`: True for texts that are left alone.
        """
        count = sum(map(len, self._signatures))
        labels = np.arange(count)
        if not count:
            return labels
        self._signatures, self._bands = [np.concatenate(self._signatures)], [np.concatenate(self._bands)]
        [compared], [bands] = self._signatures, self._bands
        alive = np.arange(count) if skip is None else np.flatnonzero(~skip)
        for band in range(bands.shape[1]):
            for first, second in _candidates(bands[:, band], alive):
                apart = labels[first] != labels[second]
                first, second = first[apart], second[apart]
                alike = (compared[first] == compared[second]).mean(axis=1) >= self.threshold
                labels = _joined(labels, first[alike], second[alike])
        return labels


def _candidates(keys: np.ndarray, alive: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of texts with the same key, in pieces: each with the first of them, and with the one before it. So a band of
    100,000 equal keys gives 200,000 pairs and not five thousand million."""
    order = alive[np.argsort(keys[alive], kind="stable")]
    same = np.concatenate([[False], keys[order[1:]] == keys[order[:-1]]])
    begins = np.maximum.accumulate(np.where(same, 0, np.arange(len(order))))
    places = np.flatnonzero(same)
    for at in range(0, len(places), PIECE):
        part = places[at : at + PIECE]
        yield order[begins[part]], order[part]
        yield order[part - 1], order[part]


def _joined(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The labels after these pairs were put into one cluster each; a label is the least number in its cluster."""
    if not len(first):
        return labels
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    size = len(labels)
    rows = np.concatenate([np.arange(size), first])
    columns = np.concatenate([labels, second])
    graph = coo_array((np.ones(len(rows), np.bool_), (rows, columns)), shape=(size, size))
    _, parts = connected_components(graph, directed=False)
    least = np.full(parts.max() + 1, size)
    np.minimum.at(least, parts, np.arange(size))
    return least[parts]


def in_band(threshold: float) -> int:
    """How many hashes make a band, as many as RECALL allows. Two texts of similarity s share one of the HASHES // n bands of
    n hashes with probability 1 - (1 - s^n)^(HASHES // n): for n = 6, 0.998 at s = 0.8 and 0.28 at 0.5."""
    fits = (n for n in range(20, 1, -1) if 1 - (1 - threshold**n) ** (HASHES // n) >= RECALL)
    return next(fits, 1)


def _band_keys(whole: np.ndarray, size: int) -> np.ndarray:
    """A key [texts, bands] uint32 for each band of `size` hashes of the signatures."""
    count = HASHES // size
    bands = whole[:, : count * size].reshape(len(whole), count, size).astype(np.uint64)
    keys = np.zeros(bands.shape[:2], np.uint64)
    for place in range(size):
        keys = (keys ^ bands[:, :, place]) * np.uint64(_MIX[2])
        keys ^= keys >> np.uint64(32)
    return keys.astype(np.uint32)


@cache
def _permutations() -> np.ndarray:
    """Drawn once: drawing them takes as long as a signature."""
    from datasketch import MinHash

    return MinHash(HASHES, scheme=SCHEME).permutations


@lru_cache(maxsize=2**16)
def _word_hash(word: str) -> int:
    return crc32(word.encode("utf-8", "surrogatepass"))
