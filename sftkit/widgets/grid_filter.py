"""Which rows of the grid are shown: the typed expression of sftkit/ratings/filtering.py on what the rater may know."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import pandas as pd

from sftkit.ratings import RatingStore


class GridFilter:
    """The filter in force. rows: those it keeps, as the store stood when it was set, so that a row does not vanish under
    the rater's hand; None where nothing is filtered. `table` makes what it looks at."""

    def __init__(self, table: Callable[[bool], pd.DataFrame]):
        self._table = table
        self.text = ""
        self.rows: frozenset[int] | None = None

    def set(self, text: str) -> None:
        """Filter by `text`, "" by nothing. ConfigError says what is wrong with it; the filter before it then stays."""
        text = text.strip()
        rows = None
        if text:
            from sftkit.ratings.filtering import Filter

            table = self._table("disagreement" in text)
            hidden = () if "models" in table else ("models", "model")  # who rates blind is not led to them
            rows = frozenset(table.loc[Filter(text, hidden).mask(table), "row"])
        self.text, self.rows = text, rows

    def told(self) -> dict[str, Any]:
        """For the page: a Filtered of protocol.ts."""
        rows = None if self.rows is None else sorted(self.rows)
        return {"text": self.text, "rows": rows, "fault": None}


def columns(rows: pd.DataFrame, disagreement: list[bool] | None) -> pd.DataFrame:
    """What an expression may name, from the table of grid_rows. `models` is there only where names are known."""
    skipped = rows["verdict"].eq("skipped")
    frame = pd.DataFrame(
        {
            "row": rows["row"],
            "prompt_id": rows["prompt_id"],
            "task": rows["task"],
            "rated": rows["votes"].astype(bool),
            "unrated": ~rows["votes"].astype(bool) & ~skipped,
            "verdict": verdicts(rows),
            "flagged": rows["flag"].astype(bool),
            "skipped": skipped,
            "text": rows["text"],
            "tags": rows["tags"],
            "note": rows["note"],
        }
    )
    if rows["models"].notna().all():
        frame["models"] = rows["models"]
    if disagreement is not None:
        frame["disagreement"] = disagreement
    return frame


def verdicts(rows: pd.DataFrame) -> pd.Series:
    """What was decided, as text: "ranked" for a ranking, "" for nothing."""
    said = rows["verdict"].astype(object)
    return said.where(said.notna(), rows["votes"].map({True: "ranked", False: ""})).astype(str)


def disagreements(store: RatingStore, rater: str, pairs: list[tuple[str, tuple[str, ...]]]) -> list[bool]:
    """For each (prompt_id, models): whether somebody, a judge or another rater, said otherwise than `rater` did.

    Of what he has not rated this is False, so that it tells nothing before the vote.
    """
    votes = store.votes()
    votes = votes[votes["outcome"].notna()]
    own = {
        (prompt, frozenset((a, b))): (a, outcome)
        for prompt, a, b, outcome in _lines(votes[votes["rater"] == rater])
    }
    odd = set()
    for prompt, a, b, outcome in _lines(votes[votes["rater"] != rater]):
        name = (prompt, frozenset((a, b)))
        if name in own and own[name] != ((a, outcome) if own[name][0] == a else (b, 1 - outcome)):
            odd.add(name)
    return [any((prompt, frozenset(p)) in odd for p in combinations(models, 2)) for prompt, models in pairs]


def _lines(votes: pd.DataFrame) -> Any:
    return zip(votes["prompt_id"], votes["model_a"], votes["model_b"], votes["outcome"])
