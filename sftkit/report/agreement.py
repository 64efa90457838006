"""How far raters agree: percent, kappas, Krippendorff's alpha, each with an interval that resamples prompts.

Chance-corrected figures on pair verdicts depend on which model is called A (Cohen's kappa .30 to .50 on one and the
same set of MT-Bench votes); `pairwise_kappa` reads every vote from both sides, so that names decide nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from sftkit.errors import ReportError
from sftkit.report.estimates import Estimate, by_name, estimate_mean
from sftkit.report.resample import RESAMPLES, beyond_chance, per_cluster

LEVELS = ("nominal", "ordinal", "interval")
WEIGHTS = (None, "linear", "quadratic")
FEW = 20  # different values up to which tables of every two of them are kept


def agreement(votes: pd.DataFrame, rater_x: str, rater_y: str, ties: bool = True) -> Estimate:
    """Share of comparisons on which two raters give the same verdict (win, tie, loss).

    A rater is a name or a pattern ("human:*"): then every two votes of different raters on one comparison count once
    (the agreement of MT-Bench, Zheng et al. 2023, their setups S1 with ties and S2 without: `ties=False` keeps only
    pairs of votes in which neither is a tie). Clustered by prompt. Pairs with an unscored vote are counted apart.
    """
    return share_agreed(meetings(votes, rater_x, rater_y), ties)


def human_ceiling(votes: pd.DataFrame, ties: bool = True) -> Estimate:
    """How far two humans agree with each other, 0..1: more cannot be asked of a judge. Every two votes of different humans
    on one comparison count once; ties=False keeps only those in which neither is a tie. Clustered by prompt."""
    return agreement(votes, "human:*", "human:*", ties)


def share_agreed(pairs: pd.DataFrame, ties: bool = True) -> Estimate:
    """Percent agreement of `meetings`."""
    scored = pairs["x"].notna() & pairs["y"].notna()
    kept = pairs[scored]
    if not ties:
        kept = kept[(kept["x"] != 0) & (kept["y"] != 0)]
    return estimate_mean(kept["x"] == kept["y"], kept["prompt_id"], unscored=int((~scored).sum()))


def meetings(votes: pd.DataFrame, rater_x: str, rater_y: str) -> pd.DataFrame:
    """Every two votes of different raters on one comparison, once: prompt_id, rater_x, rater_y, x, y.

    x and y: 1, 0, -1 for a win, a tie, a loss of the model that comes first by name; NaN where unscored.
    """
    told = by_name(votes)
    sided = pd.DataFrame(
        {
            "prompt_id": told["prompt_id"],
            "pair": pd.MultiIndex.from_frame(told[["model_a", "model_b"]]).factorize()[0],
            "rater": told["rater"].astype(str),
            "verdict": np.sign(told["outcome"] - 0.5),
        }
    )
    x, y = (sided[matches(sided["rater"], rater)] for rater in (rater_x, rater_y))
    pairs = x.merge(y, on=["prompt_id", "pair"], suffixes=("_x", "_y"))
    both_ways = {*x["rater"]} & {*y["rater"]}  # two patterns may meet the same pair from both ends
    twice = pairs["rater_x"].isin(both_ways) & pairs["rater_y"].isin(both_ways)
    pairs = pairs[(pairs["rater_x"] != pairs["rater_y"]) & ~(twice & (pairs["rater_x"] > pairs["rater_y"]))]
    pairs = pairs.rename(columns={"verdict_x": "x", "verdict_y": "y"})
    return pairs[["prompt_id", "rater_x", "rater_y", "x", "y"]].reset_index(drop=True)


def matches(raters: pd.Series, rater: str) -> np.ndarray:
    """Which rows are of this rater: a name, or a pattern such as "human:*"."""
    known = {name: str(name) == rater or fnmatchcase(str(name), rater) for name in raters.unique()}
    return raters.map(known).to_numpy(bool)


def pairwise_kappa(votes: pd.DataFrame, rater_x: str, rater_y: str, weights: str | None = None) -> Estimate:
    """Cohen's kappa of two raters' pair verdicts, the same whichever model is called A.

    Each pair of votes is counted with its mirror image (a win as a loss), so both raters' shares of wins and losses
    are equal and only their readiness to call a tie is chance. A rater is a name or a pattern ("human:*"). Interval: BCa
    bootstrap over prompts. weights: None, "linear" or "quadratic".
    """
    return kappa_of(meetings(votes, rater_x, rater_y), weights)


def kappa_of(pairs: pd.DataFrame, weights: str | None = None, resamples: int = RESAMPLES) -> Estimate:
    """Symmetrised kappa of `meetings`."""
    scored = pairs["x"].notna() & pairs["y"].notna()
    x, y = (pairs.loc[scored, side].to_numpy(float) for side in "xy")
    twice = pairs.loc[scored, "prompt_id"].to_numpy(object)
    stacked = np.concatenate([x, -x]), np.concatenate([y, -y])
    found = _cohen(*stacked, weights, np.concatenate([twice, twice]), resamples)
    return replace(found, n=len(x), unscored=int((~scored).sum()))


def cohen_kappa(
    x: Sequence, y: Sequence, weights: str | None = None, clusters: Sequence | None = None
) -> Estimate:
    """Cohen's kappa of two raters' verdicts on the same items (Cohen 1960); weighted (Cohen 1968) "linear" or
    "quadratic", by the distance of numbers, or of places in sorted order where verdicts are words.

    x, y: verdicts, item by item; an item that lacks one is left out and counted as unscored. clusters: the prompt of
    each item, for the interval; each item by itself unless given.
    """
    if len(x) != len(y):
        raise ReportError(
            f"x has {len(x)} verdicts and y has {len(y)}: give both for the same items, in order"
        )
    x, y = (np.asarray(pd.Series(list(side), dtype=object)) for side in (x, y))
    known = ~(pd.isna(x) | pd.isna(y))
    clusters = np.arange(len(x)) if clusters is None else np.asarray(clusters, dtype=object)
    found = _cohen(x[known], y[known], weights, clusters[known])
    return replace(found, unscored=int((~known).sum()))


def _cohen(x: Any, y: Any, weights: str | None, clusters: Any, resamples: int = RESAMPLES) -> Estimate:
    if weights not in WEIGHTS:
        raise ReportError(f"weights are None, 'linear' or 'quadratic', not {weights!r}")
    (x, y), values = _coded([x, y])
    k, places = len(values), _places(values)
    if weights == "linear" and k > FEW:
        raise ReportError(f"linear weights take {FEW} different verdicts at most, not {k}: round them")
    if weights == "quadratic":
        u, v = places[x], places[y]
        features = np.column_stack([np.ones(len(u)), (u - v) ** 2, u, v, u**2 + v**2])
        disagreements = _apart
    elif weights is None:
        eye = np.eye(k)
        features = np.hstack([np.ones((len(x), 1)), (x != y)[:, None], eye[x], eye[y]])
        disagreements = _unequal
    else:
        features = np.zeros((len(x), k * k))
        features[np.arange(len(x)), x * k + y] = 1
        disagreements = partial(_far, np.abs(places[:, None] - places[None, :]))
    return beyond_chance(per_cluster(features, clusters), disagreements, n=len(x), resamples=resamples)


def _apart(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squared differences seen and by chance, of sums of 1, (x - y)^2, x, y, x^2 + y^2."""
    n = np.maximum(sums[:, 0], 1e-300)
    return sums[:, 1] / n, sums[:, 4] / n - 2 * sums[:, 2] * sums[:, 3] / n**2


