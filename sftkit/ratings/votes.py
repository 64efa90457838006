"""From rows of the store to what counts: which ratings are current, and one vote a rater and comparison.

Pure functions of DataFrames; the two orders in which a judge saw one comparison are combined here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

OUTCOMES = {"a": 1.0, "tie": 0.5, "b": 0.0, "unscored": np.nan}
VOTE_COLUMNS = ["prompt_id", "model_a", "model_b", "rater", "outcome", "flip", "task", "len_a", "len_b"]


def mark_current(frame: pd.DataFrame) -> pd.Series:
    """True for the newest rating of a rater on a comparison and shown order, unless it was retracted later.

    `frame`: rows of the store, oldest first. A retraction ends all that the rater said before on the comparison,
    whichever answer was shown first, and is itself never current.
    """
    a_shown_first = frame["shown_first"].map({"a": True, "b": False})
    shown = frame["model_a"].where(a_shown_first.eq(True), frame["model_b"]).where(a_shown_first.notna(), "")
    who = pd.DataFrame(
        {
            "rater": frame["rater"],
            "prompt_id": frame["prompt_id"],
            "low": np.minimum(frame["model_a"].to_numpy(object), frame["model_b"].to_numpy(object)),
            "high": np.maximum(frame["model_a"].to_numpy(object), frame["model_b"].to_numpy(object)),
        }
    )
    ids = frame["id"].astype("int64")
    retracted = (
        ids.where(frame["verdict"].eq("retracted"), 0).groupby([who[name] for name in who]).transform("max")
    )
    newest = ~who.assign(shown=shown).duplicated(keep="last")
    return newest & (ids > retracted)


def combine(current: pd.DataFrame, models: Sequence[str]) -> pd.DataFrame:
    """One vote a rater and comparison: prompt_id, model_a, model_b, rater, outcome, flip.

    outcome: 1 = a wins, 0.5 = tie or the orders disagree, 0 = b wins, NaN = unscored (in any order). flip: the two
    orders disagreed; missing where only one was seen or one is unscored. model_a is the one that comes first in
    `models` (the baseline), or by name where neither is known, whichever way the row was stored.
    """
    votes = current[current["verdict"].isin(list(OUTCOMES))]
    rank = {model: place for place, model in enumerate(models)}
    a, b = votes["model_a"], votes["model_b"]
    places = [series.map(lambda name: (rank.get(name, len(rank)), name)) for series in (a, b)]
    swapped = np.array([x > y for x, y in zip(*places)], dtype=bool)
    outcome = votes["verdict"].map(OUTCOMES).astype("float64")
    flat = pd.DataFrame(
        {
            "prompt_id": votes["prompt_id"],
            "model_a": a.where(~swapped, b),
            "model_b": b.where(~swapped, a),
            "rater": votes["rater"],
            "outcome": outcome.where(~swapped, 1 - outcome),
        }
    )
    keys = ["prompt_id", "model_a", "model_b", "rater"]
    seen = flat.groupby(keys, sort=False)["outcome"].agg(["min", "max", "size", "count"])
    scored, same = seen["count"].eq(seen["size"]), seen["min"].eq(seen["max"])
    seen["outcome"] = seen["min"].where(same, 0.5).where(scored)
    seen["flip"] = (~same).astype("boolean").where(scored & seen["size"].gt(1))
    return seen.reset_index()[[*keys, "outcome", "flip"]]


def describe(votes: pd.DataFrame, answers: pd.DataFrame) -> pd.DataFrame:
    """The votes with task, len_a and len_b (characters of the responses) where `answers` knows them."""
    lengths = answers["response"].str.len() if len(answers) else pd.Series(dtype="float64")
    known = dict(zip(zip(answers["prompt_id"], answers["model"]), lengths))
    tasks = dict(zip(answers["prompt_id"], answers["task"]))
    votes = votes.assign(task=[tasks.get(prompt) for prompt in votes["prompt_id"]])
    for side in "ab":
        pairs = zip(votes["prompt_id"], votes[f"model_{side}"])
        votes[f"len_{side}"] = pd.array([known.get(pair) for pair in pairs], dtype="Float64").to_numpy(
            float, na_value=np.nan
        )
    return votes[VOTE_COLUMNS]
