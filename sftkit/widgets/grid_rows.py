"""What the grid's rows show: prompt, task, reference and the answers from left to right, short for a closed row and whole
for the open one; and the table of all rows that a filter looks at. No model's name is in any of it unless it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import pandas as pd

from sftkit.generation.table import Generations
from sftkit.ratings.blind import Comparison, check_answers
from sftkit.widgets.grid_votes import LETTERS, NOTHING, Said

PREVIEW = 240  # characters of a prompt or an answer in a closed row


class Rows:
    """The comparisons of one grid with their texts, by row: its number from the top."""

    def __init__(self, answers: Generations, comparisons: Sequence[Comparison]):
        self.answers, self.comparisons = answers, list(comparisons)
        self.of_id = {comparison.id: row for row, comparison in enumerate(self.comparisons)}
        frame = answers.frame
        columns = ("prompt_id", "model", "response", "finish_reason")
        self._texts = {
            (prompt_id, model): (text, finish == "length")
            for prompt_id, model, text, finish in zip(*(frame[name].tolist() for name in columns))
        }
        worse = check_answers(self.comparisons, answers) if any(c.check for c in self.comparisons) else {}
        self._texts |= {name: (text, False) for name, text in worse.items()}
        columns = ("prompt_id", "prompt", "task", "reference")
        self._prompts: dict[str, tuple[Any, str, str]] = {}
        for prompt_id, prompt, task, reference in zip(*(frame[name].tolist() for name in columns)):
            self._prompts.setdefault(prompt_id, (prompt, task or "", reference or ""))

    def __len__(self) -> int:
        return len(self.comparisons)

    @property
    def columns(self) -> int:
        """Answers side by side, in the widest row."""
        return max((len(comparison.models) for comparison in self.comparisons), default=2)

    @cached_property
    def tasks(self) -> list[str]:
        tasks = (self._prompts[comparison.prompt_id][1] for comparison in self.comparisons)
        return sorted({task for task in tasks if task})

    def preview(self, row: int, shown: Sequence[str], flag: bool) -> dict[str, Any]:
        """A closed row, a Preview of protocol.ts."""
        prompt_id = self.comparisons[row].prompt_id
        prompt, task, _ = self._prompts[prompt_id]
        answers = [self._texts[prompt_id, model][0][:PREVIEW] for model in shown]
        return {"prompt": prompt[-1]["content"][:PREVIEW], "task": task, "answers": answers, "flag": flag}

    def whole(self, row: int, shown: Sequence[str], named: bool) -> dict[str, Any]:
        """The open row: those fields of protocol.ts' Comparison that nobody has said."""
        comparison = self.comparisons[row]
        prompt, task, reference = self._prompts[comparison.prompt_id]
        texts = [self._texts[comparison.prompt_id, model] for model in shown]
        return {
            "row": row,
            "id": comparison.id,
            "prompt": prompt,
            "task": task,
            "reference": reference,
            "answers": [{"side": s, "text": text, "cut": cut} for s, (text, cut) in zip(LETTERS, texts)],
            "names": dict(zip(LETTERS, shown)) if named else None,
        }

    def table(self, shown: Sequence[Sequence[str]], said: Mapping[int, Said], named: bool) -> pd.DataFrame:
        """Every row for reading and filtering. Answers are in columns "A", "B", … by their place, or, where names are
        known (`named`), in one column a model."""
        places = [letter.upper() for letter in LETTERS[: self.columns]]
        lines = [self._line(row, shown[row], said.get(row), named) for row in range(len(self))]
        models = list(dict.fromkeys(model for order in shown for model in order)) if named else places
        names = [
            "row",
            "prompt_id",
            "task",
            "prompt",
            "reference",
            *models,
            "models",
            "text",
            "votes",
            *NOTHING,
        ]
        return pd.DataFrame(lines, columns=names)

    def _line(self, row: int, shown: Sequence[str], said: Said | None, named: bool) -> dict[str, Any]:
        prompt_id = self.comparisons[row].prompt_id
        prompt, task, reference = self._prompts[prompt_id]
        texts = [self._texts[prompt_id, model][0] for model in shown]
        question = "\n\n".join(message["content"] for message in prompt)
        heads = shown if named else [letter.upper() for letter in LETTERS]
        return {
            "row": row,
            "prompt_id": prompt_id,
            "task": task,
            "prompt": question,
            "reference": reference,
            **dict(zip(heads, texts)),
            "models": list(shown) if named else None,
            "text": "\n\n".join([question, reference, *texts]),
            "votes": said is not None and said.is_vote,
            **(said.opinion if said else NOTHING),
        }
