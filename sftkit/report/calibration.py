"""What the judge says, set right by what humans say: prediction-powered inference (PPI++).

The judge rates every comparison, humans some of them. Where both did, humans show how wrong the judge is; the judge's
mean over everything, corrected by that, estimates what humans would say everywhere. It is right however bad the judge
is, and narrower than the humans' own votes as far as the judge is good.

    prediction_powered(human, judge_same, judge_rest)              # numbers
    calibrated_win_rate(votes, "tuned", "base", "judge:gpt-4.1/pairwise-v1")
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import ndtri, stdtrit

from sftkit.errors import ReportError
from sftkit.report.agreement import matches
from sftkit.report.estimates import (
    LEVEL,
    NEEDED,
    Estimate,
    against,
    estimate_mean,
    means,
    oriented,
    wilson,
)

HUMANS = "human:*"
PPI = "prediction-powered inference (PPI++)"


def prediction_powered(
    human: Sequence[float],
    judge_same: Sequence[float],
    judge_rest: Sequence[float],
    *,
    lam: float | None = None,
    probability: Sequence[float] | None = None,
    small_sample: bool = False,
) -> Estimate:
    """The mean human score over all items, from human scores of some and the judge's of all.

    human, judge_same: both scores of the items that humans scored; judge_rest: the judge's of the others. lam: how far
    the judge is trusted, 0 (not at all) to 1; chosen to make the interval narrowest unless given (Angelopoulos, Duchi
    and Zrnic 2023, "PPI++", sections 2 and 6). Interval: normal, with population variances, as in their package; with few
    human scores it is a little narrow: nominal 95 % cover 92.2 % at n = 50, 94.6 % at 200 and 95.8 % at 805.
    small_sample: residuals by their leverage (HC3, MacKinnon and White 1985) and Student's t instead, which cover 94.2 %,
    94.8 % and 95.8 % of 1,000 simulated studies each (tests/benchmarks/coverage.py); the value is the same. The figure that
    a report shows is that of `calibrated_win_rate`, whose interval covers 94.5 %, 95.1 % and 95.8 %.
    probability: with which each human item was chosen to be scored; then weights of 1 / probability (Hájek), an error
    by linearisation (Horvitz and Thompson 1952; Zrnic and Candès 2024), and Wilson's interval on 0..1 (scores must lie
    there).
    n counts the human scores. Raises ReportError when human and judge_same differ in length.
    """
    y, f, rest = (np.asarray(values, dtype=float) for values in (human, judge_same, judge_rest))
    if len(y) != len(f):
        raise ReportError(f"{len(y)} human scores but {len(f)} of the judge on the same items")
    if len(y) < 2:
        return Estimate.unknown(f"{len(y) or 'no'} human scores: calibration needs two or more", len(y))
    if probability is not None:
        return _weighted(y, f, rest, 1 / np.asarray(probability, dtype=float), lam)
    n, rest_n, is_tuned = len(y), len(rest), lam is None
    if not rest_n:
        lam = 0.0
    elif is_tuned:
        spread = np.var(np.concatenate([f, rest]), ddof=1)
        tuned = np.mean((y - y.mean()) * (f - f.mean())) / ((1 + n / rest_n) * spread) if spread > 0 else 0.0
        lam = float(np.clip(tuned, 0, 1))
    said, variance = (lam * rest.mean(), np.var(lam * rest) / rest_n) if rest_n else (0.0, 0.0)
    value = float(said + np.mean(y - lam * f))
    left = y - lam * f
    if small_sample:
        spread, wide = (
            _leveraged(left - left.mean(), f if is_tuned and lam else None),
            stdtrit(n - 1, (1 + LEVEL) / 2),
        )
    else:
        spread, wide = np.var(left), ndtri((1 + LEVEL) / 2)
    se = math.sqrt(variance + spread / n)
    half = float(wide) * se
    return Estimate(value, se, value - half, value + half, n, 0, f"{PPI}, lambda {lam:.2f}")


def _leveraged(residual: np.ndarray, judge: np.ndarray | None) -> float:
    """Mean square of residuals as each would be, had it not taken part in the fit: of the mean, and of lambda on `judge`. None
    is more than doubled: with a handful of scores one of them may be all that lambda rests on."""
    leverage = np.full(len(residual), 1 / len(residual))
    if judge is not None:
        away = (judge - judge.mean()) ** 2
        leverage += away / max(float(away.sum()), 1e-12)
    return float(np.mean((residual / np.maximum(1 - leverage, 0.5)) ** 2))


def _weighted(
    y: np.ndarray, f: np.ndarray, rest: np.ndarray, weight: np.ndarray, lam: float | None
) -> Estimate:
    """PPI++ with weights: lam * (judge's mean over all) + the weighted mean of y - lam * f.

    What an item adds to the error is (Horvitz and Thompson 1952; Zrnic and Candès 2024, "Active statistical
    inference"): its share of the judge's mean over all, and, if humans scored it, its weighted residual; the judge's
    score is in both. lam minimises the sum of their squares.
    """
    n, every = len(y), np.concatenate([f, rest])
    w = weight / weight.sum()
    away = (every - every.mean()) / len(every)
    human, judge = np.zeros(len(every)), away.copy()
    human[:n] = w * (y - w @ y)
    judge[:n] -= w * (f - w @ f)
    power = judge @ judge
    if lam is None:
        lam = float(np.clip(-(human @ judge) / power, 0, 1)) if power > 1e-18 else 0.0
    value = float(w @ y + lam * (every.mean() - w @ f))
    se = float(np.sqrt(n / (n - 1) * ((human + lam * judge) ** 2).sum()))
    method = f"{PPI}, lambda {lam:.2f}" + (", weighted by sampling probability" if np.ptp(w) > 1e-12 else "")
    value = min(max(value, 0.0), 1.0)
    if se < 1e-9 or not 0 < value < 1:
        alone = estimate_mean(y, np.arange(n))
        note = "humans and judge leave no spread: interval from the human votes alone"
        return Estimate(value, se, min(alone.low, value), max(alone.high, value), n, 0, method, note)
    t = stdtrit(max(1 / (w @ w) - 1, 1), (1 + LEVEL) / 2)  # as many degrees as equal weights would need votes
    low, high = wilson(value, value * (1 - value) / se**2, t)
    return Estimate(value, se, float(low), float(high), n, 0, method)


@dataclass(frozen=True)
class Both:
    """Humans' and a judge's outcomes for one model against another, prompt by prompt. prompt: ids, humans' first;
    human: mean outcome of the first of them; judge: of all; weight: 1 / sampling probability of the humans' prompts.
    unjudged: prompts with a human vote that the judge did not score; unsampled: prompts left out because the queue chose
    others by their probability, and not these."""

    prompt: list
    human: np.ndarray
    judge: np.ndarray
    weight: np.ndarray
    unjudged: int
    unsampled: int

    def estimate(self) -> Estimate:
        """The calibrated figure."""
        n = len(self.human)
        if n < 2:
            which = f"{n or 'no'} comparison{'s' * (n != 1)} with a verdict of humans and judge"
            return Estimate.unknown(f"{which}: calibration needs two or more", n, self.unjudged, PPI)
        found = _weighted(self.human, self.judge[:n], self.judge[n:], self.weight, None)
        note = found.note
        if self.unsampled:
            note = f"{self.unsampled} comparisons with human votes that the queue did not sample are left out"
        return replace(found, unscored=self.unjudged, note=note)


def both(votes: pd.DataFrame, model: str, baseline: str, judge: str, humans: str = HUMANS) -> Both:
    """The votes of humans and of `judge` on `model` against `baseline`, in the order in which humans voted."""
    return _both(oriented(votes, model, baseline), model, baseline, judge, humans)


def _both(rows: pd.DataFrame, model: str, baseline: str, judge: str, humans: str) -> Both:
    """The same of votes that are `oriented` already."""
    rows = rows[rows["outcome"].notna()]
    is_human, is_judge = (matches(rows["rater"], rater) for rater in (humans, judge))
    if not is_judge.any():
        raise ReportError(f"{judge!r} has no scored vote on {model!r} against {baseline!r}")
    prompt, names = pd.factorize(rows["prompt_id"].to_numpy(object))
    outcome = rows["outcome"].to_numpy(float)
    said, mine = (_mean_of(prompt[which], outcome[which], len(names)) for which in (is_judge, is_human))
    weight = np.full(len(names), np.nan)
    if "probability" in rows:
        chance = pd.to_numeric(rows["probability"]).to_numpy(float)
        drawn = is_human & (chance > 0)
        weight = _mean_of(prompt[drawn], 1 / chance[drawn], len(names))
    people = pd.unique(prompt[is_human])  # in the order in which they voted
    known = people[~np.isnan(said[people])]
    sampled = ~np.isnan(weight[known])
    left_out = int((~sampled).sum()) if sampled.sum() >= 2 else 0
    kept = known[sampled] if left_out else known
    judged = pd.unique(prompt[is_judge])
    rest = judged[~np.isin(judged, kept)]
    every = np.concatenate([kept, rest]).astype(int)
    return Both(
        prompt=[names[place] for place in every],
        human=mine[kept],
        judge=said[every],
        weight=weight[kept] if sampled.sum() >= 2 else np.ones(len(kept)),
        unjudged=len(people) - len(known),
        unsampled=left_out,
    )


def _mean_of(group: np.ndarray, values: np.ndarray, groups: int) -> np.ndarray:
    """The mean of each group; NaN where it has no value."""
    n = np.bincount(group, minlength=groups)
    return np.bincount(group, weights=values, minlength=groups) / np.where(n, n, np.nan)


def calibrated_win_rate(
    votes: pd.DataFrame, model: str, baseline: str, judge: str, humans: str = HUMANS
) -> Estimate:
    """The win rate of `model` against `baseline` that humans would give on every prompt that `judge` has judged.

    PPI++ with prompts as items; several human votes on a prompt are averaged. Where votes have a column `probability`
    (with which the queue chose the comparison), human votes are weighted by 1 / probability, so that a queue that
    seeks out hard comparisons does no harm; votes it did not sample are then left out. n: prompts with both; unscored: human votes that the judge did not score.
    """
    return both(votes, model, baseline, judge, humans).estimate()


def calibration_path(
    votes: pd.DataFrame, model: str, baseline: str, judge: str, humans: str = HUMANS, points: int = 25
) -> pd.DataFrame:
    """How the calibrated figure tightens with each human vote, in the order of the votes.

    Columns n, value, low, high, human, human_low, human_high (the humans' votes alone); at most `points` rows.
    """
    all_of = both(votes, model, baseline, judge, humans)
    total = len(all_of.human)
    rows = []
    for n in sorted({int(n) for n in np.linspace(2, total, points)} if total >= 2 else ()):
        found = _weighted(all_of.human[:n], all_of.judge[:n], all_of.judge[n:], all_of.weight[:n], None)
        alone = _weighted(all_of.human[:n], all_of.judge[:n], all_of.judge[n:], all_of.weight[:n], 0.0)
        rows.append([n, found.value, found.low, found.high, alone.value, alone.low, alone.high])
    return pd.DataFrame(rows, columns=["n", "value", "low", "high", "human", "human_low", "human_high"])


@dataclass(frozen=True)
class Needed:
    """How many human votes a wanted width takes. total: votes on different prompts in all, None if it cannot be had;
    more: of them still to come; width: of the interval now; floor: the narrowest that votes on all judged prompts give;
    correlation: of judge and humans; alone: votes that would be needed without the judge. str() says it in words."""

    wanted: float
    width: float
    have: int
    total: int | None
    more: int | None
    alone: int | None
    floor: float
    correlation: float
    note: str = ""

    def __str__(self) -> str:
        points = f"{100 * self.wanted:.3g} points"
        if self.note:
            return self.note
        if self.more == 0:
            return (
                f"The interval is {100 * self.width:.1f} points wide: no more votes are needed for {points}."
            )
        return (
            f"About {self.more} more human votes make the interval {points} wide (now {100 * self.width:.1f}); "
            f"without the judge it would take {self.alone} in all."
        )


def votes_needed(
    votes: pd.DataFrame, model: str, baseline: str, judge: str, width: float = 0.1, humans: str = HUMANS
) -> Needed:
    """Human votes still needed for a calibrated interval `width` wide (0.1 = 10 points), at the spread seen so far.

    With n of M judged prompts voted on, the error is s^2 * ((1 - r^2) / n + r^2 / M), s the spread of human outcomes
    and r their correlation with the judge's (the variance of PPI++ at its best lambda).
    """
    return _needed(both(votes, model, baseline, judge, humans), width)


def _needed(seen: Both, width: float) -> Needed:
    if not width > 0:
        raise ReportError(f"a width is above 0 (0.1 is 10 points), not {width!r}")
    have, everything, nan = len(seen.human), len(seen.judge), math.nan
    if have < 5:
        note = f"{have or 'No'} human votes so far: give five or more to judge the spread by."
        return Needed(width, nan, have, None, None, None, nan, nan, note)
    w = seen.weight / seen.weight.sum()
    spread, r = _moments(seen.human, seen.judge[:have], w)
    uneven = have * float(w @ w)  # unequal weights make votes count for less
    widths = _widths(np.arange(2, everything + 1), spread, r, everything, uneven)
    now = seen.estimate()
    total = next((int(n) for n, wide in zip(range(2, everything + 1), widths) if wide <= width), None)
    alone = _alone(width, spread, uneven)
    have_width = now.high - now.low
    if have_width <= width:
        total = min(total or have, have)
    note = ""
    if total is None:
        note = (
            f"Even with a human vote on all {everything} judged prompts the interval would be "
            f"{100 * widths[-1]:.1f} points wide: judge more prompts."
        )
    more = None if total is None else max(total - have, 0)
    return Needed(width, have_width, have, total, more, alone, float(widths[-1]), r, note)


def _moments(y: np.ndarray, f: np.ndarray, w: np.ndarray) -> tuple[float, float]:
    """Variance of y (at least that of one vote that differs) and its correlation with f, weighted; r in 0..1."""
    n = len(y)
    dy, df = y - w @ y, f - w @ f
    spread = max(float(w @ dy**2) * n / (n - 1), 0.25 * 4 / (n + 4))
    scale = math.sqrt(float(w @ dy**2) * float(w @ df**2))
    return spread, float(np.clip((w @ (dy * df)) / scale, 0, 1)) if scale > 1e-12 else 0.0


def _widths(n: np.ndarray, spread: float, r: float, everything: int, uneven: float = 1.0) -> np.ndarray:
    """Widths of the calibrated interval for n human votes among `everything`."""
    error = spread * ((1 - r**2) * uneven / n + r**2 / everything)
    return 2 * stdtrit(n - 1, (1 + LEVEL) / 2) * np.sqrt(error)


def _alone(width: float, spread: float, uneven: float) -> int:
    """Votes for this width without any judge."""
    return math.ceil(4 * float(ndtri((1 + LEVEL) / 2)) ** 2 * spread * uneven / width**2)


def calibration(votes: pd.DataFrame, baseline: str, width: float = 0.1, humans: str = HUMANS) -> pd.DataFrame:
    """Every judge set right by the humans, model by model against the baseline: one row a judge and model.

    Columns rater, model, baseline; judge, judge_low, judge_high, judge_n (the judge alone); human, human_low, human_high,
    human_n (the human votes alone); calibrated, low, high, n (both); correlation (of judge and humans), narrower (share
    of the humans' interval saved), more_votes (for an interval `width` wide; missing if not known or out of reach), note.
    """
    names = ["rater", "model", "baseline", "judge", "judge_low", "judge_high", "judge_n"]
    names += ["human", "human_low", "human_high", "human_n", "calibrated", "low", "high", "n"]
    names += ["correlation", "narrower", "more_votes", "note"]
    kept = [name for name in (*NEEDED, "probability") if name in votes]
    told = against(votes[kept].astype({"rater": object, "prompt_id": object}), baseline)
    alone = _by_themselves(told, humans)
    rows = []
    for model, mine in told.groupby("model_a", sort=False):
        is_human = matches(mine["rater"], humans)
        for judge in sorted(set(mine["rater"][mine["outcome"].notna() & ~is_human].astype(str))):
            own = [figure for who in (judge, humans) for figure in alone.get((who, model), NOBODY)]
            row = _row(mine, model, baseline, judge, width, humans, own[6] - own[5])
            rows.append([judge, model, baseline, *own, *row])
    rows.sort(key=lambda row: row[0])
    return pd.DataFrame(rows, columns=names).astype({"more_votes": "Int64"})


NOBODY = (math.nan, math.nan, math.nan, 0)


def _by_themselves(told: pd.DataFrame, humans: str) -> dict[tuple[str, str], tuple[float, float, float, int]]:
    """Win rate, its interval and n of every judge, and of all humans together, on every model."""
    told = told[told["outcome"].notna()]
    if told.empty:
        return {}
    who = told["rater"].astype(str).to_numpy(object)
    who[matches(told["rater"], humans)] = humans
    codes, groups = pd.MultiIndex.from_arrays([who, told["model_a"].to_numpy(object)]).factorize()
    found = means(told["outcome"].to_numpy(float), codes, told["prompt_id"].to_numpy(object))
    figures = found[["value", "low", "high", "n"]].itertuples(index=False, name=None)
    return {groups[code]: (*figure[:3], int(figure[3])) for code, figure in zip(found.index, figures)}


def _row(told: pd.DataFrame, model: str, baseline: str, judge: str, width: float, humans: str, wide: float) -> list:  # fmt: skip
    """The calibrated figure. wide: the interval of the humans' own votes."""
    seen = _both(told, model, baseline, judge, humans)
    needed, found = _needed(seen, width), seen.estimate()
    saved = 1 - (found.high - found.low) / wide if found.n >= 2 and wide > 0 else math.nan
    more = pd.NA if needed.more is None else needed.more
    note = found.note or needed.note
    return [found.value, found.low, found.high, found.n, needed.correlation, saved, more, note]
