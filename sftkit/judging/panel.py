"""Several judges on the same answers, each with its own weight. One strong judge beats many weak ones with equal votes
(.872 against .732 on MT-Bench), so weights matter: an exam gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sftkit.errors import JudgeError
from sftkit.judging.judge import Judge
from sftkit.judging.money import CostEstimate

if TYPE_CHECKING:
    import pandas as pd

    from sftkit.generation.table import Generations
    from sftkit.ratings.store import RatingStore

RATER = "panel"


class Panel:
    """Several judges as one rater, "panel": each rates everything, then their outcomes are averaged by weight.

    judges: at least one, no two with the same rater's name. weights: one a judge, or {rater: weight}, 0 or more; equal
    where none are given. Raises JudgeError.

        panel = sk.Panel([judge, sk.Judge("gpt-4.1-mini")], weights=[2, 1])
        panel.rate(answers, store=store)
        panel.votes(store)
    """

    def __init__(self, judges: Sequence[Judge], weights: Sequence[float] | Mapping[str, float] | None = None):
        self.judges = list(judges)
        names = [judge.rater for judge in self.judges]
        if not names or len(set(names)) < len(names):
            raise JudgeError(
                f"a panel needs judges that differ in model or protocol, not: {', '.join(names) or 'none'}"
            )
        self.weights: dict[str, float] = {}
        self.set_weights(weights)

    def set_weights(self, weights: Sequence[float] | Mapping[str, float] | None) -> None:
        """Other weights from now on, as for the panel itself. Raises JudgeError."""
        names = [judge.rater for judge in self.judges]
        if weights is None:
            weights = [1.0] * len(names)
        found = dict(weights) if isinstance(weights, Mapping) else dict(zip(names, weights, strict=False))
        if set(found) != set(names) or len(weights) != len(names):
            raise JudgeError(f"a panel needs one weight for each of {', '.join(names)}")
        if any(not weight >= 0 for weight in found.values()) or not sum(found.values()) > 0:
            raise JudgeError("weights are 0 or more, and not all of them 0")
        self.weights = found

    def estimate(
        self, answers: Generations, store: RatingStore | None = None, limit: int | None = None
    ) -> list[CostEstimate]:
        """What `rate` would take, judge by judge."""
        return [judge.estimate(answers, store, limit) for judge in self.judges]

    def rate(self, answers: Generations, store: RatingStore | None = None, **options: Any) -> pd.DataFrame:
        """Every judge's `rate`, one after the other; then the panel's votes. options: limit, progress, spend_limit (of
        each judge), on_progress. A stop ends the whole panel."""
        from sftkit.ratings.store import RatingStore

        store = store if store is not None else RatingStore("sqlite://")
        for judge in self.judges:
            judge.rate(answers, store=store, **options)
            if judge.progress.stopped == "stop":
                break
        return self.votes(store)

    def stop(self) -> None:
        """End the run under way, from any thread."""
        for judge in self.judges:
            judge.stop()

    def votes(self, store: RatingStore) -> pd.DataFrame:
        """One vote a comparison, rater "panel": the weighted mean of the judges' outcomes, in 0..1.

        The columns of RatingStore.votes(), flip left out, and `judges` (how many had a verdict). Judges without one
        have no say; NaN where none has.
        """
        import numpy as np

        votes = store.votes()
        votes = votes[votes["rater"].isin(list(self.weights))]
        weight = votes["rater"].map(self.weights).astype(float)
        weight = weight.where(votes["outcome"].notna(), 0.0)
        votes = votes.assign(
            weight=weight, weighted=votes["outcome"].fillna(0.0) * weight, judges=weight.gt(0)
        )
        keys = ["prompt_id", "model_a", "model_b"]
        sums = {
            "weight": "sum",
            "weighted": "sum",
            "judges": "sum",
            "task": "first",
            "len_a": "first",
            "len_b": "first",
        }
        table = votes.groupby(keys, sort=False, as_index=False).agg(sums)
        outcome = table["weighted"] / table["weight"].replace(0.0, np.nan)
        table = table.assign(rater=RATER, outcome=outcome)
        return table[[*keys, "rater", "outcome", "task", "len_a", "len_b", "judges"]]

    def __repr__(self) -> str:
        return f"Panel({', '.join(f'{name}: {weight:g}' for name, weight in self.weights.items())})"
