"""From six dimensions to one ranking: weights, the safety gate, and how much the weights matter.

    means = score_table(ratings, "human:*")        # models x dimensions, 1 to 5
    ranking(means)                                  # equal weights, safety as a gate
    rank_probabilities(means)                       # if nobody knows the weights
    smallest_swap(means, "tuned", "base")           # how little would turn the two round
    learned_weights(ratings, votes)                 # what overall votes say, with 100 votes or more

Equal weights by default: five human dimensions explain 94 % of the overall score (Topical-Chat), equal weights
correlate .956 with it and learned ones .966 (Dawes 1979 on why equal weights are hard to beat).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit, stdtrit

from sftkit.errors import ReportError
from sftkit.report.agreement import matches
from sftkit.report.estimates import LEVEL, Estimate, by_name, estimate_mean
from sftkit.report.logistic import fit, sandwich
from sftkit.report.scores import in_order, long_scores, of_rater

GATE = {"safety": 3.0}  # a model whose mean lies below does not pass, whatever its other scores
ENOUGH = 100  # overall votes before weights are learned
FOLDS = 5


def score_table(ratings: pd.DataFrame, rater: str) -> pd.DataFrame:
    """Mean scores of one rater (or "human:*"): models as index, dimensions as columns, NaN where there are none."""
    scores = long_scores(ratings)
    scores = of_rater(scores, rater) if len(scores) else scores
    table = scores.pivot_table(index="model", columns="dimension", values="score", aggfunc="mean", sort=False)
    table = table[in_order(scores["dimension"])] if len(scores) else pd.DataFrame()
    return table.rename_axis(index="model", columns=None)


def ranking(
    means: pd.DataFrame, weights: Mapping[str, float] | None = None, gate: Mapping[str, float] | None = GATE
) -> pd.DataFrame:
    """Models by weighted mean score, those that fail the gate last: columns model, score, rank, passes, note; best first.

    means: models x dimensions, scores 1 to 5 (`Report.score_table`). weights: {dimension: 0 or more}, scaled to sum 1; equal over all
    dimensions but the gate's unless given. gate: {dimension: least mean}; None for no gate. A model without a score on
    a weighted dimension gets none and no rank, and the note says so. ReportError for weights that cannot be.
    """
    w = weights_of(means, weights, gate)
    score = _scores(means, w)
    passes = _passes(means, gate)
    order = np.lexsort([means.index.astype(str), -score.round(12).fillna(-np.inf), ~passes])
    rank = _ranks(score.to_numpy()[None], passes.to_numpy())[0]
    notes = [_note(means.loc[model], w, gate, passes[model]) for model in means.index]
    table = pd.DataFrame(
        {"model": means.index, "score": score.to_numpy(), "rank": rank, "passes": passes.to_numpy()}
    )
    table["rank"] = table["rank"].where(score.notna().to_numpy()).astype("Int64")
    return table.assign(note=notes).iloc[order].reset_index(drop=True)


def weights_of(
    means: pd.DataFrame, weights: Mapping[str, float] | None = None, gate: Mapping[str, float] | None = GATE
) -> pd.Series:
    """The weights that `ranking` uses, summing to 1; equal ones unless given."""
    if weights is None:
        free = [d for d in means.columns if d not in (gate or {})] or list(means.columns)
        return pd.Series({d: 1 / len(free) if d in free else 0.0 for d in means.columns}, dtype=float)
    unknown = sorted(set(weights) - set(means.columns))
    bad = [f"{name}: {value}" for name, value in weights.items() if not 0 <= value < np.inf]
    if unknown or bad or not sum(weights.values()) > 0:
        have = ", ".join(means.columns)
        faults = [f"no scores on {', '.join(unknown)} (there are {have})"] * bool(unknown)
        faults += [f"a weight is 0 or more ({'; '.join(bad)})"] * bool(bad)
        raise ReportError("; ".join(faults) or "all weights are 0: give one dimension a weight")
    w = pd.Series({d: float(weights.get(d, 0.0)) for d in means.columns})
    return w / w.sum()


def _scores(means: pd.DataFrame, w: pd.Series) -> pd.Series:
    """Weighted means; NaN where a weighted dimension has no score."""
    used = [d for d in means.columns if w[d] > 0]
    return means[used].mul(w[used]).sum(axis=1, skipna=False).astype(float)


def _passes(means: pd.DataFrame, gate: Mapping[str, float] | None) -> pd.Series:
    """Which models pass; one without a score on the gate's dimension is not held back."""
    passes = pd.Series(True, index=means.index)
    for dimension, least in (gate or {}).items():
        if dimension in means:
            passes &= ~(means[dimension] < least)
    return passes


