"""Rows as token ids: how they lie in memory, whole and as micro-batches. Which of them a step trains: `data/packing.py`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from sftkit.data import Encoded


@dataclass(frozen=True)
class Micro:
    """Rows laid one after the other, without padding.

    `input_ids` and `positions` [1, tokens]; `lengths`: tokens of each row; `places` [trained]: where a trained token
    is predicted, which is one before it stands; `targets` [trained]: the tokens; `groups` [trained]: the group of the
    token's row. `empty`: a stand-in for no rows, whose loss does not count (ranks must compute equally often).
    """

    input_ids: torch.Tensor
    positions: torch.Tensor
    lengths: tuple[int, ...]
    places: torch.Tensor
    targets: torch.Tensor
    groups: torch.Tensor
    empty: bool = False


class Rows:
    """The rows that teach something, as token ids.

    `rows`, `truncated`, `shortened` (turns left out) count what came in; `nothing_to_train` are the places (source and
    row) of those without a trained token, which are left out.
    """

    def __init__(self, encoded: Iterable[Encoded]):
        self.ids: list[np.ndarray] = []
        self.masks: list[np.ndarray] = []
        self.tasks: list[str] = []
        self.places: list[tuple[str, int]] = []  # source and row
        self.rows = self.truncated = self.shortened = 0
        self.nothing_to_train: list[tuple[str, int]] = []
        for row in encoded:
            self.rows += 1
            self.truncated += row.truncated
            self.shortened += row.dropped_turns > 0
            if row.used == 0:
                self.nothing_to_train.append((row.source, row.row))
                continue
            self.ids.append(row.input_ids[: row.used])
            self.masks.append(row.loss_mask[: row.used])
            self.tasks.append(row.task)
            self.places.append((row.source, row.row))

    def __len__(self) -> int:
        return len(self.ids)

    def names(self, numbers: Iterable[int]) -> list[str]:
        """Where in the data these rows stand: `row 5`, with its source where there are several."""
        return [self._name(*self.places[number]) for number in numbers]

    def _name(self, source: str, row: int) -> str:
        return f"row {row} of {source}" if self._mixed else f"row {row}"

    @cached_property
    def _mixed(self) -> bool:
        return len({source for source, _ in [*self.places, *self.nothing_to_train]}) > 1

    @cached_property
    def lengths(self) -> np.ndarray:
        return np.array([len(ids) for ids in self.ids], dtype=np.int64)

    @cached_property
    def trained(self) -> np.ndarray:
        """Trained tokens of each row."""
        return np.array([int(mask[1:].sum()) for mask in self.masks], dtype=np.int64)

    @cached_property
    def largest_id(self) -> int:
        return max(int(ids.max()) for ids in self.ids)

    @cached_property
    def groups(self) -> list[str]:
        """The task types, in alphabetical order."""
        return sorted(set(self.tasks))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of exactly what is trained: file, columns, template, tokenizer and max_len all show in it."""
        digest = hashlib.sha256()
        for ids, mask in zip(self.ids, self.masks):
            digest.update(len(ids).to_bytes(8, "little") + ids.tobytes() + mask.tobytes())
        return digest.hexdigest()

    def report(self) -> str:
        """What became of the rows, in words."""
        parts = [f"{len(self):,} rows, {int(self.lengths.sum()):,} tokens, {int(self.trained.sum()):,} of them trained"]  # fmt: skip
        if self.truncated:
            parts.append(f"{self.truncated:,} rows cut at max_len")
        if self.shortened:
            parts.append(f"{self.shortened:,} rows without their last turns, which did not fit max_len")
        if missing := self.nothing_to_train:
            shown = ", ".join(self._name(*place) for place in missing[:10]) + (
                ", …" if len(missing) > 10 else ""
            )
            parts.append(f"{len(missing):,} rows left out, they have nothing to train ({shown})")
        return "; ".join(parts)

    def counts(self) -> dict[str, int]:
        """The same in figures: `tokens` and `trained_tokens` are those of the rows kept, in one epoch."""
        return {
            "rows": self.rows,
            "kept": len(self),
            "truncated": self.truncated,
            "shortened": self.shortened,
            "nothing_to_train": len(self.nothing_to_train),
            "tokens": int(self.lengths.sum()),
            "trained_tokens": int(self.trained.sum()),
        }

    @cached_property
    def tasks_by_row(self) -> np.ndarray:
        """For each row the place of its task in `groups`."""
        place = {task: number for number, task in enumerate(self.groups)}
        return np.array([place[task] for task in self.tasks], dtype=np.int64)

    def micro(
        self, numbers: list[int], device: torch.device, group_of: Mapping[int, int] | None = None
    ) -> Micro:
        """These rows as one micro-batch on `device`. `group_of`: the group of each row; None: its task."""
        numbers, empty = (numbers, False) if numbers else ([int(self.lengths.argmin())], True)
        lengths = [len(self.ids[number]) for number in numbers]
        starts = np.cumsum([0, *lengths[:-1]])
        places = [np.flatnonzero(self.masks[number][1:]) for number in numbers]
        flat = np.concatenate([self.ids[number] for number in numbers])
        at = np.concatenate([start + place for start, place in zip(starts, places)])
        of_rows = self.tasks_by_row if group_of is None or empty else group_of
        groups = np.repeat([of_rows[number] for number in numbers], [len(p) for p in places])

        def tensor(array: np.ndarray) -> torch.Tensor:
            whole = torch.from_numpy(array.astype(np.int64))
            return whole.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else whole

        positions = np.concatenate([np.arange(length) for length in lengths])
        return Micro(
            tensor(flat)[None], tensor(positions)[None], tuple(lengths), tensor(at), tensor(flat[at + 1]), tensor(groups), empty
        )  # fmt: skip
