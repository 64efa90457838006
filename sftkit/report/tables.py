"""The report's tables, each a pure function of votes or ratings: who won, on what, how raters agree, how they lean.

Votes as in estimates.py; ratings as RatingStore.frame() gives them (rater, prompt_id, model_a, model_b, verdict,
scores, shown_first, current).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pandas as pd

from sftkit.ratings.dimensions import DIMENSIONS
from sftkit.report.agreement import agreement
from sftkit.report.estimates import check_votes, estimate_mean, oriented

HUMANS = "human:*"  # every human rater together
ESTIMATE = ["win_rate", "low", "high", "n", "unscored", "wins", "ties", "losses"]


def raters(votes: pd.DataFrame) -> list[str]:
    """Every rater by name, humans first; after several humans also "human:*", all of them together."""
    names = sorted(map(str, votes["rater"].unique()))
    humans = [name for name in names if name.startswith("human:")]
    return humans + [HUMANS] * (len(humans) > 1) + [name for name in names if name not in humans]


def of_rater(frame: pd.DataFrame, rater: str) -> pd.DataFrame:
    return (
        frame[frame["rater"].str.startswith("human:")] if rater == HUMANS else frame[frame["rater"] == rater]
    )


def models(votes: pd.DataFrame) -> list[str]:
    """Every model, the baseline first: votes from a store have it as model_a."""
    return list(dict.fromkeys([*votes["model_a"], *votes["model_b"]]))


def win_rates(votes: pd.DataFrame, baseline: str, by: str | None = None) -> pd.DataFrame:
    """One row a rater and model: its win rate against the baseline; with `by`, a column of votes, one for each value.

    Columns rater, (by,) model, baseline, win_rate, low, high, n, unscored, wins, ties, losses.
    """
    check_votes(votes)
    rows = []
    for rater in raters(votes):
        mine = of_rater(votes, rater)
        for model in (m for m in models(mine) if m != baseline):
            pair = mine[
                ((mine["model_a"] == model) & (mine["model_b"] == baseline))
                | ((mine["model_b"] == model) & (mine["model_a"] == baseline))
            ]
            for key, part in _parts(pair, by):
                rows.append([rater, *key, model, baseline, *_win_rate(part, model, baseline)])
    return pd.DataFrame(rows, columns=["rater", *([by] if by else []), "model", "baseline", *ESTIMATE])


def _parts(votes: pd.DataFrame, by: str | None) -> Iterator[tuple[list[Any], pd.DataFrame]]:
    if by is None:
        if len(votes):
            yield [], votes
    else:
        named = votes[votes[by].notna()]
        for key in sorted(named[by].unique()):
            yield [key], named[named[by] == key]


def _win_rate(votes: pd.DataFrame, model: str, baseline: str) -> list[Any]:
    rows = oriented(votes, model, baseline)
    outcome = rows["outcome"].dropna()
    found = estimate_mean(outcome, rows["prompt_id"][outcome.index], unscored=len(rows) - len(outcome))
    counts = [int(part.sum()) for part in (outcome > 0.5, outcome == 0.5, outcome < 0.5)]
    return [found.value, found.low, found.high, found.n, found.unscored, *counts]


def by_dimension(ratings: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Mean scores 1..5 of each model and of the baseline on the same prompts, and their difference with its interval.

    Columns rater, dimension, model, baseline, mean, mean_baseline, difference, low, high, n, one_sided. n: prompts on
    which both were scored (a judge's two orders are averaged first); one_sided: scores without their counterpart,
    which are left out. Scores of a comparison as a whole say nothing about one model and are left out too.
    """
    columns = ["rater", "dimension", "model", "baseline", "mean", "mean_baseline", "difference"]
    columns += ["low", "high", "n", "one_sided"]
    scores = pd.DataFrame(
        _scores(ratings, baseline), columns=["rater", "dimension", "model", "prompt_id", "own", "base"]
    )
    if scores.empty:
        return pd.DataFrame(columns=columns)
    order = {dimension.name: place for place, dimension in enumerate(DIMENSIONS)}
    rows = []
    for rater in raters(scores):
        mine = of_rater(scores, rater)
        for (dimension, model), part in mine.groupby(["dimension", "model"], sort=False):
            paired = part.dropna().groupby(["rater", "prompt_id"], as_index=False)[["own", "base"]].mean()
            gap = estimate_mean(paired["own"] - paired["base"], paired["prompt_id"], bounds=(-4, 4))
            if gap.n:
                means = [paired["own"].mean(), paired["base"].mean()]
                alone = int(part[["own", "base"]].isna().any(axis=1).sum())
                rows.append(
                    [rater, dimension, model, baseline, *means, gap.value, gap.low, gap.high, gap.n, alone]
                )
    rows.sort(key=lambda row: (raters(scores).index(row[0]), order.get(row[1], len(order)), row[1], row[2]))
    return pd.DataFrame(rows, columns=columns)