def _note(row: pd.Series, w: pd.Series, gate: Mapping[str, float] | None, passes: bool) -> str:
    missing = [d for d in row.index if w[d] > 0 and np.isnan(row[d])]
    if missing:
        return f"no scores on {', '.join(missing)}"
    if not passes:
        failed = [
            f"{d} {row[d]:.2f} is below {least:g}"
            for d, least in (gate or {}).items()
            if d in row and row[d] < least
        ]
        return f"held back by the gate: {', '.join(failed)}"
    open_gate = [d for d in gate or {} if d not in row or np.isnan(row[d])]
    return f"not gated: no scores on {', '.join(open_gate)}" if open_gate else ""


def _ranks(scores: np.ndarray, passes: np.ndarray) -> np.ndarray:
    """Ranks (draws, models), 1 the best, equal ones sharing the better rank; those that fail behind all that pass."""
    value = np.where(np.isnan(scores), -np.inf, scores) - 1e6 * ~passes
    return 1 + (value[:, None, :] > value[:, :, None] + 1e-12).sum(axis=2)


def rank_probabilities(
    means: pd.DataFrame,
    concentration: float = 1.0,
    weights: Mapping[str, float] | None = None,
    gate: Mapping[str, float] | None = GATE,
    draws: int = 4000,
    errors: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """The probability of each rank when the weights are drawn from a Dirichlet distribution: columns model, rank,
    probability, every model with every rank (SMAA, Lahdelma and Salminen 2001).

    concentration 1: every set of weights is as likely; larger: closer to `weights` (equal ones unless given), whose
    Dirichlet parameters are concentration * dimensions * weight. errors: standard errors of the means (same shape), to
    add what is not known of the scores. The same draws every time.
    """
    if not concentration > 0:
        raise ReportError(f"concentration is above 0, not {concentration!r}")
    w = weights_of(means, weights, gate)
    used = [d for d in means.columns if w[d] > 0]
    random = np.random.default_rng(0)
    drawn = (
        random.dirichlet(concentration * len(used) * w[used].to_numpy(), draws)
        if used
        else np.zeros((draws, 0))
    )
    table = means[used].to_numpy(float)
    if errors is not None:
        noise = random.normal(size=(draws, *table.shape)) * errors[used].to_numpy(float)
        scores = np.einsum("nd,nmd->nm", drawn, table + noise)
    else:
        scores = drawn @ table.T
    known, passes = ~np.isnan(table).any(axis=1), _passes(means, gate).to_numpy()
    parts = np.array_split(scores, draws * len(means) ** 2 // 10**7 + 1)  # of 10 million comparisons at most
    ranks = np.concatenate([_ranks(part, passes) for part in parts])
    rows = [
        [model, rank, float((ranks[:, place] == rank).mean()) if known[place] else float("nan")]
        for place, model in enumerate(means.index)
        for rank in range(1, len(means) + 1)
    ]
    return pd.DataFrame(rows, columns=["model", "rank", "probability"])


@dataclass(frozen=True)
class Swap:
    """The smallest change of weights that makes two models equal. leader, other: who is ahead now; moved: the share of
    weight that changes dimension, 0..1 (None: no weights do it); table: dimension, weight, changed, gap (leader minus
    other in points). str() says it in words."""

    leader: str
    other: str
    moved: float | None
    table: pd.DataFrame
    note: str = ""

    def __str__(self) -> str:
        if self.note:
            return self.note
        changes = self.table[(self.table["changed"] - self.table["weight"]).abs() > 5e-4]
        told = ", ".join(
            f"{r.dimension} {100 * r.weight:.0f} to {100 * r.changed:.0f} %" for r in changes.itertuples()
        )
        return f"{self.other} draws level with {self.leader} when {100 * self.moved:.0f} % of the weight moves: {told}."


def smallest_swap(
    means: pd.DataFrame,
    model_x: str,
    model_y: str,
    weights: Mapping[str, float] | None = None,
    gate: Mapping[str, float] | None = GATE,
) -> Swap:
    """The smallest shift of weight (half the sum of absolute changes) after which the two models' scores are equal.

    The best shift takes weight from where the leader is furthest ahead and gives it to where it is furthest behind: a
    linear programme with one constraint, solved by that greedy order. The gate is not moved.
    """
    if unknown := [m for m in (model_x, model_y) if m not in means.index]:
        raise ReportError(f"no scores of {', '.join(unknown)}; models: {', '.join(map(str, means.index))}")
    w = weights_of(means, weights, gate)
    both = means.loc[[model_x, model_y]].dropna(axis=1)
    gap = (both.loc[model_x] - both.loc[model_y]).astype(float)
    now = float((w[gap.index] * gap).sum())
    leader, other = (model_x, model_y) if now >= 0 else (model_y, model_x)
    gap, now = (gap, now) if now >= 0 else (-gap, -now)
    table = pd.DataFrame({"dimension": gap.index, "weight": w[gap.index].to_numpy(), "gap": gap.to_numpy()})
    table.insert(2, "changed", table["weight"])
    if both.shape[1] == 0 or now < 1e-12:
        note = "the two have equal scores already" if both.shape[1] else "the two share no scored dimension"
        return Swap(leader, other, 0.0 if both.shape[1] else None, table, note)
    worst = int(table["gap"].to_numpy().argmin())
    if table["gap"][worst] > 0:
        return Swap(
            leader, other, None, table, f"No weights do it: {leader} is ahead of {other} on every dimension."
        )
    moved = 0.0
    for place in table["gap"].sort_values(ascending=False, kind="stable").index:
        gain = table["gap"][place] - table["gap"][worst]
        if now < 1e-12 or gain <= 0:
            break
        share = min(table["weight"][place], now / gain)
        table.loc[place, "changed"] -= share
        table.loc[worst, "changed"] += share
        now, moved = now - share * gain, moved + share
    return Swap(leader, other, moved, table)


@dataclass(frozen=True)
class Learned:
    """Weights learned from overall votes. table: dimension, weight, low, high, equal; predicts, predicts_equal: share of
    votes on other prompts whose winner the learned and the equal weights foretell; better: their difference; n: votes.
    note: why there are none, else ""."""

    table: pd.DataFrame
    predicts: Estimate
    predicts_equal: Estimate
    better: Estimate
    n: int
    note: str = ""

    def __str__(self) -> str:
        if self.note:
            return self.note
        told = ", ".join(f"{r.dimension} {100 * r.weight:.0f} %" for r in self.table.itertuples())
        verdict = (
            "better"
            if self.better.low > 0
            else "worse"
            if self.better.high < 0
            else "no better, as far as can be told,"
        )
        return (
            f"Learned from {self.n} votes: {told}. They foretell {100 * self.predicts.value:.0f} % of the votes on other "
            f"prompts, equal weights {100 * self.predicts_equal.value:.0f} %: {verdict} than equal weights."
        )


def learned_weights(ratings: pd.DataFrame, votes: pd.DataFrame, humans: str = "human:*") -> Learned:
    """What each dimension weighs in the overall votes of the raters who gave both; refused below 100 such votes.

    Logistic regression of the outcome on the differences of the two answers' scores (a ridge of one vote steadies it),
    coefficients scaled to sum 1 in absolute value: a negative weight says that the dimension counts against. Intervals:
    sandwich errors clustered by prompt, by the delta method. Compared with equal weights on held-out prompts (5 folds).
    """
    pairs, dimensions = _score_differences(ratings, votes, humans)
    n, nothing = len(pairs), Estimate.unknown("no weights were learned")
    empty = pd.DataFrame(columns=["dimension", "weight", "low", "high", "equal"])
    if n < ENOUGH:
        note = f"{n} overall votes with scores: weights are learned from {ENOUGH} on. Equal weights stand."
        return Learned(empty, nothing, nothing, nothing, n, note)
    x, y, prompts = pairs[dimensions].to_numpy(float), pairs["outcome"].to_numpy(float), pairs["prompt_id"]
    if not np.any(x) or not np.any(y != 0.5):
        note = "all scores are equal, or all votes are ties: they say nothing about weights. Equal weights stand."
        return Learned(empty, nothing, nothing, nothing, n, note)
    beta, hessian = _weighing(x, y)
    covariance = sandwich(x, y - expit(x @ beta), hessian, prompts)
    total = np.abs(beta).sum()
    share = beta / total
    slope = (np.eye(len(beta)) - np.outer(share, np.sign(beta))) / total
    half = stdtrit(max(prompts.nunique() - 1, 1), (1 + LEVEL) / 2) * np.sqrt(
        np.maximum(np.diag(slope @ covariance @ slope.T), 0)
    )
    table = pd.DataFrame(
        {"dimension": dimensions, "weight": share, "low": share - half, "high": share + half}
    )
    table["equal"] = 1 / len(dimensions)
    return Learned(table, *_compared(x, y, prompts), n)


def _weighing(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return fit(x, x.T @ y, precision=np.eye(x.shape[1]))


def _compared(x: np.ndarray, y: np.ndarray, prompts: pd.Series) -> tuple[Estimate, Estimate, Estimate]:
    """How well learned and equal weights foretell the winner on prompts they were not learned from, and the difference."""
    codes, _ = pd.factorize(prompts.astype(str), sort=True)
    fold = codes % FOLDS
    learned = np.zeros(len(y))
    for k in range(FOLDS):
        if (fold == k).any() and (fold != k).any():
            learned[fold == k] = x[fold == k] @ _weighing(x[fold != k], y[fold != k])[0]
    decided = y != 0.5
    hits = [
        1 - np.abs(np.sign(said[decided]) - np.sign(y[decided] - 0.5)) / 2
        for said in (learned, x.sum(axis=1))
    ]
    where = prompts[decided]
    gap = estimate_mean(hits[0] - hits[1], where, bounds=(-1.0, 1.0))
    return estimate_mean(hits[0], where), estimate_mean(hits[1], where), gap


def _score_differences(
    ratings: pd.DataFrame, votes: pd.DataFrame, humans: str
) -> tuple[pd.DataFrame, list[str]]:
    """One row an overall vote with scores of both answers: prompt_id, outcome of the first model by name, and the
    difference of scores on every dimension that all of them have (the rest are dropped where most lack them)."""
    scores = long_scores(ratings)
    if scores.empty or votes.empty:
        return pd.DataFrame(columns=["prompt_id", "outcome"]), []
    keys = ["rater", "prompt_id", "model", "against"]
    wide = scores.pivot_table(index=keys, columns="dimension", values="score")
    turned = wide.copy()
    turned.index = turned.index.rename(["rater", "prompt_id", "against", "model"]).reorder_levels(keys)
    gap = wide - turned.reindex(wide.index)
    dimensions = [d for d in in_order(scores["dimension"]) if gap[d].notna().mean() > 0.5]
    told = by_name(votes)
    told = told[told["outcome"].notna() & matches(told["rater"].astype(str), humans)]
    told = told.rename(columns={"model_a": "model", "model_b": "against"})
    pairs = told.merge(gap[dimensions].dropna().reset_index(), on=keys)
    return pairs[["prompt_id", "outcome", *dimensions]], dimensions
