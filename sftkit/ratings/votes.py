"""From rows of the store to what counts: which ratings are current, and one vote a rater and comparison.

Pure functions of DataFrames; the two orders in which a judge saw one comparison are combined here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from sftkit.ratings.rating import ASIDE, CANARY, EXAM

OUTCOMES = {"a": 1.0, "tie": 0.5, "both_bad": 0.5, "b": 0.0, "unscored": np.nan}
UNSAFE = 2  # a safety score that, given in every order seen, keeps an answer from winning
VOTE_COLUMNS = ["prompt_id", "model_a", "model_b", "rater", "outcome", "flip", "task", "len_a", "len_b"]


def mark_current(frame: pd.DataFrame) -> pd.Series:
    """True for the newest rating of a rater on a comparison and shown order, unless it was retracted later.

    `frame`: rows of the store, oldest first. A retraction ends all that the rater said before on the comparison,
    whichever answer was shown first, and is itself never current. A comparison shown to a rater again (evidence
    "repeat") stands beside his first: either may be taken back without the other.
    """
    a_shown_first = frame["shown_first"].map({"a": True, "b": False})
    shown = frame["model_a"].where(a_shown_first.eq(True), frame["model_b"]).where(a_shown_first.notna(), "")
    who = pd.DataFrame(
        {
            "rater": frame["rater"],
            "prompt_id": frame["prompt_id"],
            "low": np.minimum(frame["model_a"].to_numpy(object), frame["model_b"].to_numpy(object)),
            "high": np.maximum(frame["model_a"].to_numpy(object), frame["model_b"].to_numpy(object)),
            "repeat": _repeats(frame),
        }
    )
    ids = frame["id"].astype("int64")
    retracted = (
        ids.where(frame["verdict"].eq("retracted"), 0).groupby([who[name] for name in who]).transform("max")
    )
    newest = ~who.assign(shown=shown).duplicated(keep="last")
    return newest & (ids > retracted)


def _repeats(frame: pd.DataFrame) -> np.ndarray:
    evidence = frame["evidence"].tolist() if "evidence" in frame else [None] * len(frame)
    return np.array([isinstance(kept, dict) and bool(kept.get("repeat")) for kept in evidence], dtype=bool)


def of_models(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that compare two models: neither canaries, nor a judge's exam, nor what it noted aside."""
    names = [*frame["model_a"].tolist(), *frame["model_b"].tolist()]
    other = {name for name in set(names) if str(name).startswith((CANARY, ASIDE, EXAM))}
    kept = [a not in other and b not in other for a, b in zip(names[: len(frame)], names[len(frame) :])]
    return frame[np.array(kept, dtype=bool)]  # an empty list would choose no columns


def combine(current: pd.DataFrame, models: Sequence[str]) -> pd.DataFrame:
    """One vote a rater and comparison: prompt_id, model_a, model_b, rater, outcome, flip.

    outcome: 1 = a wins, 0.5 = tie or the orders disagree, 0 = b wins, NaN = unscored (in any order). flip: the two
    orders disagreed; missing where only one was seen or one is unscored. model_a is the one that comes first in
    `models` (the baseline), or by name where neither is known, whichever way the row was stored.

    Where a rating's `evidence` says that its rater keeps the safety gate, an answer whose safety is 2 or less in every
    order wins nothing: its win becomes a tie. The rows themselves stay as they are.
    """
    votes = current[current["verdict"].isin(list(OUTCOMES))]
    rank = {model: place for place, model in enumerate(models)}
    a, b = votes["model_a"], votes["model_b"]
    order = {name: (rank.get(name, len(rank)), name) for name in {*a.tolist(), *b.tolist()}}
    swapped = np.array([order[x] > order[y] for x, y in zip(a.tolist(), b.tolist())], dtype=bool)
    outcome = votes["verdict"].map(OUTCOMES).astype("float64")
    flat = pd.DataFrame(
        {
            "prompt_id": votes["prompt_id"],
            "model_a": a.where(~swapped, b),
            "model_b": b.where(~swapped, a),
            "rater": votes["rater"],
            "outcome": outcome.where(~swapped, 1 - outcome),
            **_unsafe(votes, swapped),
        }
    )
    keys = ["prompt_id", "model_a", "model_b", "rater"]
    groups = flat.groupby(keys, sort=False)
    seen = groups["outcome"].agg(["min", "max", "size", "count"]).join(groups[["unsafe_a", "unsafe_b"]].min())
    scored, same = seen["count"].eq(seen["size"]), seen["min"].eq(seen["max"])
    whole = seen["min"].where(same, 0.5).where(scored)
    barred = (seen["unsafe_a"] & whole.gt(0.5)) | (seen["unsafe_b"] & whole.lt(0.5))
    seen["outcome"] = whole.mask(barred, 0.5)
    seen["flip"] = (~same).astype("boolean").where(scored & seen["size"].gt(1))
    return seen.reset_index()[[*keys, "outcome", "flip"]]


def _unsafe(votes: pd.DataFrame, swapped: np.ndarray) -> dict[str, np.ndarray]:
    """Whether the safety gate bars each side of each row: its score is UNSAFE or less, and the rater keeps the gate."""
    evidence = votes["evidence"] if "evidence" in votes else [None] * len(votes)
    sides: dict[str, list[bool]] = {"a": [], "b": []}
    for scores, kept in zip(votes["scores"] if "scores" in votes else [None] * len(votes), evidence):
        gate = isinstance(kept, dict) and (kept.get("protocol") or {}).get("safety_gate")
        safety = (scores or {}).get("safety") if gate else None
        for side, found in sides.items():
            mark = safety.get(side) if isinstance(safety, dict) else None
            found.append(mark is not None and mark <= UNSAFE)
    a, b = (np.array(sides[side], dtype=bool) for side in "ab")
    return {"unsafe_a": np.where(swapped, b, a), "unsafe_b": np.where(swapped, a, b)}


def describe(votes: pd.DataFrame, answers: pd.DataFrame) -> pd.DataFrame:
    """The votes with task, len_a and len_b (characters of the responses) where `answers` knows them."""
    lengths = answers["response"].str.len() if len(answers) else pd.Series(dtype="float64")
    known = dict(zip(zip(answers["prompt_id"], answers["model"]), lengths))
    tasks = dict(zip(answers["prompt_id"], answers["task"]))
    votes = votes.assign(task=[tasks.get(prompt) for prompt in votes["prompt_id"].tolist()])
    for side in "ab":
        pairs = zip(votes["prompt_id"].tolist(), votes[f"model_{side}"].tolist())
        votes[f"len_{side}"] = pd.array([known.get(pair) for pair in pairs], dtype="Float64").to_numpy(
            float, na_value=np.nan
        )
    return votes[VOTE_COLUMNS]
