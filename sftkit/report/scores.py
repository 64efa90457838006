"""Scores 1 to 5 by dimension: read from ratings, their means, and how far raters agree on them.

Ratings as RatingStore.frame() gives them. A long table of scores has the columns rater, prompt_id, model, against,
dimension, score: one row a rater, answer, opponent and dimension, a judge's two orders averaged.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from sftkit.ratings.dimensions import DIMENSIONS
from sftkit.report.agreement import cohen_kappa, krippendorff_alpha
from sftkit.report.estimates import estimate_mean, means

HUMANS = "human:*"  # every human rater together
LONG = ["rater", "prompt_id", "model", "against", "dimension", "score"]
SCALE = (1.0, 5.0)


def raters(votes: pd.DataFrame) -> list[str]:
    """Every rater by name, humans first; after several humans also "human:*", all of them together."""
    names = sorted(map(str, votes["rater"].unique()))
    humans = [name for name in names if name.startswith("human:")]
    return humans + [HUMANS] * (len(humans) > 1) + [name for name in names if name not in humans]


def of_rater(frame: pd.DataFrame, rater: str) -> pd.DataFrame:
    """The rows of one rater, or of all humans."""
    names = {name: str(name).startswith("human:") if rater == HUMANS else str(name) == rater for name in frame["rater"].unique()}  # fmt: skip
    return frame[frame["rater"].map(names).to_numpy(bool)]


def with_humans(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows and, where there are several humans, theirs once more as "human:*"."""
    if HUMANS not in raters(frame):
        return frame
    return pd.concat([frame, of_rater(frame, HUMANS).assign(rater=HUMANS)], ignore_index=True)


def long_scores(ratings: pd.DataFrame) -> pd.DataFrame:
    """The long table of all current scores of single answers; scores of a comparison as a whole speak of no answer."""
    current = ratings[ratings["current"].astype(bool)]
    rows = []
    names = ("rater", "prompt_id", "model_a", "model_b", "scores")
    for rater, prompt, a, b, scores in zip(*(current[name] for name in names)):
        for dimension, score in (scores or {}).items() if isinstance(scores, dict) else ():
            if isinstance(score, dict):
                rows += [
                    (rater, prompt, own, other, dimension, score[side])
                    for side, own, other in (("a", a, b), ("b", b, a))
                    if score.get(side) is not None
                ]
    table = pd.DataFrame(rows, columns=LONG).astype({"score": float})
    return table.groupby(LONG[:-1], sort=False, as_index=False)["score"].mean() if len(table) else table


def in_order(dimensions: pd.Series) -> list[str]:
    """The dimensions that occur: the six in their order, then the user's own by name."""
    order = {dimension.name: place for place, dimension in enumerate(DIMENSIONS)}
    return sorted(dimensions.unique(), key=lambda name: (order.get(name, len(order)), name))


def mean_scores(ratings: pd.DataFrame) -> pd.DataFrame:
    """Mean score of every model on every dimension: columns rater, dimension, model, mean, low, high, n.

    All models, the baseline too; "human:*" beside each human. Intervals clustered by prompt, on the scale 1 to 5. n
    counts scores. To compare two models use by_dimension, which reads the same prompts for both.
    """
    scores = with_humans(long_scores(ratings))
    if scores.empty:
        return pd.DataFrame(columns=["rater", "dimension", "model", "mean", "low", "high", "n"])
    keys = pd.MultiIndex.from_frame(scores[["rater", "dimension", "model"]])
    codes, groups = keys.factorize()
    found = means(scores["score"], codes, scores["prompt_id"], SCALE)
    table = pd.DataFrame(groups.tolist(), columns=["rater", "dimension", "model"])
    table = table.assign(mean=found["value"], low=found["low"], high=found["high"], n=found["n"].astype(int))
    order = [raters(scores), in_order(scores["dimension"]), list(dict.fromkeys(scores["model"]))]
    places = [table[name].map(wanted.index) for name, wanted in zip(("rater", "dimension", "model"), order)]
    return table.iloc[np.lexsort([place.to_numpy() for place in places[::-1]])].reset_index(drop=True)


