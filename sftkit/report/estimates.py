"""Figures with their uncertainty: means by cluster, win rates, paired comparisons. Pure functions of DataFrames of votes.

Votes have the columns prompt_id, model_a, model_b, rater, outcome (1 = a wins, 0.5 = tie or inconsistent, 0 = b wins,
missing = unscored), so anyone's votes can be put through here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri, stdtrit  # a tenth of the import time of scipy.stats

from sftkit.errors import ReportError

LEVEL = 0.95  # of every interval here
NEEDED = ("prompt_id", "model_a", "model_b", "rater", "outcome")
MEAN = ["value", "se", "low", "high", "n", "clusters"]
WILSON = "mean; Wilson interval, clustered by prompt"
NO_VOTES = "no scored votes"


@dataclass(frozen=True, eq=False)
class Estimate(float):
    """A figure, its standard error, its 95 % interval, how many scored votes it rests on, and how many had no score.

    As a number it is its value. method: how the interval was made. note: what the figure cannot say, in words; where a
    figure is NaN the note says why.
    """

    value: float
    se: float
    low: float
    high: float
    n: int
    unscored: int = 0
    method: str = ""
    note: str = ""

    def __new__(cls, value: float, *_rest: Any, **_named: Any) -> Estimate:
        return super().__new__(cls, value)

    def __getnewargs__(self) -> tuple[float]:
        return (self.value,)

    @classmethod
    def unknown(cls, note: str, n: int = 0, unscored: int = 0, method: str = "") -> Estimate:
        """No figure, and the reason."""
        nan = math.nan
        return cls(nan, nan, nan, nan, n, unscored, method, note)

    def __str__(self) -> str:
        left = f"; {self.unscored} unscored" if self.unscored else ""
        if math.isnan(self.value):
            return f"{self.note or NO_VOTES}{left}"
        return f"{self.value:.3f} (95 % interval {self.low:.3f} to {self.high:.3f}, n = {self.n}{left})"


def estimate_mean(values, clusters, bounds: tuple[float, float] = (0.0, 1.0), unscored: int = 0) -> Estimate:
    """Mean of values that lie within `bounds`, values of one cluster (a prompt) being dependent: see `means`."""
    values = np.asarray(values, dtype=float)
    if not len(values):
        return Estimate.unknown(NO_VOTES, 0, unscored, WILSON)
    row = means(values, np.zeros(len(values), int), clusters, bounds).iloc[0]
    note = "one prompt: its spread is not known" if row["clusters"] == 1 else ""
    return Estimate(*map(float, row[MEAN[:4]]), int(row["n"]), unscored, WILSON, note)


def means(values, groups, clusters, bounds: tuple[float, float] = (0.0, 1.0)) -> pd.DataFrame:
    """The mean of every group at once: columns value, se, low, high, n, clusters; one row a group, sorted by group.

    Standard error: cluster-robust, sqrt(G/(G-1) * sum over clusters of (sum of residuals)^2) / n with G clusters
    (Liang and Zeger 1986). With one value a cluster this is std(ddof=1)/sqrt(n).
    Interval: Wilson's score interval (Wilson 1927) on the scale of `bounds`, with the effective sample size
    p(1-p)/se^2 that carries clustering and ties (Korn and Graubard 1998) and Student's t with G-1 degrees of freedom.
    Where all prompts agree on a win or a loss the size is G; where they agree on a value between the bounds (all ties)
    a share of at most 1 - 0.05^(1/G) of prompts may differ (the rule of three, Hanley and Lippman-Hand 1983), by as
    much as the bounds allow. So no interval has zero width or leaves the bounds.
    """
    scale = bounds[1] - bounds[0]
    x = (np.asarray(values, dtype=float) - bounds[0]) / scale
    group, names = pd.factorize(np.asarray(groups), sort=True)
    cluster, known = pd.factorize(np.asarray(clusters, dtype=object))
    cell, pairs = pd.factorize(group.astype(np.int64) * max(len(known), 1) + cluster)
    of_cell = pairs // max(len(known), 1)
    n = np.bincount(group, minlength=len(names))
    p = np.bincount(group, weights=x, minlength=len(names)) / n
    sums = np.bincount(cell, weights=x - p[group], minlength=len(pairs))
    g = np.bincount(of_cell, minlength=len(names))
    squares = np.bincount(of_cell, weights=sums**2, minlength=len(names))
    with np.errstate(divide="ignore", invalid="ignore"):
        se = np.where(g > 1, np.sqrt(g / (g - 1) * squares) / n, np.nan)
    low, high = _interval(p, se, g)
    found = [bounds[0] + scale * p, scale * se, bounds[0] + scale * low, bounds[0] + scale * high, n, g]
    return pd.DataFrame(dict(zip(MEAN, found)), index=pd.Index(names))


def _interval(p: np.ndarray, se: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The interval of `means` on 0..1, of shares p with errors se over g clusters."""
    spread, edge = se > 1e-9, np.minimum(p, 1 - p) < 1e-9
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.where(spread, p * (1 - p) / se**2, g)
    z = np.where(spread, stdtrit(np.maximum(g - 1, 1), (1 + LEVEL) / 2), ndtri((1 + LEVEL) / 2))
    low, high = wilson(p, size, z)
    other = 1 - (1 - LEVEL) ** (1 / g)
    odd = ~spread & ~edge
    return np.where(odd, p - other * p, low), np.where(odd, p + other * (1 - p), high)


