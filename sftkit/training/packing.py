"""Which rows of a step each micro-batch of each rank computes.

Nothing here changes what is learned: the rows of the step are given, and the loss is the mean over all their trained
tokens, so packed and unpacked training have the same gradient. What changes is the memory and the time.

    unpacked  micro-batches of at most micro_train_batch_size rows, of equal count and nearly equal length
    packed    sequences of at most max_len tokens, filled by best fit, as few as hold the rows
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

import numpy as np

from sftkit.config import SFTConfig


def hands(numbers: np.ndarray, lengths: np.ndarray, config: SFTConfig, ranks: int) -> list[list[list[int]]]:
    """For each rank its micro-batches, each a list of rows out of `numbers`. `lengths`: tokens of every row.

    Every rank gets equally many, since ZeRO-3 gathers weights in every one of them; a micro-batch may be empty.
    """
    if config.packing:
        micros = _packed(numbers, lengths, config.max_len, config.micro_train_batch_size, ranks)
    else:
        rounds = -(-len(numbers) // (config.micro_train_batch_size * ranks))
        micros = deal(numbers, lengths[numbers], rounds * ranks)
    return [micros[rank::ranks] for rank in range(ranks)]


def _packed(numbers: np.ndarray, lengths: np.ndarray, max_len: int, sequences: int, ranks: int) -> list[list[int]]:  # fmt: skip
    """Micro-batches of at most `sequences` sequences of `max_len` tokens, a multiple of `ranks` many."""
    bins = [[int(numbers[place]) for place in places] for places in best_fit(lengths[numbers], max_len)]
    filled = np.array([sum(int(lengths[row]) for row in rows) for rows in bins])
    rounds = -(-len(bins) // (sequences * ranks))
    dealt = deal(np.arange(len(bins)), filled, rounds * ranks)
    return [[row for number in hand for row in bins[number]] for hand in dealt]


def best_fit(lengths: Sequence[int] | np.ndarray, capacity: int) -> list[list[int]]:
    """Places of `lengths` in bins of at most `capacity`: longest first, each into the bin it fills best.

    Best-fit decreasing (Johnson 1974) needs at most 11/9 of the fewest possible bins, and one more. A length over
    `capacity` gets a bin of its own. O(n log n) but for moving the list of open bins.
    """
    bins: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (what is left, bin), sorted
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        length = int(lengths[place])
        at = bisect_left(room, (length, -1))
        if at < len(room):
            left, number = room.pop(at)
            bins[number].append(place)
        else:
            left, number = max(capacity, length), len(bins)
            bins.append([place])
        if left > length:
            insort(room, (left - length, number))
    return bins


def deal(items: np.ndarray, sizes: np.ndarray, count: int) -> list[list[int]]:
    """`items` in `count` groups of equal number (give or take one) and nearly equal size: largest first, to and fro."""
    groups: list[list[int]] = [[] for _ in range(count)]
    for place, item in enumerate(items[np.argsort(-sizes, kind="stable")].tolist()):
        lap, seat = divmod(place, count)
        groups[seat if lap % 2 == 0 else count - 1 - seat].append(item)
    return groups
