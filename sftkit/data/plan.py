"""What each step of a run trains, told without training: its rows in the trainer's order, laid out as the trainer lays
them.

The order is a shuffle of the rows that teach something, so which these are must be known first: from what the run wrote
(`kept`), or by encoding every row once (`measure`, in pieces, since half a million rows take minutes).
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from sftkit.config import SFTConfig
from sftkit.data.browsing import Drawn
from sftkit.data.encoding import Encoder
from sftkit.data.packing import Order, sequences
from sftkit.errors import DataError
from sftkit.wording import say

PIECE = 128  # rows encoded between two looks at the clock
UNKNOWN = -1


class Plan:
    """The steps over the rows `drawn`. all_kept: it is known (from the run) that every row teaches something."""

    def __init__(self, config: SFTConfig, drawn: Drawn, encoder: Encoder, all_kept: bool = False):
        self.config, self.drawn, self._encoder, self._all_kept = config, drawn, encoder, all_kept
        self.lengths = np.full(
            len(drawn), UNKNOWN, dtype=np.int32
        )  # tokens computed of each row; 0: left out
        self._next = 0

    @property
    def measured(self) -> int:
        """Rows encoded so far, from the first on; all of them where that is not needed."""
        return len(self.drawn) if self._all_kept else self._next

    @property
    def known(self) -> bool:
        """Whether the steps can be told."""
        return self.measured == len(self.drawn)

    def measure(self, seconds: float) -> int:
        """Encode more rows for about so many seconds; returns `measured`."""
        until = time.monotonic() + seconds
        while not self.known and time.monotonic() < until:
            numbers = range(self._next, min(self._next + PIECE, len(self.drawn)))
            self._fill(numbers)
            self._next = numbers.stop
        return self.measured

    @property
    def kept(self) -> np.ndarray:
        """Numbers of the rows that are trained, ascending."""
        return np.arange(len(self.drawn)) if self._all_kept else np.flatnonzero(self.lengths > 0)

    @property
    def order(self) -> Order:
        """The trainer's order over `kept`."""
        config = self.config
        return Order(len(self.kept), config.train_batch_size, config.max_epochs, config.seed)

    def rows_of(self, step: int) -> np.ndarray:
        """Row numbers that step `step` (1 = the first) trains. Raises `DataError` where there is no such step."""
        order = self.order
        if not 1 <= step <= order.steps:
            raise DataError(
                say("there is no step {step}: the run has {steps:,}.", step=step, steps=order.steps)
            )
        return self.kept[next(order.from_step(step - 1))]

    def layout(self, step: int) -> list[list[list[list[int]]]]:
        """How the rows of a step lie: for each rank its micro-batches, each of sequences, each of row numbers."""
        numbers = self.rows_of(step)
        self._fill(numbers[self.lengths[numbers] == UNKNOWN])
        return sequences(numbers, self.lengths, self.config, self.config.processes)

    def steps_of(self, number: int) -> list[int]:
        """The steps (1 = the first) that train a row, one an epoch; none for a row that is left out."""
        kept, order = self.kept, self.order
        place = int(np.searchsorted(kept, number))
        if place == len(kept) or kept[place] != number:
            return []
        found = []
        for epoch in range(order.epochs):
            at = int(np.flatnonzero(order.shuffled(epoch) == place)[0])
            found.append(epoch * order.steps_per_epoch + at // order.batch_size + 1)
        return found

    def _fill(self, numbers: Any) -> None:
        numbers = [int(number) for number in numbers]
        for number, encoded in zip(numbers, self._encoder.encode(self.drawn.examples(numbers))):
            self.lengths[number] = encoded.used
