"""Each rater's card: how harsh, how steady, how far with the others, how fast.

rater_cards(votes, ratings)       # one row a rater
severity(ratings)                 # points by which a rater scores lower than the others, on the same answers
consistency(ratings)              # verdicts on the same two answers, shown both ways
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from sftkit.report.agreement import meetings, share_agreed
from sftkit.report.estimates import LEVEL, NO_VOTES, Estimate, estimate_mean, means
from sftkit.report.logistic import sandwich
from sftkit.report.scores import long_scores

NOT_SHARED = "shares no scored answer with another rater"
NOT_TWICE = "saw no comparison both ways round"
NOT_MET = "no comparison in common with a human"
SEVERITY = ["rater", "severity", "low", "high", "n", "note"]


def severity(ratings: pd.DataFrame) -> pd.DataFrame:
    """How many points (of the scale 1 to 5) lower a rater scores than the average rater would, on the same answers.

    Least squares with an effect of every scored item (answer and dimension) and of every rater, the raters' mean being
    0 (two-way layout, Scheffé 1959, chapter 4); only items scored by two raters or more say anything. Errors clustered
    by prompt. Columns rater, severity (above 0: harsher), low, high, n (shared scores), note.
    """
    scores = long_scores(ratings)
    keys = ["prompt_id", "model", "dimension"]
    scores = (
        scores.groupby(["rater", *keys], sort=True, as_index=False)["score"].mean() if len(scores) else scores
    )
    names = sorted(scores["rater"].unique())
    shared = scores[scores.groupby(keys)["rater"].transform("size") > 1] if len(scores) else scores
    rows = {name: [name, math.nan, math.nan, math.nan, 0, NOT_SHARED] for name in names}
    if len(shared):
        who, known = pd.factorize(shared["rater"], sort=True)
        item = shared.groupby(keys).ngroup().to_numpy()
        size = np.bincount(item)[item]
        x = np.eye(len(known))[who]
        table = np.zeros((item.max() + 1, len(known)))
        np.add.at(table, item, x)
        x = x - table[item] / size[:, None]
        y = shared["score"].to_numpy(float)
        y = y - np.bincount(item, weights=y)[item] / size
        hessian = x.T @ x
        effect = np.linalg.pinv(hessian, hermitian=True) @ (x.T @ y)
        se = np.sqrt(np.maximum(np.diag(sandwich(x, y - x @ effect, hessian, shared["prompt_id"])), 0))
        g = shared["prompt_id"].nunique()
        half = stdtrit(max(g - 1, 1), (1 + LEVEL) / 2) * se if g > 1 else np.full(len(se), np.nan)
        note = "" if g > 1 else "one prompt: its spread is not known"
        for name, e, h, n in zip(known, effect, half, np.bincount(who)):
            rows[name] = [name, -e, -e - h, -e + h, int(n), note]
    return pd.DataFrame(list(rows.values()), columns=SEVERITY)


def consistency(ratings: pd.DataFrame) -> pd.DataFrame:
    """How often a rater gives the same verdict when the same two answers are shown the other way round: a judge's two
    orders, a human's repeats. Columns rater, same, low, high, n (comparisons seen both ways), unscored.
    """
    seen = ratings[ratings["current"].astype(bool) & ratings["shown_first"].notna()]
    seen = seen[seen["verdict"].isin(["a", "b", "tie", "both_bad", "unscored"])]
    a, b = seen["model_a"].astype(str), seen["model_b"].astype(str)
    swap = a > b
    side = seen["verdict"].map({"a": 1.0, "b": -1.0, "tie": 0.0, "both_bad": 0.0}).astype(float)
    first = seen["shown_first"].map({"a": 1, "b": -1})
    flat = pd.DataFrame(
        {
            "rater": seen["rater"],
            "prompt_id": seen["prompt_id"],
            "low": a.where(~swap, b),
            "high": b.where(~swap, a),
            "verdict": side.where(~swap, -side),
            "first": first.where(~swap, -first),
        }
    )
    keys = ["rater", "prompt_id", "low", "high"]
    one, other = (flat[flat["first"] == way] for way in (1, -1))
    both = one.merge(other, on=keys, suffixes=("", "_other"))
    both["known"] = both["verdict"].notna() & both["verdict_other"].notna()
    rows = []
    for rater, part in both.groupby("rater"):
        scored = part[part["known"]]
        found = estimate_mean(scored["verdict"] == scored["verdict_other"], scored["prompt_id"])
        rows.append([rater, found.value, found.low, found.high, found.n, int((~part["known"]).sum())])
    return pd.DataFrame(rows, columns=["rater", "same", "low", "high", "n", "unscored"])


def with_others(votes: pd.DataFrame, pairs: pd.DataFrame | None = None) -> pd.DataFrame:
    """How far each rater agrees with all the others of its kind and with humans: columns rater, humans, low, high, n,
    note. humans: share of the same verdicts with human raters (other ones, for a human). pairs: `meetings` of all."""
    pairs = meetings(votes, "*", "*") if pairs is None else pairs
    turned = pairs.rename(columns={"rater_x": "rater_y", "rater_y": "rater_x", "x": "y", "y": "x"})
    every = pd.concat([pairs, turned[pairs.columns]], ignore_index=True)
    every = every[every["rater_y"].str.startswith("human:")]
    parts = dict(list(every.groupby("rater_x")))
    rows = []
    for rater in sorted(map(str, votes["rater"].unique())):
        part = parts.get(rater)
        found = share_agreed(part) if part is not None else Estimate.unknown(NO_VOTES)
        note = "" if found.n else NOT_MET
        rows.append([rater, found.value, found.low, found.high, found.n, note])
    return pd.DataFrame(rows, columns=["rater", "humans", "low", "high", "n", "note"])


def rater_cards(
    votes: pd.DataFrame, ratings: pd.DataFrame, pairs: pd.DataFrame | None = None
) -> pd.DataFrame:
    """One row a rater.

    Columns rater, n (scored votes), unscored, ties (share), severity, severity_low, severity_high (points on 1 to 5;
    above 0: harsher than the others), consistency, consistency_low, consistency_high, consistency_n (same verdict both
    ways round), humans, humans_low, humans_high, humans_n (agreement with human raters), seconds (median per rating).
    """
    scored = votes[votes["outcome"].notna()]
    share = means((scored["outcome"] == 0.5).astype(float), scored["rater"].astype(str), scored["prompt_id"])
    names = sorted(map(str, votes["rater"].unique()))
    card = pd.DataFrame({"rater": names}).set_index("rater")
    card["n"] = share["n"].reindex(names).fillna(0).astype(int)
    missing = votes["outcome"].isna().groupby(votes["rater"].astype(str)).sum()
    card["unscored"] = missing.reindex(names).fillna(0).astype(int)
    card["ties"] = share["value"].reindex(names)
    parts = [("severity", severity(ratings), "severity"), ("consistency", consistency(ratings), "same")]
    parts.append(("humans", with_others(votes, pairs), "humans"))
    for name, table, value in parts:
        table = table.set_index("rater").reindex(names)
        card[name], card[f"{name}_low"], card[f"{name}_high"] = table[value], table["low"], table["high"]
        card[f"{name}_n"] = table["n"].fillna(0).astype(int)
    timed = ratings[ratings["current"].astype(bool)] if "seconds" in ratings else None
    seconds = (
        timed["seconds"].astype(float).groupby(timed["rater"].astype(str)).median()
        if timed is not None
        else None
    )
    card["seconds"] = seconds.reindex(names) if seconds is not None else math.nan
    gaps = {"severity": NOT_SHARED, "consistency": NOT_TWICE, "humans": NOT_MET}
    said = [
        "; ".join(why for name, why in gaps.items() if not row[f"{name}_n"]) for _, row in card.iterrows()
    ]
    card["note"] = pd.Series(said, index=card.index, dtype=object)
    return card.reset_index()
