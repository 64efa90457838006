"""Win rate with the advantage of length taken out, after AlpacaEval's regression; win rates by length.

length_controlled_win_rate(votes, "tuned", "base")
by_length(votes, "base")
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit, stdtrit

from sftkit.errors import ReportError
from sftkit.report.estimates import LEVEL, Estimate, oriented
from sftkit.report.logistic import fit, sandwich

ALPACA_PRIOR = (
    -1.6,
    0.1,
)  # mean and sd of the length coefficient of GPT-4 over AlpacaEval's 54 published models
OVERLAP = 0.01  # at least this share of prompts, and at least FEWEST, on either side of equal length
FEWEST = 5
SAME = 1.25  # answers whose lengths differ by less than this factor are of similar length
BANDS = ("shorter", "similar", "longer")


def length_controlled_win_rate(
    votes: pd.DataFrame, model: str, baseline: str, *, difficulty: Any = None, prior: Any = None
) -> Estimate:
    """The win rate that `model` would have if its answers were as long as the baseline's (Dubois et al. 2024,
    "Length-Controlled AlpacaEval", section 3): the mean over prompts of the fitted preference at equal length.

    Logistic regression of the outcome on tanh((len_b - len_a) / sd of it), an intercept, and `difficulty` of each
    prompt where given: a Series or dict by prompt_id, or AlpacaEval's table (index, difficulty, len_*).
    prior on the length coefficient: (mean, sd), for few votes or few models, such as ALPACA_PRIOR; or AlpacaEval's own
    as {"gamed_weight_per_row", "S_len", "S_diff"}: the baseline judged against longer and shorter versions of itself,
    whose lengths are in the table's columns len_baseline, len_gamed_*. Without difficulty S_diff is not used.
    Interval: sandwich errors clustered by prompt, on the scale of log-odds. (AlpacaEval's own error is the spread of
    the fitted preferences alone, and smaller.)
    Raises ReportError where votes lack lengths, and where lengths do not overlap: with nearly all answers of one model
    longer, length and model cannot be told apart.
    """
    return of_oriented(oriented(votes, model, baseline), model, baseline, difficulty, prior)


def of_oriented(rows: pd.DataFrame, model: str, baseline: str, difficulty: Any = None, prior: Any = None) -> Estimate:  # fmt: skip
    """The same of votes that are `oriented` already."""
    unscored = int(rows["outcome"].isna().sum())
    rows = rows[rows["outcome"].notna()].reset_index(drop=True)
    if rows.empty:
        return Estimate.unknown("no scored votes", 0, unscored)
    shorter = _shorter(rows, model, baseline, prior)
    terms = [shorter, np.ones(len(rows))]
    if difficulty is not None:
        terms.insert(1, _difficulty(difficulty, rows["prompt_id"]))
    x, y = np.column_stack(terms), rows["outcome"].to_numpy(float)
    centre, precision = np.zeros(x.shape[1]), np.eye(x.shape[1]) * 1e-6
    more, xty, weight = _gamed(prior, difficulty, x.shape[1])
    if not more.size and prior is not None:
        centre[0], precision[0, 0] = prior[0], 1 / prior[1] ** 2
    weight = np.concatenate([np.ones(len(x)), weight])
    coefficients, hessian = fit(np.vstack([x, more]), x.T @ y + xty, weight, centre, precision)
    covariance = sandwich(x, y - expit(x @ coefficients), hessian, rows["prompt_id"])
    covariance += np.linalg.pinv(hessian) @ precision @ np.linalg.pinv(hessian)
    return _at_equal_length(x, coefficients, covariance, rows["prompt_id"], unscored, prior)


def _at_equal_length(x, coefficients, covariance, prompts, unscored, prior) -> Estimate:
    """The mean fitted preference with the length term at 0, and its interval by the delta method."""
    level = x.copy()
    level[:, 0] = 0
    fitted = expit(level @ coefficients)
    value, g = float(fitted.mean()), prompts.nunique()
    slope = (level * (fitted * (1 - fitted))[:, None]).mean(axis=0)
    by_prompt = pd.Series(fitted - value).groupby(prompts.to_numpy()).sum().to_numpy()
    spread = float(by_prompt @ by_prompt) / len(fitted) ** 2  # other prompts would be of other difficulty
    se = float(np.sqrt(max(slope @ covariance @ slope, 0) + spread))
    method = "logistic regression at equal length (AlpacaEval's), clustered by prompt"
    method += ", prior on the length coefficient" if prior is not None else ""
    if g == 1 or not 1e-12 < value < 1 - 1e-12:
        note = "one prompt" if g == 1 else "every fitted preference is the same"
        return Estimate(value, float("nan"), 0.0, 1.0, len(x), unscored, method, f"{note}: no interval")
    half = float(stdtrit(g - 1, (1 + LEVEL) / 2)) * se / (value * (1 - value))
    low, high = expit(logit(value) + np.array([-half, half]))
    return Estimate(value, se, float(low), float(high), len(x), unscored, method)


def _shorter(rows: pd.DataFrame, model: str, baseline: str, prior: Any) -> np.ndarray:
    """How much shorter each answer is than the baseline's, -1..1 (AlpacaEval's length term). Refuses where it must."""
    lengths = [f"len_{side}" for side in "ab"]
    if not set(lengths) <= set(rows.columns) or rows[lengths].isna().any(axis=None):
        raise ReportError(
            "length control needs len_a and len_b of every scored vote: register the answers in the store, "
            "or give votes with these columns"
        )
    gap = rows["len_b"].to_numpy(float) - rows["len_a"].to_numpy(float)
    shares = {f"{model} is longer": int((gap <= 0).sum()), f"{baseline} is longer": int((gap >= 0).sum())}
    who, fewest = min(shares.items(), key=lambda item: item[1])
    if fewest < (1 if prior is not None else max(FEWEST, OVERLAP * len(gap))):
        raise ReportError(
            f"lengths do not overlap: in {fewest} of {len(gap)} comparisons {who}, so length and model cannot be told "
            "apart. Read the raw win rate beside the mean lengths"
            + ("" if prior is not None or not fewest else ", or give a prior on the length coefficient")
            + "."
        )
    sd = float(np.std(gap, ddof=1)) if len(gap) > 1 else 0.0
    return np.tanh(gap / sd) if sd > 0 else np.zeros(len(gap))


def _difficulty(difficulty: Any, prompts: pd.Series) -> np.ndarray:
    """The difficulty of each vote's prompt."""
    if isinstance(difficulty, pd.DataFrame):
        key = next((name for name in ("prompt_id", "index") if name in difficulty.columns), None)
        difficulty = (difficulty.set_index(key) if key else difficulty)["difficulty"]
    known = {str(key): float(value) for key, value in dict(difficulty).items()}
    if missing := sorted({str(p) for p in prompts} - set(known)):
        raise ReportError(f"no difficulty for {len(missing)} prompts, such as {missing[0]!r}")
    return np.array([known[str(prompt)] for prompt in prompts])


