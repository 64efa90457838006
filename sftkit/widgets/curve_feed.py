"""What the page with the curves is told, and no more: after a first frame with every line, what has come since.

One frame is on its way at a time. While the page has not said that it has painted the last one, none is made: a slow
connection costs frames, never the kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sftkit.report.lines import XY, RunLines, View

BYTES = 40_000  # of a frame with news; what does not fit goes with the next one
TAIL = 200  # most points added to a line at once


@dataclass(frozen=True)
class Frame:
    """Lines for the page. `lines`: (number of the run, part, "set" or "add", its points)."""

    number: int
    view: View
    lines: list[tuple[int, str, str, XY]]
    reading: float | None  # share of the files that is read; None: all of them
    tasks: list[str]

    @property
    def content(self) -> dict[str, Any]:
        """The message, without the points."""
        view = self.view
        return {
            "kind": "frame",
            "number": self.number,
            "view": {"axis": view.axis, "smoothing": view.smoothing, "evals": list(view.evals)}
            | {"span": [] if view.low is None else [view.low, view.high]},
            "lines": [[run, part, how, len(x)] for run, part, how, (x, _) in self.lines],
            "reading": self.reading,
            "tasks": self.tasks,
        }

    @property
    def buffer(self) -> bytes:
        """The points: of each line its x, then its y, float64 as this machine writes them."""
        return b"".join(np.ascontiguousarray(a, "<f8").tobytes() for *_, xy in self.lines for a in xy)


@dataclass
class _Sent:
    """How far the page knows a run's lines."""

    version: tuple[int, int, int]
    unread: bool
    points: int  # of its longest line
    saved: int


class Feed:
    """The frames about `lines`, in order. For one thread at a time."""

    def __init__(self, lines: Sequence[RunLines]):
        self.lines, self._number, self._first = lines, 0, 0
        self._sent: dict[int, _Sent] = {}
        self._told: tuple[Any, ...] = ()

    def whole(self, view: View) -> Frame:
        """Every line in this view."""
        self._sent.clear()
        found = [item for run in range(len(self.lines)) for item in self._anew(run, view)]
        return self._frame(view, found)

    def news(self, view: View) -> Frame | None:
        """What has changed since the last frame, in the same view; None where nothing has."""
        found: list[tuple[int, str, str, XY]] = []
        for place in range(len(self.lines)):
            run = (self._first + place) % len(self.lines)
            found += self._changed(run, view)
            if sum(16 * len(x) for *_, (x, _) in found) > BYTES / 2:
                self._first = run + 1  # whoever did not fit is first next time
                break
        if not found and self._told == (self.reading, self.tasks):
            return None
        return self._frame(view, found)

    @property
    def complete(self) -> bool:
        """Whether the frames so far hold all that was read."""
        return all(lines.points.version == self._sent[run].version for run, lines in enumerate(self.lines))

    @property
    def reading(self) -> float | None:
        """Share of the files' bytes that is known; None when it is all."""
        if not any(lines.unread for lines in self.lines):
            return None
        return sum(lines.points.progress for lines in self.lines) / len(self.lines)

    @property
    def tasks(self) -> list[str]:
        """The task types of all runs."""
        return sorted({task for lines in self.lines for task in lines.tasks})

    def _frame(self, view: View, found: list[tuple[int, str, str, XY]]) -> Frame:
        self._number += 1
        self._told = (self.reading, self.tasks)
        return Frame(self._number, view, found, *self._told)

    def _anew(self, run: int, view: View) -> list[tuple[int, str, str, XY]]:
        lines = self.lines[run]
        drawn = lines.drawn(view)
        longest = max(len(x) for x, _ in drawn.values())
        self._sent[run] = _Sent(lines.points.version, lines.unread, longest, len(drawn["saved"][0]))
        return [(run, part, "set", xy) for part, xy in drawn.items()]

    def _changed(self, run: int, view: View) -> list[tuple[int, str, str, XY]]:
        lines, sent = self.lines[run], self._sent.get(run)
        version = lines.points.version
        if sent is None or sent.version[0] != version[0] or sent.points > 2 * view.points:
            return self._anew(run, view)
        if lines.unread or sent.unread:
            moved = version != sent.version or lines.unread != sent.unread
            return self._anew(run, view) if moved else []
        found: list[tuple[int, str, str, XY]] = []
        start = sent.version[1]
        if version[1] > start:
            x = lines.x(view.axis)
            if view.high is None or x[start] <= view.high:
                tail = lines.tail(view, start, TAIL)
                found += [(run, part, "add", xy) for part, xy in tail.items()]
                sent.points += len(tail["loss"][0])
        if version[2] > sent.version[2]:
            found += [(run, part, "add", xy) for part, xy in lines.evals(view, sent.version[2]).items()]
            sent.points += version[2] - sent.version[2]
        if len((saved := lines.saved(view))[0]) != sent.saved:
            found.append((run, "saved", "set", saved))
        sent.version, sent.saved = version, len(saved[0])
        return found
