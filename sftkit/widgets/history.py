"""What was entered, step by step, to go back and forth in."""

from __future__ import annotations

from typing import Any

KEPT = 100  # steps


class History:
    """Snapshots of name -> value. `note` adds one where something has changed; `undo` and `redo` return where to go."""

    def __init__(self, now: dict[str, Any]):
        self.now = now
        self.past: list[dict[str, Any]] = []
        self.future: list[dict[str, Any]] = []

    def note(self, values: dict[str, Any]) -> None:
        """Take down what is entered now; the same as before is no step."""
        if values != self.now:
            self.past = [*self.past, self.now][-KEPT:]
            self.now, self.future = values, []

    def undo(self) -> dict[str, Any] | None:
        """What was entered before; None at the beginning."""
        return self._step(self.past, self.future)

    def redo(self) -> dict[str, Any] | None:
        """What was entered before `undo`; None where nothing was undone."""
        return self._step(self.future, self.past)

    def _step(self, source: list[dict[str, Any]], target: list[dict[str, Any]]) -> dict[str, Any] | None:
        if not source:
            return None
        target.append(self.now)
        self.now = source.pop()
        return self.now