def _answers(ratings: pd.DataFrame) -> pd.DataFrame:
    """One score a rater, answer and dimension, whatever the answer was compared with."""
    scores = long_scores(ratings)
    keys = ["rater", "prompt_id", "model", "dimension"]
    return (
        scores.groupby(keys, sort=True, as_index=False)["score"].mean()
        if len(scores)
        else scores[[*keys, "score"]]
    )


def score_agreement(ratings: pd.DataFrame) -> pd.DataFrame:
    """How far raters agree on scores, dimension by dimension.

    Columns rater_x, rater_y, dimension, same (share of equal scores), kappa (Cohen's, quadratic weights), low, high, n
    (answers both scored), note. Two humans and more are paired as "human:*" with each other and with every judge.
    """
    scores = _answers(ratings)
    rows = []
    for dimension in in_order(scores["dimension"]) if len(scores) else ():
        wide = _wide(scores[scores["dimension"] == dimension])
        for (x, y), pairs in _paired(wide).items():
            same = estimate_mean(pairs["x"] == pairs["y"], pairs["prompt_id"])
            both = (pairs, pairs.rename(columns={"x": "y", "y": "x"})) if x == y else (pairs,)
            flat = pd.concat(both)  # among humans neither is the first rater
            kappa = cohen_kappa(list(flat["x"]), list(flat["y"]), "quadratic", list(flat["prompt_id"]))
            rows.append(
                [x, y, dimension, same.value, kappa.value, kappa.low, kappa.high, len(pairs), kappa.note]
            )
    names = ["rater_x", "rater_y", "dimension", "same", "kappa", "low", "high", "n", "note"]
    return pd.DataFrame(rows, columns=names)


def _wide(scores: pd.DataFrame) -> pd.DataFrame:
    """Answers by raters."""
    return scores.pivot(index=["prompt_id", "model"], columns="rater", values="score")


def _paired(wide: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """Scores of every two (groups of) raters on the same answers: prompt_id, x, y."""
    several = sum(str(name).startswith("human:") for name in wide.columns) > 1
    group = {
        name: HUMANS if several and str(name).startswith("human:") else str(name) for name in wide.columns
    }
    parts: dict[tuple[str, str], list[pd.DataFrame]] = {}
    for one, other in combinations(sorted(wide.columns, key=lambda n: (group[n] != HUMANS, str(n))), 2):
        pair = wide[[one, other]].dropna()
        if len(pair):
            flat = pd.DataFrame(pair.to_numpy(), columns=["x", "y"])
            flat.insert(0, "prompt_id", pair.index.get_level_values("prompt_id"))
            parts.setdefault((group[one], group[other]), []).append(flat)
    return {names: pd.concat(found, ignore_index=True) for names, found in parts.items()}


def reliability(ratings: pd.DataFrame) -> pd.DataFrame:
    """Krippendorff's ordinal alpha of all raters of a kind, dimension by dimension.

    Columns raters ("human:*", "judge:*", "*"), dimension, alpha, low, high, n (answers with two scores or more),
    alone (with one), count (of raters), note.
    """
    scores = _answers(ratings)
    rows = []
    for dimension in in_order(scores["dimension"]) if len(scores) else ():
        wide = _wide(scores[scores["dimension"] == dimension])
        human = np.array([str(name).startswith("human:") for name in wide.columns])
        for name, chosen in ((HUMANS, human), ("judge:*", ~human), ("*", human | True)):
            if chosen.sum() > 1 and not (name == "*" and (human.all() or not human.any())):
                part = wide.loc[:, chosen]
                found = krippendorff_alpha(part, "ordinal", part.index.get_level_values("prompt_id"))
                figures = [found.value, found.low, found.high, found.n, found.unscored]
                rows.append([name, dimension, *figures, int(chosen.sum()), found.note])
    return pd.DataFrame(
        rows, columns=["raters", "dimension", "alpha", "low", "high", "n", "alone", "count", "note"]
    )
