"""Figures with their uncertainty: win rate, mean score, agreement. Pure functions of DataFrames of votes.

Votes have the columns prompt_id, model_a, model_b, rater, outcome (1 = a wins, 0.5 = tie or inconsistent, 0 = b wins,
missing = unscored), so anyone's votes can be put through here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import pandas as pd
from scipy.special import ndtri, stdtrit  # a tenth of the import time of scipy.stats

from sftkit.errors import ReportError

LEVEL = 0.95  # of every interval here
NEEDED = ("prompt_id", "model_a", "model_b", "rater", "outcome")


@dataclass(frozen=True)
class Estimate:
    """A figure, its standard error, its 95 % interval, how many scored votes it rests on, and how many had no score.

    With no scored vote every figure is NaN; with a single prompt `se` is.
    """

    value: float
    se: float
    low: float
    high: float
    n: int
    unscored: int = 0

    def __str__(self) -> str:
        left = f"; {self.unscored} unscored" if self.unscored else ""
        if not self.n:
            return f"no scored votes{left}"
        return f"{self.value:.3f} (95 % interval {self.low:.3f} to {self.high:.3f}, n = {self.n}{left})"


def estimate_mean(values, clusters, bounds: tuple[float, float] = (0.0, 1.0), unscored: int = 0) -> Estimate:
    """Mean of values that lie within `bounds`, values of one cluster (a prompt) being dependent.

    Standard error: cluster-robust, sqrt(G/(G-1) * sum over clusters of (sum of residuals)^2) / n with G clusters
    (Liang and Zeger 1986). With one value a cluster this is std(ddof=1)/sqrt(n).
    Interval: Wilson's score interval (Wilson 1927) on the scale of `bounds`, with the effective sample size
    p(1-p)/se^2 that carries clustering and ties (Korn and Graubard 1998) and Student's t with G-1 degrees of freedom.
    Where all prompts agree on a win or a loss the size is G; where they agree on a value between the bounds (all ties)
    a share of at most 1 - 0.05^(1/G) of prompts may differ (the rule of three, Hanley and Lippman-Hand 1983), by as
    much as the bounds allow. So no interval has zero width or leaves the bounds.
    """
    x = (np.asarray(values, dtype=float) - bounds[0]) / (bounds[1] - bounds[0])
    n = len(x)
    if not n:
        return Estimate(math.nan, math.nan, math.nan, math.nan, 0, unscored)
    p = float(x.mean())
    _, index = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    sums = np.bincount(index, weights=x - p)
    groups = len(sums)
    se = math.sqrt(groups / (groups - 1) * float(sums @ sums)) / n if groups > 1 else math.nan
    if se > 1e-9:
        low, high = _wilson(p, p * (1 - p) / se**2, float(stdtrit(groups - 1, (1 + LEVEL) / 2)))
    elif min(p, 1 - p) < 1e-9:
        low, high = _wilson(p, groups, float(ndtri((1 + LEVEL) / 2)))
    else:
        other = 1 - (1 - LEVEL) ** (1 / groups)
        low, high = p - other * p, p + other * (1 - p)
    scale = bounds[1] - bounds[0]
    return Estimate(
        bounds[0] + scale * p, scale * se, bounds[0] + scale * low, bounds[0] + scale * high, n, unscored
    )


def _wilson(p: float, n: float, z: float) -> tuple[float, float]:
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half))  # rounding must not shut p out


def win_rate(votes: pd.DataFrame, model: str, baseline: str | None = None) -> Estimate:
    """Share of its comparisons that `model` wins, 0..1, a tie being half a win; against `baseline` or against all.

    The mean preference of AlpacaEval (Li et al. 2023, `alpaca_eval.metrics.pairwise_to_winrate`); its standard error
    is theirs (ddof 1) where each prompt has one vote, and is clustered by prompt where it has several. Unscored votes
    are left out and counted. Raises ReportError when a column is missing or the model is in no vote.
    """
    rows = oriented(votes, model, baseline)
    scored = rows["outcome"].notna()
    return estimate_mean(rows["outcome"][scored], rows["prompt_id"][scored], unscored=int((~scored).sum()))


def oriented(votes: pd.DataFrame, model: str, baseline: str | None = None) -> pd.DataFrame:
    """The votes on `model` with it as model_a: outcome 1 when it wins, whichever side it stood on."""
    check_votes(votes)
    outcome = pd.to_numeric(votes["outcome"]).astype(float)
    votes = votes.assign(outcome=outcome)
    as_a = votes[votes["model_a"] == model]
    as_b = votes[(votes["model_b"] == model) & (votes["model_a"] != model)]
    as_b = as_b.assign(model_a=as_b["model_b"], model_b=as_b["model_a"], outcome=1 - as_b["outcome"])
    rows = pd.concat([as_a, as_b], ignore_index=True)
    if baseline is not None:
        rows = rows[rows["model_b"] == baseline]
    if rows.empty:
        have = ", ".join(sorted({*votes["model_a"], *votes["model_b"]})) or "none"
        against = f" against {baseline!r}" if baseline is not None else ""
        raise ReportError(f"no vote on {model!r}{against}; models with votes: {have}")
    return rows


def agreement(votes: pd.DataFrame, rater_x: str, rater_y: str, ties: bool = True) -> Estimate:
    """Share of comparisons on which two raters give the same verdict (win, tie, loss).

    A rater is a name or a pattern ("human:*"): then every two votes of different raters on one comparison count once
    (the agreement of MT-Bench, Zheng et al. 2023, their setups S1 with ties and S2 without: `ties=False` keeps only
    pairs of votes in which neither is a tie). Clustered by prompt. Pairs with an unscored vote are counted apart.
    """
    x, y = (_sided(votes, rater) for rater in (rater_x, rater_y))
    pairs = x.merge(y, on=["prompt_id", "first", "second"], suffixes=("_x", "_y"))
    both_ways = {*x["rater"]} & {*y["rater"]}  # two patterns may meet the same pair from both ends
    twice = pairs["rater_x"].isin(both_ways) & pairs["rater_y"].isin(both_ways)
    pairs = pairs[(pairs["rater_x"] != pairs["rater_y"]) & ~(twice & (pairs["rater_x"] > pairs["rater_y"]))]
    scored = pairs["outcome_x"].notna() & pairs["outcome_y"].notna()
    kept = pairs[scored]
    if not ties:
        kept = kept[(kept["outcome_x"] != 0.5) & (kept["outcome_y"] != 0.5)]
    same = kept["outcome_x"] == kept["outcome_y"]
    return estimate_mean(same, kept["prompt_id"], unscored=int((~scored).sum()))


def _sided(votes: pd.DataFrame, rater: str) -> pd.DataFrame:
    """One rater's votes, models in alphabetical order, so that the two raters' sides meet."""
    check_votes(votes)
    rows = votes[[fnmatchcase(str(name), rater) or name == rater for name in votes["rater"]]]
    swap = rows["model_a"] > rows["model_b"]
    outcome = pd.to_numeric(rows["outcome"]).astype(float)
    return pd.DataFrame(
        {
            "prompt_id": rows["prompt_id"],
            "rater": rows["rater"],
            "first": rows["model_a"].where(~swap, rows["model_b"]),
            "second": rows["model_b"].where(~swap, rows["model_a"]),
            "outcome": outcome.where(~swap, 1 - outcome),
        }
    )


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