def _scores(ratings: pd.DataFrame, baseline: str) -> Iterator[tuple]:
    """(rater, dimension, model, prompt_id, its score, the baseline's score), a missing side being None."""
    for row in ratings[ratings["current"]].itertuples():
        if baseline not in (row.model_a, row.model_b):
            continue
        own, base = ("b", "a") if row.model_a == baseline else ("a", "b")
        model = row.model_b if own == "b" else row.model_a
        for dimension, score in (row.scores or {}).items():
            if isinstance(score, dict):
                yield row.rater, dimension, model, row.prompt_id, score.get(own), score.get(base)


def agreements(votes: pd.DataFrame) -> pd.DataFrame:
    """How often two raters give the same verdict, for every two that judged the same comparisons.

    Columns rater_x, rater_y, agreement, low, high, n, without_ties, n_without_ties. Several humans appear as "human:*",
    with each other and with every judge.
    """
    names = raters(votes)
    if HUMANS in names:
        names = [HUMANS, *(name for name in names if not name.startswith("human:"))]
    pairs = [(HUMANS, HUMANS)] * (HUMANS in names) + list(combinations(names, 2))
    rows = []
    for x, y in pairs:
        all_votes, decided = (agreement(votes, x, y, ties=ties) for ties in (True, False))
        if all_votes.n:
            figures = [all_votes.value, all_votes.low, all_votes.high, all_votes.n, decided.value, decided.n]
            rows.append([x, y, *figures])
    names = ["rater_x", "rater_y", "agreement", "low", "high", "n", "without_ties", "n_without_ties"]
    return pd.DataFrame(rows, columns=names)


def bias(votes: pd.DataFrame, ratings: pd.DataFrame) -> pd.DataFrame:
    """How each rater leans: columns rater, first, low, high, n, flips, flips_n, ties, unscored, verdicts.

    first: share of decided verdicts (no ties) for the answer shown first, with its interval; n of them. Over both
    orders of every comparison, or with the order drawn by chance, it is 0.5 for a rater that does not look at it.
    flips: share of the flips_n comparisons seen in both orders whose verdict changed with the order. ties, unscored:
    shares of all `verdicts`. NaN where nothing is known (the order was not kept, or plays no part).
    """
    verdicts = ratings[ratings["current"] & ratings["verdict"].isin(["a", "b", "tie", "unscored"])]
    rows = []
    for rater in [name for name in raters(verdicts) if name != HUMANS]:
        mine = of_rater(verdicts, rater)
        decided = mine[mine["verdict"].isin(["a", "b"]) & mine["shown_first"].notna()]
        first = estimate_mean(decided["verdict"] == decided["shown_first"], decided["prompt_id"])
        turned = of_rater(votes, rater)["flip"].dropna() if "flip" in votes else pd.Series(dtype=float)
        flips = float(turned.astype(float).mean()) if len(turned) else float("nan")
        shares = [float((mine["verdict"] == verdict).mean()) for verdict in ("tie", "unscored")]
        rows.append(
            [rater, first.value, first.low, first.high, first.n, flips, len(turned), *shares, len(mine)]
        )
    names = ["rater", "first", "low", "high", "n", "flips", "flips_n", "ties", "unscored", "verdicts"]
    return pd.DataFrame(rows, columns=names)
