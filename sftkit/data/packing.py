"""Which rows each optimizer step trains, and how they lie in the micro-batches of each rank. No torch: whoever shows a
step in a notebook gets it from here, as the trainer does.

How they lie changes nothing of what is learned: the loss is the mean over all trained tokens of the step, so packed and
unpacked training have the same gradient. What changes is the memory and the time.

    unpacked  micro-batches of at most micro_train_batch_size rows, of equal count and nearly equal length
    packed    sequences of at most max_len tokens, filled by best fit, as few as hold the rows
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sftkit.config import SFTConfig


@dataclass(frozen=True)
class Order:
    """Which rows each step trains: shuffled anew in every epoch, the last batch of an epoch may be smaller."""

    rows: int
    batch_size: int
    epochs: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(self.rows / self.batch_size)

    @property
    def steps(self) -> int:
        return self.steps_per_epoch * self.epochs

    def shuffled(self, epoch: int) -> np.ndarray:
        """Every row number once, as epoch `epoch` (0 = the first) takes them."""
        return np.random.default_rng([self.seed, epoch]).permutation(self.rows)

    def from_step(self, step: int) -> Iterator[np.ndarray]:
        """Row numbers of step `step` (0 = the first) and of all that follow: a pure function of seed and step."""
        for epoch in range(step // self.steps_per_epoch, self.epochs):
            shuffled = self.shuffled(epoch)
            for place in range(step % self.steps_per_epoch, self.steps_per_epoch):
                yield shuffled[place * self.batch_size : (place + 1) * self.batch_size]
            step = 0


def hands(numbers: np.ndarray, lengths: np.ndarray, config: SFTConfig, ranks: int) -> list[list[list[int]]]:
    """For each rank its micro-batches, each a list of rows out of `numbers`. `lengths`: tokens of every row.

    Every rank gets equally many, since ZeRO-3 gathers weights in every one of them; a micro-batch may be empty.
    """
    laid = sequences(numbers, lengths, config, ranks)
    return [[[row for rows in micro for row in rows] for micro in hand] for hand in laid]


def sequences(numbers: np.ndarray, lengths: np.ndarray, config: SFTConfig, ranks: int) -> list[list[list[list[int]]]]:  # fmt: skip
    """As `hands`, each micro-batch as its sequences: rows that lie in one, packed; without packing a row is its own."""
    if config.packing:
        bins = [
            [int(numbers[place]) for place in places] for places in best_fit(lengths[numbers], config.max_len)
        ]
    else:
        bins = [[int(row)] for row in numbers]
    filled = np.array([sum(int(lengths[row]) for row in rows) for rows in bins])
    rounds = -(-len(bins) // (config.micro_train_batch_size * ranks))
    micros = deal(np.arange(len(bins)), filled, rounds * ranks)
    return [[[bins[number] for number in micro] for micro in micros[rank::ranks]] for rank in range(ranks)]


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
