"""The report's tables, each a pure function of votes or ratings: who won, on what, how raters agree, how they lean.

Votes as in estimates.py; ratings as RatingStore.frame() gives them (rater, prompt_id, model_a, model_b, verdict,
scores, shown_first, current).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from sftkit.report.agreement import kappa_of, meetings, share_agreed
from sftkit.report.estimates import against, check_votes, estimate_mean, means
from sftkit.report.length import BANDS, length_band
from sftkit.report.resample import RESAMPLES
from sftkit.report.scores import HUMANS, in_order, long_scores, of_rater, raters, with_humans

ESTIMATE = ["win_rate", "low", "high", "n", "unscored", "wins", "ties", "losses"]
MANY_PAIRS = 40  # from this many pairs of raters on kappa's interval is the jackknife's: it takes no time


def models(votes: pd.DataFrame) -> list[str]:
    """Every model, the baseline first: votes from a store have it as model_a."""
    return list(dict.fromkeys([*votes["model_a"], *votes["model_b"]]))


def with_probability(votes: pd.DataFrame, ratings: pd.DataFrame) -> pd.DataFrame:
    """The votes with `probability`, with which the queue chose each, where the ratings know it; 0..1 or missing."""
    if "probability" in votes or "probability" not in ratings or not len(votes):
        return votes
    known = ratings[ratings["current"].astype(bool) & ratings["probability"].notna()]
    if known.empty:
        return votes
    pair = [np.minimum(known["model_a"].to_numpy(object), known["model_b"].to_numpy(object)),
            np.maximum(known["model_a"].to_numpy(object), known["model_b"].to_numpy(object))]  # fmt: skip
    chance = known["probability"].astype(float).groupby([known["rater"], known["prompt_id"], *pair]).min()
    a, b = votes["model_a"].to_numpy(object), votes["model_b"].to_numpy(object)
    places = pd.MultiIndex.from_arrays(
        [votes["rater"], votes["prompt_id"], np.minimum(a, b), np.maximum(a, b)]
    )
    return votes.assign(probability=chance.reindex(places).to_numpy())


def plain(votes: pd.DataFrame) -> pd.DataFrame:
    """The same votes with their texts as Python's: pandas looks names up in Arrow's ones at half the speed or less."""
    texts = [name for name in ("prompt_id", "model_a", "model_b", "rater", "task") if name in votes]
    return votes.astype(dict.fromkeys(texts, object))


def win_rates(votes: pd.DataFrame, baseline: str, by: str | None = None) -> pd.DataFrame:
    """One row a rater and model: its win rate against the baseline; with `by`, a column of votes, one for each value.

    Columns rater, (by,) model, baseline, win_rate, low, high, n, unscored, wins, ties, losses.
    """
    return _rates(against(votes, baseline), baseline, by)


def by_length(votes: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Win rates where the model's answer is "shorter", of "similar" length (within a quarter) or "longer".

    Columns of win_rates and `length`, shortest first; empty where lengths are not known.
    """
    rows = against(votes, baseline)
    if not {"len_a", "len_b"} <= set(rows.columns):
        return _rates(rows.iloc[:0].assign(length=None), baseline, "length")
    ratio = rows["len_a"].astype(float) / rows["len_b"].astype(float).clip(lower=1)
    return _rates(rows.assign(length=length_band(ratio)), baseline, "length", list(BANDS))


def _rates(rows: pd.DataFrame, baseline: str, by: str | None, order: list[str] | None = None) -> pd.DataFrame:
    keys = ["rater", "model", *([by] if by else [])]
    rows = with_humans(rows.rename(columns={"model_a": "model"}).reset_index(drop=True))
    rows = rows[rows[by].notna()] if by else rows
    columns = ["rater", *([by] if by else []), "model", "baseline", *ESTIMATE]
    if rows.empty:
        return pd.DataFrame(columns=columns)
    codes, groups = pd.MultiIndex.from_frame(rows[keys].astype(object)).factorize()
    outcome, prompts = rows["outcome"].to_numpy(float), rows["prompt_id"].to_numpy(object)
    scored = ~np.isnan(outcome)
    found = means(outcome[scored], codes[scored], prompts[scored]).reindex(range(len(groups)))
    count = {
        name: np.bincount(codes[which], minlength=len(groups)) for name, which in _counts(outcome).items()
    }
    table = pd.DataFrame(groups.tolist(), columns=keys, dtype=object).assign(
        baseline=baseline, win_rate=found["value"], low=found["low"], high=found["high"], **count
    )
    named = dict.fromkeys(rows["model"])
    places = [raters(rows), list(named), order or sorted(set(rows[by]), key=str) if by else []]
    ranks = [table[key].map({name: i for i, name in enumerate(place)}) for key, place in zip(keys, places)]
    return table.iloc[np.lexsort([rank.to_numpy() for rank in ranks[::-1]])][columns].reset_index(drop=True)


