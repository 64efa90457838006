"""Which rows of which source are used: caps, shares and `max_samples`, drawn with the seed and never from the head.

A pure function of row counts and settings, so that preflight can say beforehand what training will do:

    drawn([2000, 300], probs=[0.7, 0.3], seed=42)      # 700 row numbers of the first source, 300 of the second
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import accumulate


def sizes(
    counts: Sequence[int], *, probs: Sequence[float] | None = None, caps: Sequence[int] | None = None
) -> list[int]:
    """How many rows each source gives, before `max_samples`.

    `caps`: at most so many of each source; 0 caps nothing. `probs`: shares of the mix, whatever they add up to. The mix
    is the largest one in these shares that uses no row twice: the source that is scarcest for its share gives all it
    may, and nobody gives more than the share allows.
    """
    given = [min(count, cap or count) for count, cap in zip(counts, caps or [0] * len(counts), strict=True)]
    if probs is None:
        return given
    shares = [share / max(probs) for share in probs]  # before the sum: it could overflow
    shares = [share / sum(shares) for share in shares]
    total = min(count / share for count, share in zip(given, shares, strict=True) if share > 0)
    return [min(count, round(share * total)) for count, share in zip(given, shares)]


def drawn(
    counts: Sequence[int],
    *,
    probs: Sequence[float] | None = None,
    caps: Sequence[int] | None = None,
    max_samples: int | None = None,
    seed: int = 42,
) -> list[Sequence[int]]:
    """Numbers (0 = the first) of the rows to use, ascending, a sequence for each source.

    The same seed draws the same rows. `max_samples` draws from the mix as a whole, so shares hold on average only.
    """
    parts: list[Sequence[int]] = []
    for place, (count, size) in enumerate(zip(counts, sizes(counts, probs=probs, caps=caps))):
        chance = random.Random(
            f"{seed}, source {place}"
        )  # a text: seed 1 of source 2 is not seed 2 of source 1
        parts.append(range(count) if size == count else sorted(chance.sample(range(count), size)))
    total = sum(map(len, parts))
    if not max_samples or max_samples >= total:
        return parts
    chosen = sorted(random.Random(seed).sample(range(total), max_samples))
    ends = list(accumulate(map(len, parts)))
    return [
        [part[number - end + len(part)] for number in chosen if end - len(part) <= number < end]
        for part, end in zip(parts, ends)
    ]
