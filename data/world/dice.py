"""Seeded choices that come out the same on every Python: only `Random.random()` is promised to be stable."""

import random
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


class Dice:
    def __init__(self, seed: int):
        self._random = random.Random(seed)

    def chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def number(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self._random.random() * (high - low + 1))

    def pick(self, items: Sequence[Item]) -> Item:
        return items[self.number(0, len(items) - 1)]

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        rest, out = list(items), []
        while rest:
            at = self.number(0, len(rest) - 1)
            rest[at], rest[-1] = rest[-1], rest[at]
            out.append(rest.pop())
        return out

    def sample(self, items: Sequence[Item], count: int) -> list[Item]:
        """`count` different positions of `items` (kept cheap for large tables)."""
        taken: list[int] = []
        while len(taken) < count:
            at = self.number(0, len(items) - 1)
            if at not in taken:
                taken.append(at)
        return [items[at] for at in taken]
