"""Is the loss still that of a model that learns? NaN and explosions end a run; noise does not."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sftkit.errors import RunError
from sftkit.runs import folder as disk

WINDOW = 10  # steps whose mean counts: a single hard batch is no explosion
RISE = 3.0  # nats above the best mean so far: the model has forgotten what it knew
SHOWN = 20  # rows named in the message


@dataclass
class LossWatch:
    """Looks at every step's loss. `vocabulary`: tokens of the model; one that knows nothing has a loss of its logarithm."""

    vocabulary: int
    checkpoints: Path
    _first: float = 0.0
    _best: float = math.inf
    _last: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def look(self, step: int, loss: float, grad_norm: float | None, rows: Callable[[], list[str]]) -> None:
        """Raise `RunError`, naming the step, its `rows` and the last good checkpoint, when this cannot go on."""
        for what, value in (("the loss", loss), ("the gradient's norm", grad_norm)):
            if value is not None and not math.isfinite(value):
                raise self._error(f"{what} became {value} at step {step}", step - 1, rows)
        self._first = self._first or loss
        self._last.append(loss)
        nothing_known = 2 * max(math.log(self.vocabulary), self._first)
        if loss > nothing_known:
            raise self._error(f"the loss rose to {loss:.3g} at step {step}, twice that of a model that knows nothing", step - 1, rows)  # fmt: skip
        if len(self._last) < WINDOW:
            return
        mean = sum(self._last) / WINDOW
        self._best = min(self._best, mean)
        if mean > self._best + RISE:
            raise self._error(f"the loss rose to {mean:.3g} in the {WINDOW} steps up to step {step}, from {self._best:.3g} before", step - WINDOW, rows)  # fmt: skip

    def _error(self, what: str, good_until: int, name_rows: Callable[[], list[str]]) -> RunError:
        good = [
            path for path in disk.complete_checkpoints(self.checkpoints) if disk.step_of(path) <= good_until
        ]
        rows = name_rows()
        named = ", ".join(rows[:SHOWN]) + (f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else "")
        return RunError(
            f"{what}, so the run was ended before it could spoil the weights further."
            f" Last good checkpoint: {good[-1] if good else 'none'}. The step's rows: {named}."
            " Look at them, or try a lower learning_rate, a longer warm-up, or bf16=False."
        )
