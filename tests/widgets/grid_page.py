"""Asks a grid as the page does, for the tests of its kernel half."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from sftkit.generation import Generations
from sftkit.widgets.grid import ComparisonGrid
from sftkit.widgets.grid_votes import NOTHING


def answers(models: str = "abcd", prompts: int = 6) -> Generations:
    """Answers of models called secret-a and so on; each says its own letter first."""
    rows = [
        {
            "prompt_id": f"p{n}",
            "prompt": f"question {n}",
            "task": ("math", "code")[n % 2],
            "reference": f"ref {n}",
            "model": f"secret-{name}",
            "response": f"{name.upper()} says {n} " + "long words again " * 12,
        }
        for n in range(prompts)
        for name in models
    ]
    return Generations.from_frame(pd.DataFrame(rows))


class Page:
    def __init__(self, *args: Any, **kwargs: Any):
        self.grid = ComparisonGrid(*args, **{"rater": "ana", **kwargs})
        self.heard: list[dict[str, Any]] = []
        self.grid.send = lambda content, buffers=None: self.heard.append(content)
        self.count = 0

    def ask(self, kind: str, **content: Any) -> dict[str, Any]:
        self.count += 1
        self.grid._receive(self.grid, {"ask": f"n{self.count}", "kind": kind, **content}, [])
        return [message for message in self.heard if message.get("ask") == f"n{self.count}"][-1]

    def vote(self, row: int, verdict: str | None = None, **opinion: Any) -> dict[str, Any]:
        shown = self.ask("row", row=row)
        self.count += 1
        return self.ask(
            "vote", id=shown["id"], opinion={**NOTHING, "verdict": verdict, **opinion}, seconds=2.5,
            key=f"{self.grid.rater}-{self.count}", base=0, restored=False, next=True,
        )  # fmt: skip

    def letters(self, row: int) -> str:
        """The models' letters, left to right."""
        return "".join(answer["text"][0] for answer in self.ask("row", row=row)["answers"]).lower()

    def rank(self, row: int, best_first: str, **opinion: Any) -> dict[str, Any]:
        """Rank the models by their letters; a comma puts two at one place: "b,ca" has b first, then c and a together."""
        shown = self.letters(row)
        ranks = {
            "abcdef"[shown.index(name)]: n
            for n, place in enumerate(best_first.split(","), 1)
            for name in place
        }
        return self.vote(row, ranking=ranks, **opinion)

    @property
    def sent(self) -> str:
        """All that ever left for the page."""
        state = {
            name: str(value)
            for name, value in self.grid.get_state().items()
            if name not in ("_esm", "_packed")
        }
        return json.dumps(self.heard) + json.dumps(state)
