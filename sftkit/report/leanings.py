"""What a rater's verdicts follow besides the model: place, length, lists, markdown. One regression for all of them.

Within every pair of models, least squares of the outcome on: which answer stood first, tanh(difference of lengths / sd
of it), one answer has a list and the other none, and the same of markdown. So a model that is better *and* longer does
not make a rater look fond of length; only answers longer or shorter than usual for the same two models do. What is
left is no proof: a longer answer may be better. The humans' own leanings stand beside for that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from sftkit.report.estimates import LEVEL, Estimate, by_name
from sftkit.report.logistic import sandwich

TERMS = ("first", "length", "lists", "markdown")
ITEM = re.compile(r"^[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t]+\S", re.MULTILINE)
MARKED = re.compile(r"^#{1,6}[ \t]|\*\*\S|^```|^\|.+\|[ \t]*$", re.MULTILINE)
OUTCOME = {"a": 1.0, "b": 0.0, "tie": 0.5, "both_bad": 0.5, "unscored": np.nan}
METHOD = "least squares within pairs of models, clustered by prompt"


def features(answers: pd.DataFrame) -> pd.DataFrame:
    """length (characters), lists and markdown (0 or 1) of every answer, indexed by prompt_id and model."""
    text = answers["response"].fillna("").astype(str)
    table = pd.DataFrame(
        {
            "prompt_id": answers["prompt_id"],
            "model": answers["model"],
            "length": text.str.len().astype(float),
            "lists": [float(len(ITEM.findall(said)) > 1) for said in text],
            "markdown": [float(MARKED.search(said) is not None) for said in text],
        }
    )
    return table.drop_duplicates(["prompt_id", "model"]).set_index(["prompt_id", "model"])


def verdict_rows(votes: pd.DataFrame, ratings: pd.DataFrame, answers: pd.DataFrame | None) -> pd.DataFrame:
    """One row a verdict and shown order: rater, prompt_id, model_a, model_b (by name), outcome, flagged, and what a has
    more of than b: first (1, -1, or NaN), length, lists, markdown (NaN where not known).

    From the ratings where there are some; from the votes alone otherwise, which do not know the order.
    """
    if len(ratings):
        rows = _of_ratings(ratings)
    else:
        rows = votes.assign(first=np.nan, flagged=False)
    keep = ["rater", "prompt_id", "model_a", "model_b", "outcome", "first", "flagged"]
    told = by_name(rows[keep].assign(was_a=rows["model_a"]))
    turned = told["was_a"].to_numpy() != told["model_a"].to_numpy()
    told["first"] = told["first"].astype(float).where(~turned, -told["first"].astype(float))
    return _with_gaps(told.drop(columns="was_a"), votes, answers)


def _of_ratings(ratings: pd.DataFrame) -> pd.DataFrame:
    current = ratings[ratings["current"].astype(bool) & ratings["verdict"].isin(list(OUTCOME))]
    marks = (
        current["flag"].fillna(False).astype(bool).to_numpy()
        if "flag" in current
        else np.zeros(len(current), bool)
    )
    if "evidence" in current:
        marks = marks | np.array(
            [bool(isinstance(e, dict) and e.get("flags")) for e in current["evidence"]], dtype=bool
        )
    return current.assign(
        outcome=current["verdict"].map(OUTCOME).astype(float),
        first=current["shown_first"].map({"a": 1.0, "b": -1.0}).astype(float),
        flagged=marks,
    )


def _with_gaps(rows: pd.DataFrame, votes: pd.DataFrame, answers: pd.DataFrame | None) -> pd.DataFrame:
    """Adds the differences of length, lists and markdown: from the answers, or of length from the votes."""
    if answers is not None and len(answers):
        known = features(answers)
        side = [
            known.reindex(pd.MultiIndex.from_arrays([rows["prompt_id"], rows[f"model_{s}"]])) for s in "ab"
        ]
        for name in TERMS[1:]:
            rows[name] = side[0][name].to_numpy() - side[1][name].to_numpy()
        return rows
    rows["lists"], rows["markdown"], rows["length"] = np.nan, np.nan, np.nan
    if {"len_a", "len_b"} <= set(votes.columns):
        told = by_name(votes)
        gap = told["len_a"].astype(float) - told["len_b"].astype(float)
        keys = ["prompt_id", "model_a", "model_b"]
        gaps = gap.groupby([told[key] for key in keys]).first()
        rows["length"] = gaps.reindex(pd.MultiIndex.from_frame(rows[keys])).to_numpy()
    return rows


@dataclass(frozen=True)
class Leaning:
    """One rater's regression. effect: {term: Estimate, in points of win rate}: of standing first instead of second, of
    being one sd longer, of a list, of markdown; lean: {term: what it added to the outcome of each row (the first model
    by name), 0..1 scale, 0 where not known}."""

    effect: dict[str, Estimate]
    lean: dict[str, np.ndarray]


def leaning(rows: pd.DataFrame) -> Leaning:
    """What the verdicts of one rater follow: least squares of the outcome on place, tanh(difference of lengths / sd), lists
    and markdown within every pair of models; errors clustered by prompt. rows: `verdict_rows` of one rater."""
    y = rows["outcome"].to_numpy(float)
    columns, effects = {}, {}
    for term in TERMS:
        column, why = _column(rows[term].to_numpy(float), term)
        columns[term] = column
        if why:
            effects[term] = Estimate.unknown(why)
    pair = pd.MultiIndex.from_frame(rows[["model_a", "model_b"]]).factorize()[0]
    scored = ~np.isnan(y)
    used = [t for t in TERMS if t not in effects]
    x = np.column_stack([np.nan_to_num(columns[t]) for t in used]) if used else np.zeros((len(y), 0))
    within = x[scored] - _pair_mean(x[scored], pair[scored])
    varies = (within**2).sum(axis=0) > 1e-9 * max(scored.sum(), 1)
    for term, moves in zip(used, varies):
        if not moves:
            effects[term] = Estimate.unknown("it does not vary within any pair of models")
    used = [t for t, moves in zip(used, varies) if moves]
    x, within = x[:, varies], within[:, varies]
    beta, se, t = _least_squares(within, y[scored], pair[scored], rows["prompt_id"][scored])
    scale = {"first": 2.0, "length": float(np.tanh(1)), "lists": 1.0, "markdown": 1.0}
    for i, term in enumerate(used):
        value, error = 100 * scale[term] * beta[i], 100 * scale[term] * se[i]
        note = "" if error > 0 else "too few prompts for an interval"
        half = t * error if error > 0 else np.nan
        n = int((scored & ~np.isnan(rows[term].to_numpy(float))).sum())
        effects[term] = Estimate(
            float(value), float(error), float(value - half), float(value + half), n, 0, METHOD, note
        )
    lean = {term: x[:, i] * beta[i] for i, term in enumerate(used)}
    return Leaning(effects, {term: lean.get(term, np.zeros(len(rows))) for term in TERMS})


def _column(values: np.ndarray, term: str) -> tuple[np.ndarray, str]:
    """The regression's column of one term, and why there is none."""
    known = values[~np.isnan(values)]
    if not len(known):
        return values, "the order was not kept" if term == "first" else "the answers are not known"
    if term != "length":
        return values, ""
    sd = float(known.std(ddof=1)) if len(known) > 1 else 0.0
    return (np.tanh(values / sd), "") if sd > 0 else (values, "all answers are as long as the other")


def _pair_mean(x: np.ndarray, pair: np.ndarray) -> np.ndarray:
    """The mean of x over the rows of each row's pair."""
    count = np.maximum(np.bincount(pair), 1) if len(pair) else np.ones(1)
    sums = [np.bincount(pair, weights=column) / count for column in x.T]
    return np.column_stack([total[pair] for total in sums]) if sums else np.zeros_like(x)


def _least_squares(x: np.ndarray, y: np.ndarray, pair: np.ndarray, prompts: pd.Series) -> tuple:
    """Coefficients, their errors, and Student's t for a 95 % interval."""
    g = prompts.nunique()
    if not x.shape[1]:
        return np.zeros(0), np.zeros(0), 0.0
    y = y - _pair_mean(y[:, None], pair)[:, 0]
    hessian = x.T @ x
    beta = np.linalg.pinv(hessian, hermitian=True) @ (x.T @ y)
    covariance = sandwich(x, y - x @ beta, hessian, prompts)
    se = np.sqrt(np.maximum(np.diag(covariance), 0)) if g > x.shape[1] + 1 else np.zeros(len(beta))
    return beta, se, float(stdtrit(max(g - 1, 1), (1 + LEVEL) / 2))