def _gamed(prior: Any, difficulty: Any, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """AlpacaEval's prior as rows of the regression: x (rows, k), their x.T @ (weight * y), weight of each."""
    if not isinstance(prior, Mapping):
        if prior is not None and not (len(prior) == 2 and prior[1] > 0):
            raise ReportError("prior is (mean, sd) of the length coefficient, with sd above 0")
        return np.zeros((0, k)), np.zeros(k), np.zeros(0)
    columns = [c for c in getattr(difficulty, "columns", ()) if str(c).startswith("len_gamed")]
    if lacking := {"gamed_weight_per_row", "S_len"} - set(prior):
        raise ReportError(f"prior lacks {', '.join(sorted(lacking))}; or give (mean, sd)")
    if not columns or "len_baseline" not in difficulty:
        raise ReportError(
            "this prior needs AlpacaEval's table as difficulty, with len_baseline and len_gamed_*"
        )
    gaps = [(difficulty["len_baseline"] - difficulty[name]).to_numpy(float) for name in columns]
    terms = [np.concatenate([np.tanh(gap / np.std(gap, ddof=1)) for gap in gaps])]
    terms += [np.tile(difficulty["difficulty"].to_numpy(float), len(gaps)), np.zeros(len(terms[0]))]
    weight = float(prior["gamed_weight_per_row"])
    sums = weight * np.array([prior["S_len"], prior.get("S_diff", 0.0), 0.0])
    return np.column_stack(terms), sums, np.full(len(terms[0]), weight)


def length_band(longer: pd.Series) -> pd.Series:
    """ "shorter", "similar" or "longer" of the ratio model / baseline; missing where it is."""
    bands = np.select([longer < 1 / SAME, longer > SAME], ["shorter", "longer"], "similar")
    return pd.Series(bands, index=longer.index, dtype=object).where(longer.notna())