def _unequal(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unequal verdicts seen and by chance, of sums of 1, x != y, and the counts of x and of y."""
    n = np.maximum(sums[:, 0], 1e-300)
    x, y = np.split(sums[:, 2:], 2, axis=1)
    return sums[:, 1] / n, 1 - (x * y).sum(axis=1) / n**2


def _far(penalty: np.ndarray, sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Penalties seen and by chance, of tables (k, k) laid flat."""
    table = sums.reshape(-1, *penalty.shape)
    n = np.maximum(sums.sum(axis=1), 1e-300)
    expected = np.einsum("bi,ij,bj->b", table.sum(axis=2), penalty, table.sum(axis=1)) / n**2
    return (table * penalty).sum(axis=(1, 2)) / n, expected


def _coded(columns: list[Any]) -> tuple[list[np.ndarray], np.ndarray]:
    """Verdicts as places in the sorted list of all that occur, and that list."""
    flat = (
        np.concatenate([np.asarray(column, dtype=object) for column in columns]) if columns else np.array([])
    )
    try:
        values = np.array(sorted(set(flat)), dtype=object)
    except TypeError:  # words and numbers together
        values = np.array(sorted(set(flat), key=str), dtype=object)
    place = {value: i for i, value in enumerate(values)}
    return [np.array([place[value] for value in column], dtype=int) for column in columns], values


def _places(values: np.ndarray) -> np.ndarray:
    """Where each verdict lies on 0..1: by its number, or by its place in the list where verdicts are words."""
    try:
        places = np.array(values, dtype=float)
    except (TypeError, ValueError):
        places = np.arange(len(values), dtype=float)
    width = np.ptp(places) if len(places) else 0.0
    return (places - places.min()) / width if width > 0 else np.zeros(len(places))


def fleiss_kappa(ratings_wide: pd.DataFrame, clusters: Sequence | None = None) -> Estimate:
    """Fleiss' kappa (Fleiss 1971) of any number of raters. ratings_wide: one row an item, one column a rater.

    Missing ratings are allowed: an item counts by the pairs of its own ratings, and needs two (with as many ratings
    on every item this is Fleiss' own figure). clusters: the prompt of each row, for the interval.
    """
    counts, _, clusters, unscored = _counted(ratings_wide, clusters)
    n = counts.sum(axis=1, keepdims=True)
    agreed = (counts * (counts - 1)).sum(axis=1, keepdims=True) / np.maximum(n * (n - 1), 1)
    features = np.hstack([np.ones_like(agreed), agreed, counts])

    def disagreements(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        items, shares = np.maximum(sums[:, 0], 1e-300), sums[:, 2:]
        shares = shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-300)
        return 1 - sums[:, 1] / items, 1 - (shares**2).sum(axis=1)

    return beyond_chance(per_cluster(features, clusters), disagreements, n=len(counts), unscored=unscored)


def krippendorff_alpha(
    ratings_wide: pd.DataFrame,
    level: str = "nominal",
    clusters: Sequence | None = None,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Krippendorff's alpha (Krippendorff 2018, chapter 12) at `level` "nominal", "ordinal" or "interval".

    ratings_wide: one row an item, one column a rater, missing where a rater gave none; items with one rating say
    nothing and are counted as unscored. clusters: the prompt of each row, for the interval.
    """
    if level not in LEVELS:
        raise ReportError(f"level is one of {', '.join(LEVELS)}, not {level!r}")
    counts, values, clusters, unscored = _counted(ratings_wide, clusters)
    size = counts.sum(axis=1)
    k, pairs = len(values), np.maximum(size - 1, 1)
    if level == "nominal":
        unequal = (size**2 - (counts**2).sum(axis=1)) / pairs
        features, disagreements = np.column_stack([size, unequal, counts]), _different
    elif level == "ordinal" and k <= FEW:
        together = counts[:, :, None] * counts[:, None, :] - np.einsum("ij,jk->ijk", counts, np.eye(k))
        features = (together / pairs[:, None, None]).reshape(len(counts), k * k)
        disagreements = partial(_ordinal, k)
    else:
        places = _places(values) if level == "interval" else _places(_middles(counts.sum(axis=0)))
        total, squares = counts @ places, counts @ places**2
        apart = 2 * np.maximum(size * squares - total**2, 0) / pairs
        features, disagreements = np.column_stack([size, apart, total, squares]), _spread
    features = per_cluster(features, clusters)
    return beyond_chance(features, disagreements, n=len(counts), unscored=unscored, resamples=resamples)


def _different(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nominal disagreement of sums of each item's size, its unequal pairs, and the counts of values."""
    n = np.maximum(sums[:, 0], 2)
    return sums[:, 1] / n, (n**2 - (sums[:, 2:] ** 2).sum(axis=1)) / (n * (n - 1))


def _spread(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squared disagreement of sums of each item's size, its squared differences, its values and their squares."""
    n = np.maximum(sums[:, 0], 2)
    return sums[:, 1] / n, 2 * np.maximum(n * sums[:, 3] - sums[:, 2] ** 2, 0) / (n * (n - 1))


def _ordinal(k: int, sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ordinal disagreement of coincidences (k, k) laid flat: squared differences of middle ranks, the farthest being 1."""
    matrix = sums.reshape(-1, k, k)
    totals = matrix.sum(axis=2)
    n = np.maximum(totals.sum(axis=1), 2)
    middle = _middles(totals)
    apart = (middle[:, :, None] - middle[:, None, :]) ** 2
    apart = apart / np.maximum(apart.max(axis=(1, 2), keepdims=True), 1e-300)
    chance = np.einsum("bi,bij,bj->b", totals, apart, totals)  # a value is at no distance from itself
    return (matrix * apart).sum(axis=(1, 2)) / n, chance / (n * (n - 1))


def _middles(totals: np.ndarray) -> np.ndarray:
    """The middle rank of each value, given how often each occurs: Krippendorff's ordinal distance is their difference."""
    return totals.cumsum(axis=-1) - totals / 2


def _counted(wide: pd.DataFrame, clusters: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """How often each value was given, (items with two ratings or more, values); the values; clusters; items left out."""
    wide = pd.DataFrame(wide)
    clusters = np.arange(len(wide)) if clusters is None else np.asarray(clusters, dtype=object)
    if len(clusters) != len(wide):
        raise ReportError(f"{len(wide)} rows of ratings, but {len(clusters)} clusters: name one for each row")
    cells = wide.to_numpy(dtype=object)
    given = ~pd.isna(cells)
    keep = given.sum(axis=1) >= 2
    rows, columns = np.nonzero(given & keep[:, None])
    [codes], values = _coded([cells[rows, columns]])
    counts = np.zeros((len(wide), len(values)))
    np.add.at(counts, (rows, codes), 1)
    return counts[keep], values, clusters[keep], int((~keep & given.any(axis=1)).sum())