def wilson(p: Any, n: Any, z: Any) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's score interval of the share p of n, z standard errors wide."""
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(np.maximum(p * (1 - p) / n + z * z / (4 * n * n), 0))
    # rounding must not shut p out
    return np.maximum(0.0, np.minimum(p, centre - half)), np.minimum(1.0, np.maximum(p, centre + half))


def win_rate(votes: pd.DataFrame, model: str, baseline: str | None = None) -> Estimate:
    """Share of its comparisons that `model` wins, 0..1, a tie being half a win; against `baseline` or against all.

    The mean preference of AlpacaEval (Li et al. 2023, `alpaca_eval.metrics.pairwise_to_winrate`); its standard error
    is theirs (ddof 1) where each prompt has one vote, and is clustered by prompt where it has several. Unscored votes
    are left out and counted. Raises ReportError when a column is missing or the model is in no vote.
    """
    rows = oriented(votes, model, baseline)
    scored = rows["outcome"].notna()
    return estimate_mean(rows["outcome"][scored], rows["prompt_id"][scored], unscored=int((~scored).sum()))


def paired_difference(votes: pd.DataFrame, model_x: str, model_y: str, baseline: str) -> Estimate:
    """How much oftener `model_x` beats `baseline` than `model_y` does, -1..1, on the prompts where both were compared.

    The mean over prompts of the difference of their mean outcomes there: what both models share of a prompt cancels,
    so it is surer than two win rates side by side (paired analysis, Miller 2024, "Adding Error Bars to Evals", section
    4.2). n counts prompts; prompts that only one of them has, or without a verdict, are counted as unscored.
    """
    sides = [
        oriented(votes, model, baseline).groupby("prompt_id")["outcome"].mean()
        for model in (model_x, model_y)
    ]
    x, y = sides[0].align(sides[1])
    gap = x - y
    found = gap.dropna()
    return estimate_mean(found, found.index, bounds=(-1.0, 1.0), unscored=int(gap.isna().sum()))


def oriented(votes: pd.DataFrame, model: str, baseline: str | None = None) -> pd.DataFrame:
    """The votes on `model` with it as model_a: outcome 1 when it wins, whichever side it stood on (lengths too)."""
    check_votes(votes)
    votes = votes.assign(outcome=outcomes(votes))
    as_a = votes[votes["model_a"] == model]
    as_b = votes[(votes["model_b"] == model) & (votes["model_a"] != model)]
    rows = pd.concat([as_a, mirrored(as_b)], ignore_index=True)
    if baseline is not None:
        rows = rows[rows["model_b"] == baseline]
    if rows.empty:
        have = ", ".join(sorted(map(str, {*votes["model_a"], *votes["model_b"]}))) or "none"
        against = f" against {baseline!r}" if baseline is not None else ""
        raise ReportError(f"no vote on {model!r}{against}; models with votes: {have}")
    return rows


def against(votes: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """The votes on comparisons with the baseline, told from the other model's side (model_a); outcomes as floats."""
    check_votes(votes)
    votes = votes.assign(outcome=outcomes(votes))
    rows = [votes[votes["model_b"] == baseline], mirrored(votes[votes["model_a"] == baseline])]
    return pd.concat(rows).sort_index(kind="stable")


def mirrored(votes: pd.DataFrame) -> pd.DataFrame:
    """The same votes told from the other side: a is b, and 1 is 0."""
    sides = {f"{name}_{one}": f"{name}_{two}" for name in ("model", "len") for one, two in ("ab", "ba")}
    other = votes.rename(columns=sides).reindex(columns=votes.columns)
    return other.assign(outcome=1 - outcomes(votes))


def by_name(votes: pd.DataFrame) -> pd.DataFrame:
    """The votes with the two models of each in alphabetical order, so that all votes on a pair tell the same side."""
    check_votes(votes)
    votes = votes.assign(outcome=outcomes(votes)).reset_index(drop=True)
    names = {*votes["model_a"].unique(), *votes["model_b"].unique()}
    place = {name: number for number, name in enumerate(sorted(names, key=str))}
    swap = votes["model_a"].map(place).to_numpy() > votes["model_b"].map(place).to_numpy()
    other = mirrored(votes)
    turned = [name for name in ("outcome", "model_a", "model_b", "len_a", "len_b") if name in votes.columns]
    return votes.assign(**{name: np.where(swap, other[name], votes[name]) for name in turned})


def outcomes(votes: pd.DataFrame) -> pd.Series:
    """The outcomes as floats, NaN where unscored."""
    return pd.to_numeric(votes["outcome"]).astype(float)


def check_votes(votes: pd.DataFrame) -> None:
    """ReportError when these are no votes."""
    missing = [name for name in NEEDED if name not in votes.columns]
    if missing:
        raise ReportError(f"votes lack the column(s) {', '.join(missing)}; they need {', '.join(NEEDED)}")
    known = pd.to_numeric(votes["outcome"], errors="coerce").dropna()
    if not known.between(0, 1).all():
        raise ReportError(
            "outcome is 1 (a wins), 0.5 (tie), 0 (b wins) or missing (unscored); some lie outside 0..1"
        )