def _counts(outcome: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "n": ~np.isnan(outcome),
        "unscored": np.isnan(outcome),
        "wins": outcome > 0.5,
        "ties": outcome == 0.5,
        "losses": outcome < 0.5,
    }


def by_dimension(ratings: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Mean scores 1..5 of each model and of the baseline on the same prompts, and their difference with its interval.

    Columns rater, dimension, model, baseline, mean, mean_baseline, difference, low, high, n, one_sided, win_rate,
    win_low, win_high. n: prompts on which both were scored (a judge's two orders are averaged first); one_sided: scores
    without their counterpart, which are left out; win_rate: share of these prompts with the higher score, equal ones
    half. Scores of a comparison as a whole say nothing about one model and are left out too.
    """
    columns = ["rater", "dimension", "model", "baseline", "mean", "mean_baseline", "difference"]
    columns += ["low", "high", "n", "one_sided", "win_rate", "win_low", "win_high"]
    scores = long_scores(ratings)
    keys = ["rater", "prompt_id", "dimension"]
    own = scores[(scores["against"] == baseline)]
    base = scores[(scores["model"] == baseline)].rename(columns={"against": "model", "model": "against"})
    paired = own.merge(base, on=[*keys, "model", "against"], how="outer", suffixes=("", "_base"))
    if paired.empty:
        return pd.DataFrame(columns=columns)
    paired = with_humans(paired)
    rows = []
    for (rater, dimension, model), part in paired.groupby(["rater", "dimension", "model"], sort=False):
        met = part.dropna(subset=["score", "score_base"])
        if len(met):
            gap = estimate_mean(met["score"] - met["score_base"], met["prompt_id"], bounds=(-4, 4))
            won = estimate_mean((np.sign(met["score"] - met["score_base"]) + 1) / 2, met["prompt_id"])
            figures = [met["score"].mean(), met["score_base"].mean(), gap.value, gap.low, gap.high, gap.n]
            figures += [len(part) - len(met), won.value, won.low, won.high]
            rows.append([rater, dimension, model, baseline, *figures])
    places = raters(paired), in_order(paired["dimension"])
    rows.sort(key=lambda row: (places[0].index(row[0]), places[1].index(row[1]), str(row[2])))
    return pd.DataFrame(rows, columns=columns)


def agreements(votes: pd.DataFrame, pairs: pd.DataFrame | None = None) -> pd.DataFrame:
    """How often two raters give the same verdict, for every two that judged the same comparisons.

    Columns rater_x, rater_y, agreement, low, high, n, without_ties, without_low, without_high, n_without_ties, kappa,
    kappa_low, kappa_high (symmetrised over which model is called A), ceiling (agreement of two humans, where a judge
    meets humans; NaN with one human), note. Several humans appear as "human:*", with each other and with every judge.
    pairs: the `meetings` of all raters, where they are known.
    """
    check_votes(votes)
    columns = [
        "rater_x",
        "rater_y",
        "agreement",
        "low",
        "high",
        "n",
        "without_ties",
        "without_low",
        "without_high",
    ]
    columns += ["n_without_ties", "kappa", "kappa_low", "kappa_high", "ceiling", "note"]
    pairs = meetings(votes, "*", "*") if pairs is None else pairs
    names = raters(votes)
    if HUMANS in names:
        names = [HUMANS, *(name for name in names if not name.startswith("human:"))]
    place = {name: i for i, name in enumerate(names)}
    group = {
        str(r): HUMANS if HUMANS in place and str(r).startswith("human:") else str(r)
        for r in votes["rater"].unique()
    }
    x, y = (pairs[side].map(group).map(place).astype(int) for side in ("rater_x", "rater_y"))
    pairs = pairs.assign(first=np.minimum(x, y), second=np.maximum(x, y))
    parts = list(pairs.groupby(["first", "second"]))
    resamples = RESAMPLES if len(parts) < MANY_PAIRS else 0
    rows = [[names[i], names[j], *_agreed(part, resamples)] for (i, j), part in parts]
    table = pd.DataFrame([row for row in rows if row[5]], columns=[c for c in columns if c != "ceiling"])
    humans = table[(table["rater_x"] == HUMANS) & (table["rater_y"] == HUMANS)]["agreement"]
    judged = (table["rater_x"] == HUMANS) & (table["rater_y"] != HUMANS)
    table["ceiling"] = np.where(judged, humans.iloc[0] if len(humans) else math.nan, math.nan)
    return table[columns]


def _agreed(pairs: pd.DataFrame, resamples: int) -> list[Any]:
    every, decided = share_agreed(pairs), share_agreed(pairs, ties=False)
    kappa = kappa_of(pairs, resamples=resamples)
    figures = [
        every.value,
        every.low,
        every.high,
        every.n,
        decided.value,
        decided.low,
        decided.high,
        decided.n,
    ]
    return [*figures, kappa.value, kappa.low, kappa.high, kappa.note if every.n else ""]


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
