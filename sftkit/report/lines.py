"""The lines of a run's loss curve, as many points of them as can be told apart on a screen.

    lines = RunLines(run)
    while lines.read(limit=64 << 20): ...      # a huge file in pieces; meanwhile `drawn` shows samples of it
    lines.drawn(View(axis="tokens", low=1e6, high=2e6))     # {part: (x, y)}

Parts: "loss" (as logged), "smooth", "saved" (checkpoints, on the smoothed line), "eval", and "eval/<task>".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sftkit.errors import RunError
from sftkit.runs import folder as disk
from sftkit.runs.points import IN, Points, nested

POINTS = 2_000  # most points of a line: more cannot be told apart on a screen
FEWEST, ALL_LINES = 300, 16_000  # of a line among many; of all lines together
SMOOTHING = 0.6
AXES = ("step", "tokens", "seconds")
SAMPLES = 400  # lines of an unread file that are looked at
BY_TASK = "eval_loss_by_task"

XY = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class View:
    """What is to be seen: x axis (one of AXES), weight of the smoothing (0 to below 1), x from `low` to `high` (None: to
    the end), eval lines ("": over all tasks), points of a line."""

    axis: str = "step"
    smoothing: float = SMOOTHING
    low: float | None = None
    high: float | None = None
    evals: tuple[str, ...] = ("",)
    points: int = POINTS


def points_each(runs: int) -> int:
    """Points of a line when so many runs are shown."""
    return max(FEWEST, min(POINTS, ALL_LINES // (2 * max(1, runs))))


def sampled(values: np.ndarray, limit: int = POINTS) -> np.ndarray:
    """Which of a long line's points to draw: at most `limit` rising indices, ends and peaks among them (MinMaxLTTB: Van
    Der Donckt et al. 2023). Values that are no numbers are left out."""
    if len(values) > limit:
        from tsdownsample import MinMaxLTTBDownsampler

        picks = MinMaxLTTBDownsampler().downsample(values, n_out=limit).astype(np.int64)
    else:
        picks = np.arange(len(values))
    return picks[np.isfinite(values[picks])]


def smoothed(values: np.ndarray, weight: float) -> np.ndarray:
    """Exponential moving average without the pull towards its start: the weights weight^0, weight^1, … of the present
    and earlier values are divided by their sum (Kingma and Ba 2015, section 3). weight: 0 (none) to below 1. Values
    that are no numbers are passed over: NaN in their places. Float32."""
    return Average(weight).of(values)


class Average:
    """The moving average of a line that grows at its end: new values cost only themselves."""

    def __init__(self, weight: float):
        self.weight, self._last, self._finite, self._done = weight, 0.0, 0, 0
        self._room = np.empty(0, np.float32)

    def of(self, values: np.ndarray) -> np.ndarray:
        """The average of `values`, whose first ones are those given before."""
        if len(values) > len(self._room):
            room = np.empty(len(values) if not self._done else 2 * len(values), np.float32)
            room[: self._done] = self._room[: self._done]
            self._room = room
        if len(values) > self._done:
            self._room[self._done : len(values)] = self._next(np.asarray(values[self._done :]))
            self._done = len(values)
        return self._room[: len(values)]

    def _next(self, values: np.ndarray) -> np.ndarray:
        from scipy.signal import lfilter

        finite = np.isfinite(values)
        some = values if finite.all() else values[finite]
        if not self.weight or not len(some):
            return np.where(finite, values, np.nan)
        sums, _ = lfilter([1 - self.weight], [1, -self.weight], some, zi=[self.weight * self._last])
        begun, self._finite, self._last = self._finite, self._finite + len(some), sums[-1]
        biased = int(
            min(len(sums), max(0, -40 / np.log(self.weight) - begun))
        )  # after that the bias is below 1e-17
        sums[:biased] /= 1 - self.weight ** np.arange(begun + 1, begun + biased + 1)
        if len(some) == len(values):
            return sums
        spread = np.full(len(values), np.nan)
        spread[finite] = sums
        return spread


class RunLines:
    """The lines of `run` (a Run), as far as its metrics were read, under its id or another `name`. For one thread at a
    time."""

    def __init__(self, run: Any, name: str = ""):
        self.run, self.name = run, name or str(run.id)
        self.points = Points(run.folder)
        self.unread = True  # whether there is more of the file than was read
        self._average, self._era = Average(0), -1
        self._sample: tuple[int, Any] | None = None

    def read(self, limit: int | None = None) -> bool:
        """Read on, at most `limit` bytes (None: all there is). Whether there is more to read now."""
        self.unread = self.points.read(limit)
        return self.unread

    @property
    def tasks(self) -> list[str]:
        """The task types that evaluations tell apart."""
        return [n.partition(IN)[2] for n in self.points.evals.names if n.startswith(BY_TASK + IN)]

    def drawn(self, view: View) -> dict[str, XY]:
        """The lines in this view; of what was not read yet, "loss" and "eval" from samples."""
        x, loss = self.x(view.axis), self.points.steps.column("loss")
        parts = {
            "loss": self._seen(x, loss, view),
            "smooth": self._seen(x, self.smooth(view.smoothing), view),
        }
        parts["saved"] = self.saved(view)
        rest = self._unread() if self.unread else None
        if rest is not None:
            parts["loss"] = _joined(parts["loss"], self._seen(rest.get(view.axis), rest.get("loss"), view))
        return parts | self.evals(view)

    def tail(self, view: View, start: int, limit: int) -> dict[str, XY]:
        """The "loss" and the "smooth" line from row `start` on, at most `limit` points of each."""
        x, loss = self.x(view.axis)[start:], self.points.steps.column("loss")[start:]
        picks = sampled(loss, limit)
        smooth = self.smooth(view.smoothing)[start:]
        return {"loss": (x[picks], loss[picks]), "smooth": (x[picks], smooth[picks].astype(float))}

    def x(self, axis: str) -> np.ndarray:
        """The x of every logged step; all NaN where the run did not log it."""
        x = self.points.steps.column(axis)
        return x if axis == "step" or not np.isnan(x[-1:]).any() else np.full(len(x), np.nan)

    def smooth(self, weight: float) -> np.ndarray:
        """The smoothed loss of every logged step (float32)."""
        era = self.points.version[0]
        if self._average.weight != weight or self._era != era:
            self._average, self._era = Average(weight), era
        return self._average.of(self.points.steps.column("loss"))

    def evals(self, view: View, start: int = 0) -> dict[str, XY]:
        """The eval lines that the view asks for, from row `start` on: "eval" over all tasks, "eval/<task>"."""
        table = self.points.evals
        x = self.at_steps(table.column("step")[start:], view.axis)
        parts = {}
        for task in view.evals:
            y = table.column(nested(BY_TASK, task) if task else "eval_loss")[start:]
            parts[f"eval/{task}" if task else "eval"] = self._seen(x, y, view)
        return parts

    def saved(self, view: View) -> XY:
        """The checkpoints there are, where they lie on the smoothed line."""
        steps, smooth = self.points.steps.column("step"), self.smooth(view.smoothing)
        saved = np.array([disk.step_of(path) for path in self._checkpoints()], float)
        rows = np.searchsorted(steps, saved)
        rows = rows[rows < len(steps)]
        return self.x(view.axis)[rows], smooth[rows].astype(float)

    def at_steps(self, steps: np.ndarray, axis: str) -> np.ndarray:
        """Where these steps lie on another axis: between the logged ones, in proportion."""
        known = self.points.steps.column("step")
        if axis == "step" or not len(known):
            return steps
        return np.interp(steps, known, self.x(axis))

    def row_at(self, axis: str, x: float) -> int | None:
        """The logged step nearest to `x`; None where nothing is logged."""
        known = self.x(axis)
        if not len(known):
            return None
        if x >= known[-1]:
            return len(known) - 1
        right = int(np.searchsorted(known, x))
        left = max(0, right - 1)
        return left if abs(known[left] - x) <= abs(known[right] - x) else right

    def values(self, row: int, view: View) -> dict[str, float]:
        """All that was logged with a step, the smoothed loss, and the last eval losses before it (`eval_loss/<task>`)."""
        steps, evals = self.points.steps, self.points.evals
        found = {name: float(steps.column(name)[row]) for name in steps.names if name != "line"}
        found["smooth"] = float(self.smooth(view.smoothing)[row])
        before = int(np.searchsorted(evals.column("step"), found.get("step", 0), side="right")) - 1
        for task in dict.fromkeys(("", *view.evals)) if before >= 0 else ():
            name = nested(BY_TASK, task) if task else "eval_loss"
            found[f"eval_loss/{task}" if task else name] = float(evals.column(name)[before])
        return {name: value for name, value in found.items() if np.isfinite(value)}

    def _seen(self, x: np.ndarray | None, y: np.ndarray | None, view: View) -> XY:
        """The part of a line in sight and a point on either side of it, thinned."""
        if x is None or y is None or not len(x) or np.isnan(x[-1]):
            return np.empty(0), np.empty(0)
        first = 0 if view.low is None else max(0, int(np.searchsorted(x, view.low)) - 1)
        last = len(x) if view.high is None else int(np.searchsorted(x, view.high, side="right")) + 1
        picks = first + sampled(y[first:last], view.points)
        return x[picks], y[picks].astype(float)

    def _unread(self) -> dict[str, np.ndarray]:
        """A sample of what was not read, looked up once for every place that reading has come to."""
        if self._sample is None or self._sample[0] != self.points.version:
            self._sample = self.points.version, self.points.sample(SAMPLES)[0]
        return self._sample[1]

    def _checkpoints(self) -> list[Any]:
        try:
            return disk.complete_checkpoints(self.run.checkpoints)
        except (
            RunError,
            OSError,
        ):  # a damaged run.json does not say where they are; the curve is there all the same
            return []


def _joined(before: XY, after: XY) -> XY:
    return np.concatenate([before[0], after[0]]), np.concatenate([before[1], after[1]])
