"""Humans and judges in one model, humans as the anchor; beside it the figure that assumes nothing about judges.

    found = sources(votes, ratings, answers, baseline="base")
    found.win_rates; found.raters; found.severity

The model: log-odds that a beats b for rater r = s_a - s_b (what humans think of the models) + for a judge its severity,
d_rb - d_ra, shrunk towards 0 as far as this judge agrees with humans (normal, a variance for each judge, by EM) + place_r if a stood first, - if
second + for a judge length_r * tanh(length difference / sd). Humans have no severity and no length term: their taste is
the yardstick. (Bradley-Terry with rater effects: Böckenholt 2001; random effects and their EM: Laird and Ware 1982.)
PPI (calibration.py) assumes none of this and is right whatever the judge does; the model uses all judges and all pairs at
once and is narrower when it fits. Where the two are far apart, believe PPI.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, stdtrit

from sftkit.errors import ReportError
from sftkit.ratings.votes import of_models
from sftkit.report.calibration import calibration
from sftkit.report.estimates import LEVEL
from sftkit.report.leanings import verdict_rows
from sftkit.report.logistic import fit, sandwich

HUMANS = "human:*"
WIN = ["model", "baseline", "win_rate", "low", "high", "human_n", "judge_n"]
WIN += ["judge", "calibrated", "calibrated_low", "calibrated_high", "note"]
DOUBT = 0.25  # variance of severity before anything is known of a judge; counts as one model more
STEPS, NEAR = 12, 0.1  # of EM at most; it ends when the variance moves by less than this share
LOOSE = 0.04  # precision of the weak priors N(0, 5^2) on strengths, N(0, 1) on place and length
TERM = 1.0


@dataclass(frozen=True)
class Sources:
    """win_rates: model, baseline, win_rate, low, high (the model's: what humans would say), human_n, judge_n (verdicts),
    judge, calibrated, calibrated_low, calibrated_high (PPI with the judge whose interval is narrowest), note.
    raters: rater, first, first_low, first_high (points gained by standing first), length, length_low, length_high (points
    gained by one sd of length), spread (sd of its severity over models, log-odds), n; "human:*" are all humans. severity: rater, model, severity, low, high (points that
    the judge gives the model less than humans do). note: what is missing."""

    win_rates: pd.DataFrame
    raters: pd.DataFrame
    severity: pd.DataFrame
    note: str = ""


def sources(
    votes: pd.DataFrame, ratings: pd.DataFrame, answers: pd.DataFrame | None = None, *, baseline: str,
    calibrated: pd.DataFrame | None = None,
) -> Sources:  # fmt: skip
    """Win rates against `baseline` from humans and judges together: one Bradley-Terry model with a term for every rater.

    Log-odds that a beats b for rater r = s_a - s_b, what humans think of the models; for a judge also its severity,
    d_rb - d_ra, shrunk towards 0 as far as this judge agrees with humans (normal, a variance for each judge, by EM); +
    place_r if a stood first, - place_r if second; for a judge length_r * tanh(difference of lengths / sd of it). Humans
    have no severity and no length term: they are the anchor (Böckenholt 2001; Laird and Ware 1982). Ties are half wins.
    Intervals: sandwich errors clustered by prompt, with what shrinking adds. Gives a Sources with win_rates (0..1, the
    calibrated figure beside), raters and severity (points of win rate).

    votes: prompt_id, model_a, model_b, rater, outcome (1, 0.5, 0 or missing). ratings: RatingStore.frame(); may be empty,
    then place is not known. answers: prompt_id, model, response, for the lengths. calibrated: Report.calibration of
    the same votes and baseline, where it is at hand: it takes a second to make. ReportError when no vote is scored or
    the baseline has none.
    """
    rows = verdict_rows(votes, of_models(ratings) if len(ratings) else ratings, answers)
    rows = rows[rows["outcome"].notna()].reset_index(drop=True)
    names = sorted({*rows["model_a"], *rows["model_b"]}, key=str)
    if baseline not in names:
        raise ReportError(
            f"no scored vote on {baseline!r}; models with votes: {', '.join(map(str, names)) or 'none'}"
        )
    design = _Design(rows, names)
    beta, covariance, design.spread = _estimate(design)
    g = rows["prompt_id"].nunique()
    t = float(stdtrit(max(g - 1, 1), (1 + LEVEL) / 2)) if g > 1 else np.nan
    note = (
        "" if design.human.any() else "no human votes: the judges' mean is the anchor, not what humans think"
    )
    if g == 1:
        note = "one prompt: its spread is not known"
    found = _Read(design, beta, covariance, t)
    beside = calibration(votes, baseline) if calibrated is None else calibrated
    return Sources(found.win_rates(baseline, beside, note), found.raters(), found.severity(), note)


class _Design:
    """The regression's columns: strengths (K), then for each judge its severity (K), then place of each source, then
    length of each judge."""

    def __init__(self, rows: pd.DataFrame, names: list[str]):
        from scipy.sparse import csr_array

        self.rows, self.names, k = rows, names, len(names)
        rater = rows["rater"].astype(str)
        self.human = rater.str.startswith("human:").to_numpy()
        self.judges = sorted(set(rater[~self.human]))
        self.sources = [HUMANS] * bool(self.human.any()) + self.judges
        place = {name: i for i, name in enumerate(names)}
        a, b = (rows[side].map(place).to_numpy(int) for side in ("model_a", "model_b"))
        judge = rater.map({name: i for i, name in enumerate(self.judges)}).fillna(-1).to_numpy(int)
        source = np.where(self.human, 0, judge + self.human.any())
        first = rows["first"].fillna(0.0).to_numpy(float)
        gap = rows["length"].to_numpy(float)
        sd = np.nanstd(gap) if (~np.isnan(gap)).any() else 0.0
        longer = np.nan_to_num(np.tanh(gap / sd)) if sd > 0 else np.zeros(len(rows))
        start = k * (1 + len(self.judges))
        i, j = np.arange(len(rows)), judge >= 0
        columns = [
            (i, a, 1.0),
            (i, b, -1.0),
            (i[j], (k * (1 + judge) + a)[j], -1.0),
            (i[j], (k * (1 + judge) + b)[j], 1.0),
        ]
        columns += [(i, start + source, first), (i[j], (start + len(self.sources) + judge)[j], longer[j])]
        at, to = (np.concatenate([part[n] for part in columns]) for n in (0, 1))
        value = np.concatenate([np.broadcast_to(part[2], part[0].shape) for part in columns])
        self.spread = np.zeros(len(self.judges))  # sd of each judge's severity, once fitted
        self.width = start + len(self.sources) + len(self.judges)
        self.x = csr_array((value, (at, to)), shape=(len(rows), self.width))
        self.severe = slice(k, start)

    def precision(self, variance: np.ndarray) -> np.ndarray:
        """Of the priors: weak on strengths, place and length; 1 / variance of its judge on severity."""
        k = len(self.names)
        diagonal = np.full(self.width, TERM)
        diagonal[:k], diagonal[self.severe] = LOOSE, np.repeat(1 / variance, k)
        return np.diag(diagonal)


def _estimate(design: _Design) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coefficients, their covariance, and the sd of each judge's severity that EM finds."""
    y = design.rows["outcome"].to_numpy(float)
    xty, variance, k = design.x.T @ y, np.full(len(design.judges), DOUBT), len(design.names)
    beta = np.zeros(design.width)
    for _ in range(STEPS):
        precision = design.precision(variance)
        beta, hessian = fit(design.x, xty, precision=precision, start=beta)
        inverse = np.linalg.inv(hessian)
        size = (beta**2 + np.diag(inverse))[design.severe].reshape(-1, k)
        new = (size.sum(axis=1) + DOUBT) / (k + 1)
        near, variance = np.all(np.abs(new - variance) < NEAR * variance), new
        if near:
            break
    covariance = sandwich(design.x, y - expit(design.x @ beta), hessian, design.rows["prompt_id"])
    return beta, covariance + inverse @ precision @ inverse, np.sqrt(variance)


class _Read:
    """Tables from coefficients; log-odds become points of win rate at even chances."""

    def __init__(self, design: _Design, beta: np.ndarray, covariance: np.ndarray, t: float):
        self.design, self.beta, self.covariance, self.t = design, beta, covariance, t

    def _line(self, direction: np.ndarray) -> np.ndarray:
        """A combination of coefficients with its interval, in log-odds: value, low, high."""
        value = float(direction @ self.beta)
        half = self.t * float(np.sqrt(max(direction @ self.covariance @ direction, 0)))
        return np.array([value, value - half, value + half])

    def _unit(self, *places: tuple[int, float]) -> np.ndarray:
        direction = np.zeros(self.design.width)
        for place, value in places:
            direction[place] = value
        return direction

    def win_rates(self, baseline: str, beside: pd.DataFrame, note: str) -> pd.DataFrame:
        design = self.design
        rows = design.rows
        beside = beside[beside["n"] >= 2]
        beside = (
            beside.assign(width=beside["high"] - beside["low"]).sort_values("width").drop_duplicates("model")
        )
        beside = beside.set_index("model")[["rater", "calibrated", "low", "high"]]
        base = design.names.index(baseline)
        out: list[list[Any]] = []
        for place, model in enumerate(design.names):
            if model != baseline:
                met = ((rows["model_a"] == model) | (rows["model_b"] == model)).to_numpy()
                counts = [int((met & design.human).sum()), int((met & ~design.human).sum())]
                ppi = list(beside.loc[model]) if model in beside.index else [None, np.nan, np.nan, np.nan]
                shares = expit(self._line(self._unit((place, 1.0), (base, -1.0))))
                out.append(
                    [
                        model,
                        baseline,
                        *shares,
                        *counts,
                        *ppi,
                        note or ("" if ppi[0] else "no judge calibrated by humans"),
                    ]
                )
        return pd.DataFrame(out, columns=WIN)

    def raters(self) -> pd.DataFrame:
        design = self.design
        start = design.severe.stop
        out = []
        for place, name in enumerate(design.sources):
            mine = design.human if name == HUMANS else (design.rows["rater"].astype(str) == name).to_numpy()
            known = design.rows["first"].notna().to_numpy()[mine].any()
            first = (
                200 * (expit(self._line(self._unit((start + place, 1.0)))) - 0.5)
                if known
                else np.full(3, np.nan)
            )
            length = np.full(3, np.nan)
            if name != HUMANS and design.rows["length"].notna().to_numpy()[mine].any():
                at = start + len(design.sources) + design.judges.index(name)
                length = 100 * (expit(self._line(self._unit((at, float(np.tanh(1)))))) - 0.5)
            spread = np.nan if name == HUMANS else float(design.spread[design.judges.index(name)])
            out.append([name, *first, *length, spread, int(mine.sum())])
        names = ["rater", "first", "first_low", "first_high", "length", "length_low", "length_high"]
        return pd.DataFrame(out, columns=[*names, "spread", "n"])

    def severity(self) -> pd.DataFrame:
        k = len(self.design.names)
        out = []
        for j, judge in enumerate(self.design.judges):
            for place, model in enumerate(self.design.names):
                line = self._line(self._unit((k * (1 + j) + place, 1.0)))
                out.append([judge, model, *(100 * (expit(line) - 0.5))])
        return pd.DataFrame(out, columns=["rater", "model", "severity", "low", "high"])
